"""What is known about members, kept current by sweeps: rhythms as orders come, scores once a day and after each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from loyalty import lifecycle, rfm, rhythms, scores
from loyalty.insight_tables import MemberScore, PurchaseRhythm
from loyalty.programme import Programme
from loyalty.storage import among


@dataclass(frozen=True, slots=True)
class Insight:
    """All that is known about how a member buys; scores are none until the first sweep after a purchase."""

    member_id: int
    stage: str
    rhythm: PurchaseRhythm
    classes: rfm.Classes
    score: MemberScore | None


def refresh(session: Session, programme: Programme, at: datetime, limit: int = 1000) -> int:
    """Bring rhythms and scores up to date, a page of each; how many members were looked at, 0: nothing is left."""
    changed = rhythms.refresh(session, programme, at, limit)
    if changed:
        scores.score(session, programme, changed, at)
    return len(changed) + scores.refresh(session, programme, at, limit)


def insights(session: Session, programme: Programme, member_ids: Collection[int], now: datetime) -> dict[int, Insight]:
    """What is known of each of these members who bought something."""
    members = list(member_ids)
    cuts = rfm.cuts_in_force(session, programme.insights.rfm, now)
    scored = {row.member_id: row for row in session.scalars(
        select(MemberScore).where(among(MemberScore.member_id, members)))}
    rows = session.scalars(select(PurchaseRhythm).where(among(PurchaseRhythm.member_id, members)))
    return {row.member_id: Insight(
        row.member_id, lifecycle.stage_of(row, programme.insights, now), row,
        rfm.classes_of(cuts, row.last_at, row.orders, row.amount_fen, now), scored.get(row.member_id)) for row in rows}
