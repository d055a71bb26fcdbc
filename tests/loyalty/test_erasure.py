"""Forgetting a person, and showing them all that is kept."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.api.writes import Answer, Write, answer_once, stored_answers
from bot.database import Database
from loyalty import ledger
from loyalty.audit import findings
from loyalty.balances import balance_of
from loyalty.customers import Identity, find, profiles, resolve, set_name
from loyalty.erasure import erase, erased_among
from loyalty.errors import AnswerErased, NotErasable, NotMergeable, UnknownMember
from loyalty.exports import export
from loyalty.merging import merge, unmerge
from loyalty.orders import Item, OrderIn, record
from loyalty.programme import Programme
from loyalty.pruning import prune_answers, prune_events
from loyalty.tables import ApiAnswer, MergeProposal, Order
from loyalty.tags import set_tags, tags_of
from loyalty.webhook_events import gather
from loyalty.webhook_tables import WebhookDelivery, WebhookEvent
from loyalty.webhooks import lease, mark_delivered, subscribe

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


def told(session: Session) -> tuple[int, int]:
    """How many events and deliveries there are."""
    kept = (session.scalar(select(func.count()).select_from(kind)) or 0 for kind in (WebhookEvent, WebhookDelivery))
    return next(kept), next(kept)


def test_what_was_told_of_a_person_is_forgotten(database: Database, noon: datetime, programme: Programme) -> None:
    """Events and their deliveries go, an answer is emptied and its key says so; those of others stay word for word."""
    keys = [Write("shop", f"k{number}", "same") for number in range(3)]
    with database.transaction() as session:
        subscribe(session, "shop", "https://shop.example/huitou", ["points.earned"], noon)
        gather(session, programme, noon)
        member, other = resolve(session, [PHONE, SHOP], noon).values()
        bodies = [{"member_id": member, "name": "王芳"}, {"keep_id": 7, "other_id": member, "evidence": "王芳 says so"},
                  {"member_id": other, "name": "李雷"}]
        for write, body in zip(keys, bodies, strict=True):
            answer_once(session, write, lambda session, body=body: (200, body), noon)
        for who in (member, other):
            ledger.earn(session, who, 10, key=f"e{who}", reason="for 王芳", at=noon)
    for _ in range(2):  # PostgreSQL lets a reader see up to what had ended when it looked last
        with database.transaction() as session:
            gather(session, programme, noon)
    with database.transaction() as session:
        assert told(session) == (2, 2)
        erase(session, member, key="e1", at=noon)
        assert told(session) == (1, 1)
        first, second, third = stored_answers(session, keys)
        assert isinstance(first, AnswerErased) and isinstance(second, AnswerErased)
        assert third == Answer(200, bodies[2], replayed=True)


def test_old_answers_and_events_are_dropped(database: Database, noon: datetime, programme: Programme) -> None:
    """What is older than its time goes, a few at once; an event that is still on its way waits for its end."""
    later = noon + timedelta(days=31)
    with database.transaction() as session:
        subscribe(session, "shop", "https://shop.example/huitou", ["points.earned"], noon)
        gather(session, programme, noon)
        member = resolve(session, [PHONE], noon)[PHONE]
        for number in range(5):
            at = noon + timedelta(days=10 * number)
            answer_once(session, Write("shop", f"k{number}", "same"), lambda _: (200, {"balance": 1}), at)
            ledger.earn(session, member, 10, key=f"e{number}", reason="gift", at=at)
    for _ in range(2):
        with database.transaction() as session:
            gather(session, programme, later)
    with database.transaction() as session:
        assert [prune_answers(session, later, limit=2) for _ in range(3)] == [2, 2, 0]
        assert session.scalars(select(ApiAnswer.key)).all() == ["k4"]
        assert prune_events(session, later, later) == 0 and told(session) == (5, 5)
        for message in lease(session, later, 10, 60)[1:]:
            mark_delivered(session, message.id, "200", later)
        assert [prune_events(session, later, later, limit=3) for _ in range(3)] == [2, 1, 0]
        assert told(session) == (2, 2)
