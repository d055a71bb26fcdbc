"""/members: who somebody is, what they have, and the names platforms know them by."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.people import OWN_ID, MemberRef, member_of
from bot.api.problems import Problem
from loyalty import birthdays, customers
from loyalty.balances import balance_of, lapses
from loyalty.customers import PRINTABLE, profiles
from loyalty.errors import IdentityTaken
from loyalty.programme import Programme
from loyalty.tables import MemberIdentity


class MemberIn(Asked):
    """A person to find or make: the identities are one person, the first that is known decides who."""

    identities: Annotated[tuple[MemberRef, ...], Field(min_length=1, max_length=20)]
    name: Annotated[str, Field(pattern=PRINTABLE, max_length=100)] | None = None
    join: Annotated[bool, Field(description="make the person a member of the programme")] = False


class BirthdayIn(Asked):
    """Month and day; the year is not asked for."""

    month: Annotated[int, Field(ge=1, le=12)]
    day: Annotated[int, Field(ge=1, le=31)]


class LapseShown(Told):
    """Points and the last local day they can be spent."""

    on: date
    amount: int


class PointsShown(Told):
    """What a member has; `lapsing` is soonest first, the nearest days where there are many."""

    available: int
    held: int
    lapsing: list[LapseShown]


class MemberShown(Told):
    """Who it is, and what they have."""

    member_id: int
    name: str
    tier: str | None
    joined_at: datetime | None
    opted_out_at: datetime | None
    points: PointsShown


class IdentityShown(Told):
    """One name of a person, and how it came to be theirs."""

    kind: str
    value: str
    evidence: str
    created_at: datetime


class IdentitiesShown(Told):
    """Every name of a person."""

    member_id: int
    identities: list[IdentityShown]


def find_or_make(session: Session, call: Call[Nothing, Nothing, MemberIn]) -> tuple[int, Told]:
    """The member with one of these identities, or a new one with all of them."""
    body = call.body
    _refuse_own_id(body.identities)
    pairs = [(ref.kind, ref.value) for ref in body.identities]
    known = customers.find_many(session, pairs)
    chosen = next((pair for pair in pairs if pair in known), pairs[0])
    member_id = customers.resolve(session, [chosen], call.at)[chosen]
    for pair in pairs:
        if known.get(pair) != member_id and pair != chosen:
            customers.attach(session, member_id, *pair, f"api {call.client}", call.at)
    if body.name is not None:
        customers.set_name(session, member_id, body.name)
    if body.join:
        customers.join(session, member_id, call.at)
    return (200 if known else 201), _shown(session, member_id, call.programme, call.at)


def show(session: Session, call: Call[MemberRef, Nothing, None]) -> tuple[int, Told]:
    """The member behind an identity."""
    return 200, _shown(session, member_of(session, call.path), call.programme, call.at)


def show_identities(session: Session, call: Call[MemberRef, Nothing, None]) -> tuple[int, Told]:
    """Every name of a person."""
    return 200, _identities(session, member_of(session, call.path))


def attach(session: Session, call: Call[MemberRef, Nothing, MemberRef]) -> tuple[int, Told]:
    """Add a name to a person; once more changes nothing."""
    _refuse_own_id([call.body])
    member_id = member_of(session, call.path)
    customers.attach(session, member_id, call.body.kind, call.body.value, f"api {call.client}", call.at)
    return 200, _identities(session, member_id)


def opt_out(session: Session, call: Call[MemberRef, Nothing, None]) -> tuple[int, Told]:
    """No follow-ups any more."""
    member_id = member_of(session, call.path)
    customers.opt_out(session, member_id, call.at)
    return 200, _shown(session, member_id, call.programme, call.at)


def opt_in(session: Session, call: Call[MemberRef, Nothing, None]) -> tuple[int, Told]:
    """Follow-ups again."""
    member_id = member_of(session, call.path)
    customers.opt_in(session, member_id)
    return 200, _shown(session, member_id, call.programme, call.at)


def set_birthday(session: Session, call: Call[MemberRef, Nothing, BirthdayIn]) -> tuple[int, Told]:
    """Note the day; another one replaces it."""
    member_id = member_of(session, call.path)
    try:
        birthdays.set_birthday(session, member_id, call.body.month, call.body.day, call.at)
    except ValueError:
        raise Problem(422, "Fields are wrong", "there is no such day", [("day", "send a day of that month")]) from None
    return 200, _shown(session, member_id, call.programme, call.at)


def _shown(session: Session, member_id: int, programme: Programme, now: datetime) -> MemberShown:
    profile = profiles(session, [member_id])[member_id]
    has, coming = balance_of(session, member_id, now), lapses(session, member_id, now, zone=programme.zone)
    points = PointsShown(available=has.available, held=has.held,
                         lapsing=[LapseShown.model_validate(lapse) for lapse in coming.days])
    return MemberShown(member_id=member_id, name=profile.name, tier=profile.tier, joined_at=profile.joined_at,
                       opted_out_at=profile.opted_out_at, points=points)


def _identities(session: Session, member_id: int) -> IdentitiesShown:
    m = MemberIdentity
    rows = session.execute(
        select(m.kind, m.value, m.evidence, m.created_at).where(m.member_id == member_id).order_by(m.id))
    return IdentitiesShown(member_id=member_id, identities=[IdentityShown.model_validate(row) for row in rows])


def _refuse_own_id(refs: tuple[MemberRef, ...] | list[MemberRef]) -> None:
    if any(ref.kind == OWN_ID for ref in refs):
        raise Problem(422, "Fields are wrong", "our own member id is given, not taken",
                      [("kind", f"send any kind but {OWN_ID!r}")])


_ONE = "/api/v1/members/{kind}/{value}"
ENDPOINTS = (
    Endpoint("POST", "/api/v1/members", "members:write", "Find or make a member", find_or_make, MemberShown,
             body=MemberIn, statuses=(201, 200), parts={IdentityTaken: "identities"}),
    Endpoint("GET", _ONE, "members:read", "Show a member and what they have", show, MemberShown, params=MemberRef,
             part="value"),
    Endpoint("GET", f"{_ONE}/identities", "members:read", "Every name of a person", show_identities, IdentitiesShown,
             params=MemberRef, part="value"),
    Endpoint("POST", f"{_ONE}/identities", "members:write", "Add a name to a person", attach, IdentitiesShown,
             params=MemberRef, body=MemberRef, part="value"),
    Endpoint("POST", f"{_ONE}/opt-out", "members:write", "Send no follow-ups any more", opt_out, MemberShown,
             params=MemberRef, part="value"),
    Endpoint("POST", f"{_ONE}/opt-in", "members:write", "Send follow-ups again", opt_in, MemberShown, params=MemberRef,
             part="value"),
    Endpoint("PUT", f"{_ONE}/birthday", "members:write", "Note a birthday", set_birthday, MemberShown,
             params=MemberRef, body=BirthdayIn, part="value"),
)
