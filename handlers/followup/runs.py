"""Runs in memory and how they are read and written: few statements for a whole batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from zlib import crc32

import msgspec
from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from handlers.followup.caps import Decision, Touched
from handlers.followup.tables import RunRow, TimerRow, TouchRow
from loyalty.storage import among
from loyalty.tables import table_of
from loyalty.writing import write_rows

SLOTS: Final = 8
"""How many lanes the timers have; a worker may take some of them."""
LIVE: Final = ("open", "waiting", "prompted")
_CHANGING: Final = ("state", "step", "rep", "waits_for", "moves", "again", "effects", "prompts", "facts", "changed_at")


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
        return f"{self.sop}-{sha256(self.message_key.encode()).hexdigest()[:16]}"


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
        if known:
            table = table_of(RunRow)
            changes: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _CHANGING}
            rows = [{"run_id": run.id} | {f"new_{name}": value for name, value in self._values(run).items()}
                    for run in known]  # fmt: skip
            statement = update(table).where(table.c.id == bindparam("run_id")).values(changes)
            self._session.connection().execute(statement, rows)
        write_rows(self._session, TimerRow, self._timers)
        write_rows(self._session, TouchRow, self._touches)
        self._changed, self._timers, self._touches = {}, [], []

    def _values(self, run: Run) -> dict[str, Any]:
        facts = msgspec.json.encode(asdict(run.occasion)).decode()
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
    rows = session.execute(
        select(table_of(RunRow)).where(among(RunRow.task, tasks), RunRow.state.in_(states)).with_for_update()
    )
    return {row.task: run_of(row) for row in rows}


def run_of(row: Any) -> Run:
    """A stored run as it goes on."""
    return Run(
        occasion_of(row.facts), row.rep, row.started_at, row.state, row.step or "0", row.waits_for, row.moves,
        row.again, row.effects, row.prompts, row.id,
    )  # fmt: skip


def occasion_of(facts: str) -> Occasion:
    """What set a run off, as it was stored."""
    return msgspec.convert(msgspec.json.decode(facts), Occasion)


def read_touches(session: Session, members: Collection[int], since: datetime) -> dict[int, list[Touched]]:
    """The touches that were sent to these members lately."""
    rows = session.execute(
        select(TouchRow.member_id, TouchRow.sop, TouchRow.at, TouchRow.weighs, TouchRow.channel).where(
            among(TouchRow.member_id, members), TouchRow.decision == "sent", TouchRow.at > since
        )
    )
    touched: dict[int, list[Touched]] = {member: [] for member in members}
    for row in rows:
        touched[row.member_id].append(Touched(row.sop, row.at, bool(row.weighs), row.channel))
    return touched


def _begin(run: Run) -> dict[str, Any]:
    return {"sop": run.sop, "member_id": run.member_id, "task": run.task, "started_at": run.started_at,
            "trace": run.occasion.trace}  # fmt: skip
