"""What follows from the rows alone, found again member by member: for the audit, and to set it right."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from sqlalchemy import select

from bot.database import Database
from loyalty.merging import follow
from loyalty.programme import Programme
from loyalty.rebuild import rebuild
from loyalty.tables import Member
from loyalty.tier_history import differing_tiers, rebuild_tiers

PAGE: Final = 2000
MOST_FINDINGS: Final = 100


def rebuild_all(database: Database, programme: Programme, now: datetime) -> dict[str, int]:
    """Set balances, lots, holds and tiers right; how many of each were wrong."""
    with database.transaction() as session:
        changed = rebuild(session)
    changed["tiers"] = 0
    for members in _pages(database):
        with database.transaction() as session:
            changed["tiers"] += len(rebuild_tiers(session, programme, members, now))
    return changed


def tier_findings(database: Database, programme: Programme, now: datetime) -> list[str]:
    """Members whose tier is not what their orders and growth lead to, in sentences; the first hundred."""
    found: list[str] = []
    for members in _pages(database):
        with database.reading() as session:
            differing = differing_tiers(session, programme, members, now)
        found += [f"member {id}: tier {noted or 'none'}, the rows lead to {again or 'none'}"
                  for id, (noted, again) in differing.items()]
        if len(found) >= MOST_FINDINGS:
            break
    return found[:MOST_FINDINGS]


def _pages(database: Database) -> Iterator[list[int]]:
    last = 0
    while True:
        with database.reading() as session:
            members = list(session.scalars(select(Member.id).where(Member.id > last).order_by(Member.id).limit(PAGE)))
        if not members:
            return
        with database.reading() as session:
            alive = follow(session, members)
        yield [id for id in members if alive[id] == id]
        last = members[-1]
