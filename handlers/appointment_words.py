"""How appointments read: days, hours, cards, and the rows of a prompt."""

from __future__ import annotations

from datetime import date
from zlib import crc32

from handlers.appointment_book import WEEKDAYS, Appointment, Plan
from handlers.talk.turn import Turn

_CHINESE = dict(zip(WEEKDAYS, "一二三四五六日", strict=True))


def day_words(day: date) -> str:
    """12月3日(周四)."""
    return f"{day.month}月{day.day}日(周{_CHINESE[WEEKDAYS[day.weekday()]]})"


def hours_words(plan: Plan) -> str:
    """When the place is open, in one line."""
    return "; ".join(
        f"{'、'.join('周' + _CHINESE[day] for day in hours.days)} {hours.opens:%H:%M}–{hours.closes:%H:%M}"
        if len(hours.days) < 3
        else f"周{_CHINESE[hours.days[0]]}到周{_CHINESE[hours.days[-1]]} {hours.opens:%H:%M}–{hours.closes:%H:%M}"
        for hours in plan.hours
    )


def service_words(plan: Plan, service_id: str) -> str:
    """The name of a service, also of one that was taken out of the plan."""
    service = plan.service(service_id)
    return service.name if service else "预约"


def when_words(turn: Turn, visit: Appointment) -> str:
    """12月3日(周四) 14:00 手冲体验课, with how many where they are several."""
    start = visit.starts_at.astimezone(turn.brand.programme.zone)
    people = f" {visit.people}位" if visit.people > 1 else ""
    return f"{day_words(start.date())} {start:%H:%M} {service_words(turn.brand.appointments, visit.service)}{people}"


def card_of(turn: Turn, visit: Appointment, what: str) -> str:
    """Everything of a visit in one text: `what` is booked or moved."""
    plan, zone = turn.brand.appointments, turn.brand.programme.zone
    start, end = visit.starts_at.astimezone(zone), visit.ends_at.astimezone(zone)
    service = plan.service(visit.service)
    return turn.reply(
        "appointment_card", what=what, service=service_words(plan, visit.service), day=day_words(start.date()),
        starts=f"{start:%H:%M}", ends=f"{end:%H:%M}", people=visit.people, place=plan.place,
        note=service.note if service else "", number=visit.id,
    )  # fmt: skip


def task_of(turn: Turn, visit: Appointment) -> str:
    """A name for the prompt of one message about a visit: another message is another occasion, however soon."""
    return f"visit:{visit.id}:{crc32(turn.message.key.encode()):08x}"


def rows_of(turn: Turn, visit: Appointment) -> tuple[tuple[str, str], ...]:
    """What the rep needs to know."""
    plan, zone = turn.brand.appointments, turn.brand.programme.zone
    start, end = visit.starts_at.astimezone(zone), visit.ends_at.astimezone(zone)
    return (
        ("项目", service_words(plan, visit.service)), ("时间", f"{day_words(start.date())} {start:%H:%M}–{end:%H:%M}"),
        ("人数", str(visit.people)), ("编号", str(visit.id)),
    )  # fmt: skip
