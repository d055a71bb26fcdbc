"""Who enters because of the day: birthdays, campaign days, cycles that end, points, plans and tiers that run out.

Each sweep is made once a local day, when the quiet hours are over; making it again lets nobody in twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import and_, extract, func, or_, select
from sqlalchemy.orm import Session, aliased

from handlers.brand import Brand
from handlers.followup.definition import CALENDAR, Sop, Trigger
from handlers.followup.engine import Engine
from handlers.followup.entries import Entering, enter
from handlers.followup.tables import WatermarkRow
from loyalty import segments
from loyalty.campaign_tables import Birthday, TierStanding
from loyalty.conditions import ConditionError
from loyalty.reward_tables import PlanTerm
from loyalty.segment_sql import named_in
from loyalty.tables import Account, AccountBalance, Lot, Member, PurchaseSummary, Transfer, table_of
from loyalty.writing import insert_into

PAGE: Final = 1000
DAY_S: Final = 86_400
SAME_FACTS: Final = frozenset({"tier", "joined", "opted_out", "days_since_joined", "tags"})
"""Facts of segments that are current in the very moment and mean the same here; rows that a sweep keeps may be late."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One trigger of one follow-up that time sets off."""

    sop: Sop
    trigger: Trigger
    number: int

    @property
    def name(self) -> str:
        """The name its watermark goes by."""
        return f"sweep:{self.sop.id}:{self.number}"


@dataclass(frozen=True, slots=True)
class Found:
    """A person a sweep has found: the occasion, in a key and in words."""

    member_id: int
    key: str
    why: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Today:
    """The day a sweep is made for."""

    session: Session
    brand: Brand
    trigger: Trigger
    now: datetime

    @property
    def day(self) -> date:
        """The local day."""
        return self.now.astimezone(self.brand.programme.zone).date()

    def midnight(self, day: date) -> datetime:
        """When a local day begins."""
        return datetime.combine(day, time(), self.brand.programme.zone)


def due(brand: Brand, now: datetime) -> Iterator[Sweep]:
    """The sweeps of a day, once its quiet hours are over."""
    if now.astimezone(brand.restraint.zone).hour < brand.restraint.quiet_to_h % 24:
        return
    for sop in brand.sops.by_id.values():
        for number, trigger in enumerate(sop.triggers):
            if sop.enabled and _kind(trigger) in FINDERS:
                yield Sweep(sop, trigger, number)


def make(session: Session, brand: Brand, sweep: Sweep, now: datetime) -> int:
    """Let in whom the day lets in, unless that was done today; gives how many entered."""
    today = Today(session, brand, sweep.trigger, now)
    if not _is_first(session, sweep.name, today.day, now):
        return 0
    count, page = 0, list[Found]()
    for found in FINDERS[_kind(sweep.trigger)](today):
        page.append(found)
        if len(page) == PAGE:
            count, page = count + _enter(session, brand, sweep, page, now), []
    return count + (_enter(session, brand, sweep, page, now) if page else 0)


def _enter(session: Session, brand: Brand, sweep: Sweep, page: Sequence[Found], now: datetime) -> int:
    sop = sweep.sop
    if sweep.trigger.segment is not None:
        # Who stays in a segment is found every day, and enters again only where the file says after how long.
        again = sop.entry.model_copy(update={"once": sop.entry.once or not sop.entry.again_after_days})
        both = f"({sweep.trigger.segment}) and ({sop.audience})" if sop.audience else sweep.trigger.segment
        sop = sop.model_copy(update={"entry": again, "audience": both})
    engine = Engine(session, [found.member_id for found in page], brand, now)
    entering = [Entering(sop, one.member_id, one.key, one.why, now, one.data) for one in page]
    begun = enter(engine, entering, says_why_not=False)
    for run in begun:
        engine.journal.plan(run, now)
    engine.flush()
    return len(begun)


def _is_first(session: Session, name: str, today: date, now: datetime) -> bool:
    table = table_of(WatermarkRow)
    row = {"source": name, "upto": 0, "at": now}
    session.execute(insert_into(session, WatermarkRow).on_conflict_do_nothing(), [row])
    moved = session.execute(
        table.update().where(table.c.source == name, table.c.upto < today.toordinal())
        .values(upto=today.toordinal(), at=now).returning(table.c.source)
    )  # fmt: skip
    return moved.first() is not None


def _kind(trigger: Trigger) -> str:
    return trigger.loyalty or trigger.date or trigger.kind


def _birthdays(today: Today) -> Iterator[Found]:
    day = today.day + timedelta(days=today.trigger.days_before)
    is_day = and_(Birthday.month == day.month, Birthday.day == day.day)
    if (day.month, day.day) == (2, 28) and (day + timedelta(days=1)).month == 3:
        is_day = or_(is_day, and_(Birthday.month == 2, Birthday.day == 29))
    for member in today.session.scalars(select(Birthday.member_id).where(is_day)):
        yield Found(member, f"birthday:{day.year}", f"{day.month}月{day.day}日过生日")


def _anniversaries(today: Today) -> Iterator[Found]:
    day = today.day + timedelta(days=today.trigger.days_before)
    for years in range(1, 30):
        try:
            then = day.replace(year=day.year - years)
        except ValueError:  # nobody joined on a 29 February of that year
            continue
        begin, finish = today.midnight(then), today.midnight(then + timedelta(days=1))
        for member in today.session.scalars(
            select(Member.id).where(Member.joined_at >= begin, Member.joined_at < finish)
        ):
            yield Found(member, f"anniversary:{day.year}", f"入会满 {years} 年", {"event_days": years * 365})


def _calendar(today: Today) -> Iterator[Found]:
    named = today.trigger.calendar or ""
    day = today.day + timedelta(days=today.trigger.days_before)
    month, number = CALENDAR[named] if named in CALENDAR else (int(part) for part in named.split("-"))
    if (day.month, day.day) == (month, number):
        for member in _everybody(today.session):
            yield Found(member, f"calendar:{named}:{day.year}", f"{named} 还有 {today.trigger.days_before} 天",
                        {"event_days": today.trigger.days_before})  # fmt: skip


def _segment(today: Today) -> Iterator[Found]:
    condition = today.trigger.segment or ""
    for member in _in_segment(today, condition):
        yield Found(member, f"segment:{today.day.isoformat()}", f"属于人群: {condition}")


def _in_segment(today: Today, condition: str) -> Iterable[int]:
    """One query where all its facts are those of segments and mean the same there; else everybody is looked at."""
    try:
        is_same = named_in(condition) <= SAME_FACTS
    except ConditionError:  # it names a fact that only follow-ups know
        is_same = False
    if is_same:
        return segments.audience(today.session, condition, today.now, today.brand.programme)
    return _everybody(today.session)


def _everybody(session: Session) -> Iterator[int]:
    last = 0
    while True:
        page = session.scalars(select(Member.id).where(Member.id > last).order_by(Member.id).limit(PAGE)).all()
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1]


def _cycle(today: Today) -> Iterator[Found]:
    yield from _own_cycle(today) if today.trigger.cycle == "own" else _product_cycle(today)


def _product_cycle(today: Today) -> Iterator[Found]:
    programme, trigger = today.brand.programme, today.trigger
    for days in sorted({product.cycle_days for product in programme.products if product.cycle_days}):
        latest = today.now - timedelta(days=days * trigger.factor + trigger.after_days)
        rows = today.session.execute(
            select(PurchaseSummary.member_id, PurchaseSummary.last_at, PurchaseSummary.last_items).where(
                PurchaseSummary.last_at <= latest, PurchaseSummary.last_at > latest - _catch_up(trigger)
            )
        )
        for row in rows:
            bought = [programme.product(item["sku"]) for item in row.last_items]
            known = [product for product in bought if product and product.cycle_days]
            if known and known[0].cycle_days == days:
                since = (today.now - row.last_at).days
                yield Found(row.member_id, f"cycle:{row.last_at.isoformat()}",
                            f"{since} 天前买的 {known[0].name}, 一般 {days} 天用完", {"event_days": since})  # fmt: skip


def _own_cycle(today: Today) -> Iterator[Found]:
    trigger, kept = today.trigger, PurchaseSummary
    first_s, last_s = extract("epoch", kept.first_at), extract("epoch", kept.last_at)
    due_s = last_s + (last_s - first_s) * trigger.factor / (kept.orders - 1) + trigger.after_days * DAY_S
    now_s, late_s = today.now.timestamp(), _catch_up(trigger).total_seconds()
    rows = today.session.execute(
        select(kept.member_id, kept.first_at, kept.last_at, kept.orders).where(
            kept.orders >= max(2, trigger.n), kept.last_at > kept.first_at, due_s <= now_s, due_s > now_s - late_s
        )
    )
    for row in rows:
        own, since = (row.last_at - row.first_at).days / (row.orders - 1), (today.now - row.last_at).days
        yield Found(row.member_id, f"cycle:{row.last_at.isoformat()}",
                    f"平时约 {own:.0f} 天来一次, 已经 {since} 天没来", {"event_days": since})  # fmt: skip


def _points_lapsing(today: Today) -> Iterator[Found]:
    until = today.midnight(today.day + timedelta(days=today.trigger.within_days + 1))
    rows = today.session.execute(
        select(Account.owner, func.min(Lot.expires_at).label("at"), func.sum(Lot.remaining).label("amount"))
        .join(Lot, Lot.account_id == Account.id)
        .where(Account.asset == "points", Account.kind == "available", Lot.remaining > 0,
               Lot.expires_at > today.now, Lot.expires_at <= until)
        .group_by(Account.owner)
    )  # fmt: skip
    for row in rows:
        day = (row.at - timedelta(seconds=1)).astimezone(today.brand.programme.zone).date()
        words = f"{row.amount} {today.brand.programme.points_name}将在 {day.month}月{day.day}日 前后到期"
        yield Found(row.owner, f"lapse:{day.isoformat()}", words,
                    {"event_points": int(row.amount), "event_days": (day - today.day).days})  # fmt: skip


def _plans(today: Today, begin: datetime, finish: datetime, words: str) -> Iterator[Found]:
    later = aliased(PlanTerm)
    renewed = select(later.id).where(
        later.member_id == PlanTerm.member_id, later.plan_id == PlanTerm.plan_id, later.ends_at > PlanTerm.ends_at,
        later.cancelled_at.is_(None),
    )  # fmt: skip
    rows = today.session.execute(
        select(PlanTerm.id, PlanTerm.member_id, PlanTerm.plan_id, PlanTerm.ends_at).where(
            PlanTerm.ends_at > begin, PlanTerm.ends_at <= finish, PlanTerm.cancelled_at.is_(None), ~renewed.exists()
        )
    )
    for row in rows:
        day = row.ends_at.astimezone(today.brand.programme.zone).date()
        yield Found(row.member_id, f"plan:{row.id}", f"付费会员 {row.plan_id} {day.month}月{day.day}日{words}",
                    {"event_code": row.plan_id, "event_days": abs((day - today.day).days)})  # fmt: skip


def _plans_expiring(today: Today) -> Iterator[Found]:
    return _plans(today, today.now, today.now + timedelta(days=today.trigger.within_days), "到期")


def _plans_expired(today: Today) -> Iterator[Found]:
    latest = today.now - timedelta(days=today.trigger.after_days)
    return _plans(today, latest - _catch_up(today.trigger), latest, "已到期")


def _tiers_at_risk(today: Today) -> Iterator[Found]:
    names = {tier.id: tier.name for tier in today.brand.programme.tiers}
    rows = today.session.execute(
        select(TierStanding.member_id, TierStanding.tier, TierStanding.due_at).where(
            TierStanding.due_at > today.now,
            TierStanding.due_at <= today.now + timedelta(days=today.trigger.within_days),
        )
    )
    for row in rows:
        days, name = (row.due_at - today.now).days, names.get(row.tier or "", "")
        yield Found(row.member_id, f"tier_due:{row.due_at.isoformat()}", f"{name} 还有 {days} 天要重新评定",
                    {"event_tier": name, "event_days": days})  # fmt: skip


def _stored_value_dormant(today: Today) -> Iterator[Found]:
    since = today.now - timedelta(days=today.trigger.within_days)
    moved = select(Transfer.id).where(
        or_(Transfer.debit_id == Account.id, Transfer.credit_id == Account.id), Transfer.at > since
    )
    rows = today.session.execute(
        select(Account.owner, AccountBalance.balance)
        .join(AccountBalance, AccountBalance.account_id == Account.id)
        .where(Account.asset == "stored_value", Account.kind == "available", AccountBalance.balance > 0,
               ~moved.exists())
    )  # fmt: skip
    for row in rows:
        yield Found(row.owner, f"dormant:{today.day:%Y-%m}",
                    f"储值还有 {row.balance / 100:.2f} 元, {today.trigger.within_days} 天没动过",
                    {"event_amount_yuan": row.balance / 100})  # fmt: skip


def _catch_up(trigger: Trigger) -> timedelta:
    return timedelta(days=trigger.catch_up_days)


FINDERS: Final[dict[str, Callable[[Today], Iterator[Found]]]] = {
    "birthday": _birthdays, "anniversary": _anniversaries, "calendar": _calendar, "cycle": _cycle,
    "segment": _segment, "points_lapsing": _points_lapsing, "plan_expiring": _plans_expiring,
    "plan_expired": _plans_expired, "tier_at_risk": _tiers_at_risk, "stored_value_dormant": _stored_value_dormant,
}  # fmt: skip
"""What finds the people of a trigger that time sets off."""
