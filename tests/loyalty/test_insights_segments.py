"""Segments: a condition asked of the database finds whom the same condition finds when asked of each person."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import insights, segments
from loyalty.conditions import ConditionError
from loyalty.customers import Identity, resolve
from loyalty.ledger import earn
from loyalty.merging import merge
from loyalty.orders import Item, OrderIn, record_many
from loyalty.programme import Programme
from loyalty.segment_parts import FACTS
from loyalty.tables import Member, table_of
from loyalty.tags import set_tags

NOW = datetime(2026, 9, 10, 4, 0, tzinfo=UTC)
BRAND = Programme.model_validate({
    "name": "青禾", "earning": {"points_per_yuan": 1},
    "tiers": [{"id": "seed", "name": "青芽", "from_amount_fen": 0},
              {"id": "leaf", "name": "青叶", "from_amount_fen": 90_000}],
    "segments": [{"id": "asleep", "name": "沉睡", "when": 'stage == "lost" and spent_yuan > 100'}]})


def populate(session: Session) -> None:
    """Thirty buyers with lives of all kinds and six who never bought; tags, tiers, points, one merge."""
    rng = random.Random(2)
    orders = [OrderIn(source="pos", external_id=f"{who}-{n}", identities=(Identity("openid", f"p{who}"),),
                      paid_at=NOW - timedelta(days=rng.randint(0, 300), hours=rng.randint(0, 30)),
                      amount_fen=rng.choice([1000, 2550, 10_000, 33_333]),
                      items=(Item(sku=rng.choice(["A", "B"]), name="茶"),))
              for who in range(30) for n in range(rng.randint(1, 9))]
    record_many(session, orders, BRAND, NOW)
    resolve(session, {Identity("openid", f"q{n}") for n in range(6)}, NOW)
    members = list(session.scalars(select(Member.id).order_by(Member.id)))
    for id in members:
        joined = NOW - timedelta(days=rng.randint(0, 400)) if rng.random() < 0.6 else None
        session.execute(update(table_of(Member)).where(table_of(Member).c.id == id).values(
            joined_at=joined, opted_out_at=NOW if rng.random() < 0.2 else None))
    set_tags(session, [(id, tag) for id in members for tag in ("vip", "茶客") if rng.random() < 0.4], "test", NOW)
    set_tags(session, [(members[0], "old")], "test", NOW - timedelta(days=9), NOW - timedelta(days=1))
    earn(session, members[-1], 70, key="g", reason="gift", at=NOW)
    merge(session, members[1], members[2], evidence="test", key="m", at=NOW)
    while insights.refresh(session, BRAND, NOW):
        pass


@pytest.fixture
def people(database: Database) -> Iterator[Session]:
    """The database with people in it."""
    with database.transaction() as session:
        populate(session)
        yield session


NUMBERS = sorted(name for name, value in FACTS.items() if isinstance(value, int | float) and value is not False)
TEXTS = {"tier": ["", "seed", "leaf"], "stage": ["prospect", "new", "active", "loyal", "cooling", "lost", "returned"],
         "channel": ["", "x"]}
_values = st.sampled_from([-10, -1, 0, 0.5, 1, 2, 3, 5, 20, 33.33, 60, 100, 250.5, 9999])
_signs = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
_leaf = st.one_of(
    st.builds("{} {} {}".format, st.sampled_from(NUMBERS), _signs, _values),
    st.builds("{} {} {}".format, _values, _signs, st.sampled_from(NUMBERS)),
    st.builds("{} {} {} * {}".format, st.sampled_from(NUMBERS), _signs, st.sampled_from([1.5, 2, 3]),
              st.sampled_from(NUMBERS)),
    st.sampled_from([f'{name} {sign} "{value}"' for name, values in TEXTS.items() for value in values
                     for sign in ("==", "!=")]),
    st.sampled_from(['stage in ["lost", "cooling"]', 'tier in ["", "leaf"]', "orders in [1, 3]"]),
    st.sampled_from(["joined", "opted_out", "paid_plan", "joined == true", '"vip" in tags', '"old" in tags',
                     '"茶客" in tags', '"A" in skus']),
)
_conditions = st.recursive(_leaf, lambda inner: st.one_of(
    st.builds("({}) and ({})".format, inner, inner), st.builds("({}) or ({})".format, inner, inner),
    st.builds("not ({})".format, inner)), max_leaves=5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(condition=_conditions)
def test_one_query_finds_whom_asking_each_finds(people: Session, condition: str) -> None:
    """Any mix of comparisons, and, or, not, in, tags and sums, for those without rows too."""
    everybody = list(people.scalars(select(Member.id)))
    assert segments.is_one_query(condition, NOW, BRAND, people)
    found = segments.audience(people, condition, NOW, BRAND)
    assert found == sorted(segments.holding(people, condition, everybody, NOW, BRAND))
    assert segments.count(people, condition, NOW, BRAND) == len(found)


def test_what_sql_does_not_say_is_asked_in_python(people: Session) -> None:
    """The number of tags has no column; the audience is right all the same, page by page."""
    condition = "tags.length > 1"
    assert not segments.is_one_query(condition, NOW, BRAND, people)
    found = segments.audience(people, condition, NOW, BRAND)
    both = segments.audience(people, '"vip" in tags and "茶客" in tags', NOW, BRAND)
    assert found == both and found
    assert segments.audience(people, condition, NOW, BRAND, limit=2) == both[:2]


def test_pages_follow_each_other(people: Session) -> None:
    """Ten at a time give the same people as all at once; who was merged away is nobody."""
    whole, pages, last = segments.audience(people, "orders >= 0", NOW, BRAND), list[int](), 0
    while page := segments.audience(people, "orders >= 0", NOW, BRAND, after_id=last, limit=10):
        pages, last = pages + page, page[-1]
    assert pages == whole and len(whole) == 35


@pytest.mark.parametrize(("condition", "mend"), [
    ("orderz > 3", "did you mean"), ("orders", "not yes or no"), ("stage =~ 'lo.*'", "patterns")])
def test_a_wrong_condition_names_the_mend(people: Session, condition: str, mend: str) -> None:
    """Typing errors are told before anything is asked."""
    with pytest.raises(ConditionError, match=mend):
        segments.audience(people, condition, NOW, BRAND)


def test_a_programme_refuses_a_segment_that_cannot_be_asked() -> None:
    """The file names place and mend."""
    with pytest.raises(ValueError, match=r"segments\.0\.when"):
        Programme.model_validate(BRAND.model_dump() | {"segments": [{"id": "a", "name": "a", "when": "foo > 1"}]})


def test_a_named_segment_holds_its_people(people: Session) -> None:
    """The demo's sleeping customers: lost, and worth a hundred yuan."""
    [segment] = BRAND.segments
    known: Any = insights.insights(people, BRAND, list(people.scalars(select(Member.id))), NOW)
    wanted = sorted(id for id, each in known.items() if each.stage == "lost" and each.rhythm.amount_fen > 10_000)
    assert segments.audience(people, segment.when, NOW, BRAND) == wanted and wanted
