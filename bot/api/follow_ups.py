"""/members/…/follow-ups: what a member got of the follow-ups, what not, and why, in words."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.api.cursors import cursor_of, read_cursor
from bot.api.endpoints import Asked, Call, Endpoint, Told
from bot.api.people import MemberRef, member_of
from handlers.followup.tables import TouchRow


class DecisionsQuery(Asked):
    """Which part of it."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=60, description="next_cursor of the page before")] | None = None


class DecisionShown(Told):
    """One decision: sent, deferred, skipped …, the channel (rep, kf, oa, mass, welcome, call, sms), and the reason."""

    at: datetime
    follow_up: str
    decision: str
    channel: str
    reason: str
    rep: str


class DecisionsPage(Told):
    """Newest first; `next_cursor` is null on the last page."""

    member_id: int
    decisions: list[DecisionShown]
    next_cursor: str | None


def show(session: Session, call: Call[MemberRef, DecisionsQuery, None]) -> tuple[int, Told]:
    """Every decision about a member."""
    member_id, page = member_of(session, call.path), call.query
    before = read_cursor(page.cursor)
    mine = [TouchRow.member_id == member_id, *([TouchRow.id < before] if before is not None else [])]
    rows = session.scalars(select(TouchRow).where(*mine).order_by(TouchRow.id.desc()).limit(page.limit + 1)).all()
    shown = rows[:page.limit]
    return 200, DecisionsPage(
        member_id=member_id,
        decisions=[DecisionShown(at=row.at, follow_up=row.sop, decision=row.decision, channel=row.channel,
                              reason=row.reason, rep=row.rep) for row in shown],
        next_cursor=cursor_of(shown[-1].id) if len(rows) > page.limit else None)


ENDPOINTS = (
    Endpoint("GET", "/api/v1/members/{kind}/{value}/follow-ups", "members:read",
             "What follow-ups did about a member, and why they kept still", show, DecisionsPage, params=MemberRef,
             query=DecisionsQuery, part="value"),
)
