"""Decided in daylight, sent at night? What an outage delays waits for the morning, and says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers.followup import lateness
from handlers.talk import outbox

Play = Callable[..., Any]
EVENING = datetime(2026, 11, 18, 12, 30, tzinfo=UTC)  # half past eight in Shanghai
HELLO = {"text": "{{ name or '您' }}好"}


def leave(stage: Any) -> dict[str, str]:
    """What a deliverer would do at this moment: the key of each row it holds back, with the reason."""
    with stage.database.transaction() as session:
        rows = outbox.lease(session, 10, stage.now, 60)
        found = lateness.put_off(session, rows, stage.brand, stage.now)
        for row_id, decision in found.items():
            outbox.put_off(session, row_id, decision.reason, decision.until or stage.now)
        outbox.release(session, [row.id for row in rows if row.id not in found])
        return {row.key.split("@")[0]: found[row.id].reason for row in rows if row.id in found}


def file(name: str, step: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A follow-up of one step, set off by the event of its name."""
    return {"id": name, "triggers": [{"event": name}], "steps": [step]} | more


@pytest.mark.parametrize("step", [{"prompt": HELLO}, {"mass": HELLO}, {"call": {"adapter": "sms", **HELLO}}])
def test_an_outage_into_the_night_waits_for_the_morning(play: Play, step: dict[str, Any]) -> None:
    """Due at half past eight, the platform away until ten: the customer's evening stays quiet, and `why` says it."""
    stage = play(also=[file("a", step)], now=EVENING)
    member = stage.member("阿青")
    stage.happen("api:a", member)
    assert leave(stage) == {}
    stage.now += timedelta(hours=1, minutes=30)
    (reason,) = leave(stage).values()
    assert reason == "发送时已到安静时段, 推迟到 11-19 09:00"
    assert stage.reasons(member)[-1] == ("deferred", reason)
    assert leave(stage) == {}, "it is not due before the morning"
    stage.now = datetime(2026, 11, 19, 1, 0, tzinfo=UTC)
    with stage.database.transaction() as session:
        assert len(outbox.lease(session, 10, stage.now, 60)) == 1
    assert len(stage.reasons(member)) == 2


def test_what_is_urgent_leaves_at_night(play: Play) -> None:
    """A complaint does not wait for the office; what answers a question waits for the night but not for Monday."""
    friday = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
    kinds = ("urgent", "service", "care")
    stage = play(also=[file(kind, {"prompt": HELLO}, kind=kind) for kind in kinds], now=friday, quiet_weekends=True)
    member = stage.member("阿青")
    for kind in kinds:
        stage.happen(f"api:{kind}", member)
    stage.now += timedelta(hours=3)
    found = leave(stage)
    assert sorted(reason[-11:] for reason in found.values()) == ["11-21 09:00", "11-23 09:00"]
    assert not any("urgent" in key for key in found)


def test_hours_that_end_where_they_begin_are_none(play: Play) -> None:
    """quiet_from_h = quiet_to_h: whoever wants no quiet hours has none, instead of having nothing else."""
    stage = play(also=[file("a", {"prompt": HELLO})], now=EVENING + timedelta(hours=4), quiet_from_h=0, quiet_to_h=0)
    stage.happen("api:a", stage.member("阿青"))
    assert len(stage.take_out()) == 1 and leave(stage) == {}
