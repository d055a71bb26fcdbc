"""Where the steps of scenes become rows: one stage a batch, written set-based when the batch ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from handlers import cases, returns, survey
from handlers.brand import Brand
from handlers.facts import Facts
from handlers.followup.caps import Decision
from handlers.followup.sop import FollowUps, Occasion, stop_runs
from handlers.talk import effects, outbox
from handlers.talk.dialogs import QUESTION, Place, write_dialogs, write_pauses
from handlers.talk.outbox import Outgoing
from handlers.talk.tables import VerdictRow
from handlers.talk.turn import (
    Ask,
    Close,
    HandOver,
    Hush,
    OpenDialog,
    OptIn,
    OptOut,
    Prompt,
    Redeem,
    Say,
    Scene,
    Silent,
    Step,
    Turn,
    Undo,
    Write,
)  # fmt: skip
from handlers.talk.windows import Windows
from loyalty import customers, redemptions
from loyalty.errors import LoyaltyError
from loyalty.writing import write_rows

KF_POOL, KF_SERVICER = 2, 3
"""Session states of wecom.md §6.4: waiting pool, served by a person."""


class Stage:
    """Applies the steps of scenes. `dialogs` and `pauses` are what holds now, also for later messages of the batch."""

    def __init__(
        self,
        session: Session,
        facts: Facts,
        follow_ups: FollowUps,
        dialogs: dict[Place, OpenDialog],
        pauses: dict[Place, datetime],
        windows: Windows,
        now: datetime,
    ) -> None:
        self.session, self.facts, self.follow_ups, self.now = session, facts, follow_ups, now
        self.dialogs, self.pauses, self.windows = dialogs, pauses, windows
        self.outgoing: list[Outgoing] = []
        self.verdicts: list[dict[str, Any]] = []
        self._changed: dict[Place, OpenDialog | None] = {}
        self._paused: list[tuple[Place, datetime, str]] = []

    def play(self, turn: Turn, scene: Scene, intro: str = "") -> tuple[str, str]:
        """Run a scene to its end; gives the decision (acted, deferred, silent) and why. `intro` goes before words."""
        said: list[Say] = []
        notes: list[tuple[str, str]] = []
        result: Any = None
        while True:
            try:
                step = scene.send(result)
            except StopIteration:
                break
            if isinstance(step, Say):
                said.append(step)
                result = None
            else:
                result = self._apply(turn, step, notes, len(said))
        if said:
            said[0] = replace(said[0], text="\n".join(filter(None, (intro, said[0].text))))
            self._speak(turn, said)
            notes.append(("acted", f"answered in {turn.message.channel}"))
        return _sum_up(notes)

    def hear(self, turn: Turn, scenario: str) -> None:
        """A scenario that prompts nobody by itself may still set follow-ups off."""
        if turn.brand.sops.set_off_by(f"scenario:{scenario}"):
            why = f"听到“{turn.brand.title(scenario)}”"
            self.follow_ups.hear(scenario, self._occasion(turn, Prompt(scenario, why, "")))

    def flush(self) -> None:
        """Write everything of the batch."""
        outbox.add(self.session, [*self.outgoing, *self.follow_ups.flush()], self.now)
        write_dialogs(self.session, self._changed)
        write_pauses(self.session, self._paused)
        write_rows(self.session, VerdictRow, self.verdicts)

    def settled(self, occasion: Occasion, brand: Brand) -> None:
        """The rep is done with a complaint or a case: it is closed, and the customer is asked how content they are."""
        kind, _, number = occasion.sop.partition(":")
        if kind == "case":
            is_closed = cases.close(self.session, int(number.partition(":")[0]), self.now)
            about = "return" if is_closed and occasion.title == returns.TITLE else ""
        else:
            about = "complaint" if occasion.sop == "complaint" else ""
        found = about and survey.invite(self.session, brand, occasion.member_id, about, occasion.task, self.now)
        if found:
            self.outgoing.append(found.row)
            self._set_dialog(found.place, found.dialog)

    def is_paused(self, place: Place) -> bool:
        """Whether a person has taken over in this place."""
        until = self.pauses.get(place)
        return until is not None and until > self.now

    def close_dialog(self, place: Place) -> None:
        """What was asked in a place is no longer asked."""
        if place in self.dialogs:
            self._set_dialog(place, None)

    def pause(self, place: Place, until: datetime, why: str) -> None:
        """Keep still in a place for a while."""
        self.pauses[place] = until
        self._paused.append((place, until, why))

    def _apply(self, turn: Turn, step: Step, notes: list[tuple[str, str]], count: int) -> Any:
        place = (turn.member_id, turn.message.chat)
        match step:
            case Ask():
                # What is asked once more, with the same memory, was asked when it was asked first.
                heard_at = turn.received_at or self.now
                asked = {"at": self.now.isoformat(), "heard_at": heard_at.isoformat(), "by": turn.message.key}
                state = {QUESTION: asked} | step.state
                self._set_dialog(place, OpenDialog(step.step, state, self.now + turn.brand.dialog.silence))
            case Close():
                self._set_dialog(place, None)
            case Redeem():
                return self._redeem(turn, step, notes)
            case Undo():
                return self._undo(turn, step, notes)
            case Write():
                notes.append(("acted", step.note))
                return step.work(self.session, turn.message.key)
            case Prompt():
                return self._prompt(turn, step, notes)
            case HandOver():
                self._hand_over(turn, step, place)
                notes.append(("acted", "handed over to a person"))
            case OptOut():
                customers.opt_out(self.session, turn.member_id, self.now)
                stop_runs(self.session, [turn.member_id], "客户选择了勿扰", self.now, turn.brand)
                self.facts.forget_people()
                notes.append(("acted", "opted out"))
            case OptIn():
                customers.opt_in(self.session, turn.member_id)
                self.facts.forget_people()
            case Hush():
                self.pause((turn.member_id, f"{step.topic}:{turn.message.chat}"), step.until, step.topic)
            case Silent():
                notes.append(("silent", step.why))
        return None

    def _set_dialog(self, place: Place, dialog: OpenDialog | None) -> None:
        self._changed[place] = dialog
        if dialog is None:
            self.dialogs.pop(place, None)
        else:
            self.dialogs[place] = dialog

    def _redeem(self, turn: Turn, step: Redeem, notes: list[tuple[str, str]]) -> Any:
        key = f"redeem:{turn.message.key}"
        try:
            outcome = redemptions.redeem(
                self.session, turn.member_id, step.reward_id, step.quantity, key, turn.brand.programme, self.now,
                turn.brand.links,
            )  # fmt: skip
        except LoyaltyError as error:
            self.facts.forget_points()
            notes.append(("acted", f"redemption refused: {type(error).__name__}"))
            return error
        self.facts.forget_points()
        notes.append(("acted", f"redeemed {step.reward_id} x {step.quantity}"))
        return outcome

    def _undo(self, turn: Turn, step: Undo, notes: list[tuple[str, str]]) -> Any:
        key = f"undo:{turn.message.key}"
        try:
            outcome = redemptions.undo(
                self.session, step.redemption_id, turn.member_id, key, turn.brand.programme, self.now
            )
        except LoyaltyError as error:
            return error
        self.facts.forget_points()
        notes.append(("acted", f"redemption {step.redemption_id} undone"))
        return outcome

    def _prompt(self, turn: Turn, step: Prompt, notes: list[tuple[str, str]]) -> Decision:
        profile = self.facts.profile(turn.member_id)
        decision = self.follow_ups.start(self._occasion(turn, step), profile.opted_out_at is not None)
        outcome = {"sent": "acted", "deferred": "deferred", "skipped": "silent"}[decision.outcome]
        notes.append((outcome, f"{step.sop}: {decision.reason}"))
        return decision

    def _occasion(self, turn: Turn, step: Prompt) -> Occasion:
        staff = turn.brand.staff
        here = turn.message.staff
        rep = here[0] if turn.message.channel == "private" and here else self.facts.rep_of(turn.member_id)
        nobody = (self.facts.chat_owner(turn.message.chat), *here, staff.default_rep, staff.supervisor)
        rep = rep or next(filter(None, nobody), "")
        title = step.title or turn.brand.title(step.sop)
        return Occasion(
            sop=step.sop, member_id=turn.member_id, rep=rep, message_key=turn.message.key,
            title=title, said=turn.message.text, where=self._where(turn), why=step.why,
            quote=step.quote, name=self.facts.name(turn.member_id), rows=step.rows, private=step.private,
            trace=turn.message.trace, also_to=staff.supervisor if step.sop == "complaint" else "",
        )  # fmt: skip

    def _where(self, turn: Turn) -> str:
        names = {"private": "私聊", "kf": "微信客服", "oa": "公众号"}
        return names.get(turn.message.channel) or self.facts.chat_name(turn.message.chat) or "客户群"

    def _hand_over(self, turn: Turn, step: HandOver, place: Place) -> None:
        message = turn.message
        self.pause(place, self.now + turn.brand.dialog.human_pause, "handed over to a person")
        self._speak(turn, [Say(step.say)], "handover-say")
        if message.channel == "kf":
            # The words go first and by themselves: where nobody can take the session the customer still hears them.
            rep = self.facts.rep_of(turn.member_id)
            state, open_kfid = (KF_SERVICER if rep else KF_POOL), message.chat.removeprefix("kf:")
            row = effects.kf_transfer(
                f"handover:{message.key}", open_kfid, message.sender, state, rep, "", message.trace
            )
            self.outgoing.append(row)

    def _speak(self, turn: Turn, said: Sequence[Say], prefix: str = "say") -> None:
        """Everything said at once is one message: the platform counts them (wecom.md §6.5, §9.2)."""
        message, step = turn.message, _as_one(said)
        key = f"{prefix}:{message.key}:0"
        if message.channel == "kf":
            open_kfid = message.chat.removeprefix("kf:")
            if step.menu:
                row = effects.kf_menu(key, message.sender, open_kfid, step.text, step.menu, trace=message.trace)
            else:
                row = effects.kf_text(key, message.sender, open_kfid, step.text, message.trace)
        else:
            row = effects.oa_text(key, message.sender, _with_menu(step), message.trace)
        self.outgoing.append(row)


def _as_one(said: Sequence[Say]) -> Say:
    return Say("\n\n".join(step.text for step in said), tuple(entry for step in said for entry in step.menu))


def _with_menu(step: Say) -> str:
    # The 公众号 menu message carries no id back, so the entries are words to answer with.
    if not step.menu:
        return step.text
    return step.text + "\n" + "\n".join(f"回复“{words}”" for _, words in step.menu)


def _sum_up(notes: list[tuple[str, str]]) -> tuple[str, str]:
    rank = ("acted", "deferred", "silent")
    best = min((decision for decision, _ in notes), key=rank.index, default="silent")
    return best, "; ".join(why for _, why in notes)[:200]
