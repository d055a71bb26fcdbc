"""What members did in a past stretch of time, read without names, so that a dry run can play it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from handlers.followup.sources import SOURCES
from handlers.followup.tables import HappeningRow
from handlers.talk.tables import ServingRow, VerdictRow
from loyalty.birthdays import birthdays
from loyalty.customers import identities_of, profiles
from loyalty.storage import among
from loyalty.tables import Member, Order


@dataclass
class Life:
    """One member: who serves them, when they were born, and what they bought, said and had happen to them."""

    member_id: int
    rep: str = ""
    birthday: tuple[int, int] | None = None
    is_opted_out: bool = False
    orders: list[tuple[datetime, str, int]] = field(default_factory=list)
    said: list[tuple[datetime, str]] = field(default_factory=list)
    happened: list[tuple[datetime, str, dict[str, Any]]] = field(default_factory=list)


def lives_of(session: Session, begin: datetime, finish: datetime, most: int) -> list[Life]:
    """The first so many members who had come by then; orders also from before `begin`, everything up to `finish`."""
    members = session.scalars(select(Member.id).where(Member.created_at < finish).order_by(Member.id).limit(most)).all()
    lives = {member: Life(member) for member in members}
    born, known = birthdays(session, members), profiles(session, members)
    for member, rep in _reps(session, members).items():
        lives[member].rep = rep
    for life in lives.values():
        life.birthday = born.get(life.member_id)
        life.is_opted_out = known[life.member_id].opted_out_at is not None
    orders = select(Order.member_id, Order.paid_at, Order.items, Order.amount_fen).where(
        among(Order.member_id, members), Order.paid_at < finish).order_by(Order.paid_at, Order.id)  # fmt: skip
    for row in session.execute(orders):
        lives[row.member_id].orders.append((row.paid_at, str(row.items[0]["sku"]) if row.items else "", row.amount_fen))
    in_time = (VerdictRow.at >= begin, VerdictRow.at < finish)
    heard = select(VerdictRow.member_id, VerdictRow.at, VerdictRow.scenarios).where(
        among(VerdictRow.member_id, members), *in_time).order_by(VerdictRow.id)  # fmt: skip
    for row in session.execute(heard):
        lives[row.member_id or 0].said += [(row.at, scenario) for scenario in msgspec.json.decode(row.scenarios)]
    # What is read from the books comes of the orders that are played again.
    read_anew = frozenset(kind for source in SOURCES for kind in source.kinds)
    told = select(HappeningRow.member_id, HappeningRow.at, HappeningRow.kind, HappeningRow.data).where(
        among(HappeningRow.member_id, members), HappeningRow.at >= begin, HappeningRow.at < finish,
        HappeningRow.kind.not_in(read_anew)).order_by(HappeningRow.id)  # fmt: skip
    for row in session.execute(told):
        lives[row.member_id].happened.append((row.at, row.kind, msgspec.json.decode(row.data)))
    return list(lives.values())


def _reps(session: Session, members: Sequence[int]) -> dict[int, str]:
    by_external = {value: member for member, value in identities_of(session, members, "external_userid").items()}
    rows = session.execute(
        select(ServingRow.external_userid, ServingRow.userid)
        .where(among(ServingRow.external_userid, by_external), ServingRow.ended_at.is_(None))
        .order_by(ServingRow.since)
    )
    return {by_external[row.external_userid]: row.userid for row in rows}
