"""One person behind many names."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import func, select

from bot.database import Database
from loyalty.customers import (
    Profile,
    attach,
    find,
    find_many,
    identities_of,
    join,
    opt_in,
    opt_out,
    profiles,
    resolve,
    set_name,
)
from loyalty.errors import IdentityTaken, UnknownMember
from loyalty.tables import Member, MergeProposal

WANG, LI = ("external_userid", "wmWangFang"), ("openid", "oLiLei")


def test_an_identity_is_one_member_for_ever(database: Database, noon: datetime) -> None:
    """Who is seen first becomes a member; seen again, with others, it is the same one."""
    with database.transaction() as session:
        first = resolve(session, [WANG], noon)
    with database.transaction() as session:
        both = resolve(session, [LI, WANG, WANG], noon)
        assert both[WANG] == first[WANG] != both[LI]
        assert find(session, *LI) == both[LI]
        assert find(session, "openid", "nobody") is None
        assert find_many(session, [WANG, ("openid", "nobody")]) == first
        assert find_many(session, []) == {} == resolve(session, [], noon)
        assert session.scalar(select(func.count()).select_from(Member)) == 2


def test_the_same_value_of_another_kind_is_another_person(database: Database, noon: datetime) -> None:
    """A value alone says nothing: kind and value together are the identity."""
    with database.transaction() as session:
        found = resolve(session, [("openid", "x1"), ("unionid", "x1")], noon)
        assert len(set(found.values())) == 2


def test_a_second_identity_is_attached(database: Database, noon: datetime) -> None:
    """After a phone is bound, the member is found by it; binding it again changes nothing."""
    with database.transaction() as session:
        member = resolve(session, [WANG], noon)[WANG]
        attach(session, member, "phone", "hash-of-138", "bound in the shop", noon)
        attach(session, member, "phone", "hash-of-138", "bound in the shop", noon)
        assert find(session, "phone", "hash-of-138") == member
        assert identities_of(session, [member], "phone") == {member: "hash-of-138"}
        assert identities_of(session, [member], "unionid") == {}


def test_a_taken_identity_is_proposed_not_moved(database: Database, noon: datetime) -> None:
    """Somebody else's phone is refused by name; who decides about a merge finds one row, however often it came."""
    with database.transaction() as session:
        found = resolve(session, [WANG, LI], noon)
        for _ in range(2):
            with pytest.raises(IdentityTaken) as refusal:
                attach(session, found[WANG], *LI, "same parcel", noon)
        assert refusal.value.owner_id == found[LI]
        rows = session.execute(select(MergeProposal.member_id, MergeProposal.other_id)).all()
        assert [tuple(row) for row in rows] == [(found[WANG], found[LI])]
        assert find(session, *LI) == found[LI]


def test_a_profile_tells_name_and_consent(database: Database, noon: datetime) -> None:
    """Joining and opting out keep their first moment; opting in takes the opt-out back."""
    with database.transaction() as session:
        member = resolve(session, [WANG], noon)[WANG]
        assert profiles(session, [member, 99]) == {member: Profile(member, "", None, None, None)}
        set_name(session, member, "王芳")
        later = noon.replace(hour=9)
        assert [join(session, member, noon), join(session, member, later)] == [True, False]
        assert [opt_out(session, member, noon), opt_out(session, member, later)] == [True, False]
        assert profiles(session, [member])[member] == Profile(member, "王芳", noon, noon, None)
        opt_in(session, member)
        assert profiles(session, [member])[member].opted_out_at is None


def test_nobody_cannot_opt_out(database: Database, noon: datetime) -> None:
    """A change to a member that does not exist is refused by name, not swallowed."""
    with database.transaction() as session:
        for change in (lambda: opt_out(session, 99, noon), lambda: set_name(session, 99, "无名")):
            with pytest.raises(UnknownMember):
                change()
