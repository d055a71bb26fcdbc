"""/events: what members do beside buying, and the decision on what waits for one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints
from sqlalchemy.orm import Session

from bot.api.cursors import cursor_of, read_cursor
from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.people import OWN_ID, MemberRef, member_of
from bot.api.problems import Problem
from handlers.followup import entries
from handlers.followup.entries import Happening
from loyalty import activities
from loyalty.activities import ActivityOutcome
from loyalty.balances import balances
from loyalty.behaviours import KINDS, Kind
from loyalty.customers import PRINTABLE, find_many
from loyalty.errors import BadActivity, LoyaltyError, UnknownMember

FactName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
FactText = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=500)]
FactNumber = Annotated[int, Field(ge=-(10**12), le=10**12)]


class EventIn(Asked):
    """What a member did, or what your system knows of them. `facts` are what conditions may ask for; `friend` is who
    came by a referral. Every kind sets off the follow-ups with `event: KIND`; those of the programme's behaviours count
    for them as well.
    """

    member: MemberRef
    kind: Kind | FactName
    friend: MemberRef | None = None
    facts: Annotated[dict[FactName, FactText | FactNumber | bool], Field(max_length=30)] = {}


class RejectIn(Asked):
    """Why it gives nothing."""

    reason: Annotated[str, Field(pattern=PRINTABLE, max_length=200)]


class ActivityAddress(Asked):
    """Which activity."""

    activity_id: Annotated[int, Field(ge=1, le=2**63 - 1)]


class PendingQuery(Asked):
    """Which part of what waits."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=60, description="next_cursor of the page before")] | None = None


class Gain(Told):
    """What a member got, and what they have of it now."""

    member_id: int
    asset: str
    amount: int
    balance: int


class ActivityShown(Told):
    """What a behaviour made of it: granted, counted (nothing yet), pending, rejected or refused, and why."""

    activity_id: int
    behaviour_id: str
    state: str
    reason: str
    streak_days: int
    gained: list[Gain]
    new: bool


class EventTaken(Told):
    """What each behaviour of this kind made of it; none where the programme has no such behaviour."""

    activities: list[ActivityShown]


class PendingShown(Told):
    """An activity that waits for a decision."""

    activity_id: int
    member_id: int
    behaviour_id: str
    kind: str
    facts: dict[str, object]
    at: datetime


class PendingPage(Told):
    """Oldest first; `next_cursor` is null on the last page."""

    activities: list[PendingShown]
    next_cursor: str | None


class Rejected(Told):
    """A decision that it gives nothing."""

    activity_id: int
    state: str
    reason: str


def take(session: Session, call: Call[Nothing, Nothing, EventIn]) -> tuple[int, Told]:
    """Let every behaviour of this kind count it, and note it for the follow-ups it sets off or wakes."""
    body, facts = call.body, dict(call.body.facts)
    if "friend" in facts:
        raise BadActivity("a friend among the facts", "send the friend as a field of its own, beside member")
    if body.friend is not None:
        facts["friend"] = member_of(session, body.friend)
    member_id = member_of(session, body.member)
    outcomes = []
    if body.kind in KINDS:
        outcomes = activities.record_activity(session, call.programme, member_id, body.kind, call.key, call.at, facts)
    elif body.friend is not None:
        raise BadActivity(f"a {body.kind} with a friend", "only a referral has one; leave it out")
    entries.note(session, [entries.told(body.kind, member_id, call.key, call.at, facts)], call.at)
    return 201, EventTaken(activities=[_shown(session, outcome, call.at) for outcome in outcomes])


def take_many(
    session: Session, calls: Sequence[Call[Nothing, Nothing, EventIn]]
) -> list[tuple[int, Told] | LoyaltyError | Problem]:
    """Events that came together: those that only follow-ups hear of in two statements, the others one by one."""
    names = {(ref.kind, ref.value) for call in calls if _is_plain(call.body) and (ref := call.body.member)}
    known, heard = find_many(session, names), list[Happening]()
    ends: list[tuple[int, Told] | LoyaltyError | Problem] = []
    for call in calls:
        body, ref = call.body, call.body.member
        if _is_plain(body):
            member_id = known.get((ref.kind, ref.value))
            ends.append(UnknownMember(ref.kind) if member_id is None else (201, EventTaken(activities=[])))
            if member_id is not None:
                heard.append(entries.told(body.kind, member_id, call.key, call.at, body.facts))
            continue
        try:
            with session.begin_nested():
                ends.append(take(session, call))
        except (LoyaltyError, Problem) as refusal:
            ends.append(refusal)
    entries.note(session, heard, calls[-1].at)
    return ends


def _is_plain(body: EventIn) -> bool:
    """Whether nothing but a note for follow-ups comes of it."""
    has_friend = body.friend is not None or "friend" in body.facts
    return body.kind not in KINDS and not has_friend and body.member.kind != OWN_ID


def show_pending(session: Session, call: Call[Nothing, PendingQuery, None]) -> tuple[int, Told]:
    """What waits for a decision."""
    page = call.query
    found = activities.pending_activities(session, read_cursor(page.cursor) or 0, page.limit + 1)
    shown = found[:page.limit]
    return 200, PendingPage(
        activities=[PendingShown(activity_id=item.id, member_id=item.member_id, behaviour_id=item.behaviour_id,
                                 kind=item.kind, facts=item.facts, at=item.at) for item in shown],
        next_cursor=cursor_of(shown[-1].id) if len(found) > page.limit else None)


def approve(session: Session, call: Call[ActivityAddress, Nothing, None]) -> tuple[int, Told]:
    """Give what it is worth."""
    outcome = activities.approve(session, call.programme, call.path.activity_id, f"api {call.client}", call.at)
    return 200, _shown(session, outcome, call.at)


def reject(session: Session, call: Call[ActivityAddress, Nothing, RejectIn]) -> tuple[int, Told]:
    """Give nothing for it."""
    activities.reject(session, call.path.activity_id, f"api {call.client}", call.body.reason, call.at)
    return 200, Rejected(activity_id=call.path.activity_id, state=activities.REJECTED, reason=call.body.reason)


def _shown(session: Session, outcome: ActivityOutcome, at: datetime) -> ActivityShown:
    gained = []
    for member_id, amounts in outcome.gained.items():
        for asset, amount in amounts.items():
            has = balances(session, [member_id], at, asset)[member_id].available
            gained.append(Gain(member_id=member_id, asset=asset, amount=amount, balance=has))
    return ActivityShown(activity_id=outcome.activity_id, behaviour_id=outcome.behaviour_id, state=outcome.state,
                         reason=outcome.reason, streak_days=outcome.streak_days, gained=gained, new=outcome.new)


ENDPOINTS = (
    Endpoint("POST", "/api/v1/events", "events:write", "Record what a member did", take, EventTaken, body=EventIn,
             statuses=(201,), part="kind", parts={UnknownMember: "member", BadActivity: "facts"}, together=take_many),
    Endpoint("GET", "/api/v1/events/pending", "events:read", "What waits for a decision", show_pending, PendingPage,
             query=PendingQuery),
    Endpoint("POST", "/api/v1/events/{activity_id}/approve", "events:write", "Give what an activity is worth", approve,
             ActivityShown, params=ActivityAddress, part="activity_id"),
    Endpoint("POST", "/api/v1/events/{activity_id}/reject", "events:write", "Give nothing for an activity", reject,
             Rejected, params=ActivityAddress, body=RejectIn, part="activity_id"),
)
