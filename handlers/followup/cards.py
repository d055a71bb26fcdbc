"""The card for a rep: who gets it, what stands on it, when it is escalated; and how any touch is judged."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from handlers.followup import words
from handlers.followup.caps import Decision
from handlers.followup.definition import Prompt
from handlers.followup.desk import NEXT, REFUSED, WAITS, Desk, Went, with_rep
from handlers.followup.runs import Occasion, Run
from handlers.talk import effects
from handlers.talk.outbox import Outgoing

BUTTONS: Final = (("已发送", 1, "done"), ("不合适", 3, "no"), ("稍后提醒", 2, "later"))
MOST_PROMPTS: Final = 3
TAKEN_OVER: Final = "taken_over_by"
"""What a run remembers of being given to somebody else for good."""
NO_REP: Final = "没有可提醒的导购: 请设置 wecom.default_rep"


def ask_rep(desk: Desk, run: Run, asked: Prompt, text: str) -> Went:
    """A card with this text, if restraint allows it."""
    decision = desk.may(run, "rep", rests=bool(run.occasion.scenario) and run.step == "0" and not run.again)
    return card(desk, run, asked, text, decision)


def card(desk: Desk, run: Run, asked: Prompt, text: str, decision: Decision) -> Went:
    """Carry out what restraint said of a card."""
    if run.again >= MOST_PROMPTS:
        decision = Decision("skipped", f"已提醒 {run.again} 次, 不再打扰")
    receiver = _receiver(desk, run, asked.to)
    if decision.outcome != "skipped" and not receiver:
        decision = Decision("skipped", NO_REP)
    went = judge(desk, run, decision, "rep")
    if went is not None:
        return went
    with_rep(run, receiver)
    run.prompts, run.again, run.state = run.prompts + 1, run.again + 1, "prompted"
    run.waits_for = ""
    occasion = _named(desk, run.occasion)
    if asked.why:
        occasion = replace(occasion, why=words.render(asked.why, desk.facts(run)))
    if asked.also_to:
        occasion = replace(occasion, also_to=desk.brand.staff.supervisor)
    desk.outgoing += cards_of(occasion, receiver, run.prompts, text, desk.weighs(run.sop))
    hours = asked.escalate_after_h or asked.go_on_after_h
    if hours:
        desk.journal.plan(run, desk.now + timedelta(hours=hours))
    return WAITS


def _receiver(desk: Desk, run: Run, to: str) -> str:
    if to == "supervisor":
        return desk.brand.staff.supervisor
    if to != "rep":
        return to
    taken_over = str(run.occasion.event.get(TAKEN_OVER, ""))
    if taken_over and taken_over not in desk.crowd.gone_reps():
        return taken_over
    return run.rep if run.occasion.scenario and run.rep not in desk.crowd.gone_reps() else desk.rep_of(run)


def undone(desk: Desk, run: Run, asked: Prompt) -> Went:
    """Nobody has tapped in time: the supervisor hears of it or takes it over, once; then the run goes on."""
    if asked.escalate_after_h and run.waits_for != "escalated":
        run.waits_for = "escalated"
        to = _receiver(desk, run, asked.escalate_to)
        if to and to != run.rep:
            why = f"{run.rep} {asked.escalate_after_h} 小时未处理; {run.occasion.why}"
            run.prompts += 1
            occasion = _named(desk, replace(run.occasion, why=why, also_to=""))
            desk.outgoing += cards_of(occasion, to, run.prompts, run.occasion.quote, desk.weighs(run.sop))
            desk.journal.note(run, Decision("escalated", why), "rep")
            if asked.reassign:
                with_rep(run, to)
                run.know(**{TAKEN_OVER: to})
        desk.journal.keep(run)
        if asked.go_on_after_h:
            return desk.wait(run, desk.now + timedelta(hours=asked.go_on_after_h), "prompted")
        return WAITS
    desk.journal.note(run, Decision("lapsed", "导购一直没有处理, 继续下一步"), "rep")
    return NEXT


def _named(desk: Desk, occasion: Occasion) -> Occasion:
    """By the name known now: a new friend's is learned after the follow-up began."""
    return replace(occasion, name=desk.crowd.profile(occasion.member_id).name or occasion.name)


def judge(desk: Desk, run: Run, decision: Decision, channel: str) -> Went | None:
    """Write the decision down; None where the touch may go."""
    desk.touched(run, decision, channel)
    if decision.outcome == "deferred" and decision.until is not None:
        return desk.wait(run, decision.until)
    return REFUSED if decision.outcome == "skipped" else None


def refuse(desk: Desk, run: Run, why: str, channel: str) -> Went:
    """Nothing goes, for this reason."""
    desk.touched(run, Decision("skipped", why), channel)
    return REFUSED


def cards_of(occasion: Occasion, rep: str, count: int, text: str, is_follow_up: bool) -> list[Outgoing]:
    """The card for the rep, the `count`-th of this run, and the same for who is to hear of it as well."""
    rows = [("客户", occasion.name or "未留名")]
    rows += [("在哪说的", occasion.where)] if occasion.where else []
    rows += [("为什么", occasion.why)] if occasion.said else []
    rows += occasion.rows
    if occasion.private:
        rows.append(("注意", "只可私聊, 勿发到群里"))
    title = f"{occasion.title} · {occasion.name or '客户'}"
    said = f"“{occasion.said}”" if occasion.said else occasion.why
    receivers = [rep, occasion.also_to] if occasion.also_to != rep else [rep]
    return [
        effects.card(
            f"card:{occasion.task}@{count}:{userid}", userid, f"{occasion.task}@{count}@{place}",
            title, said, text, rows, BUTTONS, occasion.member_id, is_follow_up=is_follow_up, trace=occasion.trace,
        )
        for place, userid in enumerate(filter(None, receivers))
    ]  # fmt: skip
