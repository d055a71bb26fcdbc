"""Named times: the local days that people mean, right at the ends of days, months and years."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers import periods

SHANGHAI = ZoneInfo("Asia/Shanghai")
FRIDAY = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("上个月花了多少", "2026-10-01", "2026-10-31"),
        ("这个月赚了多少", "2026-11-01", "2026-11-20"),
        ("上上个月", "2026-09-01", "2026-09-30"),
        ("今年一共", "2026-01-01", "2026-11-20"),
        ("去年", "2025-01-01", "2025-12-31"),
        ("前年", "2024-01-01", "2024-12-31"),
        ("上周用了", "2026-11-09", "2026-11-15"),
        ("上个礼拜", "2026-11-09", "2026-11-15"),
        ("这星期", "2026-11-16", "2026-11-20"),
        ("上周三", "2026-11-11", "2026-11-11"),
        ("周五", "2026-11-20", "2026-11-20"),
        ("周六", "2026-11-14", "2026-11-14"),
        ("双11那天", "2026-11-11", "2026-11-11"),
        ("双十二", "2025-12-12", "2025-12-12"),
        ("去年双11", "2025-11-11", "2025-11-11"),
        ("国庆", "2026-10-01", "2026-10-07"),
        ("618", "2026-06-18", "2026-06-18"),
        ("10月", "2026-10-01", "2026-10-31"),
        ("十月份", "2026-10-01", "2026-10-31"),
        ("12月", "2025-12-01", "2025-12-31"),
        ("去年2月", "2025-02-01", "2025-02-28"),
        ("2024年2月", "2024-02-01", "2024-02-29"),
        ("10月1号", "2026-10-01", "2026-10-01"),
        ("十月一号到七号", "2026-10-01", "2026-10-07"),
        ("9月到10月", "2026-09-01", "2026-10-31"),
        ("3号", "2026-11-03", "2026-11-03"),
        ("25号", "2026-10-25", "2026-10-25"),
        ("最近三天", "2026-11-18", "2026-11-20"),
        ("近7日", "2026-11-14", "2026-11-20"),
        ("过去两个月", "2026-09-21", "2026-11-20"),
        ("上半年", "2026-01-01", "2026-06-30"),
        ("去年下半年", "2025-07-01", "2025-12-31"),
        ("三季度", "2026-07-01", "2026-09-30"),
        ("昨天", "2026-11-19", "2026-11-19"),
        ("大前天", "2026-11-17", "2026-11-17"),
        ("今年到现在", "2026-01-01", "2026-11-20"),
    ],
)
def test_a_named_time_is_read(text: str, first: str, last: str) -> None:
    """Each is what a person means by it on a Friday in November, and ends today at the latest."""
    found = periods.find(text, FRIDAY, SHANGHAI)
    assert found == periods.Period(date.fromisoformat(first), date.fromisoformat(last))


@pytest.mark.parametrize(
    "text", ["", "我还有多少积分", "下个月", "明年", "二月三十号", "积分到账没", "500积分", "第三个"]
)
def test_what_names_no_time_that_was(text: str) -> None:
    """Nothing named, a day no calendar has, or a time to come is none."""
    assert periods.find(text, FRIDAY, SHANGHAI) is None


def test_the_day_is_the_local_one() -> None:
    """At half past midnight on the first in Shanghai, which is still the month before in London."""
    now = datetime(2026, 10, 31, 16, 30, tzinfo=UTC)
    this, before = periods.find("这个月", now, SHANGHAI), periods.find("上个月", now, SHANGHAI)
    assert this is not None and this.first == this.last == date(2026, 11, 1)
    assert before is not None
    assert before.bounds(SHANGHAI) == (datetime(2026, 9, 30, 16, tzinfo=UTC), datetime(2026, 10, 31, 16, tzinfo=UTC))


def test_a_day_of_a_zone_with_summer_time_has_its_own_length() -> None:
    """The day the clock goes back has twenty-five hours."""
    now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    found = periods.find("11月1号", now, ZoneInfo("America/New_York"))
    assert found is not None
    since, until = found.bounds(ZoneInfo("America/New_York"))
    assert (until - since).total_seconds() == 25 * 3600


PIECES = "上 个 月 这 周 年 去 今 10 31 号 日 到 最近 三 天 双11 2026 季度".split()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=7), st.datetimes(datetime(2001, 1, 1), datetime(2090, 1, 1)))
def test_no_words_break_the_reader(pieces: list[str], at: datetime) -> None:
    """Any heap of such words names either no time or one that has begun and runs forward."""
    now = at.replace(tzinfo=UTC)
    found = periods.find("".join(pieces), now, SHANGHAI)
    assert found is None or found.first <= found.last <= now.astimezone(SHANGHAI).date()
