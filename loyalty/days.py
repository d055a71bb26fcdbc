"""Local days and months of a programme, as moments."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a local day, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def midnight_after(day: date, zone: ZoneInfo) -> datetime:
    """The first moment a local day is over, in UTC."""
    return midnight(day + timedelta(days=1), zone)


def local_day(at: datetime, zone: ZoneInfo) -> date:
    """The local day of a moment."""
    return at.astimezone(zone).date()


def month_start(at: datetime, zone: ZoneInfo) -> datetime:
    """The first moment of the local month of a moment, in UTC."""
    return midnight(local_day(at, zone).replace(day=1), zone)


def months_later(day: date, months: int) -> date:
    """The same day so many months later; the last of that month where it is shorter."""
    count = day.year * 12 + day.month - 1 + months
    year, month = count // 12, count % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))
