"""Cases: what a person of the brand has to settle, with everything filled in; opened, changed, withdrawn once each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from handlers.service_tables import CaseRow
from loyalty.storage import among

RECENT: Final = timedelta(days=30)
FACTS: Final = "cases"
"""The name under which a batch reads them."""


@dataclass(frozen=True, slots=True)
class Case:
    """A case as it stands; `state` is open, done, withdrawn or dropped."""

    id: int
    kind: str
    state: str
    facts: Mapping[str, Any]
    changed_at: datetime


def recent(session: Session, members: Collection[int], now: datetime) -> dict[int, tuple[Case, ...]]:
    """The cases of the last weeks, newest first."""
    rows = session.scalars(
        select(CaseRow)
        .where(among(CaseRow.member_id, members), CaseRow.changed_at > now - RECENT)
        .order_by(CaseRow.changed_at.desc(), CaseRow.id.desc())
    )
    found: dict[int, tuple[Case, ...]] = {}
    for row in rows:
        case = Case(row.id, row.kind, row.state, row.facts, row.changed_at)
        found[row.member_id] = (*found.get(row.member_id, ()), case)
    return found


def put(
    session: Session, key: str, kind: str, member_id: int, chat: str, state: str, facts: Mapping[str, Any],
    now: datetime, case_id: int | None = None,
) -> Case:  # fmt: skip
    """Open a case, or write anew what stands in one of this member; the same key twice opens one."""
    row = session.scalar(select(CaseRow).where(CaseRow.key == key))
    if case_id is not None:
        row = session.scalar(select(CaseRow).where(CaseRow.id == case_id, CaseRow.member_id == member_id))
    if row is None:
        row = CaseRow(key=key, kind=kind, member_id=member_id, chat=chat, opened_at=now)
        session.add(row)
    row.state, row.facts, row.changed_at = state, dict(facts), now
    session.flush()
    return Case(row.id, row.kind, row.state, row.facts, row.changed_at)


def close(session: Session, case_id: int, now: datetime) -> bool:
    """The rep has settled it; False where it was not open."""
    row = session.scalar(select(CaseRow).where(CaseRow.id == case_id, CaseRow.state == "open").with_for_update())
    if row is None:
        return False
    row.state, row.changed_at = "done", now
    session.flush()
    return True
