"""A paid order counts once, for the right person."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import func, select

from bot.database import Database
from loyalty.audit import findings
from loyalty.customers import Identity, find, profiles, resolve
from loyalty.errors import KeyReused
from loyalty.orders import Item, Line, OrderIn, checked, lines_of, purchases, ready, record
from loyalty.programme import Programme
from loyalty.statement import statement
from loyalty.tables import MergeProposal, Order, PurchaseSummary

PHONE, OPENID = Identity("phone", "hash-of-138"), Identity("openid", "oWangFang")
COFFEE = Item(sku="QH-30", name="挂耳咖啡30包", quantity=2, amount_fen=19_800)
MILK = Item(sku="OAT", name="燕麦奶", amount_fen=1_590)


def an_order(number: str, paid_at: datetime, *items: Item, identities: tuple[Identity, ...] = (PHONE,),
             amount_fen: int | None = None) -> OrderIn:
    """An order of the till."""
    total = sum(item.amount_fen for item in items) if amount_fen is None else amount_fen
    return OrderIn(source="pos", external_id=number, identities=identities, paid_at=paid_at, amount_fen=total,
                   items=items)


def test_an_order_makes_the_member_and_earns(database: Database, noon: datetime, programme: Programme) -> None:
    """¥198 at 1.5 a yuan are 297 points, on the statement with the order's number."""
    with database.transaction() as session:
        outcome = record(session, an_order("T1", noon, COFFEE), programme, noon)
        assert (outcome.earned, outcome.balance, outcome.new) == (297, 297, True)
        assert find(session, *PHONE) == outcome.member_id
        entry = statement(session, outcome.member_id)[0]
        assert (entry.delta, entry.reason, entry.ref, entry.at) == (297, "order", "T1", noon)
        assert findings(session) == []


def test_an_order_twice_counts_once(database: Database, noon: datetime, programme: Programme) -> None:
    """A till that sends again gets the same answer; nothing is stored or earned twice."""
    with database.transaction() as session:
        first = record(session, an_order("T1", noon, COFFEE), programme, noon)
    with database.transaction() as session:
        again = record(session, an_order("T1", noon, COFFEE), programme, noon + timedelta(hours=2))
        assert (again.order_id, again.member_id, again.earned, again.balance) == (
            first.order_id, first.member_id, first.earned, first.balance)
        assert again.new is False
        assert session.scalar(select(func.count()).select_from(Order)) == 1
        assert session.scalar(select(PurchaseSummary.orders)) == 1


def test_another_body_under_a_known_order_is_refused(database: Database, noon: datetime,
                                                     programme: Programme) -> None:
    """The same number with another amount is not silently taken for a repetition."""
    with database.transaction() as session:
        record(session, an_order("T1", noon, COFFEE), programme, noon)
        with pytest.raises(KeyReused, match="pos/T1"):
            record(session, an_order("T1", noon, MILK), programme, noon)


def test_the_same_number_of_another_source_is_another_order(database: Database, noon: datetime,
                                                            programme: Programme) -> None:
    """Two shops may count from 1."""
    with database.transaction() as session:
        record(session, an_order("1", noon, MILK), programme, noon)
        other = an_order("1", noon, MILK).model_copy(update={"source": "tmall"})
        assert record(session, other, programme, noon).new is True


def test_an_order_ties_identities_together(database: Database, noon: datetime, programme: Programme) -> None:
    """A known openid and a new phone on one order: the phone is attached to who is known."""
    with database.transaction() as session:
        member = resolve(session, [OPENID], noon)[OPENID]
        outcome = record(session, an_order("T1", noon, MILK, identities=(PHONE, OPENID)), programme, noon)
        assert outcome.member_id == member == find(session, *PHONE)


def test_an_order_of_two_known_persons_is_proposed(database: Database, noon: datetime, programme: Programme) -> None:
    """Where both identities are known apart, the first one earns and a merge is proposed."""
    with database.transaction() as session:
        known = resolve(session, [PHONE, OPENID], noon)
        outcome = record(session, an_order("T1", noon, MILK, identities=(PHONE, OPENID)), programme, noon)
        assert outcome.member_id == known[PHONE]
        assert session.scalar(select(MergeProposal.other_id)) == known[OPENID]


def test_purchases_are_newest_first(database: Database, noon: datetime, programme: Programme) -> None:
    """The last few orders of each member, by the time they were paid, whatever order they came in."""
    with database.transaction() as session:
        for number, days in (("T2", 20), ("T1", 40), ("T3", 3)):
            item = Item(sku=number, name="挂耳", amount_fen=100)
            outcome = record(session, an_order(number, noon - timedelta(days=days), item), programme, noon)
        other = record(session, an_order("X", noon, MILK, identities=(OPENID,)), programme, noon)
        found = purchases(session, [outcome.member_id, other.member_id, 99], limit=2)
        assert [purchase.items[0].sku for purchase in found[outcome.member_id]] == ["T3", "T2"]
        assert found[other.member_id][0].items == (MILK,) and found[other.member_id][0].at == noon
        assert set(found) == {outcome.member_id, other.member_id}


def test_the_summary_is_kept_with_each_order(database: Database, noon: datetime, programme: Programme) -> None:
    """First, last, count, amount and last items are right also when orders arrive late and in another zone."""
    shanghai = noon.astimezone(programme.zone)
    with database.transaction() as session:
        record(session, an_order("T2", shanghai, COFFEE), programme, noon)
        record(session, an_order("T1", shanghai - timedelta(days=9), MILK), programme, noon)
        s = PurchaseSummary
        row = session.execute(select(s.first_at, s.last_at, s.orders, s.amount_fen, s.last_items)).one()
        assert tuple(row[:4]) == (noon - timedelta(days=9), noon, 2, 21_390)
        assert [item["sku"] for item in row.last_items] == ["QH-30"]
        assert row.first_at.tzinfo is UTC


def test_spending_lifts_the_tier_and_the_next_order_earns_more(database: Database, noon: datetime,
                                                               programme: Programme) -> None:
    """¥500 in all reach 青叶; that order still earns at the old factor, the next at the new one."""
    with database.transaction() as session:
        first = record(session, an_order("T1", noon, COFFEE, amount_fen=50_000), programme, noon)
        assert first.earned == 750
        assert profiles(session, [first.member_id])[first.member_id].tier == "leaf"
        assert record(session, an_order("T2", noon, amount_fen=10_000), programme, noon).earned == 300


def test_a_free_order_is_stored_and_earns_nothing(database: Database, noon: datetime, programme: Programme) -> None:
    """An order of ¥0 moves no points and breaks nothing."""
    with database.transaction() as session:
        outcome = record(session, an_order("T1", noon, MILK, amount_fen=0), programme, noon)
        assert (outcome.earned, outcome.balance) == (0, 0)
        assert len(purchases(session, [outcome.member_id])[outcome.member_id]) == 1


ODD_TEXTS = ["", "\x00", "\x7f", "\ud800", "燕麦奶 \"1升\"\\N\u2028", "x" * 201]
ANY_TEXT = st.one_of(st.text(max_size=6), st.sampled_from(ODD_TEXTS))
A_TEXT = ANY_TEXT.filter(lambda text: text.isprintable() and 0 < len(text) < 201)
ANY_LINE = st.builds(Line, ANY_TEXT, ANY_TEXT, st.sampled_from([-1, 0, 1, 10**6, 10**6 + 1]),
                     st.sampled_from([-1, 0, 1990, 10**12, 10**12 + 1]), ANY_TEXT)
A_LINE = st.builds(Line, A_TEXT, A_TEXT, st.integers(1, 10**6), st.integers(0, 10**12), st.sampled_from(["", "milk"]))
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1), timezones=st.one_of(st.just(UTC), ZONES))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(source=A_TEXT, number=A_TEXT, paid_at=MOMENTS, fen=st.integers(0, 10**12), lines=st.lists(A_LINE, max_size=3),
       shop=st.text(st.characters(exclude_categories=["Cs"]), max_size=6))
def test_a_body_is_hashed_as_its_json_is_written(source: str, number: str, paid_at: datetime, fen: int,
                                                 lines: list[Line], shop: str) -> None:
    """The stored hash of an order outlives the way it is computed: it is that of the model's own JSON."""
    order = OrderIn.model_validate({
        "source": source, "external_id": number, "identities": (PHONE, OPENID), "paid_at": paid_at, "amount_fen": fen,
        "shop": shop, "items": [line._asdict() for line in lines]})
    assert ready(order).body == hashlib.sha256(order.model_dump_json().encode()).hexdigest()


@settings(max_examples=120, deadline=None, derandomize=True)
@given(source=ANY_TEXT, number=ANY_TEXT, fen=st.sampled_from([-1, 0, 990, 10**12, 10**12 + 1]), shop=ANY_TEXT,
       lines=st.lists(st.one_of(A_LINE, ANY_LINE), max_size=2), names=st.sampled_from([0, 1, 2, 20, 21]))
def test_plain_values_are_taken_or_refused_as_by_the_model(source: str, number: str, fen: int, shop: str,
                                                           lines: list[Line], names: int) -> None:
    """Without the model the same order comes out, or the same refusal of the same field."""
    noon = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
    people = (PHONE,) * names
    try:
        order = OrderIn.model_validate({
            "source": source, "external_id": number, "identities": people, "paid_at": noon, "amount_fen": fen,
            "shop": shop, "items": [line._asdict() for line in lines]})
    except ValidationError as error:
        with pytest.raises(ValidationError) as refused:
            checked(source, number, people, noon, fen, shop, tuple(lines))
        assert refused.value.errors(include_url=False) == error.errors(include_url=False)
        return
    made = checked(source, number, people, noon, fen, shop, tuple(lines))
    assert made == ready(order)
    assert made.lines == lines_of(order.items)
