"""Notes about what was sent survive a database that goes away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from bot.commits import Commits
from handlers.talk import effects, outbox


def test_a_database_that_goes_away_sends_nothing_twice(desk: Any) -> None:
    """The message is out when the database goes away: the note waits and is written, and the row is not sent again."""
    desk.write(effects.kf_text("k1", "wm1", "wk1", "在的"))
    fails = [True, True]

    def go_away(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "platform_id=" in statement and fails:
            fails.pop()
            raise OperationalError(statement, {}, Exception("server closed the connection"))

    event.listen(desk.database.engine, "before_cursor_execute", go_away)
    try:
        desk.deliver(rounds=2)
    finally:
        event.remove(desk.database.engine, "before_cursor_execute", go_away)
    assert not fails
    assert desk.states() == [outbox.SENT]
    assert len(desk.platform.called("kf/send_msg")) == 1


def test_one_bad_note_spoils_no_other(desk: Any) -> None:
    """Of notes written together one raises: its task hears of it, the others are committed."""
    desk.write(*(effects.kf_text(f"k{n}", f"wm{n}", "wk1", "在的") for n in range(3)))
    ids = [row.id for row in desk.rows()]

    def bad(session: Session) -> None:
        raise LookupError("no such member")

    async def go() -> list[Any]:
        commits = Commits(desk.database)
        notes = [commits.do(lambda session, row_id=row_id: _sent(session, row_id, desk)) for row_id in ids]
        return await asyncio.gather(*notes, commits.do(bad), return_exceptions=True)

    *fine, error = asyncio.run(go())
    assert fine == [None] * 3
    with pytest.raises(LookupError):
        raise error
    assert desk.states() == [outbox.SENT] * 3


def _sent(session: Session, row_id: int, desk: Any) -> None:
    outbox.mark_sent(session, row_id, "m", desk.clock.now)
