"""Quiet hours once more when sending: what an outage has delayed into the night waits for the morning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from handlers.brand import Brand
from handlers.followup.caps import KINDS, Decision, Kind, quiet_until, weekend_until
from handlers.followup.tables import RunRow, TouchRow
from handlers.talk.outbox import Leased
from loyalty.storage import among
from loyalty.writing import write_rows

CHANNELS: Final = {"card": "rep", "kf_text": "kf", "oa_text": "oa", "mass_task": "mass", "adapter": "sms"}
"""The kinds of outbox rows by which a follow-up touches somebody; a welcome has twenty seconds and never waits."""


def put_off(session: Session, rows: Sequence[Leased], brand: Brand, now: datetime) -> dict[int, Decision]:
    """Of rows that are about to leave those that must wait until the quiet hours are over; each is written down."""
    rules = brand.restraint
    night_ends, weekend_ends = quiet_until(rules, now), weekend_until(rules, now)
    if night_ends is None and weekend_ends is None:
        return {}
    tasks = {row.id: task for row in rows if row.kind in CHANNELS and (task := _task_of(row))}
    known = _runs(session, set(tasks.values()))
    found: dict[int, Decision] = {}
    touches = []
    for row in rows:
        sop, member_id = known.get(tasks.get(row.id, ""), (_mass_sop(row), row.member_id))
        until = _until(_kind(brand, sop), brand, now) if sop else None
        if until is None:
            continue
        reason = f"发送时已到安静时段, 推迟到 {until.astimezone(rules.zone):%m-%d %H:%M}"
        found[row.id] = Decision("deferred", reason, until)
        people = row.payload["people"].values() if row.kind == "mass_task" else [member_id]
        touches += [
            {"task": tasks.get(row.id) or row.key[:80], "sop": sop, "member_id": member, "decision": "deferred",
             "reason": reason, "at": now, "channel": CHANNELS[row.kind]}
            for member in people if member is not None
        ]  # fmt: skip
    write_rows(session, TouchRow, touches)
    return found


def _until(kind: Kind, brand: Brand, now: datetime) -> datetime | None:
    if kind == "urgent":
        return None
    night_ends = quiet_until(brand.restraint, now)
    if kind == "service":
        return night_ends
    return weekend_until(brand.restraint, night_ends or now) or night_ends


def _kind(brand: Brand, sop: str) -> Kind:
    found = brand.sops.by_id.get(sop)
    return found.kind if found else KINDS.get(sop, "service")


def _task_of(row: Leased) -> str:
    """The run that a row belongs to, as its key names it: `card:TASK@…`, `sop:TASK:STEP`."""
    if row.kind == "card":
        return row.key.removeprefix("card:").split("@")[0]
    return row.key.split(":")[1] if row.key.startswith("sop:") else ""


def _mass_sop(row: Leased) -> str:
    return str(row.payload["sop"]) if row.kind == "mass_task" else ""


def _runs(session: Session, tasks: set[str]) -> Mapping[str, tuple[str, int | None]]:
    if not tasks:
        return {}
    rows = session.execute(select(RunRow.task, RunRow.sop, RunRow.member_id).where(among(RunRow.task, sorted(tasks))))
    return {row.task: (row.sop, row.member_id) for row in rows}
