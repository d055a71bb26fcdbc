"""The appointment book: hours, slots, and no place given twice, however many ask at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from threading import Barrier
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import func, select

from bot.database import Database
from handlers import appointment_book as book
from handlers.appointment_book import Hours, Plan, Service, Wish
from handlers.service_tables import AppointmentRow, SlotRow

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
DAY = date(2026, 11, 21)
CARE = Service(id="care", name="保养", minutes=60, capacity=1)
CLASS = Service(id="class", name="手冲课", minutes=90, capacity=6, most_people=4)
PLAN = Plan(
    services=(CARE, CLASS), closed=(date(2026, 11, 23),),
    hours=(Hours(days=("fri", "sat", "sun", "mon"), opens=time(10), closes=time(12)),),
)  # fmt: skip


def at(hour: int, minute: int = 0) -> datetime:
    """A moment of the day of the tests, in Shanghai."""
    return datetime.combine(DAY, time(hour, minute), ZONE)


def wish(member: int, service: Service = CARE, start: datetime | None = None, people: int = 1) -> Wish:
    """What a member would have."""
    return Wish(member, service, start or at(10), people, "kf:wk1")


def test_visits_begin_on_the_grid_and_end_before_closing() -> None:
    """A visit of ninety minutes cannot begin at eleven where the door closes at twelve; closed days have none."""
    assert list(PLAN.starts(CARE, DAY)) == [time(10), time(10, 30), time(11)]
    assert list(PLAN.starts(CLASS, DAY)) == [time(10), time(10, 30)]
    assert not list(PLAN.starts(CARE, date(2026, 11, 23)))
    assert not list(PLAN.starts(CARE, date(2026, 11, 25)))


def test_a_visit_takes_every_slot_it_covers(database: Database) -> None:
    """With room for one, 10:00–11:00 leaves neither 10:00 nor 10:30; a cancelled visit gives both back."""
    with database.transaction() as session:
        first = book.book(session, wish(1), PLAN, "k1", NOW)
        assert first is not None
        assert book.free_times(session, PLAN, CARE, DAY, 1, at(0)) == [at(11)]
        assert book.book(session, wish(2, start=at(10, 30)), PLAN, "k2", NOW) is None
    with database.transaction() as session:
        assert book.cancel(session, first.id, 1, PLAN, NOW)
        assert not book.cancel(session, first.id, 1, PLAN, NOW)
        assert book.free_times(session, PLAN, CARE, DAY, 1, at(0)) == [at(10), at(10, 30), at(11)]


def test_the_same_key_books_once(database: Database) -> None:
    """A message handled twice is one visit."""
    with database.transaction() as session:
        first = book.book(session, wish(1), PLAN, "k1", NOW)
    with database.transaction() as session:
        assert book.book(session, wish(1), PLAN, "k1", NOW) == first
        assert session.scalar(select(func.count()).select_from(AppointmentRow)) == 1


def test_nobody_cancels_or_moves_the_visit_of_another(database: Database) -> None:
    """The number alone is not enough."""
    with database.transaction() as session:
        mine = book.book(session, wish(1), PLAN, "k1", NOW)
        assert mine is not None
        assert not book.cancel(session, mine.id, 2, PLAN, NOW)
        assert book.move(session, mine.id, wish(2, start=at(11)), PLAN, NOW) is None
        assert book.upcoming(session, [1, 2], NOW) == {1: (mine,)}


def test_a_move_to_a_full_slot_changes_nothing(database: Database) -> None:
    """The old time stays until the new one is certain; it may overlap the old one."""
    with database.transaction() as session:
        first = book.book(session, wish(1, start=at(10)), PLAN, "k1", NOW)
        book.book(session, wish(2, start=at(11)), PLAN, "k2", NOW)
        assert first is not None
        assert book.move(session, first.id, wish(1, start=at(10, 30)), PLAN, NOW) is None
        assert book.upcoming(session, [1], NOW) == {1: (first,)}
        book.cancel(session, 2, 2, PLAN, NOW)
        moved = book.move(session, first.id, wish(1, start=at(10, 30)), PLAN, NOW)
        assert moved is not None
        assert moved.starts_at == at(10, 30)


def test_reminders_are_those_still_to_come() -> None:
    """A visit in five hours is reminded of two hours before, one in an hour not at all."""
    assert book.next_reminder(PLAN, NOW + timedelta(hours=30), NOW) == NOW + timedelta(hours=6)
    assert book.next_reminder(PLAN, NOW + timedelta(hours=5), NOW) == NOW + timedelta(hours=3)
    assert book.next_reminder(PLAN, NOW + timedelta(hours=1), NOW) is None


def test_two_at_once_for_the_last_place(database: Database) -> None:
    """Eight want the one place at the same moment: one has it."""
    start = Barrier(8)

    def try_it(member: int) -> bool:
        start.wait()
        with database.transaction() as session:
            return book.book(session, wish(member), PLAN, f"k{member}", NOW) is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_it, range(1, 9))) == 1
    with database.reading() as session:
        assert set(session.scalars(select(SlotRow.taken))) == {1}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(("book", "cancel", "move")), st.integers(0, 2), st.integers(1, 4))))
def test_slots_hold_what_stands_in_the_book(database: Database, acts: list[tuple[str, int, int]]) -> None:
    """Whatever is booked, moved and cancelled: what is taken is what stands, and never above the capacity."""
    starts = [at(10), at(10, 30), at(10)]
    with database.transaction() as session:
        for table in (AppointmentRow, SlotRow):
            session.query(table).delete()
        for number, (act, place, people) in enumerate(acts):
            mine = book.upcoming(session, [1], NOW).get(1, ())
            asked = wish(1, CLASS, starts[place], people)
            if act == "book":
                book.book(session, asked, PLAN, f"k{number}", NOW)
            elif mine and act == "move":
                book.move(session, mine[0].id, asked, PLAN, NOW)
            elif mine:
                book.cancel(session, mine[-1].id, 1, PLAN, NOW)
        standing = book.upcoming(session, [1], NOW).get(1, ())
        for row in session.scalars(select(SlotRow)):
            here = sum(one.people for one in standing if one.starts_at <= row.starts_at < one.ends_at)
            assert row.taken == here <= CLASS.capacity


@pytest.mark.parametrize(
    "wrong",
    [
        {"services": [{"id": "a", "name": "甲"}]},
        {"hours": [{"days": ["mon"], "opens": "12:00", "closes": "10:00"}]},
        {"hours": [{"days": ["mon"], "opens": "10:00", "closes": "12:00"}],
         "services": [{"id": "a", "name": "甲"}, {"id": "a", "name": "乙"}]},
    ],
    ids=["no hours", "closes before it opens", "one id twice"],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    """A mistake in the file is found when it is read, not when somebody books."""
    with pytest.raises(ValidationError):
        Plan.model_validate(wrong)
