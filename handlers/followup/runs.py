"""Runs in memory and how they are read and written: few statements for a whole batch."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final
from zlib import crc32

import msgspec
from sqlalchemy import bindparam, select, text, update
from sqlalchemy.orm import Session

from handlers.followup.caps import Decision, Touched
from handlers.followup.tables import RunRow, TimerRow, TouchRow
from loyalty.storage import UtcDateTime, among
from loyalty.tables import table_of
from loyalty.writing import write_rows

SLOTS: Final = 8
"""How many lanes the timers have; a worker may take some of them."""
LIVE: Final = ("open", "waiting", "prompted")
_NOT_IN_TASK: Final = re.compile(r"[^0-9A-Za-z_-]")


@dataclass(frozen=True, slots=True)
class Occasion:
    """What set a follow-up off: everything the card shows and a correction needs."""

    sop: str
    member_id: int
    rep: str
    message_key: str
    title: str
    said: str
    where: str
    why: str
    quote: str
    name: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    private: bool = False
    trace: str = ""
    also_to: str = ""
    scenario: str = ""
    event: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """The name of the run: the same message sets the same follow-up off once."""
        return task_of(self.sop, self.message_key)


@lru_cache(maxsize=8192)
def task_of(sop: str, message_key: str) -> str:
    """The name of the run of a follow-up that a message sets off; cards carry it, so only what WeCom takes is in it."""
    return f"{_NOT_IN_TASK.sub('_', sop)}-{sha256(message_key.encode()).hexdigest()[:16]}"


@dataclass(slots=True)
class Run:
    """One follow-up of one customer as it goes on."""

    occasion: Occasion
    rep: str
    started_at: datetime
    state: str = "open"
    step: str = "0"
    waits_for: str = ""
    moves: int = 0
    again: int = 0
    effects: int = 0
    prompts: int = 0
    id: int | None = None

    @property
    def task(self) -> str:
        """The name of the run on cards and timers."""
        return self.occasion.task

    @property
    def sop(self) -> str:
        """The follow-up it belongs to."""
        return self.occasion.sop

    @property
    def member_id(self) -> int:
        """Whom it is about."""
        return self.occasion.member_id

    def know(self, **facts: Any) -> None:
        """Remember what happened meanwhile, for later conditions and texts."""
        self.occasion = replace(self.occasion, event=self.occasion.event | facts)


class Journal:
    """What a batch writes: new and changed runs, timers, touches; everything at once, when it ends."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session, self._now = session, now
        self._changed: dict[str, Run] = {}
        self._timers: list[dict[str, Any]] = []
        self._touches: list[dict[str, Any]] = []

    def keep(self, run: Run) -> None:
        """This run is new or has changed."""
        self._changed[run.task] = run

    def plan(self, run: Run, due_at: datetime) -> None:
        """The run goes on at this moment; a timer that was planned before no longer counts."""
        run.moves += 1
        self._timers.append({"key": f"{run.task}@{run.moves}", "slot": slot_of(run.task), "task": run.task,
                             "due_at": due_at})  # fmt: skip
        self.keep(run)

    def note(self, run: Run, decision: Decision, channel: str = "", weighs: bool = False, by: str = "") -> None:
        """Write down what was decided, and why."""
        self._touches.append({
            "task": run.task, "sop": run.sop, "member_id": run.member_id, "rep": by or run.rep,
            "decision": decision.outcome, "reason": decision.reason[:200], "at": self._now, "step": run.step[:64],
            "channel": channel, "weighs": int(weighs),
        })  # fmt: skip

    def flush(self) -> None:
        """Write it all."""
        fresh = [run for run in self._changed.values() if run.id is None]
        known = [run for run in self._changed.values() if run.id is not None]
        write_rows(self._session, RunRow, [self._values(run) | _begin(run) for run in fresh])
        _change(self._session, [{"run_id": run.id} | self._values(run) for run in known])
        write_rows(self._session, TimerRow, self._timers)
        write_rows(self._session, TouchRow, self._touches)
        self._changed, self._timers, self._touches = {}, [], []

    def _values(self, run: Run) -> dict[str, Any]:
        facts = msgspec.json.encode(run.occasion).decode()
        return {
            "state": run.state, "step": run.step[:64], "rep": run.rep, "waits_for": run.waits_for[:64],
            "moves": run.moves, "again": run.again, "effects": run.effects, "prompts": run.prompts, "facts": facts,
            "changed_at": self._now,
        }  # fmt: skip


def slot_of(task: str) -> int:
    """The lane of a run's timers."""
    return crc32(task.encode()) % SLOTS


def read_runs(session: Session, tasks: Collection[str], states: Sequence[str] = LIVE) -> dict[str, Run]:
    """The runs of these names in these states, locked for this transaction."""
    rows = session.execute(_RUNS, {"tasks": list(tasks), "states": list(states)})
    return {row.task: run_of(row) for row in rows}


def run_of(row: Any) -> Run:
    """A stored run as it goes on."""
    return Run(
        occasion_of(row.facts), row.rep, row.started_at, row.state, row.step or "0", row.waits_for, row.moves,
        row.again, row.effects, row.prompts, row.id,
    )  # fmt: skip


def occasion_of(facts: str) -> Occasion:
    """What set a run off, as it was stored."""
    return _OCCASION.decode(facts)


def read_touches(session: Session, members: Collection[int], since: datetime) -> dict[int, list[Touched]]:
    """The touches that were sent to these members lately."""
    rows = session.execute(_TOUCHES, {"members": list(members), "since": since})
    touched: dict[int, list[Touched]] = {member: [] for member in members}
    for member_id, sop, at, weighs, channel in rows:
        touched[member_id].append(Touched(sop, at, bool(weighs), channel))
    return touched


_OCCASION: Final = msgspec.json.Decoder(Occasion)
# Built once: building a statement costs more than running it.
_RUNS: Final = (
    select(table_of(RunRow)).where(among(RunRow.task, "tasks"), among(RunRow.state, "states")).with_for_update()
)
_TOUCHES: Final = select(TouchRow.member_id, TouchRow.sop, TouchRow.at, TouchRow.weighs, TouchRow.channel).where(
    among(TouchRow.member_id, "members"), TouchRow.decision == "sent",
    TouchRow.at > bindparam("since", type_=UtcDateTime()),
)  # fmt: skip


_CHANGING: Final = ("state", "step", "rep", "waits_for", "moves", "again", "effects", "prompts", "facts", "changed_at")
_CHANGE_EACH: Final = update(table_of(RunRow)).where(table_of(RunRow).c.id == bindparam("run_id"))
_CHANGE_MANY: Final = text(  # names of our own columns
    f"UPDATE runs SET {', '.join(f'{name} = n.{name}' for name in _CHANGING)} "  # noqa: S608
    "FROM json_populate_recordset(NULL::runs, CAST(:rows AS json)) AS n WHERE runs.id = n.id"
)


def _change(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write changed runs: on PostgreSQL one statement with one parameter, however many they are."""
    if not rows:
        return
    if session.get_bind().dialect.name == "postgresql":
        named = [row | {"id": row["run_id"]} for row in rows]
        session.execute(_CHANGE_MANY, {"rows": msgspec.json.encode(named).decode()})
    else:
        session.connection().execute(_CHANGE_EACH, rows)


def _begin(run: Run) -> dict[str, Any]:
    return {"sop": run.sop, "member_id": run.member_id, "task": run.task, "started_at": run.started_at,
            "trace": run.occasion.trace}  # fmt: skip
