"""Restraint: quiet hours to the minute and in any zone, caps, and a reason for each decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.brand import SHANGHAI, Restraint
from handlers.followup import caps
from handlers.followup.caps import KINDS, Ask, Decision, Touched, quiet_until

RULES = Restraint()


def decide(
    sop: str, opted_out: bool, touches: list[Touched], rules: Restraint, now: datetime, last_at: datetime | None = None
) -> Decision:
    """What restraint says of the prompt that a scenario asks for."""
    kind = KINDS.get(sop, "service")
    return caps.decide(Ask(sop, kind, opted_out, rests=True, last_at=last_at), touches, rules, now)


def shanghai(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    """A moment of November 2026 on a clock in Shanghai, in UTC."""
    return datetime(2026, 11, day, hour, minute, second, tzinfo=SHANGHAI).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        (shanghai(20, 20, 59, 59), None),
        (shanghai(20, 21), shanghai(21, 9)),
        (shanghai(20, 23, 59, 59), shanghai(21, 9)),
        (shanghai(21, 0), shanghai(21, 9)),
        (shanghai(21, 8, 59, 59), shanghai(21, 9)),
        (shanghai(21, 9), None),
        (shanghai(30, 22), datetime(2026, 12, 1, 1, 0, tzinfo=UTC)),
    ],
)
def test_quiet_hours_over_midnight_hold_to_the_second(now: datetime, until: datetime | None) -> None:
    """Quiet from 21:00:00 to 08:59:59; the end is nine o'clock of this morning or the next, also over a month's end."""
    assert quiet_until(RULES, now) == until


def test_quiet_hours_within_a_day() -> None:
    """A siesta from 12 to 14 does not touch midnight."""
    rules = Restraint(quiet_from_h=12, quiet_to_h=14)
    assert quiet_until(rules, shanghai(20, 13, 30)) == shanghai(20, 14)
    assert quiet_until(rules, shanghai(20, 14)) is None
    assert quiet_until(rules, shanghai(20, 0)) is None


def test_quiet_hours_from_midnight() -> None:
    """Quiet from 0 to 7 belongs to the day it ends in."""
    rules = Restraint(quiet_from_h=0, quiet_to_h=7)
    assert quiet_until(rules, shanghai(20, 0)) == shanghai(20, 7)
    assert quiet_until(rules, shanghai(20, 23, 59)) is None


def test_quiet_hours_are_local_to_the_zone() -> None:
    """The same moment is evening in Ürümqi's shops by their setting and night in Shanghai."""
    now = shanghai(20, 21, 30)
    assert quiet_until(RULES, now) is not None
    assert quiet_until(Restraint(zone=ZoneInfo("Asia/Urumqi")), now) is None
    assert quiet_until(Restraint(zone=ZoneInfo("America/New_York")), now) == datetime(2026, 11, 20, 14, tzinfo=UTC)


def test_the_night_of_a_clock_change_ends_at_nine_local() -> None:
    """Where clocks go forward at two, nine o'clock comes an hour earlier in UTC."""
    rules = Restraint(zone=ZoneInfo("America/New_York"))
    assert quiet_until(rules, datetime(2026, 3, 8, 4, 0, tzinfo=UTC)) == datetime(2026, 3, 8, 13, 0, tzinfo=UTC)
    assert quiet_until(rules, datetime(2026, 3, 7, 4, 0, tzinfo=UTC)) == datetime(2026, 3, 7, 14, 0, tzinfo=UTC)


@settings(max_examples=200, deadline=None)
@given(
    minute=st.integers(0, 60 * 24 * 400), start=st.integers(0, 23), end=st.integers(0, 23),
    zone=st.sampled_from(["Asia/Shanghai", "Asia/Urumqi", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)  # fmt: skip
def test_the_end_of_the_quiet_is_ahead_and_not_quiet(minute: int, start: int, end: int, zone: str) -> None:
    """Whatever the hours and the zone: a prompt put off goes at a moment that is later, within a day, and allowed."""
    rules = Restraint(quiet_from_h=start, quiet_to_h=end if end != start else (end + 1) % 24, zone=ZoneInfo(zone))
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    until = quiet_until(rules, now)
    if until is not None:
        assert now < until <= now + timedelta(hours=25)
        assert quiet_until(rules, until) is None


NOW = shanghai(20, 12)


def test_a_prompt_in_the_day_goes() -> None:
    """Nothing in the way: it goes, and says so."""
    decision = decide("running_out", False, [], RULES, NOW)
    assert (decision.outcome, decision.until) == ("sent", None)
    assert decision.reason


def test_at_night_selling_waits_and_a_complaint_does_not() -> None:
    """快吃完了 at eleven waits for the morning; a complaint rings at once."""
    late = shanghai(20, 23)
    waiting = decide("running_out", False, [], RULES, late)
    assert (waiting.outcome, waiting.until) == ("deferred", shanghai(21, 9))
    assert "安静时段 21:00–9:00" in waiting.reason and "11-21 09:00" in waiting.reason
    assert {decide(sop, True, [], RULES, late).outcome for sop in ("complaint", "human_agent", "opt_out")} == {"sent"}


def test_nobody_who_opted_out_is_sold_to() -> None:
    """勿扰 stops selling, not the answer to what the person asks."""
    assert decide("running_out", True, [], RULES, NOW).outcome == "skipped"
    assert "勿扰" in decide("buying_for_friend", True, [], RULES, NOW).reason
    assert decide("points_query", True, [], RULES, NOW).outcome == "sent"


@pytest.mark.parametrize(("ago", "outcome"), [(timedelta(days=7, seconds=-1), "skipped"), (timedelta(days=7), "sent")])
def test_the_same_scenario_rests_for_seven_days(ago: timedelta, outcome: str) -> None:
    """One second before the week is over it is still too early."""
    assert decide("running_out", False, [Touched("running_out", NOW - ago)], RULES, NOW).outcome == outcome


def test_the_daily_cap_counts_local_days_and_all_selling() -> None:
    """Two a day over all selling; yesterday 23:59 in Shanghai is yesterday, whatever day it is in UTC."""
    rules = Restraint(same_within=timedelta(0), quiet_from_h=3, quiet_to_h=4)
    now = shanghai(20, 10)
    today = [Touched("running_out", shanghai(20, 0, 1)), Touched("buying_for_friend", shanghai(20, 9))]
    yesterday = [Touched("running_out", shanghai(19, 23, 59)), Touched("running_out", shanghai(19, 23, 58))]
    full = decide("running_out", False, today, rules, now)
    assert full.outcome == "skipped" and "每日上限 2" in full.reason
    assert decide("running_out", False, [*yesterday, today[1]], rules, now).outcome == "sent"
    answers = [Touched("points_query", shanghai(20, 9), weighs=False)] * 5
    assert decide("running_out", False, answers, rules, now).outcome == "sent"


@pytest.mark.parametrize(("hours", "outcome"), [(71, "skipped"), (72, "sent")])
def test_nothing_is_sold_for_three_days_after_a_complaint(hours: int, outcome: str) -> None:
    """A complaint hushes selling for 72 hours, and the reason says so."""
    decision = decide("running_out", False, [Touched("complaint", NOW - timedelta(hours=hours))], RULES, NOW)
    assert decision.outcome == outcome
    assert ("72 小时内投诉过" in decision.reason) == (outcome == "skipped")


def test_the_same_question_in_half_an_hour_is_one_question() -> None:
    """A question asked again prompts the rep again only after thirty minutes."""
    at = NOW - timedelta(minutes=30)
    assert decide("points_query", False, [], RULES, NOW, at + timedelta(seconds=1)).outcome == "skipped"
    assert decide("points_query", False, [], RULES, NOW, at).outcome == "sent"
