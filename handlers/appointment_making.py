"""Making an appointment: what is missing is asked for, what is not to be had gets alternatives, the rest is booked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy.orm import Session

from handlers import appointment_book as book
from handlers.appointment_book import Appointment, Service, Wish
from handlers.appointment_reading import BOOKED, local_now, pack, unpack, upcoming, zone_of
from handlers.appointment_words import card_of, day_words, hours_words, rows_of, task_of
from handlers.moments import PARTS, Moment
from handlers.talk.turn import Ask, Close, Prompt, Say, Scene, Turn, Write

MOST_SHOWN: Final = 6
YES_NO: Final = (("yes", "确认"), ("no", "算了"))


def go_on(turn: Turn, state: dict[str, Any]) -> Scene:
    """Ask for what is missing, offer what is free, or book."""
    plan = turn.brand.appointments
    service = plan.service(state.get("service", "")) or (plan.services[0] if len(plan.services) == 1 else None)
    if service is None:
        yield from ask_service(turn, state)
        return
    state = state | {"service": service.id, "people": state.get("people", 1)}
    if state["people"] > service.most_people:
        yield Close()
        yield Say(turn.reply("appointment_many", service=service.name, most=service.most_people))
        why = f"客户想给 {state['people']} 个人预约, 超出单次上限, 请确认"
        yield Prompt("appointment", why, turn.reply("rep_appointment"), (("项目", service.name),), private=True)
        return
    moment = unpack(state.get("moment"))
    if moment.problem:
        kept = pack(Moment(at=moment.at, part=moment.part, is_loose=moment.is_loose) if moment.at else Moment())
        yield from ask(turn, state | {"moment": kept}, "日期", f"appointment_{moment.problem}", service=service.name)
        return
    moment = _settle_hour(plan, service, moment)
    state = state | {"moment": pack(moment)}
    if moment.day is None:
        yield from _ask_day(turn, state, service, moment)
    elif moment.at is None or moment.is_loose:
        yield from _ask_time(turn, state, service, moment.day, moment)
    else:
        yield from _try(turn, state, service, datetime.combine(moment.day, moment.at, zone_of(turn)))


def _settle_hour(plan: book.Plan, service: Service, moment: Moment) -> Moment:
    """三点 is in the afternoon where the place is closed at three in the morning; else the nearer of the two."""
    if not moment.is_loose or moment.day is None:
        return moment
    hours = plan.open_hours(service, moment.day)
    open_at = [at for at in moment.times() if any(one.opens <= at < one.closes for one in hours)]
    if len(open_at) == 1:
        return Moment(moment.first, moment.last, open_at[0], moment.part)
    if open_at or not hours:
        return moment
    starts = [_minutes(start) for start in plan.starts(service, moment.day)]
    nearest = min(moment.times(), key=lambda at: min((abs(_minutes(at) - start) for start in starts), default=0))
    return Moment(moment.first, moment.last, nearest)


def _minutes(at: time) -> int:
    return at.hour * 60 + at.minute


def _hour_words(moment: Moment) -> str:
    """The hour that is kept, as it was said."""
    if moment.at is None:
        return ""
    if moment.is_loose:
        return f"{moment.at.hour}点" + (f"{moment.at.minute}分" if moment.at.minute else "")
    return f"{moment.at:%H:%M}"


def ask(turn: Turn, state: dict[str, Any], needs: str, reply: str, **variables: Any) -> Scene:
    """Ask for one thing and remember which."""
    yield Ask("appointment", state | {"needs": needs})
    yield Say(turn.reply(reply, **variables))


def ask_service(turn: Turn, state: dict[str, Any]) -> Scene:
    """Which of the services it is to be."""
    services = turn.brand.appointments.services
    yield Ask("appointment", state | {"needs": "项目"})
    menu = tuple((service.id, service.name) for service in services)
    at = _hour_words(unpack(state.get("moment")))
    yield Say(turn.reply("appointment_service", services=[service.name for service in services], at=at), menu)


def _ask_day(turn: Turn, state: dict[str, Any], service: Service, moment: Moment) -> Scene:
    plan = turn.brand.appointments
    days: list[str] = []
    if moment.first is not None and moment.last is not None:
        span = [moment.first + timedelta(days=ahead) for ahead in range((moment.last - moment.first).days + 1)]
        days = [day_words(day) for day in span if plan.open_hours(service, day)][:7]
    hours = hours_words(plan)
    yield from ask(turn, state, "日期", "appointment_day", service=service.name, days=days, hours=hours,
                   at=_hour_words(moment))  # fmt: skip


def _ask_time(turn: Turn, state: dict[str, Any], service: Service, day: date, moment: Moment) -> Scene:
    if moment.is_loose and moment.at is not None:
        hour = f"{moment.at:%-H:%M}"
        yield from ask(turn, state, "时间", "appointment_half", hour=hour, day=day_words(day))
        return
    free = _free(turn, service, day, state["people"])
    if moment.part:
        low, high = PARTS[moment.part]
        free = [start for start in free if low <= start.hour < high]
    if not free:
        yield from _full(turn, state, service, day, None)
        return
    state = state | {"shown": [start.isoformat() for start in _spread(free)]}
    part = moment.part if moment.part != "早上" else "上午"
    times = [f"{start:%H:%M}" for start in _spread(free)]
    yield from ask(
        turn, state, "时间", "appointment_time", service=service.name, day=day_words(day), times=times, part=part
    )


def _free(turn: Turn, service: Service, day: date, people: int) -> list[datetime]:
    """The free starts of a day; booking looks at them again."""
    plan, zone = turn.brand.appointments, zone_of(turn)
    earliest = (turn.now + timedelta(minutes=plan.notice_min)).astimezone(zone)
    if day in plan.closed or (day - earliest.date()).days > plan.ahead_days:
        return []
    return turn.facts.look_up(
        f"free:{service.id}:{day}:{people}",
        lambda session, _members, _now: book.free_times(session, plan, service, day, people, earliest),
    )


def _spread(free: Sequence[datetime]) -> list[datetime]:
    """At most six starts, spread over what is free."""
    step = -(-len(free) // MOST_SHOWN) if free else 1
    return list(free[::step])


def _try(turn: Turn, state: dict[str, Any], service: Service, starts_at: datetime) -> Scene:
    """Everything is said: book it, or say why not and what is free instead."""
    plan = turn.brand.appointments
    local, day = local_now(turn), starts_at.date()
    hour_kept = state | {"moment": pack(Moment(at=starts_at.time()))}
    if starts_at <= local:
        yield from ask(turn, hour_kept, "日期", "appointment_past", service=service.name)
    elif starts_at < local + timedelta(minutes=plan.notice_min):
        yield from _full(turn, state, service, day, starts_at, "appointment_too_soon")
    elif (day - local.date()).days > plan.ahead_days:
        yield from ask(turn, hour_kept, "日期", "appointment_too_far", days=plan.ahead_days)
    elif not plan.open_hours(service, day):
        yield from ask(turn, hour_kept, "日期", "appointment_closed_day", day=day_words(day),
                        hours=hours_words(plan))  # fmt: skip
    elif starts_at.time() not in set(plan.starts(service, day)):
        yield from _full(turn, state, service, day, starts_at, "appointment_closed")
    elif _stands(turn, state, service, starts_at):
        yield Close()
        yield Say(turn.reply("appointment_already", when=f"{day_words(day)} {starts_at:%H:%M}", service=service.name))
    elif state.get("asks") and not state.get("sure"):
        yield from _offer(turn, state, service, starts_at)
    else:
        yield from _book(turn, state, service, starts_at)


def _stands(turn: Turn, state: dict[str, Any], service: Service, starts_at: datetime) -> bool:
    """Whether that very visit is booked already; for more or fewer people it is another."""
    same = [one for one in upcoming(turn) if one.starts_at == starts_at and one.service == service.id]
    return any(one.id != state.get("moving") or one.people == state["people"] for one in same)


def _offer(turn: Turn, state: dict[str, Any], service: Service, starts_at: datetime) -> Scene:
    """It was a question: answer it, and book after a yes."""
    free = _free(turn, service, starts_at.date(), state["people"])
    if starts_at not in free:
        yield from _full(turn, state, service, starts_at.date(), starts_at)
        return
    yield Ask("appointment", state | {"offer": starts_at.isoformat(), "needs": "确认"})
    when = f"{day_words(starts_at.date())} {starts_at:%H:%M}"
    yield Say(turn.reply("appointment_offer", when=when, service=service.name, people=state["people"]), YES_NO)


def _distance(asked: datetime, start: datetime) -> timedelta:
    return abs(start - asked)


def _full(
    turn: Turn, state: dict[str, Any], service: Service, day: date, asked: datetime | None,
    reply: str = "appointment_full",
) -> Scene:  # fmt: skip
    """That time is not to be had: the nearest that are."""
    free = _free(turn, service, day, state["people"])
    others = sorted(sorted(free, key=partial(_distance, asked))[:3]) if asked else _spread(free)
    ahead = day
    while not others and ahead < day + timedelta(days=7):
        ahead += timedelta(days=1)
        others = _spread(_free(turn, service, ahead, state["people"]))[:3]
    moment = Moment(day, day) if ahead == day else Moment(ahead, ahead)
    kept = state | {"moment": pack(moment), "shown": [start.isoformat() for start in others], "offer": ""}
    times = [f"{start:%H:%M}" for start in others]
    when = f"{day_words(day)} {asked:%H:%M}" if asked else day_words(day)
    other_day = day_words(ahead) if ahead != day else ""
    yield from ask(turn, kept, "时间", reply, when=when, service=service.name, times=times, other_day=other_day)


def _book(turn: Turn, state: dict[str, Any], service: Service, starts_at: datetime) -> Scene:
    wish = Wish(turn.member_id, service, starts_at, state["people"], turn.message.chat)
    moving = state.get("moving")
    plan, now = turn.brand.appointments, turn.now
    if moving:
        done: Appointment | None = yield Write("appointment moved", partial(_moved, moving, wish, plan, now))
    else:
        done = yield Write("appointment booked", partial(_booked, wish, plan, now))
    turn.facts.forget(BOOKED)
    turn.facts.forget(f"free:{service.id}:{starts_at.date()}:{state['people']}")
    if done is None:
        yield from _full(turn, state, service, starts_at.date(), starts_at)
        return
    yield Ask("appointment_done", {"id": done.id})
    yield Say(card_of(turn, done, "moved" if moving else "booked"))
    title = "预约改期" if moving else "新预约"
    why = "客户改了预约时间" if moving else "客户在聊天里约好了, 请准备接待"
    quote = card_of(turn, done, "moved" if moving else "booked")
    yield Prompt(task_of(turn, done), why, quote, rows_of(turn, done), private=True, title=title)


def _booked(wish: Wish, plan: book.Plan, now: datetime, session: Session, key: str) -> Appointment | None:
    return book.book(session, wish, plan, f"appointment:{key}", now)


def _moved(moving: int, wish: Wish, plan: book.Plan, now: datetime, session: Session, _key: str) -> Appointment | None:
    return book.move(session, moving, wish, plan, now)
