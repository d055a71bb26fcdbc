"""Open dialogs and pauses, read and written for a whole batch; a dialog belongs to one person in one chat."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from handlers.talk.outbox import FAILED, SENT, WITHDRAWN
from handlers.talk.tables import DialogRow, OutboxRow, PauseRow
from handlers.talk.turn import OpenDialog
from loyalty.storage import among
from loyalty.writing import insert_into

Place = tuple[int, str]
"""A member and a chat."""
QUESTION: Final = "question"
"""Where a dialog's state keeps when its question was put, and which message led to it."""


def read_dialogs(session: Session, members: Collection[int]) -> dict[Place, OpenDialog]:
    """Every dialog of these members, also those whose time is over: a late answer is told so once."""
    rows = session.execute(
        select(DialogRow.member_id, DialogRow.chat, DialogRow.step, DialogRow.state, DialogRow.expires_at).where(
            among(DialogRow.member_id, members)
        )
    )
    return {
        (row.member_id, row.chat): OpenDialog(row.step, msgspec.json.decode(row.state), row.expires_at) for row in rows
    }


def could_read(session: Session, dialog: OpenDialog, received_at: datetime, within: timedelta) -> bool:
    """Whether what came in at a moment can answer a dialog: its question had been put, and had left by then.

    What still waits is taken to have left where the answer came more than `within` after the words that led to it.
    """
    asked = dialog.state.get(QUESTION)
    if asked is None:
        return True
    if received_at < datetime.fromisoformat(asked["at"]):
        return False
    named = OutboxRow.key == f"say:{asked['by']}:0"
    row = session.execute(select(OutboxRow.state, OutboxRow.sent_at).where(named)).one_or_none()
    if row is not None and row.state in (FAILED, WITHDRAWN):
        return False
    if not timedelta(0) < received_at - datetime.fromisoformat(asked["heard_at"]) < within:
        return True
    return row is not None and row.state == SENT and row.sent_at <= received_at


def read_pauses(session: Session, members: Collection[int], now: datetime) -> dict[Place, datetime]:
    """Where the bot keeps still towards these members, and until when."""
    rows = session.execute(
        select(PauseRow.member_id, PauseRow.chat, PauseRow.until).where(
            among(PauseRow.member_id, members), PauseRow.until > now
        )
    )
    return {(row.member_id, row.chat): row.until for row in rows}


def write_dialogs(session: Session, changed: Mapping[Place, OpenDialog | None]) -> None:
    """Store what is open and remove what was closed (None)."""
    closed = [place for place, dialog in changed.items() if dialog is None]
    if closed:
        session.execute(delete(DialogRow).where(tuple_(DialogRow.member_id, DialogRow.chat).in_(closed)))
    rows = [
        {"member_id": member, "chat": chat, "step": dialog.step, "expires_at": dialog.expires_at,
         "state": msgspec.json.encode(dialog.state).decode()}
        for (member, chat), dialog in changed.items() if dialog is not None
    ]  # fmt: skip
    _upsert(session, DialogRow, rows, ["step", "state", "expires_at"])


def write_pauses(session: Session, pauses: Iterable[tuple[Place, datetime, str]]) -> None:
    """Keep still in these places until these moments, each with the reason."""
    latest = {place: (until, why) for place, until, why in pauses}
    rows = [
        {"member_id": member, "chat": chat, "until": until, "why": why[:64]}
        for (member, chat), (until, why) in latest.items()
    ]
    _upsert(session, PauseRow, rows, ["until", "why"])


def end_pause(session: Session, member_id: int, chat: str) -> None:
    """The person who had taken over is done here."""
    session.execute(delete(PauseRow).where(PauseRow.member_id == member_id, PauseRow.chat == chat))


def _upsert(
    session: Session, table: type[DialogRow] | type[PauseRow], rows: list[dict[str, Any]], columns: list[str]
) -> None:
    if not rows:
        return
    statement = insert_into(session, table)
    updated = {column: statement.excluded[column] for column in columns}
    session.execute(statement.on_conflict_do_update(index_elements=["member_id", "chat"], set_=updated), rows)
