"""Where a customer can be written to by a program right now, and how much room is left there (wecom.md §6.5, §9.2)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from handlers.talk.messages import AUTOMATIC_CHANNELS
from handlers.talk.outbox import SENT
from handlers.talk.outbox import WAITING as UNSENT
from handlers.talk.tables import InboxRow, OutboxRow, VerdictRow
from loyalty.storage import among

OPEN_FOR: Final = timedelta(hours=48)
MOST: Final = 5
"""Messages the platform takes between two of the customer's, in 微信客服 and in the 公众号."""
KEPT: Final = 1
"""What is kept for handing over to a person."""
PART_BYTES: Final = 2048
"""A longer answer takes more than one message."""
_ANSWERS: Final = ("kf_text", "kf_menu", "oa_text")


@dataclass(frozen=True, slots=True)
class Window:
    """A chat in which the customer wrote within the platform's time: `left` messages may still be sent unasked."""

    channel: str
    chat: str
    sender: str
    left: int


class Windows:
    """The newest open window of each member, read once for all of a batch when first asked for."""

    def __init__(self, session: Session, members: Collection[int], now: datetime) -> None:
        self._session, self._members, self._now = session, members, now
        self._found: dict[int, Window] | None = None

    def of(self, member_id: int) -> Window | None:
        """Where this member can be written to, None where nowhere or where there is no room left."""
        if self._found is None:
            self._found = _read(self._session, self._members, self._now)
        window = self._found.get(member_id)
        return window if window is not None and window.left > 0 else None

    def take(self, member_id: int) -> None:
        """One message less."""
        assert self._found is not None
        was = self._found[member_id]
        self._found[member_id] = Window(was.channel, was.chat, was.sender, was.left - 1)


def _read(session: Session, members: Collection[int], now: datetime) -> dict[int, Window]:
    rows = session.execute(
        select(VerdictRow.member_id, VerdictRow.channel, VerdictRow.chat, VerdictRow.at, InboxRow.sender)
        .join(InboxRow, InboxRow.key == VerdictRow.message_key)
        .where(
            among(VerdictRow.member_id, members),
            VerdictRow.channel.in_(AUTOMATIC_CHANNELS),
            VerdictRow.at > now - OPEN_FOR,
            VerdictRow.text != "",
        )
        .order_by(VerdictRow.id)
    )
    newest = {row.member_id: row for row in rows}
    if not newest:
        return {}
    recipients = {member: _recipient(row.channel, row.chat, row.sender) for member, row in newest.items()}
    answers = session.execute(
        select(OutboxRow.recipient, OutboxRow.created_at, OutboxRow.payload).where(
            OutboxRow.recipient.in_(set(recipients.values())),
            OutboxRow.kind.in_(_ANSWERS),
            OutboxRow.state.in_((UNSENT, SENT)),
            OutboxRow.created_at >= min(row.at for row in newest.values()),
        )
    ).all()
    found = {}
    for member, row in newest.items():
        used = sum(
            -(-len(one.payload.encode()) // PART_BYTES)
            for one in answers
            if one.recipient == recipients[member] and one.created_at >= row.at
        )
        found[member] = Window(row.channel, row.chat, row.sender, MOST - KEPT - used)
    return found


def _recipient(channel: str, chat: str, sender: str) -> str:
    return f"kf:{chat.removeprefix('kf:')}:{sender}" if channel == "kf" else f"oa:{sender}"
