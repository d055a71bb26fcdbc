"""Insights: maintained rows equal those made from nothing; stages follow each member's own rhythm; scores are sane."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import forecasts, lifecycle, rfm, rhythms, scores
from loyalty.customers import Identity
from loyalty.forecasts import History, Model
from loyalty.insight_parts import InsightPolicy
from loyalty.insight_tables import ForecastModel, MemberScore, ProductRhythm, PurchaseRhythm
from loyalty.insights import insights, refresh
from loyalty.merging import merge, unmerge
from loyalty.orders import Item, OrderIn, record, record_many
from loyalty.programme import Programme
from loyalty.refunds import refund
from loyalty.tables import table_of

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def brand(**more: Any) -> Programme:
    """A brand that sells drip coffee for 30 days and says nothing else."""
    return Programme.model_validate({
        "name": "青禾", "earning": {"points_per_yuan": 1},
        "products": [{"sku": "QH-30", "name": "挂耳咖啡30包", "cycle_days": 30}]} | more)


def order(who: str, at: datetime, fen: int = 10_000, sku: str = "QH-30", pieces: int = 1) -> OrderIn:
    """One line of one product."""
    return OrderIn(source="pos", external_id=f"{who}-{at.isoformat()}-{sku}", paid_at=at, amount_fen=fen,
                   identities=(Identity("openid", who),),
                   items=(Item(sku=sku, name=sku, quantity=pieces, amount_fen=fen),))


def rows(session: Session, entity: type) -> list[tuple[Any, ...]]:
    """Every row of a table, by its key, figures to the microsecond of a day."""
    table = table_of(entity)
    found = session.execute(select(table).order_by(*table.primary_key.columns))
    return [tuple(round(value, 6) if isinstance(value, float) else value for value in row) for row in found]


def rhythm(session: Session, member: int) -> PurchaseRhythm:
    """The maintained row of a member."""
    return session.scalars(select(PurchaseRhythm).where(PurchaseRhythm.member_id == member)
                           .execution_options(populate_existing=True)).one()


def test_swept_rows_are_those_made_from_nothing(database: Database) -> None:
    """Orders in any order of time, refunds, merges and their undoing, swept at random: rebuilt, it is the same."""
    rng, programme = random.Random(11), brand()
    names, orders, merged, now = ["wang", "li", "zhao", "sun", "qian"], list[OrderIn](), list[int](), NOON
    members: dict[str, int] = {}
    for step in range(70):
        now += timedelta(hours=rng.randint(0, 40))
        with database.transaction() as session:
            act = rng.random()
            if act < 0.6 or not orders:
                who = rng.choice(names)
                made = order(who, now - timedelta(days=rng.randint(0, 60), seconds=step), rng.randint(100, 9000),
                             rng.choice(["QH-30", "TEA"]), rng.randint(1, 3))
                members[who] = record(session, made, programme, now).member_id
                orders.append(made)
            elif act < 0.75:
                back = orders.pop(rng.randrange(len(orders)))
                refund(session, back.source, back.external_id, rng.choice([back.amount_fen, 50]), key=f"r{step}",
                       programme=programme, at=now)
            elif act < 0.82 and len(set(members.values())) > 1 and not merged:
                pair = rng.sample(sorted(set(members.values())), 2)
                merged.append(merge(session, *pair, evidence="test", key=f"m{step}", at=now).id)
            elif act < 0.9 and merged:
                unmerge(session, merged.pop(), key=f"u{step}", at=now)
            if rng.random() < 0.4:
                rhythms.refresh(session, programme, now, limit=2)
    with database.transaction() as session:
        now += DAY
        while rhythms.refresh(session, programme, now, limit=3):
            pass
        kept = rows(session, PurchaseRhythm), rows(session, ProductRhythm)
        assert len(kept[0]) > 2 and len(kept[1]) > 3
        rhythms.rebuild(session, programme, page=2)
        assert (rows(session, PurchaseRhythm), rows(session, ProductRhythm)) == kept


def test_who_was_there_before_the_first_sweep_is_walked_through(database: Database) -> None:
    """An old shop starts the sweeps: all its buyers get a row; other rhythms in the programme make them all anew."""
    with database.transaction() as session:
        record_many(session, [order(f"p{n}", NOON - n * DAY) for n in range(7)], brand(), NOON)
        seen = [len(rhythms.refresh(session, brand(), NOON + DAY, limit=3)) for _ in range(4)]
        assert seen == [3, 3, 1, 0]
        assert {row.rhythm_days for row in session.scalars(select(PurchaseRhythm))} == {30.0}
        slower = brand(products=[{"sku": "QH-30", "name": "挂耳", "cycle_days": 45}])
        assert len(rhythms.refresh(session, slower, NOON + DAY, limit=10)) == 7
        assert set(session.scalars(select(PurchaseRhythm.rhythm_days))) == {45.0}


def test_own_rhythm_wins_over_the_products(database: Database) -> None:
    """Drip coffee lasts 30 days; who buys every 10 is soon expected after 10, and a long break does not spoil that."""
    programme = brand()
    with database.transaction() as session:
        for n in range(20):
            member = record(session, order("wang", NOON + n * 10 * DAY), programme, NOON).member_id
        rhythms.rebuild(session, programme)
        row = rhythm(session, member)
        assert row.occasions == 20 and 11 < row.rhythm_days < 13
        assert row.due_at == row.last_at + timedelta(days=row.rhythm_days)
        back = row.last_at + 300 * DAY
        record(session, order("wang", back), programme, NOON)
        rhythms.rebuild(session, programme)
        row = rhythm(session, member)
        assert row.returned and row.rhythm_days < 14
        assert lifecycle.stage_of(row, programme.insights, back + DAY) == "returned"


def test_several_orders_of_a_day_are_one_occasion(database: Database) -> None:
    """Three bills at the same lunch say nothing about the rhythm."""
    with database.transaction() as session:
        for minute in range(3):
            member = record(session, order("li", NOON + timedelta(minutes=minute)), brand(), NOON).member_id
        rhythms.rebuild(session, brand())
        row = rhythm(session, member)
        assert (row.orders, row.occasions, row.last_gap_days, row.rhythm_days) == (3, 1, None, 30.0)


def test_a_product_is_used_up_by_pieces(database: Database) -> None:
    """Two boxes in 40 days are 20 days a box, drawn to the programme's 30; a tea without cycle is measured alone."""
    with database.transaction() as session:
        for day, sku, pieces in ((0, "QH-30", 2), (40, "QH-30", 1), (0, "TEA", 1), (12, "TEA", 2)):
            member = record(session, order("zhao", NOON + day * DAY, sku=sku, pieces=pieces), brand(), NOON).member_id
        rhythms.rebuild(session, brand())
        coffee, tea = session.scalars(select(ProductRhythm).where(ProductRhythm.member_id == member)
                                      .order_by(ProductRhythm.sku)).all()
        assert coffee.days_per_piece == (2 * 30 + 40) / 4 and coffee.due_at == NOON + 65 * DAY
        assert tea.days_per_piece == 12 and tea.due_at == NOON + 36 * DAY
        [cycle, _] = rhythms.product_cycles(session, brand(), from_members=1)
        assert (cycle.sku, cycle.members, cycle.days_per_piece, cycle.programme_days) == ("QH-30", 1, 20, 30)


def test_stages_come_and_go_with_the_silence(database: Database) -> None:
    """New, after 45 silent days cooling, after 90 lost; SQL and Python say the same for every moment."""
    programme = brand()
    with database.transaction() as session:
        once = record(session, order("new", NOON), programme, NOON).member_id
        for n in range(6):
            often = record(session, order("often", NOON + n * DAY), programme, NOON).member_id
        rhythms.rebuild(session, programme)
        for days, expected in ((1, "new"), (44, "new"), (45, "cooling"), (89, "cooling"), (90, "lost")):
            now = NOON + days * DAY
            assert lifecycle.stage_of(rhythm(session, once), programme.insights, now) == expected
            counted = lifecycle.count_by_stage(session, programme.insights, now)
            assert counted[expected] >= 1 and sum(counted.values()) == 2
        known = insights(session, programme, [once, often, 999], NOON + 6 * DAY)
        assert known[often].stage == "loyal" and 999 not in known


def test_classes_are_fifths_or_the_brands_own(database: Database) -> None:
    """Ten members with 1 to 10 orders make five classes of two; a brand's own cuts stand above that."""
    with database.transaction() as session:
        record_many(session, [order(f"p{n}", NOON - n * DAY - k * timedelta(hours=1), 1000)
                              for n in range(10) for k in range(n + 1)], brand(), NOON)
        rhythms.rebuild(session, brand())
        cuts = rfm.measure(session, InsightPolicy().rfm, NOON)
        assert cuts.frequency == (3, 5, 7, 9)
        found = session.execute(select(PurchaseRhythm.orders, PurchaseRhythm.last_at, PurchaseRhythm.amount_fen,
                                       rfm.recency(cuts, NOON), rfm.frequency(cuts), rfm.amount(cuts))).all()
        for count, last_at, fen, *classes in found:
            assert rfm.classes_of(cuts, last_at, count, fen, NOON) == rfm.Classes(*classes)
        assert sorted(row[4] for row in found) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
        own = brand(insights={"rfm": {"frequency": [2, 3, 4, 5]}}).insights.rfm
        assert rfm.measure(session, own, NOON).frequency == (2, 3, 4, 5)


def test_cuts_that_do_not_rise_are_refused() -> None:
    """The message names the place and the mend."""
    with pytest.raises(ValueError, match=r"insights\.rfm\.frequency.*must rise"):
        brand(insights={"rfm": {"frequency": [5, 4, 3, 2]}})


def test_scores_follow_what_people_do(database: Database) -> None:
    """Who buys on in their rhythm has little churn and more value than who has gone silent; all lie in 0 to 100."""
    programme, now = brand(), NOON + 200 * DAY
    with database.transaction() as session:
        bought = [order("loyal", now - n * 20 * DAY) for n in range(1, 10)]
        bought += [order("gone", NOON - n * 20 * DAY) for n in range(9)] + [order("once", now - 5 * DAY)]
        ids = {out.member_id: who.identities[0].value for out, who in zip(
            record_many(session, bought, programme, NOON), bought, strict=True)}
        assert refresh(session, programme, now) and not refresh(session, programme, now)
        told = {ids[row.member_id]: row for row in session.scalars(select(MemberScore))}
        assert told["gone"].churn > 0.9 > 0.3 > told["loyal"].churn
        assert told["loyal"].value_score > told["once"].value_score > told["gone"].value_score
        assert told["loyal"].retention_score > told["gone"].retention_score
        assert told["loyal"].next_at is not None and now < told["loyal"].next_at < now + 60 * DAY
        assert session.scalars(select(ForecastModel)).one().day == "2026-09-26"
        assert refresh(session, programme, now + DAY) == 3, "the next day everybody is scored anew"


def test_a_refunded_only_order_leaves_nothing(database: Database) -> None:
    """Bought once, given back whole: no rhythm and no score stay."""
    with database.transaction() as session:
        made = order("wang", NOON)
        record(session, made, brand(), NOON)
        refresh(session, brand(), NOON + DAY)
        assert rows(session, MemberScore)
        refund(session, made.source, made.external_id, made.amount_fen, key="r", programme=brand(), at=NOON + DAY)
        refresh(session, brand(), NOON + 2 * DAY)
        assert not rows(session, MemberScore) and not rows(session, PurchaseRhythm)


@settings(max_examples=60, deadline=None)
@given(k=st.integers(1, 6), r=st.floats(0.3, 8), alpha=st.floats(1, 200), a=st.floats(0.1, 5), b=st.floats(0.3, 20),
       repeats=st.integers(0, 60), last=st.floats(0, 700), silent=st.floats(0, 700), ahead=st.floats(0.1, 400))
def test_probabilities_are_probabilities(k: int, r: float, alpha: float, a: float, b: float, repeats: int, last: float,
                                         silent: float, ahead: float) -> None:
    """For any model and history: from 0 to 1, falling with silence, rising with the time ahead, counts not below 0."""
    model, last = Model(k, r, alpha, a, b), last if repeats else 0.0
    member = History(repeats, last, last + silent)
    assert 0 <= model.alive(member) <= 1
    assert model.alive(member._replace(watched_days=last + silent + 30)) <= model.alive(member) + 1e-9
    assert 0 <= model.buys_within(member, ahead) <= model.buys_within(member, ahead * 2) + 1e-9 <= 1 + 1e-9
    assert model.purchases_within(member, ahead) >= 0


def test_the_probability_to_stay_is_that_of_the_paper() -> None:
    """With k = 1 it is the closed form of MBG/NBD: 1 / (1 + a / (b + x) ((alpha + T) / (alpha + t)) ** (r + x))."""
    model, member = Model(1, 0.7, 9.0, 0.8, 2.5), History(4, 60.0, 100.0)
    assert model.alive(member) == pytest.approx(1 / (1 + 0.8 / 6.5 * (109 / 69) ** 4.7))


def test_forecasts_are_calibrated_on_lives_that_are_known() -> None:
    """600 simulated customers, judged by another 600: predicted and real purchases of a month agree within 5 points,
    and the Brier score is far below that of saying the same of everybody."""
    rng = random.Random(3)

    def life() -> tuple[list[float], float]:
        rate, leaves, now = rng.gammavariate(2, 3 / 60), rng.betavariate(1, 7), rng.uniform(40, 300)
        days = [0.0]
        while days[-1] < now + 30 and rng.random() >= leaves:
            days.append(days[-1] + rng.gammavariate(3, 1 / rate) + 0.01)
        return days, now

    def history(days: list[float], now: float) -> History:
        past = [day for day in days if day <= now]
        return History(len(past) - 1, past[-1], now)

    learnt, judged = [life() for _ in range(600)], [life() for _ in range(600)]
    model = forecasts.fit([history(*each) for each in learnt], 30, 3)
    told = [model.buys_within(history(*each), 30) for each in judged]
    real = [any(now < day <= now + 30 for day in days) for days, now in judged]
    base = sum(real) / len(real)
    assert abs(sum(told) / len(told) - base) < 0.05
    assert sum((p - y) ** 2 for p, y in zip(told, real, strict=True)) / 600 < 0.7 * base * (1 - base)


def test_regular_buying_is_seen() -> None:
    """Two gaps that are always alike tick; two that have nothing to do with each other do not."""
    rng = random.Random(5)
    assert forecasts.regularity_of((rng.expovariate(1), rng.expovariate(1)) for _ in range(3000)) == 1
    assert forecasts.regularity_of((rng.gammavariate(4, 1), rng.gammavariate(4, 1)) for _ in range(3000)) in (3, 4, 5)


def test_half_way_is_fifty() -> None:
    """The value that the brand calls typical scores 50."""
    assert [scores.half_way(value, 200) for value in (0, 200, 600)] == [0, 50, 75]
