"""A dry run: who would have got what, over a made-up month and over one that was; nothing is sent or stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.database import Database
from bot.past_lives import lives_of
from bot.rehearsal import DryRun
from handlers.followup.entries import Happening, note
from handlers.followup.tables import TouchRow
from handlers.talk.tables import OutboxRow, VerdictRow
from loyalty import customers
from loyalty.storage import Base
from loyalty.writing import write_rows

pytestmark = pytest.mark.either_engine

Play = Callable[..., Any]
BEGIN = datetime(2026, 11, 1, 0, 0, tzinfo=UTC)


@pytest.fixture
def scratch(tmp_path: Path) -> Any:
    """A database that is thrown away."""
    database = Database(f"sqlite:///{tmp_path}/dry.db", sqlite_synchronous="OFF")
    Base.metadata.create_all(database.engine)
    yield database
    database.dispose()


def dry(scratch: Database, brand: Any, name: str, **how: Any) -> list[str]:
    """The lines of a dry run."""
    return list(DryRun(scratch, brand, brand.sops.by_id[name], BEGIN, **how).play())


def test_ghosts_show_who_and_why_not(scratch: Database, shop_brand: Any) -> None:
    """Some are prompted and some kept back with a reason; the last line counts them."""
    *lines, summary = dry(scratch, shop_brand, "running_out", days=7, ghosts=8)
    assert any("已发出" in line for line in lines) and any("安静时段" in line for line in lines)
    assert summary.startswith("7 天, 8 位幽灵会员: ") and f"sent {sum('已发出' in line for line in lines)}" in summary


def test_a_past_month_is_played_again(play: Play, scratch: Database) -> None:
    """What members bought, said and met then decides who would have been reached; nobody of now is touched."""
    stage = play("running_out", now=BEGIN + timedelta(days=29))
    due, bought, quiet = (stage.member(name) for name in ("阿青", "小满", "路人"))
    stage.order("阿青", "QH-DRIP-30", days_ago=59)
    stage.order("小满", "QH-DRIP-30", days_ago=59)
    stage.order("小满", "QH-DRIP-30", days_ago=28.5)
    said = {"chat": "wr1", "text": "快吃完了", "reasons": "[]", "decision": "silent", "why": "", "channel": "group",
            "scenarios": '{"running_out": 0.9}', "at": BEGIN + timedelta(days=3, hours=4)}  # fmt: skip
    with stage.database.transaction() as session:
        for one in (bought, quiet):
            write_rows(session, VerdictRow, [said | {"message_key": f"m{one}", "member_id": one}])
        note(session, [Happening("api:service_due", due, "e1", BEGIN + timedelta(days=2), {"event_days": 3})], BEGIN)
        customers.opt_out(session, quiet, stage.now)
    with stage.database.reading() as session:
        before = session.query(TouchRow).count(), session.query(OutboxRow).count()
        lives = lives_of(session, BEGIN, BEGIN + timedelta(days=30), 10)
    assert [(life.member_id, len(life.orders), len(life.said), len(life.happened)) for life in lives] == [
        (due, 1, 0, 1), (bought, 2, 1, 0), (quiet, 0, 1, 0),
    ]  # fmt: skip
    sent, skipped, summary = dry(scratch, stage.brand, "running_out", days=30, past=lives)
    assert sent.startswith(f"会员{bought} | 11-04 12:00") and "阿青" not in sent + skipped
    assert skipped.startswith(f"会员{quiet} | ") and "勿扰" in skipped
    assert summary == "30 天, 3 位会员: sent 1, skipped 1"
    with stage.database.reading() as session:
        assert (session.query(TouchRow).count(), session.query(OutboxRow).count()) == before
