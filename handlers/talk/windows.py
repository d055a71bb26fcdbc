"""Where a customer can be written to by a program right now, and how much room is left there (wecom.md §6.5, §9.2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
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
OUT_OF_ORDER: Final = timedelta(minutes=5)
"""How much earlier than its neighbours a row of the outbox may have been made."""
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
    recipients = {member: recipient_of(row.channel, row.chat, row.sender) for member, row in newest.items()}
    used = spent(session, {recipients[member]: row.at for member, row in newest.items()})
    return {
        member: Window(row.channel, row.chat, row.sender, MOST - KEPT - used.get(recipients[member], 0))
        for member, row in newest.items()
    }


def spent(session: Session, since: Mapping[str, datetime]) -> dict[str, int]:
    """How many messages each recipient was sent since the customer last wrote, whoever sent them; parts count."""
    if not since:
        return {}
    # Rows are never so late in the order of their ids: what lies before is not looked at, however long the outbox is.
    earliest = min(since.values()) - OUT_OF_ORDER
    before = select(OutboxRow.id).where(OutboxRow.created_at < earliest).order_by(OutboxRow.id.desc()).limit(1)
    rows = session.execute(
        select(OutboxRow.recipient, OutboxRow.created_at, OutboxRow.payload).where(
            OutboxRow.id > func.coalesce(before.scalar_subquery(), 0),
            among(OutboxRow.recipient, since),
            OutboxRow.kind.in_(_ANSWERS),
            OutboxRow.state.in_((UNSENT, SENT)),
        )
    )
    used: dict[str, int] = {}
    for row in rows:
        if row.created_at >= since[row.recipient]:
            used[row.recipient] = used.get(row.recipient, 0) + parts_of(row.payload)
    return used


def parts_of(text: str) -> int:
    """How many messages the platform makes of a text."""
    return -(-len(text.encode()) // PART_BYTES)


def recipient_of(channel: str, chat: str, sender: str) -> str:
    """The name by which the outbox knows a customer in a channel."""
    return f"kf:{chat.removeprefix('kf:')}:{sender}" if channel == "kf" else f"oa:{sender}"
