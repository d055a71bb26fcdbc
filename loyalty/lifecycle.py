"""Where a member stands in their life as a customer, measured by their own rhythm and not by the calendar."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol

from sqlalchemy import Case, case, func, literal, select
from sqlalchemy.orm import Session

from loyalty.insight_parts import InsightPolicy
from loyalty.insight_tables import PurchaseRhythm
from loyalty.tables import Member

PROSPECT: Final = "prospect"
NEW, ACTIVE, LOYAL, COOLING, LOST, RETURNED = "new", "active", "loyal", "cooling", "lost", "returned"
STAGES: Final = (PROSPECT, NEW, ACTIVE, LOYAL, RETURNED, COOLING, LOST)
"""Every stage: `prospect` has not bought; `cooling` and `lost` are silent for so many of their own rhythms;
`returned` is back since the last purchase; `new` bought on one day, `loyal` on many, `active` is between."""


class Standing(Protocol):
    """What of a member's row decides the stage."""

    @property
    def occasions(self) -> int:
        """Days with a purchase."""

    @property
    def returned(self) -> bool:
        """Whether the last purchase ended a break."""

    @property
    def cooling_at(self) -> datetime:
        """When the silence becomes long."""

    @property
    def lost_at(self) -> datetime:
        """When the silence becomes too long."""


def stage_of(row: Standing | None, policy: InsightPolicy, now: datetime) -> str:
    """The stage of a member at a moment; no row: nothing was bought yet."""
    if row is None:
        return PROSPECT
    if now >= row.lost_at:
        return LOST
    if now >= row.cooling_at:
        return COOLING
    if row.returned:
        return RETURNED
    if row.occasions == 1:
        return NEW
    return LOYAL if row.occasions >= policy.loyal_from else ACTIVE


def stage(policy: InsightPolicy, now: datetime) -> Case[str]:
    """The same as a column of `purchase_rhythms`, which may be joined from the left."""
    row = PurchaseRhythm
    return case((row.member_id.is_(None), PROSPECT), (row.lost_at <= now, LOST), (row.cooling_at <= now, COOLING),
                (row.returned, RETURNED), (row.occasions == 1, NEW), (row.occasions >= policy.loyal_from, LOYAL),
                else_=literal(ACTIVE))


def count_by_stage(session: Session, policy: InsightPolicy, now: datetime) -> dict[str, int]:
    """How many members are in each stage, those without any among them too."""
    at = stage(policy, now).label("stage")
    counted = (select(at, func.count()).select_from(Member)
               .outerjoin(PurchaseRhythm, PurchaseRhythm.member_id == Member.id).group_by(at))
    found = {row[0]: row[1] for row in session.execute(counted)}
    return {name: found.get(name, 0) for name in STAGES}
