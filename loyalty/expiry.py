"""When points lapse: always at a local midnight, so that a member can be told a day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from loyalty.programme import AfterDays, EndOfMonth, EndOfYear, Programme


def expires_at(programme: Programme, at: datetime) -> datetime | None:
    """First moment at which points earned at `at` are gone, or none: they never lapse."""
    today = at.astimezone(programme.zone).date()
    match programme.expiry:
        case AfterDays(days=days):
            first_day_gone = today + timedelta(days=days + 1)
        case EndOfMonth(months=months):
            first_day_gone = _month_start(today, months + 1)
        case EndOfYear(years=years):
            first_day_gone = date(today.year + years + 1, 1, 1)
        case _:
            return None
    return _midnight(first_day_gone, programme.zone)


def last_day(expires_at: datetime, zone: ZoneInfo) -> date:
    """The last local day on which points of a lot can be spent."""
    return (expires_at.astimezone(zone) - timedelta(microseconds=1)).date()


def _month_start(day: date, later: int) -> date:
    months = day.year * 12 + day.month - 1 + later
    return date(months // 12, months % 12 + 1, 1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
