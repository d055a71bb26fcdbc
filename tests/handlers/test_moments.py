"""Dates and times of day as people say them, seen from Friday, 20 November 2026, ten in the morning in Shanghai."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.moments import Moment, merge, read_moment, read_shift

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=SHANGHAI)

SAID = [
    ("下周三下午两点", "2026-11-25", "14:00"), ("大后天上午", "2026-11-23", "上午"),
    ("明儿晚上七点半", "2026-11-21", "19:30"),
    ("后天中午", "2026-11-22", "12:00"), ("两小时后", "2026-11-20", "12:00"), ("礼拜天早上", "2026-11-22", "早上"),
    ("12月3号", "2026-12-03", ""), ("十二月三十一号晚上八点", "2026-12-31", "20:00"),
    ("聽日下晝三點", "2026-11-21", "15:00"),
    ("Friday 7pm", "2026-11-20", "19:00"), ("next wed 2pm", "2026-11-25", "14:00"),
    ("tomorrow 9:30am", "2026-11-21", "09:30"),
    ("sat下午", "2026-11-21", "下午"), ("周五晚上订个包间", "2026-11-20", "晚上"), ("周三", "2026-11-25", ""),
    ("这周日下午三点吧", "2026-11-22", "15:00"), ("下下周一", "2026-11-30", ""),
    ("礼拜二的早上九点一刻", "2026-11-24", "09:15"),
    ("周一早", "2026-11-23", "早上"), ("明早八点", "2026-11-21", "08:00"), ("今晚8点", "2026-11-20", "20:00"),
    ("半小时后", "2026-11-20", "10:30"), ("一个半小时后", "2026-11-20", "11:30"), ("过两天", "2026-11-22", ""),
    ("三天后下午", "2026-11-23", "下午"), ("一个月后", "2026-12-20", ""), ("下个月5号", "2026-12-05", ""),
    ("廿八号", "2026-11-28", ""),
    ("10号", "2026-12-10", ""), ("1月5号", "2027-01-05", ""), ("元旦下午", "2027-01-01", "下午"),
    ("圣诞晚上6点", "2026-12-25", "18:00"),
    ("国庆", "2027-10-01", ""), ("明年3月8号", "2027-03-08", ""), ("2027年1月1日 10:00", "2027-01-01", "10:00?"),
    ("12/3 14:30", "2026-12-03", "14:30"), ("12.3下午3点", "2026-12-03", "15:00"),
    ("2026-12-24 09:00", "2026-12-24", "09:00?"),
    ("我改期 不是8号是10号", "2026-12-10", ""), ("周三不行，周四上午10点", "2026-11-26", "10:00"),
    ("周四吧 周三去不了", "2026-11-26", ""),
    ("约好三点来了说没位 改到明天", "2026-11-21", ""), ("本来约的周六上午十点,能不能往后挪到礼拜天", "2026-11-22", ""),
    ("三号技师明天下午两点", "2026-11-21", "14:00"), ("明天三点四个人", "2026-11-21", "03:00?"),
    ("明天 3点 2个人", "2026-11-21", "03:00?"),
    ("明天下午5点45", "2026-11-21", "17:45"), ("明天下午五点二十分", "2026-11-21", "17:20"),
    ("差十分八点", "", "07:50?"),
    ("后天下午2点到4点", "2026-11-22", "14:00"), ("明天零点", "2026-11-21", "00:00"),
    ("明天晚上十二点", "2026-11-22", "00:00"),
    ("中午一点", "", "13:00"), ("中午十二点半", "", "12:30"), ("上午十点", "", "10:00"), ("凌晨两点", "", "02:00"),
    ("下午", "", "下午"), ("十点半", "", "10:30?"), ("14点", "", "14:00"), ("12点", "", "12:00"),
    ("周六三点", "2026-11-21", "03:00?"), ("周四12点", "2026-11-26", "12:00"),
    ("周四26号下午三点", "2026-11-26", "15:00"),
    ("周末", "2026-11-21..2026-11-22", ""), ("这周末下午", "2026-11-21..2026-11-22", "下午"),
    ("下周末", "2026-11-28..2026-11-29", ""),
    ("月底", "2026-11-28..2026-11-30", ""), ("下月底", "2026-12-29..2026-12-31", ""),
    ("下周", "2026-11-23..2026-11-29", ""),
    ("下个月", "2026-12-01..2026-12-31", ""), ("2月底", "2027-02-26..2027-02-28", ""),
    ("12月初", "2026-12-01..2026-12-05", ""),
    ("今天", "2026-11-20", ""), ("今日下午4点半", "2026-11-20", "16:30"), ("后儿早上8点", "2026-11-22", "08:00"),
]  # fmt: skip
"""What is said, the day or days, and the time: a part of the day stays in words, `?` may be half a day later."""

NOTHING = [
    "早点过去", "有一点贵", "便宜一点", "下班后", "你好", "改期", "推拿约一个钟", "我迟到二十分钟可以吗", "第三个",
    "68号技师", "谢谢", "随便",
]  # fmt: skip

WRONG = [
    ("昨天下午", "past"), ("今天上午九点", "past"), ("11月18号", "past"), ("这周二", "past"), ("上周五", "past"),
    ("10月1号", "past"),
    ("31号", "impossible"), ("2月30号", "impossible"), ("13月1号", "impossible"), ("25点", "impossible"),
    ("明天上午十五点", "impossible"),
    ("明天8:75", "impossible"), ("6月31号下午", "impossible"), ("2027年2月29日", "impossible"),
    ("星期三12月3号", "mismatch"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "days", "clock"), SAID, ids=[said[0] for said in SAID])
def test_what_is_said_is_read(text: str, days: str, clock: str) -> None:
    """Day, span of days, time and part of the day come out as a person would take them."""
    moment = read_moment(text, NOW)
    span = ".." if moment.first != moment.last else ""
    assert f"{moment.first or ''}{span}{moment.last if span else ''}" == days
    told = f"{moment.at:%H:%M}" + ("?" if moment.is_loose else "") if moment.at else moment.part
    assert told == clock
    assert not moment.problem


@pytest.mark.parametrize("text", NOTHING)
def test_words_that_only_look_like_it_say_nothing(text: str) -> None:
    """一点 is not always an hour, and a number is not always a day."""
    moment = read_moment(text, NOW)
    assert moment.first is None
    assert moment.at is None


@pytest.mark.parametrize(("text", "problem"), WRONG, ids=[wrong[0] for wrong in WRONG])
def test_what_cannot_be_is_told(text: str, problem: str) -> None:
    """Past, impossible, or a weekday that does not fit the date."""
    assert read_moment(text, NOW).problem == problem


@pytest.mark.parametrize(
    ("now", "text", "day"),
    [
        ("2026-12-31T23:30", "明天下午两点", "2027-01-01"), ("2026-12-31T12:00", "下周三", "2027-01-06"),
        ("2026-12-30T12:00", "5号", "2027-01-05"), ("2026-12-30T12:00", "1月31号", "2027-01-31"),
        ("2027-01-31T12:00", "下个月1号", "2027-02-01"), ("2027-01-30T12:00", "后天", "2027-02-01"),
        ("2028-02-27T12:00", "后天", "2028-02-29"), ("2028-02-27T12:00", "29号", "2028-02-29"),
        ("2027-02-27T12:00", "后天", "2027-03-01"), ("2026-12-31T23:45", "半小时后", "2027-01-01"),
        ("2026-11-22T10:00", "周日下午", "2026-11-22"), ("2026-11-22T20:00", "周日下午两点", "2026-11-29"),
        ("2026-11-22T10:00", "下周日", "2026-11-29"), ("2026-11-23T10:00", "周一上午九点", "2026-11-30"),
        ("2026-10-31T10:00", "下个月底", "2026-11-28"),
    ],
)  # fmt: skip
def test_months_and_years_end_where_they_do(now: str, text: str, day: str) -> None:
    """Ends of months and years, leap days, and a weekday that is today."""
    moment = read_moment(text, datetime.fromisoformat(now).replace(tzinfo=SHANGHAI))
    assert moment.first == date.fromisoformat(day)
    assert not moment.problem


def test_a_part_of_the_day_settles_a_loose_hour() -> None:
    """下午 and then 三点 is 15:00, 三点 and then 下午 as well; a new day keeps the hour."""
    known = read_moment("周六下午", NOW)
    assert merge(known, read_moment("三点", NOW), NOW).at == time(15)
    loose = read_moment("周六三点", NOW)
    assert loose.times() == (time(3), time(15))
    settled = merge(loose, read_moment("下午", NOW), NOW)
    assert (settled.at, settled.is_loose) == (time(15), False)
    sunday = date(2026, 11, 22)
    assert merge(settled, read_moment("改到周日", NOW), NOW) == Moment(sunday, sunday, time(15), "下午")


def test_only_the_hour_that_is_still_to_come_counts_today() -> None:
    """今天三点 at ten in the morning is in the afternoon; 今天九点 is tonight."""
    assert read_moment("今天三点", NOW).at == time(15)
    assert read_moment("今天九点", NOW).at == time(21)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("推迟一小时", 60), ("往后推一个小时行不", 60), ("提前半小时", -30), ("能晚一个半小时吗", 90),
        ("延后一天", 1440), ("提前两天", -2880),
        ("推迟一周吧", 10080), ("往后挪15分钟", 15),
    ],
)  # fmt: skip
def test_a_shift_moves_what_stands(text: str, minutes: int) -> None:
    """推迟 is later, 提前 earlier."""
    assert read_shift(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["改到三点", "早点来", "晚点到", "后天"])
def test_what_names_no_span_shifts_nothing(text: str) -> None:
    """早点来 says neither how much nor that anything is to be moved."""
    assert read_shift(text) is None


@given(st.text(alphabet="今明后大天周下上这个月一二三四五六七十0123456789点半刻号日早午晚中:/.- 分小时", max_size=14))
def test_no_text_breaks_it(text: str) -> None:
    """Whatever is written, the answer is a day that exists, not in the past unless it says so."""
    moment = read_moment(text, NOW)
    if moment.last is not None and not moment.problem:
        assert moment.last >= NOW.date()
        assert moment.first is not None
        assert moment.first <= moment.last
