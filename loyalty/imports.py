"""Files of members and orders brought in chunk by chunk; each row counts once, however often its file is read."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, case, func, or_, select, update
from sqlalchemy.orm import Session

from loyalty.birthdays import set_birthday
from loyalty.days import midnight_after
from loyalty.erasure import digest_of, erased_among
from loyalty.errors import LoyaltyError
from loyalty.import_columns import MARKS, WHOLE_ROW, RowError
from loyalty.import_rows import MemberIn, Row
from loyalty.ledger import earning, post
from loyalty.matching import Sighting, recognise
from loyalty.orders import Ready, record_ready
from loyalty.people_tables import ImportRun
from loyalty.programme import Programme
from loyalty.sources import Arrival, acquired, note_arrivals
from loyalty.storage import UtcDateTime
from loyalty.tables import Member, Transfer, table_of
from loyalty.tags import set_tags
from loyalty.writing import insert_new

IMPORT = "import"
_RUNS, _MEMBERS = table_of(ImportRun), table_of(Member)
_FORGOTTEN = ("forgotten at their own wish", "remove the row")


class ImportInterrupted(LoyaltyError):
    """Another process has brought rows of the same file in meanwhile."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is being imported by another process; wait for it, or start again when it has ended")


@dataclass(slots=True)
class Taken:
    """What a chunk did: rows that are new, rows that were known, points they earned, and what was refused."""

    new: int = 0
    known: int = 0
    points: int = 0
    refused: list[tuple[Row[Any], RowError]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is; `rows` counts the refused ones too."""

    id: int
    rows: int
    new: int
    known: int
    rejected: int
    points: int
    rejected_bytes: int
    finished_at: datetime | None


def begin_import(session: Session, kind: str, digest: str, name: str, at: datetime) -> Progress:
    """The progress of the file with this content; all zero where it was never seen."""
    row = {"kind": kind, "digest": digest, "name": name, "rows": 0, "new": 0, "known": 0, "rejected": 0, "points": 0,
           "rejected_bytes": 0, "started_at": at}
    insert_new(session, ImportRun, [row], ["id"])
    c = _RUNS.c
    found = session.execute(
        select(c.id, c.rows, c.new, c.known, c.rejected, c.points, c.rejected_bytes, c.finished_at)
        .where(c.kind == kind, c.digest == digest)).one()
    return Progress(*found)


def note_progress(session: Session, run: Progress, name: str, rows: int, taken: Taken, rejected_bytes: int,
                  finished_at: datetime | None = None) -> Progress:
    """Keep what a chunk did, in its transaction; raises ImportInterrupted where somebody else went on from `run`."""
    now = Progress(run.id, run.rows + rows, run.new + taken.new, run.known + taken.known,
                   run.rejected + len(taken.refused), run.points + taken.points, rejected_bytes, finished_at)
    values = {name: getattr(now, name) for name in Progress.__slots__ if name != "id"}
    moved = session.execute(
        update(_RUNS).where(_RUNS.c.id == run.id, _RUNS.c.rows == run.rows, _RUNS.c.finished_at.is_(None))
        .values(**values).returning(_RUNS.c.id)).first()
    if moved is None:
        raise ImportInterrupted(name)
    return now


def forget_progress(session: Session, run: Progress) -> Progress:
    """Begin a file anew: rows that were taken are known again, rows that were refused get another try."""
    fresh = Progress(run.id, 0, 0, 0, 0, 0, 0, None)
    values = {name: getattr(fresh, name) for name in Progress.__slots__ if name != "id"}
    session.execute(update(_RUNS).where(_RUNS.c.id == run.id).values(**values))
    return fresh


def write_orders(session: Session, rows: Sequence[Row[Ready]], programme: Programme, at: datetime) -> Taken:
    """Record the orders of a chunk with all they earn; what is wrong with a row refuses that row alone."""
    taken, good = _sift(session, rows)
    outcomes = record_ready(session, [row.value for row in good if row.value], programme, at, with_balances=False)
    for row, outcome in zip(good, outcomes, strict=True):
        if outcome.error is not None:
            error = RowError(row.line, "external_id", "this order is known with other contents",
                             "correct the order where it came from, as a refund")
            taken.refused.append((row, error))
        elif outcome.new:
            taken.new, taken.points = taken.new + 1, taken.points + outcome.earned
        else:
            taken.known += 1
    return taken


def write_members(session: Session, rows: Sequence[Row[MemberIn]], programme: Programme, at: datetime) -> Taken:
    """Find or make the members of a chunk and note what the file says of them.

    A name or birthday fills what is empty; joining keeps the earliest day; the opening balance is given once.
    """
    taken, good = _sift(session, rows)
    newest = session.scalar(select(func.max(Member.id))) or 0
    people = [row.value for row in good if row.value]
    found = recognise(session, [Sighting(one.identities, "import", one.hints) for one in people], at,
                      programme.matching, programme)
    pairs = list(zip(found, people, strict=True))
    taken.new = len({member_id for member_id, _ in pairs if member_id > newest})
    taken.known = len(good) - taken.new
    _fill(session, pairs, at)
    set_tags(session, [(id, tag) for id, one in pairs for tag in one.tags], IMPORT, at)
    # Without a day of its own an arrival has no moment that stays the same when the file comes again.
    note_arrivals(session, [Arrival(id, one.source, one.channel_code, one.joined_at)
                            for id, one in pairs if one.source and one.joined_at])
    _note_first_arrivals(session, pairs, at)
    _give_opening_points(session, list(zip(good, found, strict=True)), programme, at, taken)
    return taken


def rejected_lines(header: Sequence[str], refused: Sequence[tuple[Row[Any], RowError]], *, with_header: bool) -> str:
    """Refused rows as CSV, cells as they came, then line, column, what and mend: correct it and import it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    own = [place for place, name in enumerate(header) if name.strip() not in MARKS]
    if with_header:
        writer.writerow([*(header[place] for place in own), *MARKS])
    for row, error in refused:
        found = row.cells[:len(header)]
        if len(row.cells) > len(header):
            found[-1] = ",".join(row.cells[len(header) - 1:])
        cells = [found[place] if place < len(found) else "" for place in own]
        writer.writerow([*cells, error.line, error.column, error.what, error.mend])
    return text.getvalue()


def _sift(session: Session, rows: Sequence[Row[Any]]) -> tuple[Taken, list[Row[Any]]]:
    """The rows that can be written, and those that cannot: broken, or of somebody who was forgotten."""
    taken = Taken(refused=[(row, row.error) for row in rows if row.error is not None])
    named = [(row, row.value.identities) for row in rows if row.value is not None]
    gone = erased_among(session, [name for _, names in named for name in names])
    if gone:
        taken.refused += [(row, RowError(row.line, WHOLE_ROW, *_FORGOTTEN)) for row, names in named
                          if not gone.isdisjoint(names)]
        named = [(row, names) for row, names in named if gone.isdisjoint(names)]
    return taken, [row for row, _ in named]


def _fill(session: Session, pairs: Collection[tuple[int, MemberIn]], at: datetime) -> None:
    """Name where there is none, the earliest joining, an opt-out where the file says so."""
    c = _MEMBERS.c
    joined, said_no = bindparam("joined", type_=UtcDateTime()), bindparam("said_no", type_=UtcDateTime())
    statement = update(_MEMBERS).where(c.id == bindparam("member")).values(
        name=func.coalesce(c.name, bindparam("called")),
        joined_at=case((or_(c.joined_at.is_(None), c.joined_at > joined), func.coalesce(joined, c.joined_at)),
                       else_=c.joined_at),
        opted_out_at=func.coalesce(c.opted_out_at, said_no))
    rows = [{"member": id, "called": one.name or None, "joined": one.joined_at,
             "said_no": at if one.opted_out else None}
            for id, one in sorted(pairs, key=lambda pair: pair[0]) if one.name or one.joined_at or one.opted_out]
    if rows:
        session.execute(statement, rows)
    for id, one in pairs:
        if one.birthday is not None:
            set_birthday(session, id, *one.birthday, at)


def _note_first_arrivals(session: Session, pairs: Collection[tuple[int, MemberIn]], at: datetime) -> None:
    dateless = {id: one for id, one in pairs if one.source and not one.joined_at}
    known = acquired(session, dateless)
    note_arrivals(session, [Arrival(id, one.source, one.channel_code, at)
                            for id, one in dateless.items() if id not in known])


def _give_opening_points(session: Session, rows: Sequence[tuple[Row[MemberIn], int]], programme: Programme,
                         at: datetime, taken: Taken) -> None:
    given = [(row, member_id, row.value) for row, member_id in rows if row.value and row.value.points]
    movements = []
    for _, member_id, one in given:
        lapse = midnight_after(one.points_until, programme.zone) if one.points_until else None
        movements.append(earning(member_id, one.points, f"opening:{digest_of(one.identities[0])}", "opening balance",
                                 IMPORT, expires_at=lapse))
    for (row, _, one), posted in zip(given, post(session, movements, at), strict=True):
        if posted.new:
            taken.points += one.points
        elif posted.error is not None:
            before = session.scalar(select(Transfer.amount).where(Transfer.key == posted.key)) or 0
            error = RowError(row.line, "points", f"an opening balance of {before} was imported before",
                             "correct the difference as an adjustment")
            taken.refused.append((row, error))
