"""Who is behind the names of a sighting: certain, proposed, or somebody new."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import func, select

from bot.database import Database
from loyalty.customers import Identity, find, resolve
from loyalty.errors import BadIdentity, UnknownProposal
from loyalty.identities import Identifier, normal_phone
from loyalty.matching import Sighting, accept, proposals, recognise, reject
from loyalty.merging import merges_of, unmerge
from loyalty.tables import Member, MemberIdentity

names = Identifier("a secret of this test")
UNION, CHAT, SHOP = Identity("unionid", "oU1"), Identity("external_userid", "wmWang"), Identity("tmall_buyer", "王小芳")
PHONE = names.identity("phone", "13800138000")


def seen(*identities: Identity, hints: tuple[Identity, ...] = ()) -> Sighting:
    """A sighting the platform vouches for."""
    return Sighting(identities, "contact list", hints)


@pytest.mark.parametrize("text", ["13800138000", "+86 138 0013 8000", "１３８００１３８０００",
                                  "0086-138-0013-8000", "86 13800138000", " 138·0013·8000 "])
def test_a_phone_has_one_form(text: str) -> None:
    """However a person writes it, it is one phone, kept as a hash that nobody can look up without the secret."""
    assert normal_phone(text) == "13800138000"
    assert names.identity("phone", text) == PHONE == names.identity("phone", PHONE.value)
    assert len(PHONE.value) == 64
    assert Identifier("another secret").identity("phone", text) != PHONE


@pytest.mark.parametrize("text", ["12345", "", "1390013900", "139001390001", "+8613", "王芳", "23800138000"])
def test_what_is_no_phone_is_refused(text: str) -> None:
    """The refusal says what to write, and does not repeat the value."""
    with pytest.raises(BadIdentity, match="11 digits") as refusal:
        names.identity("phone", text)
    assert not text or text not in str(refusal.value)


def test_a_phone_abroad_keeps_its_country() -> None:
    """Hong Kong, twice the same."""
    assert normal_phone("+852 9123 4567") == normal_phone("0085291234567") == "+85291234567"


@pytest.mark.parametrize(("kind", "value", "mend"), [
    ("Phone", "13800138000", "small letters"), ("openid", "  ", "empty"), ("openid", "a\x00b", "control"),
])
def test_other_names_are_checked(kind: str, value: str, mend: str) -> None:
    """A kind is a word, a value is printable."""
    with pytest.raises(BadIdentity, match=mend):
        names.identity(kind, value)
    with pytest.raises(BadIdentity, match="HUITOU_IDENTITY__SECRET"):
        Identifier("").identity("phone", "13800138000")


def test_name_and_address_are_alike_whatever_the_punctuation() -> None:
    """Spaces, commas and full-width letters do not make another address."""
    first = names.name_address("王 芳", "上海市徐汇区漕溪路1号，A座")
    assert first == names.name_address("王芳", "上海市 徐汇区 漕溪路１号 Ａ座")
    assert first != names.name_address("王芳", "上海市徐汇区漕溪路2号A座")


def test_names_that_come_together_are_one_person(database: Database, noon: datetime) -> None:
    """A batch: who is new, who was known by one name and gets another, in the order asked."""
    with database.transaction() as session:
        known = resolve(session, [CHAT], noon)[CHAT]
        found = recognise(session, [seen(SHOP), seen(UNION, CHAT), seen(SHOP, PHONE), seen(PHONE)], noon)
        assert found[1] == known and found[0] == found[2] == found[3] != known
        assert find(session, *UNION) == known and find(session, *PHONE) == found[0]
        assert recognise(session, [seen(SHOP), seen(UNION)], noon) == [found[0], known]
        assert session.scalar(select(func.count()).select_from(Member)) == 2
        assert session.scalar(select(func.count()).select_from(MemberIdentity)) == 4


def test_a_unionid_proves_that_two_are_one(database: Database, noon: datetime) -> None:
    """The same unionid merges at once, with the evidence, and can be undone."""
    with database.transaction() as session:
        chat, shop = resolve(session, [CHAT, UNION], noon).values()
        [kept] = recognise(session, [seen(CHAT, UNION)], noon)
        assert kept == min(chat, shop)
        [made] = merges_of(session, kept)
        assert made.evidence == "same unionid: contact list"
        assert proposals(session) == []
        unmerge(session, made.id, key="u1", at=noon)
        assert find(session, *CHAT) != find(session, *UNION)


def test_two_unionids_are_two_people_until_somebody_decides(database: Database, noon: datetime) -> None:
    """A shared phone does not merge those whom the platform tells apart."""
    other = Identity("unionid", "oU2")
    with database.transaction() as session:
        first, second = recognise(session, [seen(UNION, PHONE), seen(other, CHAT)], noon)
        assert recognise(session, [seen(other, PHONE)], noon) == [second]
        [proposal] = proposals(session)
        assert {proposal.member_id, proposal.other_id} == {first, second} and proposal.kind == "phone"


def test_what_proves_nothing_is_proposed_once(database: Database, noon: datetime) -> None:
    """A buyer id and an external_userid on one row: somebody decides; again it is the same proposal."""
    with database.transaction() as session:
        known = resolve(session, [CHAT, SHOP], noon)
        for _ in range(2):
            assert recognise(session, [seen(SHOP, CHAT)], noon) == [known[SHOP]]
        [proposal] = proposals(session)
        made = accept(session, proposal.id, by="wangli", at=noon)
        assert made.keep_id == min(known.values()) and "accepted by wangli" in made.evidence
        assert accept(session, proposal.id, by="wangli", at=noon).id == made.id
        assert proposals(session) == []
        assert recognise(session, [seen(SHOP), seen(CHAT)], noon) == [made.keep_id] * 2


def test_shared_hints_propose_and_a_no_is_remembered(database: Database, noon: datetime) -> None:
    """Same name and address, an unverified phone that somebody has verified: proposed; rejected it stays rejected."""
    home, maybe = names.name_address("王芳", "漕溪路1号"), names.identity("unverified_phone", "13800138000")
    with database.transaction() as session:
        batch = [seen(PHONE), seen(SHOP, hints=(home,)), seen(CHAT, hints=(home, maybe))]
        phone, shop, chat = recognise(session, batch, noon)
        found = proposals(session)
        assert {(one.member_id, one.other_id, one.kind) for one in found} == {
            (*sorted((shop, chat)), "name_address"), (*sorted((phone, chat)), "unverified_phone")}
        for one in found:
            reject(session, one.id, by="wangli", at=noon)
        recognise(session, batch, noon)
        assert proposals(session) == []
        with pytest.raises(UnknownProposal):
            accept(session, found[0].id, by="liuyang", at=noon)
        with pytest.raises(UnknownProposal):
            reject(session, 999, by="liuyang", at=noon)


def test_a_phone_of_half_the_town_proposes_nobody(database: Database, noon: datetime) -> None:
    """A till's dummy number would tie everybody to everybody."""
    dummy = names.identity("unverified_phone", "13000000000")
    with database.transaction() as session:
        recognise(session, [seen(Identity("openid", f"o{n}"), hints=(dummy,)) for n in range(20)], noon)
        assert proposals(session) == []
