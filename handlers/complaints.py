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
from intents.classifier import Verdict
from loyalty.storage import among

AGAIN_WITHIN: Final = timedelta(hours=2)
OVERHEARD: Final = frozenset({"complaint", "human_agent"})
"""What a rep is told of in a group although it is not sure: a needless look costs less than a customer unheard."""
OVERHEARD_FROM: Final = 0.6
"""The score from which it is worth a look; the figures stand in docs/why/0020_unsure_in_groups.md."""
_FACTS: Final = "complaints"


def soothe(turn: Turn) -> Scene:
    """投诉: apologise once in the brand's words, later in few; tell the rep and the supervisor each time."""
    if turn.is_automatic:
        last = last_complaint(turn)
        again = last is not None and turn.now - last < AGAIN_WITHIN
        yield Say(turn.reply("complaint_again" if again else "complaint"))
    is_unsure = bool(overheard(turn.verdict, turn.message.channel))
    why = "客户好像不满, 拿不太准, 请看一眼" if is_unsure else "客户表达了不满, 请尽快亲自处理"
    yield Prompt(COMPLAINT, why, turn.reply("rep_complaint"))
    turn.facts.forget(_FACTS)


def overheard(verdict: Verdict, channel: str) -> list[str]:
    """What is urgent in a group and all but sure; nobody answers there, so a mistake is seen by a rep alone."""
    if channel != "group" or any(scored.id in OVERHEARD for scored in verdict.scenarios):
        return []
    return [near.id for near in verdict.near if near.id in OVERHEARD and near.score >= OVERHEARD_FROM][:1]


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
