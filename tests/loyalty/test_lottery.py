"""Draws: one chance each, rolled from a committed seed, given within limits, replayed and judged afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import errors
from loyalty.audit import findings
from loyalty.balances import balance_of
from loyalty.coupons import of_member as coupons_of
from loyalty.customers import resolve
from loyalty.lottery import draw, give_chances, land, open_seed, reveal_seed, roll, seed_hash
from loyalty.lottery_audit import fairness, p_value_of, replay
from loyalty.merging import merge
from loyalty.programme import Programme
from loyalty.red_packets import claim_due
from loyalty.redemptions import of_member
from loyalty.reward_tables import Draw, LotterySeed, OddsTable, PrizeCount
from loyalty.tables import table_of
from loyalty.writing import insert_rows

NOTHING = {"id": "thanks", "name": "谢谢参与"}


def with_lottery(programme: Programme, *prizes: dict[str, Any], **rules: Any) -> Programme:
    """The programme with a wheel of these prizes, a friendly word for the rest."""
    wheel = {"id": "wheel", "name": "转盘", "prizes": [*prizes, NOTHING], "consolation": "thanks"} | rules
    coupon = {"id": "ten", "name": "10元券", "amount_off_fen": 1_000, "valid_days": 30, "per_member": 1}
    return Programme.model_validate(programme.model_dump(mode="json") | {"lotteries": [wheel], "coupons": [coupon]})


def lucky(session: Session, at: datetime, chances: int = 5, name: str = "oWangFang") -> int:
    """A member with so many chances."""
    member = resolve(session, [("openid", name)], at)["openid", name]
    give_chances(session, member, chances, f"gift {name}", "join", at)
    return member


def sure(what: str = "points", value: object = 20, **limits: object) -> dict[str, Any]:
    """A prize every roll falls on."""
    return {"id": "win", "name": "大奖", "odds": 1_000_000, what: value, **limits}


def test_a_draw_spends_one_chance_and_is_drawn_once(database: Database, noon: datetime,
                                                    programme: Programme) -> None:
    """Five chances, one draw: four left, 20 points; the same key again gives the same draw and nothing more."""
    programme = with_lottery(programme, sure())
    with database.transaction() as session:
        member = lucky(session, noon)
        first = draw(session, member, "wheel", "tap", programme, noon)
        assert (first.prize_id, first.name, first.landed, first.why, first.chances) == ("win", "大奖", "win", "", 4)
        assert draw(session, member, "wheel", "tap", programme, noon) == first
        assert balance_of(session, member, noon).available == 20
        with pytest.raises(errors.UnknownOffer):
            draw(session, member, "slot", "tap2", programme, noon)
        for number in range(4):
            draw(session, member, "wheel", f"more {number}", programme, noon)
        with pytest.raises(errors.NotEnough):
            draw(session, member, "wheel", "tap2", programme, noon)
        assert findings(session) == [] and list(replay(session)) == []


def test_each_kind_of_prize_arrives(database: Database, noon: datetime, programme: Programme) -> None:
    """A coupon with its code, a mug from the stock with its code, a red packet in the outbox, a friendly word."""
    with database.transaction() as session:
        member = lucky(session, noon, 9)

        def win(*prizes: dict[str, Any]) -> str:
            changed = with_lottery(programme, *prizes)
            return draw(session, member, "wheel", f"k{prizes}", changed, noon).given

        assert win(sure("coupon", "ten")) == coupons_of(session, member, noon)[0].code
        code = win(sure("reward", "mug"))
        assert [(entry.code, entry.cost) for entry in of_member(session, member)] == [(code, 0)]
        win(sure("packet_fen", 66))
        assert [packet.amount_fen for packet in claim_due(session, noon)] == [66]
        assert win() == "" and findings(session) == [] and list(replay(session)) == []


@pytest.mark.parametrize(("limits", "prizes", "why"), [
    ({"stock": 2}, 2, "none is left"),
    ({"per_day": 1}, 1, "none is left today"),
    ({"per_member": 3}, 3, "the member had it as often as allowed"),
    ({"stock": 3, "per_day": 2}, 2, "none is left today"),
])
def test_a_limited_prize_gives_way_to_the_consolation(database: Database, noon: datetime, programme: Programme,
                                                      limits: dict[str, int], prizes: int, why: str) -> None:
    """Out, out for today, or had often enough: the friendly word instead, and the stored reason says which."""
    programme = with_lottery(programme, sure(**limits))
    with database.transaction() as session:
        member = lucky(session, noon, 9)
        draws = [draw(session, member, "wheel", f"k{n}", programme, noon) for n in range(4)]
        assert [one.prize_id for one in draws] == ["win"] * prizes + ["thanks"] * (4 - prizes)
        assert {one.why for one in draws[prizes:]} == {why} and {one.landed for one in draws} == {"win"}
        tomorrow = draw(session, member, "wheel", "later", programme, noon + timedelta(days=1))
        assert (tomorrow.prize_id == "win") == ("per_day" in limits)
        assert list(replay(session)) == []


def test_a_prize_that_cannot_be_given_is_not_counted(database: Database, noon: datetime,
                                                     programme: Programme) -> None:
    """A second coupon of one a member, a sold-out reward: consolation, reason stored, the prize stays in stock."""
    with database.transaction() as session:
        member = lucky(session, noon)
        wheel = with_lottery(programme, sure("coupon", "ten", stock=5, per_day=5))
        assert draw(session, member, "wheel", "1", wheel, noon).prize_id == "win"
        second = draw(session, member, "wheel", "2", wheel, noon)
        assert (second.prize_id, second.why) == ("thanks", "1 of reward 'ten' per member, 1 taken")
        assert set(session.scalars(select(PrizeCount.given))) == {1}
        assert findings(session) == [] and list(replay(session)) == []


def test_a_lottery_has_dates_and_a_daily_limit(database: Database, noon: datetime, programme: Programme) -> None:
    """Closed before it opens; two draws a local day; the refusals cost no chance."""
    programme = with_lottery(programme, sure(), per_member_day=2, open_from="2026-03-10T12:00:00+08:00")
    with database.transaction() as session:
        member = lucky(session, noon)
        with pytest.raises(errors.RewardClosed):
            draw(session, member, "wheel", "0", programme, noon - timedelta(seconds=1))
        night = noon.replace(hour=16)
        for number in range(2):
            draw(session, member, "wheel", f"{number}", programme, night - timedelta(seconds=1))
        with pytest.raises(errors.LimitReached):
            draw(session, member, "wheel", "2", programme, night - timedelta(seconds=1))
        assert draw(session, member, "wheel", "2", programme, night).chances == 2


def test_a_revealed_seed_lets_anybody_roll_again(database: Database, noon: datetime, programme: Programme) -> None:
    """The hash shown before the draws is the hash of the seed shown after; new draws come from a new seed."""
    programme = with_lottery(programme, sure())
    with database.transaction() as session:
        member = lucky(session, noon)
        before = open_seed(session, "wheel", noon)
        assert before.seed is None and open_seed(session, "wheel", noon) == before
        first = draw(session, member, "wheel", "tap", programme, noon)
        assert first.seed_hash == before.seed_hash
        shown = reveal_seed(session, "wheel", noon)
        assert shown.seed is not None and seed_hash(shown.seed) == before.seed_hash
        assert roll(shown.seed, "wheel", member, "tap") == first.roll
        second = draw(session, member, "wheel", "tap2", programme, noon)
        assert second.seed_hash != first.seed_hash and list(replay(session)) == []


def test_a_merge_of_members_breaks_no_draw(database: Database, noon: datetime, programme: Programme) -> None:
    """Draws go to the member who is kept; rolled again they come out as before."""
    programme = with_lottery(programme, sure() | {"odds": 300_000})
    with database.transaction() as session:
        keep, other = lucky(session, noon), lucky(session, noon, name="oLiLei")
        for number in range(5):
            draw(session, other, "wheel", f"k{number}", programme, noon)
        merge(session, keep, other, evidence="same phone", key="m", at=noon)
        assert set(session.scalars(select(Draw.member_id))) == {keep}
        assert list(replay(session)) == [] and balance_of(session, keep, noon, "chances").available == 5


def test_tampering_with_a_draw_shows(database: Database, noon: datetime, programme: Programme) -> None:
    """A changed roll, prize, seed or odds, and a draw nobody paid for: the replay names the draw and what is wrong."""
    wheel = with_lottery(programme, sure() | {"odds": 500_000})
    with database.transaction() as session:
        member = lucky(session, noon, 20)
        ids = [draw(session, member, "wheel", f"k{n}", wheel, noon).id for n in range(4)]
        assert list(replay(session, "wheel")) == []
        table = table_of(Draw)

        def change(number: int, **values: object) -> str:
            session.execute(update(table).where(table.c.id == ids[number]).values(**values))
            [wrong, *_] = [line for line in replay(session) if line.startswith(f"draw {ids[number]} ")]
            return wrong

        other = "thanks" if session.scalar(select(Draw.landed).where(Draw.id == ids[1])) == "win" else "win"
        assert "its seed gives" in change(0, roll=1_000_000)
        assert "its odds give" in change(1, landed=other, prize_id=other)
        assert "without a reason" in change(2, prize_id="car")
        assert "no chance was spent" in " ".join(
            [change(3, key="stolen"), *(line for line in replay(session) if line.startswith(f"draw {ids[3]} "))])
        session.execute(update(table_of(OddsTable)).values(odds=[["win", 1]]))
        assert any("they were changed" in line for line in replay(session))
        session.execute(update(table_of(LotterySeed)).values(seed="00" * 32))
        assert any("hash that was committed" in line for line in replay(session))


def test_rolls_are_even_and_independent_of_what_a_member_brings() -> None:
    """20,000 rolls over ten slots pass chi-square for each of two seeds, also with keys that only count up."""
    for seed in ("a1" * 32, "b2" * 32):
        slots = [0] * 10
        for number in range(20_000):
            slots[roll(seed, "wheel", 7, f"{number}") // 100_000] += 1
        chi_square = sum((count - 2_000) ** 2 / 2_000 for count in slots)
        assert p_value_of(chi_square, 9) > 0.001, slots


def test_every_number_of_the_million_belongs_to_one_prize() -> None:
    """Edges are exact: the first and last number of each prize, and the rest for the consolation."""
    odds = [["gold", 1], ["none", 0], ["silver", 10]]
    assert [land(odds, "thanks", number) for number in (0, 1, 10, 11, 999_999)] == [
        "gold", "silver", "silver", "thanks", "thanks"]


@pytest.mark.parametrize(("chi_square", "degrees", "p_value"), [
    (3.841459, 1, 0.05), (5.991465, 2, 0.05), (7.814728, 3, 0.05), (16.918978, 9, 0.05), (23.209251, 10, 0.01),
    (10.827566, 1, 0.001), (0.0, 4, 1.0),
])
def test_the_tail_of_chi_square_is_the_books(chi_square: float, degrees: int, p_value: float) -> None:
    """The closed form gives the critical values every statistics table prints."""
    assert p_value_of(chi_square, degrees) == pytest.approx(p_value, rel=1e-5)


def fill(session: Session, member: int, at: datetime, landed: dict[str, int]) -> None:
    """Draws as they would be stored had they fallen so, under odds of 10 % gold and 0.01 % car."""
    seed = open_seed(session, "wheel", at)
    seed_id = session.scalar(select(LotterySeed.id).where(LotterySeed.seed_hash == seed.seed_hash))
    insert_rows(session, OddsTable, [{"odds_hash": "h", "lottery_id": "wheel", "consolation": "thanks",
                                      "odds": [["gold", 100_000], ["car", 100]]}])
    insert_rows(session, Draw, [
        {"key": f"{prize} {n}", "member_id": member, "rolled_for": member, "lottery_id": "wheel", "seed_id": seed_id,
         "odds_hash": "h", "roll": 0, "landed": prize, "prize_id": prize, "why": "", "given": "",
         "day": "2026-03-10", "at": at}
        for prize, count in landed.items() for n in range(count)])


@pytest.mark.parametrize(("landed", "honest"), [
    ({"gold": 100, "thanks": 900}, True), ({"gold": 118, "thanks": 881, "car": 1}, True),
    ({"gold": 60, "thanks": 940}, False), ({"gold": 100, "thanks": 880, "car": 20}, False),
    ({"gold": 99, "thanks": 900, "bike": 1}, False),
])
def test_draws_that_do_not_fall_as_their_odds_say_are_seen(database: Database, noon: datetime,
                                                           landed: dict[str, int], honest: bool) -> None:
    """1,000 stored draws at 10 %: 100 or 118 wins are chance, 60 are not, nor a prize that had no odds at all."""
    with database.transaction() as session:
        fill(session, lucky(session, noon), noon, landed)
        [found] = fairness(session, "wheel")
        assert found.draws == 1_000 and found.expected["gold"] == 100
        assert (found.p_value > 0.001) is honest


def test_few_draws_prove_nothing(database: Database, noon: datetime, programme: Programme) -> None:
    """Under five expected draws a prize there is nothing to judge."""
    with database.transaction() as session:
        fill(session, lucky(session, noon), noon, {"gold": 3})
        assert fairness(session, "wheel")[0].p_value == 1


def test_the_last_prizes_go_to_one_each(database: Database, noon: datetime, programme: Programme) -> None:
    """Six draw at once for two prizes: two win, four get the friendly word; one chance each; six seeds are one."""
    programme = with_lottery(programme, sure(stock=2))
    with database.transaction() as session:
        members = [lucky(session, noon, 1, f"p{n}") for n in range(6)]
    gate = Barrier(6)

    def run(number: int) -> str:
        gate.wait(10)
        with database.transaction() as session:
            return draw(session, members[number], "wheel", f"k{number}", programme, noon).prize_id

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(run, range(6))) == ["thanks"] * 4 + ["win"] * 2
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(LotterySeed)) == 1
        assert findings(session) == [] and list(replay(session)) == []


@pytest.mark.parametrize(("changes", "mend"), [
    ({"consolation": "car"}, "not among the prizes"),
    ({"prizes": [NOTHING | {"stock": 3}]}, "must be there for everybody"),
    ({"prizes": [NOTHING, {"id": "a", "name": "a", "odds": 600_000}, {"id": "b", "name": "b", "odds": 400_001}]},
     "add up to 1000001"),
    ({"prizes": [NOTHING, NOTHING]}, "stands twice"),
    ({"prizes": [NOTHING, {"id": "a", "name": "a", "points": 1, "coupon": "ten"}]}, "gives one of them"),
    ({"prizes": [NOTHING, {"id": "a", "name": "a", "reward": "car"}]}, "not among rewards"),
])
def test_a_lottery_that_cannot_work_is_refused(programme: Programme, changes: dict[str, Any], mend: str) -> None:
    """A consolation that can run out, odds above a million, a prize that is not there: each is told."""
    with pytest.raises(ValidationError, match=mend):
        with_lottery(programme, **changes)
