"""Where members came from: acquisition source and channel code of every arrival; the first and the last count."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from loyalty.people_tables import Acquisition
from loyalty.storage import among
from loyalty.writing import write_rows


class Arrival(NamedTuple):
    """A member came by a source (tmall, kf, shop_xuhui, friend …), perhaps by a channel code."""

    member_id: int
    source: str
    channel_code: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Acquired:
    """A member's first and last arrival; the same one where there was only one."""

    first: Arrival
    last: Arrival


def note_arrivals(session: Session, arrivals: Sequence[Arrival]) -> None:
    """Keep arrivals, in any order of time; the same again changes nothing."""
    write_rows(session, Acquisition, [arrival._asdict() for arrival in dict.fromkeys(arrivals)])


def acquired(session: Session, member_ids: Collection[int]) -> dict[int, Acquired]:
    """First and last arrival of each member that has any."""
    whose, when, id = Acquisition.member_id, Acquisition.at, Acquisition.id
    earliest = func.row_number().over(partition_by=whose, order_by=(when, id))
    latest = func.row_number().over(partition_by=whose, order_by=(when.desc(), id.desc()))
    ranked = select(Acquisition.member_id, Acquisition.source, Acquisition.channel_code, Acquisition.at,
                    earliest.label("early"), latest.label("late")).where(among(Acquisition.member_id, member_ids))
    each = ranked.subquery()
    first: dict[int, Arrival] = {}
    last: dict[int, Arrival] = {}
    for *arrival, early, late in session.execute(select(each).where((each.c.early == 1) | (each.c.late == 1))):
        if early == 1:
            first[arrival[0]] = Arrival(*arrival)
        if late == 1:
            last[arrival[0]] = Arrival(*arrival)
    return {member_id: Acquired(arrival, last[member_id]) for member_id, arrival in first.items()}


def count_by_source(session: Session, since: datetime, until: datetime) -> dict[tuple[str, str], int]:
    """How many members arrived for the first time by each source and channel code; `until` does not count."""
    earliest = func.row_number().over(partition_by=Acquisition.member_id, order_by=(Acquisition.at, Acquisition.id))
    each = select(Acquisition.source, Acquisition.channel_code, Acquisition.at, earliest.label("place")).subquery()
    rows = session.execute(
        select(each.c.source, each.c.channel_code, func.count())
        .where(each.c.place == 1, each.c.at >= since, each.c.at < until)
        .group_by(each.c.source, each.c.channel_code))
    return {(source, code): count for source, code, count in rows}
