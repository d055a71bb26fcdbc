"""What the steps of a batch share: facts, restraint, and what is to be written when it ends."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from handlers.brand import Brand
from handlers.followup.caps import CHATS, COMPLAINT, KINDS, Ask, Decision, Kind, Touched, decide, refuse_window
from handlers.followup.crowd import Crowd, FactsOf
from handlers.followup.definition import Sop
from handlers.followup.runs import Journal, Run, read_touches
from handlers.followup.tables import PauseSopRow
from handlers.talk.outbox import Outgoing
from handlers.talk.windows import OPEN_FOR, parts_of, recipient_of, spent
from loyalty.movements import Movement

LOOK_BACK: Final = timedelta(days=35)
_GIVEN: Final = frozenset({"woken_by", "link", "variant"})


@dataclass(frozen=True, slots=True)
class Went:
    """How a step went: it stands still, was refused, ends the run for a reason, or goes on (to another path)."""

    waits: bool = False
    refused: bool = False
    is_end: bool = False
    why: str = ""
    to: str = ""


NEXT: Final = Went()
WAITS: Final = Went(waits=True)
REFUSED: Final = Went(refused=True)


@dataclass(frozen=True, slots=True)
class MassText:
    """What makes two 企业群发 of one batch the same task."""

    sop: str
    step: str
    rep: str
    text: str
    link_title: str
    link_url: str
    result_after_h: int


class Desk:
    """One batch: facts and touches are read once for all members, everything is written when it ends.

    With `competes` at most one follow-up touches a person in this batch: the first, so give the most important first.
    """

    def __init__(
        self, session: Session, members: Collection[int], brand: Brand, now: datetime, competes: bool = False
    ) -> None:
        self.session, self.brand, self.now = session, brand, now
        self.crowd = Crowd(session, members, brand, now)
        self.journal = Journal(session, now)
        self.outgoing: list[Outgoing] = []
        self.masses: dict[MassText, dict[str, int]] = {}
        self.movements: list[Movement] = []
        self.gone_to: list[tuple[str, Run]] = []
        self._competes = competes
        self._won: dict[int, Run] = {}
        self._touched: dict[int, list[Touched]] | None = None
        self._paused: frozenset[str] | None = None
        self._spent: dict[str, int] | None = None

    def sop(self, name: str) -> Sop | None:
        """The file of a follow-up, or none."""
        return self.brand.sops.by_id.get(name)

    def is_paused(self, name: str) -> bool:
        """Whether a person has put it on hold."""
        if self._paused is None:
            self._paused = frozenset(self.session.scalars(select(PauseSopRow.sop)))
        return name in self._paused

    def touches(self, member_id: int) -> list[Touched]:
        """What was sent to a person lately, with what this batch has decided."""
        if self._touched is None:
            self._touched = read_touches(self.session, self.crowd.members, self.now - LOOK_BACK)
        return self._touched.setdefault(member_id, [])

    def facts(self, run: Run) -> FactsOf:
        """The facts of the person a run is about, with what set it off and what happened since."""
        occasion = run.occasion
        event = occasion.event
        given = {name: value for name, value in event.items() if name.startswith("event_") or name in _GIVEN}
        given |= {"event": event, "quote": occasion.quote, "said": occasion.said}
        given["days_since_start"] = max(0, (self.now - run.started_at).days)
        return FactsOf(self.crowd, run.member_id, run.started_at, given, self._complained_at)

    def _complained_at(self, member_id: int) -> datetime | None:
        return max((touch.at for touch in self.touches(member_id) if touch.sop == COMPLAINT), default=None)

    def may(self, run: Run, channel: str, opted_out: bool | None = None, rests: bool = False) -> Decision:
        """What restraint says of a touch that is due now; a more important one of this batch goes first."""
        sop, member = self.sop(run.sop), run.member_id
        kind: Kind = sop.kind if sop else KINDS.get(run.sop, "service")
        rules, touches = self.brand.restraint, self.touches(member)
        if opted_out is None:
            opted_out = kind not in ("urgent", "service") and self.crowd.profile(member).opted_out_at is not None
        lists = rules.allow or rules.deny
        decision = decide(
            Ask(
                run.sop, kind, opted_out, channel, rests,
                self.crowd.identity(member, "external_userid") if lists else "",
                max((touch.at for touch in touches if touch.sop == run.sop), default=None) if not run.prompts else None,
            ),
            # the rep asked for this one again: it is the same touch, only later
            touches if not run.again else [touch for touch in touches if touch.sop != run.sop],
            rules, self.now,
        )  # fmt: skip
        winner = self._won.get(member)
        if decision.outcome == "sent" and kind in ("selling", "care") and winner and winner.task != run.task:
            better = self.sop(winner.sop)
            return Decision("skipped", f"同一时间有更重要的“{better.title if better else winner.sop}”, 这次让位")
        return decision

    def weighs(self, name: str) -> bool:
        """Whether the touches of a follow-up count against a person's budget."""
        sop = self.sop(name)
        return sop.weighs if sop else KINDS.get(name) == "selling"

    def touched(self, run: Run, decision: Decision, channel: str) -> None:
        """Write a touch down, so that what follows in this batch knows of it."""
        weighs = self.weighs(run.sop)
        self.journal.note(run, decision, channel, weighs)
        if decision.outcome == "sent":
            run.effects += 1
            self.touches(run.member_id).append(Touched(run.sop, self.now, weighs, channel))
            if weighs and self._competes:
                self._won.setdefault(run.member_id, run)

    def refuse_window(self, run: Run, channel: str, text: str) -> Decision | None:
        """Why a text may not go where a channel is open: answers of the dialogs draw on the same few messages."""
        if self._spent is None:
            talks = [(member, name, self.crowd.talked(member, name)) for member in self.crowd.members for name in CHATS]
            self._spent = spent(self.session, {
                self._address(member, name): talked.at
                for member, name, talked in talks if talked and self.now - talked.at < OPEN_FOR
            })  # fmt: skip
        used = self._spent.get(self._address(run.member_id, channel), 0)
        return refuse_window(channel, used, parts_of(text), self.brand.restraint)

    def speak(self, row: Outgoing) -> None:
        """Write to the person; what follows in this batch knows that there is less room."""
        self.outgoing.append(row)
        if self._spent is not None:
            self._spent[row.recipient] = self._spent.get(row.recipient, 0) + parts_of(row.payload["content"])

    def _address(self, member_id: int, channel: str) -> str:
        talked = self.crowd.talked(member_id, channel)
        sender = self.crowd.identity(member_id, "external_userid" if channel == "kf" else "openid")
        return recipient_of(channel, talked.chat if talked else "", sender)

    def wait(self, run: Run, until: datetime, state: str = "open") -> Went:
        """Stand still until a moment."""
        run.state = state
        self.journal.plan(run, until)
        return WAITS

    def rep_of(self, run: Run) -> str:
        """Who is to act: who serves the person now, else whom the run was given to, else who is set in the settings."""
        serving, staff = self.crowd.serving(run.member_id), self.brand.staff
        if serving is not None:
            return serving.rep
        given = "" if run.rep in self.crowd.gone_reps() else run.rep
        return given or staff.default_rep or staff.supervisor


def with_rep(run: Run, rep: str) -> None:
    """The run is in other hands from now on."""
    run.rep = rep
    run.occasion = replace(run.occasion, rep=rep)
