"""What a person got, what not, and why: the history of follow-ups in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from handlers.brand import Brand
from handlers.followup.runs import LIVE
from handlers.followup.tables import PauseSopRow, RunRow, TimerRow, TouchRow
from handlers.talk.tables import OutboxRow
from loyalty.customers import profiles
from loyalty.tables import Member, MemberIdentity, table_of
from loyalty.writing import insert_into

DECISIONS: Final = {
    "sent": "已发出", "deferred": "推迟", "skipped": "没有发", "done": "导购已处理", "dismissed": "导购认为不合适",
    "ended": "结束", "escalated": "已升级", "lapsed": "超时", "delivered": "已送达", "undelivered": "未送达",
}  # fmt: skip
CHANNELS: Final = {
    "rep": "导购提醒", "kf": "微信客服", "oa": "公众号", "mass": "企业群发", "welcome": "欢迎语", "points": "积分",
    "coupon": "券", "call": "电话", "sms": "短信",
}  # fmt: skip


class Line(NamedTuple):
    """One thing that was decided about a person."""

    at: datetime
    sop: str
    channel: str
    decision: str
    reason: str


def find_person(session: Session, person: str) -> list[int]:
    """Member ids behind a number, an identity of any kind, or a name."""
    if person.isdigit() and len(person) < 19 and int(person) in profiles(session, [int(person)]):
        return [int(person)]
    found = session.scalars(select(MemberIdentity.member_id).where(MemberIdentity.value == person)).all()
    found = found or session.scalars(select(Member.id).where(Member.name == person).limit(20)).all()
    return sorted(set(found))


def history(session: Session, member_id: int, limit: int = 50) -> list[Line]:
    """The last decisions about a person, oldest first."""
    rows = session.execute(
        select(TouchRow.at, TouchRow.sop, TouchRow.channel, TouchRow.decision, TouchRow.reason)
        .where(TouchRow.member_id == member_id).order_by(TouchRow.id.desc()).limit(limit)
    )  # fmt: skip
    return [Line(*row) for row in rows][::-1]


def explain(session: Session, brand: Brand, member_id: int, limit: int = 50) -> Iterator[str]:
    """The history of a person in sentences, then what is still to come."""
    zone, profile = brand.restraint.zone, profiles(session, [member_id])[member_id]
    opted = ", 已选择勿扰" if profile.opted_out_at else ""
    yield f"{profile.name or '未留名'} (会员 {member_id}{opted})"
    lines = history(session, member_id, limit)
    for line in lines:
        yield in_words(line, brand, zone)
    if not lines:
        yield "没有任何 SOP 触达过, 也没有进入过。"
    yield from _under_way(session, brand, member_id, zone)
    for row in session.execute(
        select(OutboxRow.kind, OutboxRow.error, OutboxRow.sent_at)
        .where(OutboxRow.member_id == member_id, OutboxRow.state.in_((2, 3))).order_by(OutboxRow.id)
    ):  # fmt: skip
        yield f"{row.sent_at.astimezone(zone):%m-%d %H:%M} 没有发出 ({row.kind}): {row.error}"


def in_words(line: Line, brand: Brand, zone: ZoneInfo) -> str:
    """One decision as a sentence."""
    sop = brand.sops.by_id.get(line.sop)
    channel = f" · {CHANNELS.get(line.channel, line.channel)}" if line.channel else ""
    title = sop.title if sop else brand.title(line.sop)
    decision = DECISIONS.get(line.decision, line.decision)
    return f"{line.at.astimezone(zone):%m-%d %H:%M} {title}{channel}: {decision}, {line.reason}"


def pause(session: Session, sop: str, now: datetime, by: str) -> bool:
    """Put a follow-up on hold: nobody enters, what is due waits. False where it was."""
    statement = insert_into(session, PauseSopRow).values(sop=sop, at=now, by=by).on_conflict_do_nothing()
    return session.execute(statement.returning(PauseSopRow.sop)).first() is not None


def resume(session: Session, sop: str) -> bool:
    """Let a follow-up go on; what became due meanwhile is decided anew. False where it was not on hold."""
    table, timers = table_of(PauseSopRow), table_of(TimerRow)
    was = session.execute(table.delete().where(table.c.sop == sop).returning(table.c.sop)).first()
    held = select(RunRow.task).where(RunRow.sop == sop, RunRow.state.in_(LIVE))
    session.execute(timers.update().where(timers.c.state == 2, timers.c.task.in_(held)).values(state=0))
    return was is not None


def _under_way(session: Session, brand: Brand, member_id: int, zone: ZoneInfo) -> Iterator[str]:
    rows = session.execute(
        select(RunRow.sop, RunRow.state, RunRow.step, RunRow.waits_for, TimerRow.due_at)
        .join(TimerRow, (TimerRow.task == RunRow.task) & (TimerRow.state == 0), isouter=True)
        .where(RunRow.member_id == member_id, RunRow.state.in_(LIVE)).order_by(RunRow.id)
    )  # fmt: skip
    for row in rows:
        sop = brand.sops.by_id.get(row.sop)
        what = {"waiting": f"等 {row.waits_for}", "prompted": "等导购处理"}.get(row.state, "等时间到")
        due = f", 最晚 {row.due_at.astimezone(zone):%m-%d %H:%M}" if row.due_at else ""
        yield f"进行中: {sop.title if sop else row.sop}, 第 {row.step or '0'} 步, {what}{due}"
