"""Follow-ups: set off by a scenario, decided when fired, prompted on the rep's phone, closed by a tap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from handlers.brand import Brand
from handlers.followup.caps import SELLING, Decision, Touched, decide
from handlers.followup.tables import RunRow, TimerRow, TouchRow
from handlers.talk import effects
from handlers.talk.outbox import Outgoing
from loyalty.customers import profiles
from loyalty.orders import purchases
from loyalty.storage import among
from loyalty.writing import write_rows

BUTTONS: Final = (("已发送", 1, "done"), ("不合适", 3, "no"), ("稍后提醒", 2, "later"))
CHOSEN: Final = {"done": "已发送", "no": "不合适", "later": "稍后提醒"}
LOOK_BACK: Final = timedelta(days=35)
MOST_PROMPTS: Final = 3


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

    @property
    def task(self) -> str:
        """The name of the run: the same message sets the same follow-up off once."""
        return f"{self.sop}-{sha256(self.message_key.encode()).hexdigest()[:16]}"


class FollowUps:
    """The follow-ups of one batch: decided in memory, written set-based when the batch ends."""

    def __init__(self, session: Session, members: Collection[int], brand: Brand, now: datetime) -> None:
        self._session, self._members, self._brand, self._now = session, members, brand, now
        self._touched: dict[int, list[Touched]] | None = None
        self._runs: list[dict[str, Any]] = []
        self._timers: list[dict[str, Any]] = []
        self._touches: list[dict[str, Any]] = []
        self._cards: list[Outgoing] = []

    def start(self, occasion: Occasion, opted_out: bool) -> Decision:
        """Prompt the rep, put it off or keep still, by the rules of restraint; the decision is stored."""
        touches = self._touches_of(occasion.member_id)
        last_at = max((touch.at for touch in touches if touch.sop == occasion.sop), default=None)
        decision = decide(occasion.sop, opted_out, touches, self._brand.restraint, self._now, last_at)
        if decision.outcome != "skipped" and not occasion.rep:
            decision = Decision("skipped", "没有可提醒的导购: 请设置 wecom.default_rep")
        state = {"sent": "prompted", "deferred": "open", "skipped": "skipped"}[decision.outcome]
        self._runs.append(_run_values(occasion, state, self._now))
        self._note(occasion.task, occasion.sop, occasion.member_id, occasion.rep, decision)
        if decision.outcome == "sent":
            touches.append(Touched(occasion.sop, self._now))
            self._cards += cards_of(occasion, 1)
        elif decision.until is not None:
            self._timers.append({"key": f"{occasion.task}@1", "task": occasion.task, "due_at": decision.until})
        return decision

    def flush(self) -> list[Outgoing]:
        """Write runs, timers and touches; gives back the cards that go to the outbox."""
        for table, rows in ((RunRow, self._runs), (TimerRow, self._timers), (TouchRow, self._touches)):
            write_rows(self._session, table, rows)
        return self._cards

    def _touches_of(self, member_id: int) -> list[Touched]:
        if self._touched is None:
            self._touched = read_touches(self._session, self._members, self._now)
        return self._touched[member_id]

    def _note(self, task: str, sop: str, member_id: int, rep: str, decision: Decision) -> None:
        self._touches.append(_touch_values(task, sop, member_id, rep, decision, self._now))


def read_touches(session: Session, members: Collection[int], now: datetime) -> dict[int, list[Touched]]:
    """The touches that were sent to these members lately."""
    rows = session.execute(
        select(TouchRow.member_id, TouchRow.sop, TouchRow.at).where(
            among(TouchRow.member_id, members), TouchRow.decision == "sent", TouchRow.at > now - LOOK_BACK
        )
    )
    touched: dict[int, list[Touched]] = defaultdict(list)
    for row in rows:
        touched[row.member_id].append(Touched(row.sop, row.at))
    return touched


def cards_of(occasion: Occasion, count: int) -> list[Outgoing]:
    """The card for the rep, the `count`-th of this run; a complaint goes to the supervisor as well."""
    rows = [("客户", occasion.name or "未留名"), ("在哪说的", occasion.where), ("为什么", occasion.why)]
    rows += list(occasion.rows)
    if occasion.private:
        rows.append(("注意", "只可私聊, 勿发到群里"))
    title = f"{occasion.title} · {occasion.name or '客户'}"
    receivers = [occasion.rep, occasion.also_to] if occasion.also_to != occasion.rep else [occasion.rep]
    return [
        effects.card(
            f"card:{occasion.task}@{count}:{userid}", userid, f"{occasion.task}@{count}@{place}",
            title, f"“{occasion.said}”", occasion.quote, rows, BUTTONS, occasion.member_id,
            is_follow_up=occasion.sop in SELLING, trace=occasion.trace,
        )
        for place, userid in enumerate(filter(None, receivers))
    ]  # fmt: skip


def fire_due(session: Session, brand: Brand, now: datetime, limit: int) -> tuple[int, list[Outgoing]]:
    """Fire the timers that are due: facts first, then restraint, then a card or a skipped row with its reason.

    Gives the number of timers taken and the cards for the outbox.
    """
    timers = session.execute(
        select(TimerRow.id, TimerRow.key, TimerRow.task)
        .where(TimerRow.state == 0, TimerRow.due_at <= now)
        .order_by(TimerRow.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if not timers:
        return 0, []
    session.execute(update(TimerRow).where(TimerRow.id.in_([row.id for row in timers])).values(state=1))
    runs = session.scalars(
        select(RunRow).where(RunRow.task.in_({row.task for row in timers}), RunRow.state == "open").with_for_update()
    ).all()
    members = {run.member_id for run in runs}
    touched = read_touches(session, members, now)
    known = profiles(session, members)
    bought = purchases(session, members)
    cards: list[Outgoing] = []
    for run in runs:
        bought_at = max((purchase.at for purchase in bought.get(run.member_id, ())), default=None)
        opted_out = known[run.member_id].opted_out_at is not None
        decision = _decide_again(run, brand, touched[run.member_id], bought_at, opted_out, now)
        cards += _fire(session, run, decision, now)
        if decision.outcome == "sent":
            touched[run.member_id].append(Touched(run.sop, now))
    return len(timers), cards


def tap(
    session: Session, task_id: str, button: str, by: str, response_code: str, brand: Brand, now: datetime
) -> tuple[str, list[Outgoing], Occasion | None]:
    """A rep tapped a card: the state it leads to, the update of the card, and the occasion for a correction.

    The same tap twice, or a tap by a colleague on a card that was answered, changes nothing but that card's look.
    """
    run = session.scalar(select(RunRow).where(RunRow.task == task_id.split("@")[0]).with_for_update())
    if run is None or button not in CHOSEN:
        return "unknown", [], None
    update_card = effects.card_update(f"update:{task_id}:{by}:{response_code}", by, response_code, CHOSEN[button])
    if run.state != "prompted":
        return run.state, [update_card], None
    occasion = occasion_of(run)
    run.state = {"done": "done", "no": "dismissed", "later": "open"}[button]
    run.changed_at = now
    until = None
    if button == "later":
        until = now + brand.restraint.later
        values = {"key": f"{run.task}@{run.prompts + 1}", "task": run.task, "due_at": until}
        session.execute(insert(TimerRow), [values])
    session.flush()
    reason = {"done": "导购已发送", "no": "导购认为不合适", "later": "导购选择稍后提醒"}[button]
    outcome = {"done": "done", "no": "dismissed", "later": "deferred"}[button]
    touch = _touch_values(run.task, run.sop, run.member_id, by, Decision(outcome, reason, until), now)
    session.execute(insert(TouchRow), [touch])
    return run.state, [update_card], occasion


def stop_runs(session: Session, member_ids: Collection[int], reason: str, now: datetime) -> None:
    """End what has not been prompted yet for these members, with the reason."""
    runs = session.execute(
        update(RunRow)
        .where(RunRow.member_id.in_(list(member_ids)), RunRow.state == "open", RunRow.sop.in_(sorted(SELLING)))
        .values(state="stopped", changed_at=now)
        .returning(RunRow.task, RunRow.sop, RunRow.member_id, RunRow.rep)
    ).all()
    rows = [_touch_values(r.task, r.sop, r.member_id, r.rep, Decision("skipped", reason), now) for r in runs]
    if rows:
        session.execute(insert(TouchRow), rows)


def withdrawn(session: Session, rows: Sequence[tuple[int, int | None]], now: datetime) -> dict[int, str]:
    """Consent once more when sending: of (row id, member id) those whose person has opted out, with the reason."""
    members = {member for _, member in rows if member is not None}
    known = profiles(session, members) if members else {}
    return {
        row_id: "客户在发送前选择了勿扰"
        for row_id, member in rows
        if member is not None and member in known and known[member].opted_out_at is not None
    }


def occasion_of(run: RunRow) -> Occasion:
    """What set this run off, as it was stored."""
    return msgspec.convert(msgspec.json.decode(run.facts), Occasion)


def _decide_again(
    run: RunRow, brand: Brand, touches: list[Touched], bought_at: datetime | None, opted_out: bool, now: datetime
) -> Decision:
    if run.sop == "running_out" and bought_at is not None and bought_at > run.started_at:
        return Decision("skipped", "客户已经下单, 不再提醒")
    if run.prompts >= MOST_PROMPTS:
        return Decision("skipped", f"已提醒 {run.prompts} 次, 不再打扰")
    if run.prompts:  # the rep asked for this one: it is the same touch, only later
        touches = [touch for touch in touches if touch.sop != run.sop]
    return decide(run.sop, opted_out, touches, brand.restraint, now)


def _fire(session: Session, run: RunRow, decision: Decision, now: datetime) -> list[Outgoing]:
    touch = _touch_values(run.task, run.sop, run.member_id, run.rep, decision, now)
    session.execute(insert(TouchRow), [touch])
    run.changed_at = now
    if decision.outcome == "deferred":
        values = {
            "key": f"{run.task}@{run.prompts + 1}@{now.timestamp():.0f}",
            "task": run.task,
            "due_at": decision.until,
        }
        session.execute(insert(TimerRow), [values])
        return []
    if decision.outcome == "skipped":
        run.state = "skipped"
        session.flush()
        return []
    run.state, run.prompts = "prompted", run.prompts + 1
    session.flush()
    return cards_of(occasion_of(run), run.prompts)


def _run_values(occasion: Occasion, state: str, now: datetime) -> dict[str, Any]:
    return {
        "sop": occasion.sop, "member_id": occasion.member_id, "task": occasion.task, "rep": occasion.rep,
        "state": state, "facts": msgspec.json.encode(asdict(occasion)).decode(), "started_at": now,
        "changed_at": now, "prompts": int(state == "prompted"), "trace": occasion.trace,
    }  # fmt: skip


def _touch_values(task: str, sop: str, member_id: int, rep: str, decision: Decision, now: datetime) -> dict[str, Any]:
    return {"task": task, "sop": sop, "member_id": member_id, "rep": rep, "decision": decision.outcome,
            "reason": decision.reason[:200], "at": now}  # fmt: skip
