"""Forgetting a person, and showing them all that is kept."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from bot.database import Database
from loyalty import ledger
from loyalty.audit import findings
from loyalty.balances import balance_of
from loyalty.customers import Identity, find, profiles, resolve, set_name
from loyalty.erasure import erase, erased_among
from loyalty.errors import NotErasable, NotMergeable, UnknownMember
from loyalty.exports import export
from loyalty.merging import merge, unmerge
from loyalty.orders import Item, OrderIn, record
from loyalty.programme import Programme
from loyalty.tables import MergeProposal, Order
from loyalty.tags import set_tags, tags_of

PHONE, SHOP = Identity("phone", "hash-of-138"), Identity("tmall_buyer", "王小芳")
MILK = Item(sku="OAT", name="燕麦奶", amount_fen=10_000)


def test_a_person_is_forgotten_and_the_books_stay_right(database: Database, noon: datetime,
                                                        programme: Programme) -> None:
    """Names, identities and tags are gone, also of who was merged in; points lapse; orders stay without a person."""
    with database.transaction() as session:
        member, other = resolve(session, [PHONE, SHOP], noon).values()
        for number, who in enumerate((PHONE, SHOP)):
            record(session, OrderIn(source="pos", external_id=f"T{number}", identities=(who,), paid_at=noon,
                                    amount_fen=10_000, items=(MILK,)), programme, noon)
        set_name(session, member, "王芳")
        set_tags(session, [(member, "老客")], "import", noon)
        made = merge(session, member, other, evidence="王芳 says so", key="m1", at=noon)
    with database.transaction() as session:
        had = balance_of(session, member, noon).available
        done = erase(session, other, key="e1", at=noon)
        assert set(done.member_ids) == {member, other} and set(done.identities) == {PHONE, SHOP}
        assert (done.points, had) == (had, 300)
        assert balance_of(session, member, noon).available == 0
        assert find(session, *PHONE) is None and find(session, *SHOP) is None
        assert profiles(session, [member])[member].name == ""
        assert profiles(session, [member])[member].opted_out_at == noon
        assert tags_of(session, [member], noon) == {}
        assert session.scalar(select(func.count()).select_from(Order).where(Order.member_id == member)) == 2
        assert "王芳" not in json.dumps(export(session, member, noon), ensure_ascii=False)
        assert findings(session) == []
        again = erase(session, member, key="e2", at=noon + timedelta(days=1))
        assert (again.member_ids, again.identities, again.points, again.at) == (done.member_ids, (), 0, noon)
        with pytest.raises(NotMergeable, match="forgotten"):
            unmerge(session, made.id, key="u1", at=noon)


def test_who_comes_again_is_somebody_new(database: Database, noon: datetime) -> None:
    """The old name leads to no old member, is known as forgotten, and to nobody else's."""
    with database.transaction() as session:
        old = resolve(session, [PHONE], noon)[PHONE]
        erase(session, old, key="e1", at=noon)
        assert erased_among(session, [PHONE, SHOP]) == {PHONE}
        new = resolve(session, [PHONE], noon)[PHONE]
        assert new != old
        with pytest.raises(NotMergeable, match="forgotten"):
            merge(session, new, old, evidence="same phone", key="m1", at=noon)
        assert session.scalar(select(func.count()).select_from(MergeProposal)) == 0


def test_money_is_not_forgotten(database: Database, noon: datetime) -> None:
    """Stored value is the person's money: it is paid out before; nobody cannot be erased."""
    with database.transaction() as session:
        member = resolve(session, [PHONE], noon)[PHONE]
        ledger.earn(session, member, 1_250, key="t1", reason="top-up", at=noon, asset="stored_value")
        with pytest.raises(NotErasable, match=r"¥12\.50 of stored value"):
            erase(session, member, key="e1", at=noon)
        assert find(session, *PHONE) == member
        with pytest.raises(UnknownMember):
            erase(session, 999, key="e2", at=noon)


def test_an_export_holds_everything(database: Database, noon: datetime, programme: Programme) -> None:
    """Whatever table names the member, the ledger rows, the balance; plain JSON, and nothing of anybody else."""
    with database.transaction() as session:
        member, other = resolve(session, [PHONE, SHOP], noon).values()
        for number, who in enumerate((PHONE, SHOP)):
            record(session, OrderIn(source="pos", external_id=f"T{number}", identities=(who,), paid_at=noon,
                                    amount_fen=10_000, items=(MILK,)), programme, noon)
        set_tags(session, [(member, "老客"), (other, "茶客")], "rep:wangli", noon)
        found = json.loads(json.dumps(export(session, member, noon), ensure_ascii=False))
        assert found["member"]["id"] == member
        assert [row["value"] for row in found["identities"]] == ["hash-of-138"]
        assert [row["external_id"] for row in found["orders"]] == ["T0"]
        assert found["orders"][0]["items"][0]["name"] == "燕麦奶"
        assert [row["tag"] for row in found["member_tags"]] == ["老客"]
        assert [(row["asset"], row["delta"]) for row in found["transfers"]] == [("points", 150)]
        assert found["points"] == {"available": 150, "held": 0}
        assert '"T1"' not in json.dumps(found) and "茶客" not in json.dumps(found, ensure_ascii=False)
        with pytest.raises(UnknownMember):
            export(session, 999, noon)
