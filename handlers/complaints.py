"""Complaints: the brand's apology, the rep and the supervisor at once, nothing sold for a while."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from handlers.followup.caps import COMPLAINT
from handlers.followup.tables import TouchRow
from handlers.talk.turn import Prompt, Say, Scene, Turn
from loyalty.storage import among

AGAIN_WITHIN: Final = timedelta(hours=2)
_FACTS: Final = "complaints"


def soothe(turn: Turn) -> Scene:
    """投诉: apologise once in the brand's words, later in few; tell the rep and the supervisor each time."""
    if turn.is_automatic:
        last = last_complaint(turn)
        again = last is not None and turn.now - last < AGAIN_WITHIN
        yield Say(turn.reply("complaint_again" if again else "complaint"))
    yield Prompt(COMPLAINT, "客户表达了不满, 请尽快亲自处理", turn.reply("rep_complaint"))
    turn.facts.forget(_FACTS)


def is_angry(turn: Turn) -> bool:
    """Whether the customer complained so lately that nothing is to be sold."""
    last = last_complaint(turn)
    return last is not None and turn.now - last < turn.brand.restraint.no_selling_after_complaint


def last_complaint(turn: Turn) -> datetime | None:
    """When the customer last complained, or None."""
    found: dict[int, datetime] = turn.facts.look_up(_FACTS, _read)
    return found.get(turn.member_id)


def _read(session: Session, members: Collection[int], _now: datetime) -> dict[int, datetime]:
    rows = session.execute(
        select(TouchRow.member_id, func.max(TouchRow.at))
        .where(among(TouchRow.member_id, members), TouchRow.sop == COMPLAINT, TouchRow.decision == "sent")
        .group_by(TouchRow.member_id)
    )
    return {row[0]: row[1] for row in rows}
