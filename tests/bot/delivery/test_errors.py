"""What each class of error makes of a row."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.delivery import UNKNOWN_TRIES, until_midnight_s, wait_after
from bot.settings import Deliver
from bot.wecom.errors import CLASSES, LISTED, ApiRefused, LimitReached, Unreachable, class_of, codes_in
from handlers.talk import effects, outbox

pytestmark = pytest.mark.either_engine

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("errcode", "group"),
    [
        (-1, "retry"),
        (40001, "refresh"),
        (42001, "refresh"),
        (45009, "quota"),
        (45033, "retry"),
        (48002, "config"),
        (60020, "config"),
        (40003, "permanent"),
        (90505, "permanent"),
        (95001, "permanent"),
        (42022, "done"),
        (99999, "unknown"),
    ],
)
def test_the_table_classes_errcodes(errcode: int, group: str) -> None:
    """An errcode has the class that the fact sheet gives it; one in no list is unknown."""
    assert class_of(errcode) == group


def test_no_errcode_stands_in_two_classes() -> None:
    """The table says one thing about each code."""
    codes = [code for listed in LISTED.values() for code in codes_in(listed)]
    assert len(codes) == len(set(codes)) == len(CLASSES)


def _refused(errcode: int) -> ApiRefused:
    return ApiRefused(errcode, "said so", "kf/send_msg")


def test_back_off_doubles_up_to_its_ceiling() -> None:
    """A retry waits 1, 2, 4 … seconds and never longer than the ceiling, also after a thousand tries."""
    settings = Deliver()
    waits = [wait_after(_refused(-1), attempts, HOUR, settings, 1.0) for attempts in (1, 2, 3, 10, 1000)]
    assert waits == [1, 2, 4, 300, 300]
    assert wait_after(_refused(-1), 3, HOUR, settings, 0.0) == 2


def test_a_retry_is_given_up_only_after_a_day() -> None:
    """However often it was tried, a row that may yet succeed lives for 24 hours."""
    settings = Deliver(attempts=3)
    error = Unreachable("kf/send_msg", "TimeoutError")
    assert wait_after(error, 500, timedelta(hours=23), settings, 1.0) == 300
    assert wait_after(error, 500, timedelta(hours=24), settings, 1.0) is None
    assert wait_after(error, 2, timedelta(hours=48), settings, 1.0) == 2


def test_configuration_waits_for_ever() -> None:
    """What a person must mend is not lost while nobody mends it."""
    assert wait_after(_refused(60020), 10_000, timedelta(days=90), Deliver(), 1.0) == 300


def test_a_quota_waits_for_its_window() -> None:
    """45009 waits a minute and then longer and longer; our own limit knows its window; nothing is given up."""
    waits = [wait_after(_refused(45009), attempts, timedelta(days=9), Deliver(), 0.0) for attempts in (1, 2, 20)]
    assert waits == [60, 120, 3600]
    assert wait_after(LimitReached("app", 17.0), 5, HOUR, Deliver(), 0.0) == 17


def test_an_unknown_code_is_tried_a_few_times() -> None:
    """A code that is in no list may pass, so it is tried again, but not for ever."""
    tries = [wait_after(_refused(99999), attempts, HOUR, Deliver(), 1.0) for attempts in range(1, UNKNOWN_TRIES + 1)]
    assert tries == [1, 2, 4, 8, None]


def test_a_day_ends_at_midnight_in_beijing() -> None:
    """A daily quota opens again at the next natural day in Beijing, wherever the machine stands."""
    assert until_midnight_s(datetime.fromisoformat("2026-03-02T15:59:00+00:00")) == 60
    assert until_midnight_s(datetime.fromisoformat("2026-03-02T16:00:00+00:00")) == 24 * 3600


ANSWERS = [
    ({"errcode": -1, "errmsg": "system busy"}, outbox.WAITING, "retry", 1),
    ({"errcode": 45009, "errmsg": "api freq out of limit"}, outbox.WAITING, "quota", 66),
    ({"errcode": 60020, "errmsg": "not allow to access from your ip"}, outbox.WAITING, "config", 300),
    ({"errcode": 95001, "errmsg": "more than 5"}, outbox.FAILED, "permanent", None),
    ({"errcode": 77777, "errmsg": "new"}, outbox.WAITING, "unknown", 1),
    (502, outbox.WAITING, "retry", 1),
    (b'{"errcode":0,"errm', outbox.WAITING, "retry", 1),
    (b"", outbox.WAITING, "retry", 1),
    (b"[1, 2]", outbox.WAITING, "retry", 1),
    (b'{"errcode":"so so"}', outbox.WAITING, "retry", 1),
    (TimeoutError(), outbox.WAITING, "retry", 1),
    (ConnectionResetError(), outbox.WAITING, "retry", 1),
]


def test_each_answer_leaves_its_trace(desk: Any) -> None:
    """What the platform said decides whether the row waits, how long, or fails, and the row tells why."""
    desk.write(*(effects.kf_text(f"k{n}", f"wm{n}", "wk1", "在的") for n in range(len(ANSWERS))))
    desk.platform.always["kf/send_msg"] = lambda call: ANSWERS[int(call.body["touser"][2:])][0]
    desk.deliver()
    for row, (_, state, group, wait_s) in zip(desk.rows(), ANSWERS, strict=True):
        assert (row.state, row.error_class) == (state, group)
        assert row.error
        if wait_s is not None:
            assert (row.due_at - desk.clock.now).total_seconds() == pytest.approx(wait_s)


def test_configuration_calls_a_person(desk: Any) -> None:
    """An error that only an administrator can mend raises the alarm and keeps the row."""
    desk.write(effects.kf_text("k1", "wm1", "wk1", "在的"))
    desk.platform.will_answer("kf/send_msg", {"errcode": 48002, "errmsg": "api forbidden"})
    desk.deliver()
    assert desk.alarms() == 1
    assert desk.states() == [outbox.WAITING]


def test_a_row_that_nobody_can_send_fails_with_its_reason(desk: Any) -> None:
    """A kind we do not know, or a payload without its fields, ends as failed and holds up nothing."""
    desk.write(
        outbox.Outgoing("k1", "pigeon", "kf:wk1:wm1", {}),
        outbox.Outgoing("k2", "kf_text", "kf:wk1:wm2", {"touser": "wm2"}),
        effects.kf_text("k3", "wm3", "wk1", "在的"),
    )
    for _ in range(UNKNOWN_TRIES):
        desk.deliver()
        desk.clock.push(minutes=5)
    assert desk.states() == [outbox.FAILED, outbox.FAILED, outbox.SENT]
    assert "pigeon" in desk.rows()[0].error
    assert "content" in desk.rows()[1].error
