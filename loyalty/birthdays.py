"""The days members celebrate."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from loyalty.campaign_tables import Birthday
from loyalty.storage import among
from loyalty.writing import insert_into

_THEIRS = select(Birthday.member_id, Birthday.month, Birthday.day).where(among(Birthday.member_id, "members"))


def set_birthday(session: Session, member_id: int, month: int, day: int, at: datetime) -> None:
    """Note a member's birthday; raises ValueError where there is no such day."""
    date(2000, month, day)
    insert = insert_into(session, Birthday)
    changes = {"month": insert.excluded.month, "day": insert.excluded.day, "changed_at": insert.excluded.changed_at}
    session.execute(insert.on_conflict_do_update(index_elements=["member_id"], set_=changes),
                    {"member_id": member_id, "month": month, "day": day, "changed_at": at})


def birthdays(session: Session, member_ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """Month and day of each member who told."""
    return {row.member_id: (row.month, row.day)
            for row in session.execute(_THEIRS, {"members": sorted(member_ids)})}
