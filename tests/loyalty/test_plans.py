"""Paid plans: bought, stacked, cancelled, used, and found when they end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import errors
from loyalty.baskets import Basket
from loyalty.customers import resolve
from loyalty.days import midnight
from loyalty.plans import buy, cancel, ending, offer, standing, standings, take_trial
from loyalty.programme import Programme

HALF = {
    "id": "half", "name": "半年卡", "months": 6, "price_fen": 9_900, "percent_off": 5, "most_off_fen": 2_000,
    "addons": [{"sku": "OAT", "name": "燕麦奶", "price_fen": 590, "from_order_fen": 5_000}],
    "trial": {"skus": ["NEW-1", "NEW-2"]},
}
YEAR = {"id": "year", "name": "年卡", "months": 12, "price_fen": 16_800, "percent_off": 10, "refund": "none",
        "whole_refund_days": 7}


@pytest.fixture
def programme(programme: Programme) -> Programme:
    """With a half-year card and a year card."""
    return with_plans(programme, HALF, YEAR)


def with_plans(programme: Programme, *plans: dict[str, Any]) -> Programme:
    """The programme with these plans."""
    return Programme.model_validate(programme.model_dump(mode="json") | {"plans": list(plans)})


def somebody(session: Session, at: datetime, name: str = "oWangFang") -> int:
    """A member."""
    return resolve(session, [("openid", name)], at)["openid", name]


def basket(amount_fen: int) -> Basket:
    """A basket of coffee."""
    return Basket.model_validate({"lines": [{"sku": "QH-30", "amount_fen": amount_fen}]})


def day(programme: Programme, at: datetime, month: int, number: int, year: int = 2026) -> datetime:
    """A local midnight."""
    return midnight(at.date().replace(year=year, month=month, day=number), programme.zone)


def test_a_plan_runs_to_the_end_of_its_last_day(database: Database, noon: datetime, programme: Programme) -> None:
    """Bought on 10 March for half a year: the whole of 10 September is in, the day after is not."""
    with database.transaction() as session:
        member = somebody(session, noon)
        term = buy(session, member, "half", 9_900, "pay-1", programme, noon)
        assert (term.starts_at, term.ends_at) == (noon, day(programme, noon, 9, 11))
        assert buy(session, member, "half", 9_900, "pay-1", programme, noon + timedelta(days=1)) == term
        with pytest.raises(errors.KeyReused):
            buy(session, member, "year", 9_900, "pay-1", programme, noon)
        with pytest.raises(errors.UnknownOffer, match="gold"):
            buy(session, member, "gold", 1, "pay-2", programme, noon)
        moment = timedelta(microseconds=1)
        assert standing(session, member, term.ends_at - moment)[0].plan.name == "半年卡"
        assert standing(session, member, term.ends_at) == []
        assert standing(session, member, noon - moment) == []


def test_a_renewal_stands_behind_what_is_there(database: Database, noon: datetime, programme: Programme) -> None:
    """Two renewals bought early lose no day; one bought after a gap starts at once; 31 August ends on 28 February."""
    with database.transaction() as session:
        member = somebody(session, noon)
        first = buy(session, member, "half", 9_900, "1", programme, noon)
        second = buy(session, member, "half", 9_900, "2", programme, noon)
        third = buy(session, member, "half", 9_900, "3", programme, noon + timedelta(days=30))
        assert (second.starts_at, second.ends_at) == (first.ends_at, day(programme, noon, 3, 11, 2027))
        assert (third.starts_at, third.ends_at) == (second.ends_at, day(programme, noon, 9, 11, 2027))
        now = standing(session, member, noon)
        assert [(one.since, one.until) for one in now] == [(noon, third.ends_at)]
        late = third.ends_at + timedelta(days=3)
        assert buy(session, member, "half", 9_900, "4", programme, late).starts_at == late
        short = buy(session, somebody(session, noon, "b"), "half", 1, "5", programme,
                    day(programme, noon, 8, 31) + timedelta(hours=1))
        assert short.ends_at == day(programme, noon, 3, 1, 2027)


def test_a_changed_programme_changes_nobodys_paid_terms(database: Database, noon: datetime,
                                                        programme: Programme) -> None:
    """Who paid for 5 % keeps 5 % when the brand lowers it."""
    with database.transaction() as session:
        member = somebody(session, noon)
        buy(session, member, "half", 9_900, "1", programme, noon)
        lowered = with_plans(programme, HALF | {"percent_off": 1})
        assert lowered.plan("half").percent_off == 1
        assert offer(session, member, basket(10_000), noon).discount_fen == 500


def test_cancelling_pays_back_the_time_left(database: Database, noon: datetime, programme: Programme) -> None:
    """After 92 of its days a half-year card gives back the rest, the renewal whole; the benefits end at once."""
    with database.transaction() as session:
        member = somebody(session, noon)
        term = buy(session, member, "half", 9_900, "1", programme, noon)
        buy(session, member, "half", 8_000, "2", programme, noon)
        then = noon + timedelta(days=92)
        left = 9_900 * int((term.ends_at - then).total_seconds()) // int((term.ends_at - noon).total_seconds())
        done = cancel(session, member, "half", "stop", then)
        assert done.refund_fen == left + 8_000 and 4_900 < left < 5_000
        assert cancel(session, member, "half", "stop", then + timedelta(days=1)) == done
        assert standing(session, member, then) == []
        assert standing(session, member, then - timedelta(seconds=1)) != []
        with pytest.raises(errors.PlanRefused, match="does not have it"):
            cancel(session, member, "half", "again", then)
        fresh = buy(session, member, "half", 9_900, "3", programme, then)
        assert fresh.starts_at == then
        assert len(standing(session, member, then)) == 1


def test_a_plan_without_refund_has_its_days_of_grace(database: Database, noon: datetime,
                                                     programme: Programme) -> None:
    """The year card pays back whole within seven days, nothing later."""
    with database.transaction() as session:
        member, other = somebody(session, noon), somebody(session, noon, "b")
        for one in (member, other):
            buy(session, one, "year", 16_800, f"pay-{one}", programme, noon)
        assert cancel(session, member, "year", "a", noon + timedelta(days=6, hours=23)).refund_fen == 16_800
        assert cancel(session, other, "year", "b", noon + timedelta(days=7)).refund_fen == 0


def test_plans_make_an_order_cheaper(database: Database, noon: datetime, programme: Programme) -> None:
    """The better of two plans, its cap kept; the add-on from the order's amount on; nothing without a plan."""
    with database.transaction() as session:
        member = somebody(session, noon)
        assert offer(session, member, basket(10_000), noon).discount_fen == 0
        buy(session, member, "half", 9_900, "1", programme, noon)
        small = offer(session, member, basket(4_999), noon)
        assert (small.plan_id, small.discount_fen, small.addons) == ("half", 249, ())
        big = offer(session, member, basket(90_000), noon)
        assert (big.discount_fen, [addon.price_fen for addon in big.addons]) == (2_000, [590])
        buy(session, member, "year", 16_800, "2", programme, noon)
        assert (offer(session, member, basket(90_000), noon).plan_id,
                offer(session, member, basket(90_000), noon).discount_fen) == ("year", 9_000)


def test_one_new_product_a_month(database: Database, noon: datetime, programme: Programme) -> None:
    """Taken once a local month, also at the seam of two months; only what is new; only who has the plan."""
    with database.transaction() as session:
        member, other = somebody(session, noon), somebody(session, noon, "b")
        buy(session, member, "half", 9_900, "1", programme, noon)
        last = day(programme, noon, 4, 1) - timedelta(seconds=1)
        taken = take_trial(session, member, "half", "NEW-1", "t1", programme, last)
        assert (taken.month, taken.left) == ("2026-03", 0)
        assert take_trial(session, member, "half", "NEW-1", "t1", programme, last) == taken
        with pytest.raises(errors.LimitReached):
            take_trial(session, member, "half", "NEW-2", "t2", programme, last)
        first = last + timedelta(seconds=1)
        with pytest.raises(errors.PlanRefused, match="NEW-1, NEW-2"):
            take_trial(session, member, "half", "OLD", "t2", programme, first)
        assert take_trial(session, member, "half", "NEW-2", "t2", programme, first).month == "2026-04"
        with pytest.raises(errors.PlanRefused):
            take_trial(session, other, "half", "NEW-1", "t3", programme, noon)


def test_crowds_are_who_ends_and_did_not_renew(database: Database, noon: datetime, programme: Programme) -> None:
    """Ending next week, ended last week: renewed and cancelled ones are in neither; one statement for all."""
    with database.transaction() as session:
        ends, renewed, gone = (somebody(session, noon, name) for name in ("a", "b", "c"))
        for member in (ends, renewed, gone):
            buy(session, member, "half", 9_900, f"1-{member}", programme, noon)
        buy(session, renewed, "half", 9_900, "2", programme, noon)
        cancel(session, gone, "half", "stop", noon + timedelta(days=1))
        end = day(programme, noon, 9, 11)
        week = timedelta(days=7)
        assert [term.member_id for term in ending(session, "half", end - week, end + week)] == [ends]
        assert ending(session, "half", end - week, end) == [] and ending(session, "year", end - week, end + week) == []
        assert {id: len(found) for id, found in standings(session, [ends, renewed, gone], end).items()} == {
            ends: 0, renewed: 1, gone: 0}


def test_a_months_trial_is_taken_once_at_six_tills(database: Database, noon: datetime, programme: Programme) -> None:
    """Six tills with six keys at the same moment: one hands it out, five are told."""
    with database.transaction() as session:
        member = somebody(session, noon)
        buy(session, member, "half", 9_900, "1", programme, noon)
    gate = Barrier(6)

    def run(number: int) -> str:
        gate.wait(10)
        try:
            with database.transaction() as session:
                return take_trial(session, member, "half", "NEW-1", f"till-{number}", programme, noon).sku
        except errors.LimitReached:
            return "told"

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(run, range(6))) == ["NEW-1"] + ["told"] * 5
