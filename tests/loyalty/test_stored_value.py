"""Money paid ahead: topped up, spent, returned, refunded, and never out of step with the ledger."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import errors
from loyalty.audit import findings
from loyalty.customers import resolve
from loyalty.ledger import expire_due
from loyalty.merging import merge
from loyalty.programme import Programme
from loyalty.stored_value import dormant, pay, refund, return_payment, top_up, wallet

STEPS = [{"from_fen": 10_000, "bonus_fen": 1_000}, {"from_fen": 50_000, "bonus_fen": 8_000}]


def with_rules(programme: Programme, **rules: Any) -> Programme:
    """The programme with a bonus of ¥10 from ¥100 and ¥80 from ¥500."""
    body = programme.model_dump(mode="json") | {"stored_value": {"steps": STEPS} | rules}
    return Programme.model_validate(body)


def somebody(session: Session, at: datetime, name: str = "oWangFang") -> int:
    """A member."""
    return resolve(session, [("openid", name)], at)["openid", name]


@pytest.mark.parametrize(("amount_fen", "bonus_fen"), [(9_999, 0), (10_000, 1_000), (49_999, 1_000), (50_000, 8_000)])
def test_the_highest_step_reached_gives_its_bonus(database: Database, noon: datetime, programme: Programme,
                                                  amount_fen: int, bonus_fen: int) -> None:
    """充500送80: the bonus is money of its own kind, once for one payment however often it is told."""
    programme = with_rules(programme)
    with database.transaction() as session:
        member = somebody(session, noon)
        first = top_up(session, member, amount_fen, "wx-1", programme, noon)
        assert (first.amount_fen, first.bonus_fen) == (amount_fen, bonus_fen)
        assert top_up(session, member, amount_fen, "wx-1", programme, noon + timedelta(days=1)) == first
        with pytest.raises(errors.KeyReused):
            top_up(session, member, amount_fen + 1, "wx-1", programme, noon)
        assert wallet(session, member, noon).total_fen == amount_fen + bonus_fen
        assert findings(session) == []


def test_a_top_up_out_of_range_is_refused_with_the_range(database: Database, noon: datetime,
                                                         programme: Programme) -> None:
    """¥0.50 and ¥6,000 at once are refused, name what is taken, and leave the key free."""
    programme = with_rules(programme, least_fen=100, most_fen=500_000)
    with database.transaction() as session:
        member = somebody(session, noon)
        for amount_fen in (50, 600_000):
            with pytest.raises(errors.TopUpRefused, match="from 100 to 500000"):
                top_up(session, member, amount_fen, "wx-1", programme, noon)
        assert top_up(session, member, 100, "wx-1", programme, noon).principal_left_fen == 100


@pytest.mark.parametrize(("rule", "principal_fen", "bonus_fen"),
                         [("principal", 3_000, 0), ("bonus", 2_000, 1_000), ("share", 2_728, 272)])
def test_what_an_order_takes_first_is_the_brands_rule(database: Database, noon: datetime, programme: Programme,
                                                      rule: str, principal_fen: int, bonus_fen: int) -> None:
    """¥30 of ¥100 + ¥10 bonus: principal first, bonus first, or both by share."""
    programme = with_rules(programme, spend_first=rule)
    with database.transaction() as session:
        member = somebody(session, noon)
        top_up(session, member, 10_000, "wx-1", programme, noon)
        paid = pay(session, member, 3_000, "order-1", programme, noon)
        assert (paid.principal_fen, paid.bonus_fen) == (principal_fen, bonus_fen)
        assert pay(session, member, 3_000, "order-1", programme, noon) == paid
        with pytest.raises(errors.NotEnough) as refusal:
            pay(session, member, 8_001, "order-2", programme, noon)
        assert refusal.value.missing == 1
        assert findings(session) == []


def test_a_returned_order_gives_back_what_it_took(database: Database, noon: datetime, programme: Programme) -> None:
    """In two parts, to principal and bonus as it came, and not a fen more."""
    programme = with_rules(programme, spend_first="bonus")
    with database.transaction() as session:
        member = somebody(session, noon)
        top_up(session, member, 10_000, "wx-1", programme, noon)
        pay(session, member, 3_000, "order-1", programme, noon)
        part = return_payment(session, "order-1", 1_000, "r-1", noon)
        assert (part.principal_fen, part.bonus_fen) == (667, 333)
        assert return_payment(session, "order-1", 1_000, "r-1", noon) == part
        rest = return_payment(session, "order-1", 2_000, "r-2", noon)
        assert (rest.principal_left_fen, rest.bonus_left_fen) == (10_000, 1_000)
        with pytest.raises(errors.RefundTooHigh):
            return_payment(session, "order-1", 1, "r-3", noon)
        with pytest.raises(errors.UnknownTransfer):
            return_payment(session, "order-9", 1, "r-4", noon)
        assert findings(session) == []


def test_a_refund_pays_principal_and_claws_the_bonus_back(database: Database, noon: datetime,
                                                          programme: Programme) -> None:
    """¥500 + ¥80, nothing spent: half back takes half the bonus, the other half the rest."""
    programme = with_rules(programme)
    with database.transaction() as session:
        member = somebody(session, noon)
        done = top_up(session, member, 50_000, "wx-1", programme, noon)
        half = refund(session, done.id, 25_000, "back-1", programme, noon)
        assert (half.paid_back_fen, half.bonus_clawed_fen, half.charged_fen) == (25_000, 4_000, 0)
        assert refund(session, done.id, 25_000, "back-1", programme, noon) == half
        with pytest.raises(errors.RefundTooHigh) as refusal:
            refund(session, done.id, 25_001, "back-2", programme, noon)
        assert refusal.value.most_fen == 25_000
        rest = refund(session, done.id, 25_000, "back-2", programme, noon)
        assert (rest.principal_left_fen, rest.bonus_left_fen) == (0, 0)
        assert findings(session) == []


@pytest.mark.parametrize(("rule", "paid_back_fen"), [("charge", 44_000), ("forgive", 50_000)])
def test_bonus_that_was_spent_is_charged_or_forgiven(database: Database, noon: datetime, programme: Programme,
                                                     rule: str, paid_back_fen: int) -> None:
    """¥60 of ¥80 bonus drunk: the refund of ¥500 keeps ¥60, or does not, as the brand decides."""
    programme = with_rules(programme, spend_first="bonus", spent_bonus=rule)
    with database.transaction() as session:
        member = somebody(session, noon)
        done = top_up(session, member, 50_000, "wx-1", programme, noon)
        pay(session, member, 6_000, "order-1", programme, noon)
        back = refund(session, done.id, 50_000, "back-1", programme, noon)
        assert (back.paid_back_fen, back.bonus_clawed_fen) == (paid_back_fen, 2_000)
        assert wallet(session, member, noon).total_fen == 0


def test_bonus_that_lapsed_is_not_charged(database: Database, noon: datetime, programme: Programme) -> None:
    """Bonus valid for ten days: after that a refund pays the whole principal, in parts too; only spent bonus counts."""
    programme = with_rules(programme, spend_first="bonus", bonus_days=10)
    with database.transaction() as session:
        member = somebody(session, noon)
        done = top_up(session, member, 50_000, "wx-1", programme, noon)
        pay(session, member, 3_000, "order-1", programme, noon)
        later = noon + timedelta(days=11)
        assert wallet(session, member, later).bonus_fen == 0
        first = refund(session, done.id, 25_000, "back-1", programme, later)
        assert first.charged_fen == 3_000
        expire_due(session, later)
        assert refund(session, done.id, 25_000, "back-2", programme, later).charged_fen == 0
        assert findings(session) == []


def test_a_refund_reaches_the_money_after_a_merge(database: Database, noon: datetime, programme: Programme) -> None:
    """Topped up as one member, refunded as the one they became; spent bonus counts where it was spent before."""
    programme = with_rules(programme, spend_first="bonus")
    with database.transaction() as session:
        keep, other = somebody(session, noon), somebody(session, noon, "oLiLei")
        done = top_up(session, other, 50_000, "wx-1", programme, noon)
        pay(session, other, 3_000, "order-1", programme, noon)
        merge(session, keep, other, evidence="same phone", key="m", at=noon)
        back = refund(session, done.id, 50_000, "back-1", programme, noon)
        assert (back.paid_back_fen, back.bonus_clawed_fen, back.charged_fen) == (47_000, 5_000, 3_000)
        assert wallet(session, keep, noon).total_fen == 0 and findings(session) == []


def test_dormant_money_is_found_by_when_it_last_moved(database: Database, noon: datetime,
                                                      programme: Programme) -> None:
    """Who neither topped up nor paid since then and still has something, page by page; an empty wallet sleeps well."""
    programme = with_rules(programme)
    with database.transaction() as session:
        asleep, awake, empty, also = (somebody(session, noon, name) for name in ("a", "b", "c", "d"))
        for member in (asleep, awake, empty, also):
            top_up(session, member, 10_000, f"wx-{member}", programme, noon)
        later = noon + timedelta(days=100)
        pay(session, awake, 1, "order-1", programme, later)
        pay(session, empty, 11_000, "order-2", programme, noon)
        found = dormant(session, later)
        assert [(row.member_id, row.principal_fen, row.bonus_fen) for row in found] == [
            (asleep, 10_000, 1_000), (also, 10_000, 1_000)]
        assert found[0].last_moved_at == noon
        assert dormant(session, later, limit=1, after_member=asleep) == found[1:]
        assert dormant(session, noon) == []


def test_the_last_money_is_spent_once_and_a_key_pays_once(database: Database, noon: datetime,
                                                          programme: Programme) -> None:
    """Six payments of ¥40 at once from ¥110: two go through; six retries of one top-up are one."""
    programme = with_rules(programme)
    with database.transaction() as session:
        member = somebody(session, noon)
    gate = Barrier(6)

    def run(act: Any) -> list[str]:
        def one(number: int) -> str:
            gate.wait(10)
            try:
                with database.transaction() as session:
                    return str(act(session, number))
            except errors.LoyaltyError as refusal:
                return type(refusal).__name__

        with ThreadPoolExecutor(6) as pool:
            return sorted(pool.map(one, range(6)))

    tops = run(lambda session, _: top_up(session, member, 10_000, "wx-1", programme, noon).id)
    assert len(set(tops)) == 1
    paid = run(lambda session, n: pay(session, member, 4_000, f"order-{n}", programme, noon).principal_fen)
    assert paid == ["4000", "4000"] + ["NotEnough"] * 4
    with database.reading() as session:
        assert wallet(session, member, noon).total_fen == 3_000 and findings(session) == []


RUNS = count()
STEP = st.tuples(st.sampled_from(["top", "pay", "return", "refund"]), st.integers(1, 60_000), st.integers(0, 5))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=14), first=st.sampled_from(["principal", "bonus", "share"]),
       rule=st.sampled_from(["charge", "forgive"]))
def test_whatever_happens_no_fen_appears_or_is_lost(database: Database, noon: datetime, programme: Programme,
                                                    steps: list[tuple[str, int, int]], first: str,
                                                    rule: str) -> None:
    """Random top-ups, payments, returns, refunds: cash in = cash out + spent + kept + in the wallet; books right."""
    programme, run = with_rules(programme, spend_first=first, spent_bonus=rule), next(RUNS)
    came = went = kept = spent = 0
    bonus_came = bonus_gone = bonus_spent = 0
    tops: list[int] = []
    pays: list[str] = []
    with database.transaction() as session:
        member = somebody(session, noon, str(run))
        for number, (kind, amount_fen, which) in enumerate(steps):
            key = f"{run}:{number}"
            try:
                if kind == "top":
                    done = top_up(session, member, amount_fen, key, programme, noon)
                    tops.append(done.id)
                    came, bonus_came = came + amount_fen, bonus_came + done.bonus_fen
                elif kind == "pay":
                    paid = pay(session, member, amount_fen, key, programme, noon)
                    pays.append(key)
                    spent, bonus_spent = spent + paid.principal_fen, bonus_spent + paid.bonus_fen
                elif kind == "return" and pays:
                    back = return_payment(session, pays[which % len(pays)], amount_fen, key, noon)
                    spent, bonus_spent = spent - back.principal_fen, bonus_spent - back.bonus_fen
                elif kind == "refund" and tops:
                    gone = refund(session, tops[which % len(tops)], amount_fen, key, programme, noon)
                    went, kept = went + gone.paid_back_fen, kept + gone.charged_fen
                    bonus_gone += gone.bonus_clawed_fen
            except (errors.LedgerError, errors.TopUpRefused):
                continue
        has = wallet(session, member, noon)
        assert has.principal_fen == came - went - kept - spent
        assert has.bonus_fen == bonus_came - bonus_gone - bonus_spent
        assert min(has.principal_fen, has.bonus_fen, went, kept, spent, bonus_spent) >= 0
        assert kept <= bonus_came - bonus_gone
        assert findings(session) == []
