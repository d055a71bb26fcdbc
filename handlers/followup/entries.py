"""Who enters a follow-up: by an event, by a scenario or by the calendar, under the rules of its file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from handlers.brand import Brand
from handlers.followup import experiments
from handlers.followup.caps import Decision
from handlers.followup.conditions import FACTS, condition
from handlers.followup.definition import Sop, Trigger
from handlers.followup.desk import Desk
from handlers.followup.engine import Engine, by_importance
from handlers.followup.runs import Occasion, Run, run_of
from handlers.followup.tables import HappeningRow, RunRow
from handlers.followup.trials import HOLD_OUT
from handlers.talk.outbox import Outgoing
from loyalty.storage import among
from loyalty.tables import table_of
from loyalty.writing import write_rows

BUSY: Final = ("open", "waiting")
"""A run in these states keeps another of the same follow-up out; one that waits for a rep's tap does not."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to a member: its kind (`order`, `added`, `api:NAME` …), once under its key."""

    kind: str
    member_id: int
    key: str
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entering:
    """A person at the door of a follow-up: `key` names the occasion, `why` says it in words."""

    sop: Sop
    member_id: int
    key: str
    why: str
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    heard: Occasion | None = None

    def run(self, name: str) -> Run:
        """The run that this entry begins."""
        if self.heard is not None:
            return Run(self.heard, self.heard.rep, self.at)
        occasion = Occasion(
            sop=self.sop.id, member_id=self.member_id, rep="", message_key=f"{self.member_id}:{self.key}",
            title=self.sop.title, said="", where="", why=self.why, quote="", name=name, event=self.data,
        )  # fmt: skip
        return Run(occasion, "", self.at)


def told(name: str, member_id: int, key: str, at: datetime, facts: Mapping[str, Any]) -> Happening:
    """An event another system tells of; a fact of the engine's own names counts where its kind of value is right."""

    def fits(fact: str, value: Any) -> bool:
        known = FACTS.get(fact)
        return isinstance(value, int | float) if isinstance(known, int | float) else isinstance(value, str)

    data = {fact: value for fact, value in facts.items() if not fact.startswith("event_") or fits(fact, value)}
    return Happening(f"api:{name}", member_id, key, at, data)


def note(session: Session, happenings: Iterable[Happening], now: datetime, is_taken: bool = False) -> None:
    """Write down what happened, in the transaction of its cause; a known key changes nothing."""
    write_rows(session, HappeningRow, [
        {"key": one.key[:200], "kind": one.kind[:64], "member_id": one.member_id, "at": one.at,
         "data": msgspec.json.encode(one.data).decode(), "state": int(is_taken)}
        for one in happenings
    ])  # fmt: skip


def take_happenings(session: Session, brand: Brand, now: datetime, limit: int) -> tuple[int, list[Outgoing]]:
    """Take what has happened and let it wake, stop and set off follow-ups; gives how many and what goes out."""
    table = table_of(HappeningRow)
    waiting = (
        select(table.c.id, table.c.kind, table.c.member_id, table.c.key, table.c.at, table.c.data)
        .where(table.c.state == 0).order_by(table.c.id).limit(limit).with_for_update(skip_locked=True)
    )  # fmt: skip
    rows = session.execute(waiting).all()
    if not rows:
        return 0, []
    session.execute(update(table).where(among(table.c.id, [row.id for row in rows])).values(state=1))
    happened = [Happening(row.kind, row.member_id, row.key, row.at, msgspec.json.decode(row.data)) for row in rows]
    return len(rows), handle(session, brand, happened, now)


def handle(session: Session, brand: Brand, happened: Sequence[Happening], now: datetime) -> list[Outgoing]:
    """Wake who waits for it and let in whom it sets off, in the transaction of the caller."""
    engine = Engine(session, {one.member_id for one in happened}, brand, now, competes=True)
    woken = _woken(session, happened)
    found = [
        Entering(sop, one.member_id, one.key, _because(trigger, one), one.at, one.data)
        for one in happened
        for sop, trigger in brand.sops.set_off_by(one.kind)
        if _fits(trigger, one)
    ]
    for run in by_importance(brand, [*woken, *enter(engine, found)]):
        engine.advance(run)
    follow_on(engine)
    return engine.flush()


def enter(engine: Engine, entering: Sequence[Entering], says_why_not: bool = True) -> list[Run]:
    """The runs that begin, by audience and entry rules; who is kept out gets a row with the reason."""
    if not entering:
        return []
    before = _before(engine.session, {one.member_id for one in entering}, {one.sop.id for one in entering})
    admitted: list[tuple[Sop, Run]] = []
    for one in entering:
        run = one.run(engine.crowd.profile(one.member_id).name)
        if run.task in before.tasks:
            continue
        refusal = _refusal(engine, one, run, before)
        if not refusal:
            before.tasks.add(run.task)
            before.busy.add((one.sop.id, one.member_id))
            before.last_at[one.sop.id, one.member_id] = engine.now
            engine.journal.keep(run)
            admitted.append((one.sop, run))
        elif says_why_not:
            engine.journal.note(run, Decision("skipped", refusal))
    return _give_variants(engine, admitted)


def _give_variants(engine: Engine, admitted: Sequence[tuple[Sop, Run]]) -> list[Run]:
    """Tell each run its variant; who is held out stays, with the reason, and counts as having entered."""
    tried = {sop.id: sop for sop, _ in admitted if sop.experiment is not None}
    variants = {
        name: experiments.assign(engine.session, sop, [run.member_id for _, run in admitted if run.sop == name],
                                 engine.now)
        for name, sop in tried.items()
    }  # fmt: skip
    begun = []
    for sop, run in admitted:
        variant = variants.get(sop.id, {}).get(run.member_id, "")
        if variant == HOLD_OUT:
            run.state = "held_out"
            engine.journal.note(run, Decision("skipped", f"实验 {experiments.name_of(sop)}: {experiments.HELD_OUT}"))
            continue
        if sop.experiment is not None or run.occasion.event.get("variant"):
            run.know(variant=variant)
        begun.append(run)
    return begun


def follow_on(engine: Engine) -> None:
    """Let those enter whom a `go` step sent on; in a circle everybody enters once."""
    for _ in range(10):
        gone, engine.gone_to = engine.gone_to, []
        entering = [
            Entering(sop, run.member_id, f"go:{run.task}", run.occasion.why, engine.now, run.occasion.event)
            for name, run in gone
            if (sop := engine.sop(name)) is not None
        ]
        if not entering:
            return
        for run in by_importance(engine.brand, enter(engine, entering)):
            engine.advance(run)


class _Before:
    """What these members have been through in these follow-ups."""

    def __init__(self) -> None:
        self.busy: set[tuple[str, int]] = set()
        self.last_at: dict[tuple[str, int], datetime] = {}
        self.tasks: set[str] = set()


def _before(session: Session, members: Collection[int], sops: Collection[str]) -> _Before:
    rows = session.execute(
        select(RunRow.sop, RunRow.member_id, RunRow.state, RunRow.started_at, RunRow.task).where(
            among(RunRow.member_id, members), among(RunRow.sop, sops)
        )
    )
    before = _Before()
    for row in rows:
        key = (row.sop, row.member_id)
        before.tasks.add(row.task)
        if row.state in BUSY:
            before.busy.add(key)
        if row.state != "skipped":
            before.last_at[key] = max(row.started_at, before.last_at.get(key, row.started_at))
    return before


def _refusal(desk: Desk, one: Entering, run: Run, before: _Before) -> str:
    sop, key = one.sop, (one.sop.id, one.member_id)
    if desk.is_paused(sop.id):
        return "SOP 已暂停"
    if key in before.busy:
        return "同一 SOP 正在进行中"
    last_at = before.last_at.get(key)
    if sop.entry.once and last_at is not None:
        return "每人只进入一次"
    if last_at is not None and desk.now - last_at < timedelta(days=sop.entry.again_after_days):
        return f"{sop.entry.again_after_days} 天内已进入过"
    if sop.audience is not None and not condition(sop.audience).holds(desk.facts(run)):
        return f"不在人群内: {sop.audience}"
    return ""


def _woken(session: Session, happened: Sequence[Happening]) -> list[Run]:
    first = {(one.member_id, one.kind): one for one in reversed(happened)}
    rows = session.execute(
        select(table_of(RunRow)).where(
            among(RunRow.member_id, {one.member_id for one in happened}), RunRow.state == "waiting",
            among(RunRow.waits_for, {one.kind for one in happened}),
        ).with_for_update()
    )  # fmt: skip
    woken = []
    for row in rows:
        happening = first.get((row.member_id, row.waits_for))
        if happening is not None:
            run = run_of(row)
            run.know(woken_by=happening.kind, **happening.data)
            woken.append(run)
    return woken


def _fits(trigger: Trigger, one: Happening) -> bool:
    """Whether a happening is what this trigger means, in its details."""
    if trigger.channel_codes and one.data.get("event_code") not in trigger.channel_codes:
        return False
    count = int(one.data.get("event_number", 0))
    return {"first": count == 1, "nth": count == trigger.n}.get(trigger.order or "", True)


def _because(trigger: Trigger, one: Happening) -> str:
    words = WORDS.get(one.kind) or f"收到事件 {one.kind.partition(':')[2] or one.kind}"
    if trigger.order in ("first", "nth"):
        words = f"第 {one.data.get('event_number')} 笔订单"
    code = one.data.get("event_code")
    return f"{words} (渠道 {code})" if code and one.kind == "added" else words


WORDS: Final = {
    "order": "下了一笔订单", "refund": "有一笔退款", "added": "新加了导购好友", "group_joined": "进了客户群",
    "group_left": "退了客户群", "customer_deleted": "客户删除了导购", "rep_deleted": "导购删除了客户",
    "points_earned": "积分到账", "points_lapsing": "积分快到期", "tier_reached": "会员升级",
    "tier_at_risk": "等级快保不住了", "redeemed": "兑换了礼品", "plan_expiring": "付费会员快到期",
    "plan_expired": "付费会员已到期", "stored_value_dormant": "储值很久没用", "friend_added": "邀请的朋友加了好友",
}  # fmt: skip
"""What happened, as a rep reads it."""
