"""Follow-ups: set off by a scenario, decided when fired, prompted on the rep's phone, closed by a tap."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from handlers.brand import Brand
from handlers.followup import cards, words
from handlers.followup.caps import KINDS, Decision
from handlers.followup.definition import Entry, Prompt, Sop
from handlers.followup.engine import Engine, by_importance
from handlers.followup.entries import BUSY, Entering, enter, follow_on
from handlers.followup.runs import LIVE, SLOTS, Journal, Occasion, Run, read_runs
from handlers.followup.tables import RunRow, TimerRow
from handlers.talk import effects
from handlers.talk.outbox import Leased, Outgoing
from loyalty.customers import profiles
from loyalty.storage import among

CHOSEN: Final = {"done": "已发送", "no": "不合适", "later": "稍后提醒"}
PARKED: Final = 2
"""The state of a timer whose follow-up is paused."""

__all__ = ["FollowUps", "Occasion", "fire_due", "stop_runs", "tap", "withdrawn"]


class FollowUps:
    """The follow-ups that messages of one batch set off: decided in memory, written set-based when the batch ends."""

    def __init__(self, session: Session, members: Collection[int], brand: Brand, now: datetime) -> None:
        self._engine, self._brand, self._now = Engine(session, members, brand, now), brand, now
        self._entering: list[Entering] = []

    def start(self, occasion: Occasion, opted_out: bool) -> Decision:
        """Prompt the rep, put it off or keep still, by the rules of restraint; the decision is stored."""
        set_off = [sop for sop, _ in self._brand.sops.set_off_by(f"scenario:{occasion.sop}")]
        engine, first = self._engine, next(iter(set_off), None)
        for sop in set_off[1:]:
            self._begin_later(sop, occasion)
        run = self._run(first.id if first else occasion.sop, occasion)
        if first is not None and engine.is_paused(first.id):
            decision = Decision("skipped", "SOP 已暂停")
            run.state = "skipped"
            engine.journal.note(run, decision)
            engine.journal.keep(run)
        elif first is not None and not _is_plain(first):
            decision = self._begin_later(first, occasion)
        else:
            asked = first.steps[0].prompt if first else None
            decision = self._prompt(run, asked or Prompt(also_to="supervisor" if occasion.also_to else ""), opted_out)
        return decision

    def hear(self, scenario: str, occasion: Occasion) -> None:
        """A scenario whose own answer prompts nobody: what is set off by it begins with the next tick."""
        for sop, _ in self._brand.sops.set_off_by(f"scenario:{scenario}"):
            self._begin_later(sop, occasion)

    def flush(self) -> list[Outgoing]:
        """Let in who waits at a door, write runs, timers and touches; gives back the cards for the outbox."""
        for run in enter(self._engine, self._entering):
            self._engine.journal.plan(run, self._now)
        self._entering = []
        return self._engine.flush()

    def _prompt(self, run: Run, asked: Prompt, opted_out: bool) -> Decision:
        engine = self._engine
        sop = engine.sop(run.sop)
        rests = (sop.kind if sop else KINDS.get(run.sop)) == "selling"
        decision = engine.may(run, "rep", opted_out, rests)
        if decision.outcome != "skipped" and not run.rep:
            decision = Decision("skipped", cards.NO_REP)
        text = run.occasion.quote
        if asked.text:
            text = words.choose(asked.text, engine.facts(run))
        engine.journal.keep(run)
        if cards.card(engine, run, asked, text, decision).refused:
            run.state = "skipped"
        return decision

    def _begin_later(self, sop: Sop, occasion: Occasion) -> Decision:
        heard = self._run(sop.id, occasion).occasion
        why = occasion.why
        self._entering.append(Entering(sop, occasion.member_id, occasion.message_key, why, self._now, heard=heard))
        return Decision("deferred", f"进入 SOP “{sop.title}”, 从第一步开始", self._now)

    def _run(self, name: str, occasion: Occasion) -> Run:
        title = sop.title if (sop := self._engine.sop(name)) is not None and name != occasion.sop else occasion.title
        found = replace(occasion, sop=name, title=title, scenario=occasion.scenario or occasion.sop)
        return Run(found, occasion.rep, self._now)


def fire_due(
    session: Session, brand: Brand, now: datetime, limit: int, slots: Sequence[int] = range(SLOTS)
) -> tuple[int, list[Outgoing]]:
    """Fire the timers that are due: facts first, then restraint, then an effect or a skipped row with its reason.

    Gives the number of timers taken and what goes to the outbox. `slots` are the lanes this worker looks after.
    """
    timers = _claim(session, now, limit, slots)
    if not timers:
        return 0, []
    session.execute(update(TimerRow).where(among(TimerRow.id, [row[0] for row in timers])).values(state=1))
    keys = {row[1]: row[0] for row in timers}
    runs = read_runs(session, {row[2] for row in timers})
    due = [run for run in runs.values() if f"{run.task}@{run.moves}" in keys]
    engine = Engine(session, {run.member_id for run in due}, brand, now, competes=True)
    parked = [run for run in due if engine.is_paused(run.sop)]
    if parked:
        held = [keys[f"{run.task}@{run.moves}"] for run in parked]
        session.execute(update(TimerRow).where(among(TimerRow.id, held)).values(state=PARKED))
    for run in by_importance(brand, [run for run in due if not engine.is_paused(run.sop)]):
        if run.sop in brand.sops.by_id:
            engine.advance(run)
        else:
            _fire_plain(engine, run)
    follow_on(engine)
    return len(timers), engine.flush()


def tap(
    session: Session, task_id: str, button: str, by: str, response_code: str, brand: Brand, now: datetime
) -> tuple[str, list[Outgoing], Occasion | None]:
    """A rep tapped a card: the state it leads to, what goes out, and the occasion for a correction.

    The same tap twice, or a tap by a colleague on a card that was answered, changes nothing but that card's look.
    """
    task = task_id.split("@")[0]
    state = session.scalar(select(RunRow.state).where(RunRow.task == task))
    if state is None or button not in CHOSEN:
        return "unknown", [], None
    update_card = effects.card_update(f"update:{task_id}:{by}:{response_code}", by, response_code, CHOSEN[button])
    run = read_runs(session, [task], ("prompted",)).get(task)
    if run is None:
        return state, [update_card], None
    occasion = run.occasion
    engine = Engine(session, [run.member_id], brand, now)
    outcome = {"done": "done", "no": "dismissed", "later": "deferred"}[button]
    reason = {"done": "导购已发送", "no": "导购认为不合适", "later": "导购选择稍后提醒"}[button]
    until = now + brand.restraint.later if button == "later" else None
    engine.journal.note(run, Decision(outcome, reason, until), "rep", by=by)
    if until is not None:
        engine.wait(run, until)
    elif button == "no":
        run.state = "dismissed"
        engine.end(run)
    else:
        _go_on(engine, run)
    follow_on(engine)
    return run.state, [update_card, *engine.flush()], occasion


def stop_runs(session: Session, member_ids: Collection[int], reason: str, now: datetime, brand: Brand) -> None:
    """End what sells or cares and has not been prompted yet for these members, with the reason."""
    rows = session.execute(
        select(RunRow.task, RunRow.sop).where(among(RunRow.member_id, member_ids), RunRow.state.in_(BUSY))
    ).all()
    files = brand.sops.by_id
    selling = {row.task for row in rows
               if (files[row.sop].weighs if row.sop in files else KINDS.get(row.sop) == "selling")}  # fmt: skip
    if not selling:
        return
    journal = Journal(session, now)
    for run in read_runs(session, selling, LIVE).values():
        run.state = "stopped"
        journal.keep(run)
        journal.note(run, Decision("skipped", reason))
    journal.flush()


def withdrawn(session: Session, rows: Sequence[tuple[int, int | None]], now: datetime) -> dict[int, str]:
    """Consent once more when sending: of (row id, member id) those whose person has opted out, with the reason."""
    members = {member for _, member in rows if member is not None}
    known = profiles(session, members) if members else {}
    return {
        row_id: GONE
        for row_id, member in rows
        if member is not None and member in known and known[member].opted_out_at is not None
    }


def prune_masses(session: Session, rows: Sequence[Leased]) -> dict[int, str]:
    """Take those who opted out meanwhile off 企业群发 tasks; the tasks that nobody is left in, with the reason."""
    tasks = [row for row in rows if row.kind == "mass_task"]
    members = {member for row in tasks for member in row.payload["people"].values()}
    known = profiles(session, members) if members else {}
    for row in tasks:
        people = row.payload["people"].items()
        row.payload["people"] = {
            name: member for name, member in people if member not in known or known[member].opted_out_at is None
        }
    return {row.id: GONE for row in tasks if not row.payload["people"]}


GONE: Final = "客户在发送前选择了勿扰"


def _is_plain(sop: Sop) -> bool:
    """Whether the first step can be decided at once, from what a batch of messages has read anyway."""
    is_open = sop.audience is None and sop.entry == Entry() and sop.experiment is None
    return sop.steps[0].prompt is not None and is_open


def _go_on(engine: Engine, run: Run) -> None:
    place = engine.brand.sops.programs.get(run.sop, {}).get(run.step)
    if place is None or not place.after:
        run.state = "done"
        engine.end(run)
        return
    run.step, run.again, run.state, run.waits_for = place.after, 0, "open", ""
    engine.advance(run)


def _fire_plain(engine: Engine, run: Run) -> None:
    """A prompt without a file of its own, such as an answer that was put off."""
    asked = Prompt(also_to="supervisor" if run.occasion.also_to else "")
    engine.journal.keep(run)
    if cards.card(engine, run, asked, run.occasion.quote, engine.may(run, "rep")).refused:
        run.state = "skipped"


def _claim(session: Session, now: datetime, limit: int, slots: Sequence[int]) -> list[tuple[int, str, str]]:
    """Lane by lane, so that the index gives the due ones without looking at those that are not."""
    found: list[tuple[int, str, str]] = []
    for slot in slots:
        if len(found) >= limit:
            break
        rows = session.execute(
            select(TimerRow.id, TimerRow.key, TimerRow.task)
            .where(TimerRow.state == 0, TimerRow.slot == slot, TimerRow.due_at <= now)
            .order_by(TimerRow.due_at)
            .limit(limit - len(found))
            .with_for_update(skip_locked=True)
        )
        found += [(row.id, row.key, row.task) for row in rows]
    return found
