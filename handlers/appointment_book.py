"""The appointment book: opening hours, services, and bookings that never overfill a slot, however many come at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Final, Literal, Self

from pydantic import Field, PositiveInt, model_validator
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from handlers.service_tables import AppointmentRow, SlotRow
from loyalty.parts import Part, Slug, Text, refuse_doubles
from loyalty.storage import among
from loyalty.tables import table_of
from loyalty.writing import insert_into

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Hours(Part):
    """From when to when a place is open on some days of the week; the last visit ends when it closes."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)]
    opens: time
    closes: time

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.opens >= self.closes:
            raise ValueError(f"opens {self.opens:%H:%M} is not before closes {self.closes:%H:%M}")
        return self


class Service(Part):
    """What can be booked; `capacity` is how many people fit in at the same time, `most_people` how many a booking."""

    id: Slug
    name: Text
    aliases: tuple[Text, ...] = ()
    minutes: PositiveInt = 60
    capacity: PositiveInt = 1
    most_people: PositiveInt = 1
    note: str = ""
    hours: tuple[Hours, ...] = ()


class Plan(Part):
    """config/appointments.yaml: what can be booked, where and when. Without services nothing is booked by itself."""

    place: str = ""
    slot_min: Annotated[int, Field(ge=5, le=240)] = 30
    ahead_days: Annotated[int, Field(ge=1, le=366)] = 30
    notice_min: Annotated[int, Field(ge=0)] = 60
    remind_before_h: tuple[PositiveInt, ...] = (24, 2)
    hours: tuple[Hours, ...] = ()
    closed: tuple[date, ...] = ()
    services: tuple[Service, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        refuse_doubles("services", "id", (service.id for service in self.services))
        refuse_doubles("services", "name", (service.name for service in self.services))
        for service in self.services:
            if not self.hours and not service.hours:
                raise ValueError(f"services: {service.id!r} has no hours; give the plan or the service some")
        return self

    def service(self, service_id: str) -> Service | None:
        """The service with this id, or none where it was taken out of the plan."""
        return next((service for service in self.services if service.id == service_id), None)

    def open_hours(self, service: Service, day: date) -> tuple[Hours, ...]:
        """When the service is to be had on a day; nothing where it is closed."""
        if day in self.closed:
            return ()
        hours = service.hours or self.hours
        return tuple(one for one in hours if WEEKDAYS[day.weekday()] in one.days)

    def starts(self, service: Service, day: date) -> Iterator[time]:
        """Every time of day at which a visit may begin."""
        step = timedelta(minutes=self.slot_min)
        for hours in self.open_hours(service, day):
            at = datetime.combine(day, hours.opens)
            while at + timedelta(minutes=service.minutes) <= datetime.combine(day, hours.closes):
                yield at.time()
                at += step


@dataclass(frozen=True, slots=True)
class Appointment:
    """A visit as it stands in the book."""

    id: int
    service: str
    starts_at: datetime
    ends_at: datetime
    people: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be booked for whom."""

    member_id: int
    service: Service
    starts_at: datetime
    people: int
    chat: str


def upcoming(session: Session, members: Collection[int], now: datetime) -> dict[int, tuple[Appointment, ...]]:
    """The visits of these members that are not over, soonest first."""
    rows = session.execute(
        select(AppointmentRow.member_id, AppointmentRow.id, AppointmentRow.service, AppointmentRow.starts_at,
               AppointmentRow.ends_at, AppointmentRow.people)
        .where(among(AppointmentRow.member_id, members), AppointmentRow.state == "booked", AppointmentRow.ends_at > now)
        .order_by(AppointmentRow.starts_at, AppointmentRow.id)
    )  # fmt: skip
    found: dict[int, tuple[Appointment, ...]] = {}
    for row in rows:
        visit = Appointment(row.id, row.service, row.starts_at, row.ends_at, row.people)
        found[row.member_id] = (*found.get(row.member_id, ()), visit)
    return found


def book(session: Session, wish: Wish, plan: Plan, key: str, now: datetime) -> Appointment | None:
    """Book a visit; None where the slot is full. The same key twice books once."""
    known = session.scalar(select(AppointmentRow).where(AppointmentRow.key == key))
    if known is not None:
        return Appointment(known.id, known.service, known.starts_at, known.ends_at, known.people)
    if not _take(session, _slots(plan, wish.service, wish.starts_at), wish.service, wish.people):
        return None
    ends_at = wish.starts_at + timedelta(minutes=wish.service.minutes)
    row = AppointmentRow(
        key=key, member_id=wish.member_id, service=wish.service.id, starts_at=wish.starts_at, ends_at=ends_at,
        people=wish.people, chat=wish.chat, state="booked", remind_at=next_reminder(plan, wish.starts_at, now),
        booked_at=now, changed_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return Appointment(row.id, row.service, row.starts_at, row.ends_at, row.people)


def move(session: Session, appointment_id: int, wish: Wish, plan: Plan, now: datetime) -> Appointment | None:
    """Give a visit another time; None where that one is full, or the visit no longer stands: then nothing changes."""
    row = _locked(session, appointment_id, wish.member_id)
    if row is None:
        return None
    old = plan.service(row.service) or wish.service
    _give_back(session, _slots(plan, old, row.starts_at), row.service, row.people)
    if not _take(session, _slots(plan, wish.service, wish.starts_at), wish.service, wish.people):
        _take(session, _slots(plan, old, row.starts_at), old, row.people)
        return None
    row.service, row.starts_at, row.people, row.moves = wish.service.id, wish.starts_at, wish.people, row.moves + 1
    row.ends_at, row.changed_at = wish.starts_at + timedelta(minutes=wish.service.minutes), now
    row.remind_at, row.chat = next_reminder(plan, wish.starts_at, now), wish.chat
    session.flush()
    return Appointment(row.id, row.service, row.starts_at, row.ends_at, row.people)


def cancel(session: Session, appointment_id: int, member_id: int, plan: Plan, now: datetime) -> bool:
    """Take a visit out of the book and give its places back; False where it no longer stood."""
    row = _locked(session, appointment_id, member_id)
    if row is None:
        return False
    service = plan.service(row.service)
    if service is not None:
        _give_back(session, _slots(plan, service, row.starts_at), row.service, row.people)
    row.state, row.changed_at, row.remind_at = "cancelled", now, None
    session.flush()
    return True


def free_times(
    session: Session, plan: Plan, service: Service, day: date, people: int, earliest: datetime
) -> list[datetime]:
    """Every start of a day, with its zone, that is not before `earliest` and has places left."""
    zone = earliest.tzinfo
    starts = [datetime.combine(day, at, zone) for at in plan.starts(service, day)]
    starts = [start for start in starts if start >= earliest]
    if not starts:
        return []
    rows = session.execute(
        select(SlotRow.starts_at, SlotRow.taken).where(
            SlotRow.service == service.id, SlotRow.starts_at >= starts[0],
            SlotRow.starts_at < starts[-1] + timedelta(minutes=service.minutes),
        )
    )  # fmt: skip
    taken = {row.starts_at: row.taken for row in rows}
    room = service.capacity - people
    return [s for s in starts if all(taken.get(slot, 0) <= room for slot in _slots(plan, service, s))]


def next_reminder(plan: Plan, starts_at: datetime, now: datetime) -> datetime | None:
    """The first moment after `now` to remind of a visit, or None."""
    moments = [starts_at - timedelta(hours=hours) for hours in plan.remind_before_h]
    return min((moment for moment in moments if moment > now), default=None)


def _slots(plan: Plan, service: Service, starts_at: datetime) -> list[datetime]:
    """The slots a visit covers, in the order in which everybody takes them, so that two never wait for each other."""
    count = -(-service.minutes // plan.slot_min)
    return [starts_at + timedelta(minutes=plan.slot_min * place) for place in range(count)]


def _take(session: Session, slots: Sequence[datetime], service: Service, people: int) -> bool:
    """Take places in every slot or in none: the row's own condition decides, so a race has one winner."""
    rows = [{"service": service.id, "starts_at": slot, "taken": 0} for slot in slots]
    session.execute(insert_into(session, SlotRow).on_conflict_do_nothing(), rows)
    table = table_of(SlotRow)
    for place, slot in enumerate(slots):
        taken = session.connection().execute(
            update(table)
            .where(table.c.service == service.id, table.c.starts_at == slot, table.c.taken + people <= service.capacity)
            .values(taken=table.c.taken + people)
        )
        if taken.rowcount == 0:
            _give_back(session, slots[:place], service.id, people)
            return False
    return True


def _give_back(session: Session, slots: Sequence[datetime], service_id: str, people: int) -> None:
    table = table_of(SlotRow)
    for slot in slots:
        session.execute(
            update(table)
            .where(table.c.service == service_id, table.c.starts_at == slot, table.c.taken >= people)
            .values(taken=table.c.taken - people)
        )


def _locked(session: Session, appointment_id: int, member_id: int) -> AppointmentRow | None:
    return session.scalar(
        select(AppointmentRow)
        .where(AppointmentRow.id == appointment_id, AppointmentRow.member_id == member_id,
               AppointmentRow.state == "booked")
        .with_for_update()
    )  # fmt: skip
