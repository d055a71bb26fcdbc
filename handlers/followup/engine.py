"""The engine of follow-ups: moves runs from step to step, looks at facts and restraint when a step is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from handlers.brand import Brand
from handlers.followup import steps
from handlers.followup.caps import Decision
from handlers.followup.conditions import condition
from handlers.followup.definition import Place, Sop
from handlers.followup.desk import NEXT, Desk, Went
from handlers.followup.runs import Run
from handlers.talk.outbox import Outgoing
from loyalty import ledger

MOST_STEPS: Final = 100
"""How many steps one run makes in one go: a circle ends here."""


class Engine(Desk):
    """A desk that also moves runs on."""

    def advance(self, run: Run) -> None:
        """Go on from where the run stands until it waits or ends."""
        self.journal.keep(run)
        for _ in range(MOST_STEPS):
            sop = self.sop(run.sop)
            place = self.brand.sops.programs[run.sop].get(run.step) if sop else None
            if sop is None or place is None:
                return self.end(run, "SOP 文件已改动, 找不到这一步" if sop else "SOP 已删除")
            if self._is_stopped(run, sop):
                return None
            went = self._do(run, place)
            if went.waits:
                return None
            if went.is_end or not (went.to or place.after):
                return self.end(run, went.why)
            run.step, run.again, run.state, run.waits_for = went.to or place.after, 0, "open", ""
        return self.end(run, f"一次走了 {MOST_STEPS} 步, 请检查 go 是否成环")

    def end(self, run: Run, why: str = "") -> None:
        """The run is over; without any effect it counts as skipped."""
        if why:
            self.journal.note(run, Decision("ended", why))
        if run.state not in ("stopped", "dismissed"):
            run.state = "done" if run.effects else "skipped"
        self.journal.keep(run)

    def flush(self) -> list[Outgoing]:
        """Write everything; gives back what goes to the outbox."""
        if self.movements:
            ledger.post(self.session, self.movements, self.now)
        self.journal.flush()
        self.outgoing += steps.mass_tasks(self)
        outgoing, self.outgoing, self.movements = self.outgoing, [], []
        return outgoing

    def _do(self, run: Run, place: Place) -> Went:
        """One step, and what follows where it was refused."""
        action = ACTIONS[place.step.action]
        went = action(self, run, place)
        if not went.refused:
            return went
        if place.step.refused == "tomorrow":
            return self.wait(run, self.now + timedelta(days=1))
        return Went(is_end=True) if place.step.refused == "end" else NEXT

    def _is_stopped(self, run: Run, sop: Sop) -> bool:
        for stop in sop.stop_when:
            if condition(stop.when).holds(self.facts(run)):
                run.state = "stopped"
                self.journal.note(run, Decision("skipped", stop.why))
                self.journal.keep(run)
                return True
        return False


def by_importance(brand: Brand, runs: Iterable[Run]) -> list[Run]:
    """The most important first, then the oldest: that is the order in which they may touch one person."""

    def rank(run: Run) -> tuple[int, datetime, str]:
        sop = brand.sops.by_id.get(run.sop)
        return -(sop.priority if sop else 50), run.started_at, run.task

    return sorted(runs, key=rank)


ACTIONS: Final[dict[str, Callable[[Desk, Run, Place], Went]]] = {
    "wait": steps.wait, "prompt": steps.prompt, "message": steps.message, "mass": steps.mass,
    "welcome": steps.welcome, "tag": steps.tag, "points": steps.points, "coupon": steps.coupon,
    "invite": steps.invite, "appointment": steps.appointment, "call": steps.call, "branch": steps.branch,
    "go": steps.go, "end": steps.end,
}  # fmt: skip
"""What carries out which step."""
