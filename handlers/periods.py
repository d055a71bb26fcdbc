"""Named times in Chinese: 上个月, 今年, 上周三, 双11那天, 10月, 最近三天; as local days of the programme."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from handlers.talk.answers import NUMBER_LETTERS, to_number
from loyalty.days import local_day, midnight, midnight_after, months_later

_N: Final = rf"(\d{{1,4}}|[{NUMBER_LETTERS}]{{1,5}})"
_DAYS: Final = {"今天": 0, "今日": 0, "今儿": 0, "昨天": 1, "昨日": 1, "昨儿": 1, "前天": 2, "大前天": 3}
_DAY_WORD: Final = re.compile("|".join(sorted(_DAYS, key=len, reverse=True)))
_FEASTS: Final = {
    "双十一": (11, 11), "双11": (11, 11), "双十二": (12, 12), "双12": (12, 12), "元旦": (1, 1), "618": (6, 18),
    "六一八": (6, 18), "情人节": (2, 14), "妇女节": (3, 8), "女神节": (3, 8), "三八": (3, 8), "五一": (5, 1),
    "劳动节": (5, 1), "六一": (6, 1), "儿童节": (6, 1), "十一国庆": (10, 1), "国庆": (10, 1), "圣诞": (12, 25),
}  # fmt: skip
_WEEKDAYS: Final = {"一": 0, "二": 1, "三": 2, "四": 3, "五": 4, "六": 5, "日": 6, "天": 6, "末": 5}
_BACK: Final = {"这": 0, "本": 0, "当": 0, "今": 0, "上": 1, "上上": 2, "上一": 1}


@dataclass(frozen=True, slots=True)
class Period:
    """From one local day to another, both counted."""

    first: date
    last: date

    def bounds(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """The first moment in it and the first after it."""
        return midnight(self.first, zone), midnight_after(self.last, zone)

    @property
    def words(self) -> str:
        """As one would write it: 11月11日, 10月1日到10月31日, with the year where it is not one and the same."""
        first, last = self.first, self.last
        if first == last:
            return f"{first.year}年{first.month}月{first.day}日"
        end = f"{last.month}月{last.day}日" if last.year == first.year else f"{last.year}年{last.month}月{last.day}日"
        return f"{first.year}年{first.month}月{first.day}日到{end}"


def find(text: str, now: datetime, zone: ZoneInfo) -> Period | None:
    """The period a text names, none where it names none or one that has not begun; its last day is today at most."""
    today = local_day(now, zone)
    bare = re.sub(r"\s", "", text.lower()).replace("星期", "周").replace("礼拜", "周").replace("个周", "周")
    bare = bare.replace("拜", "周") if "上拜" in bare else bare
    for reader in _READERS:
        found = reader(bare, today)
        if found is not None:
            return Period(found.first, min(found.last, today)) if found.first <= min(found.last, today) else None
    return None


def _between(text: str, today: date) -> Period | None:
    ends = re.search(r"从?(.{2,9}?)(?:到|至|~|—|-)(.{1,9}?)(?:$|这|期间|花|用|赚|得|的|一共|总共|积|消)", text)
    if ends is None:
        return None
    first = _one_point(ends[1], today)
    last_text = ends[2] if "月" in ends[2] or "月" not in ends[1] else ends[1].partition("月")[0] + "月" + ends[2]
    last = Period(today, today) if re.match(r"现在|今|目前", ends[2]) else _one_point(last_text, today)
    return Period(first.first, last.last) if first and last and first.first <= last.last else None


def _one_point(text: str, today: date) -> Period | None:
    return next((found for reader in (_date, _month, _day, _year, _feast) if (found := reader(text, today))), None)


def _date(text: str, today: date) -> Period | None:
    """10月1号, 去年双11 is a feast, 2025年3月5日, 3号."""
    full = re.search(rf"(?:(去年|前年|今年|\d{{4}}年))?{_N}月份?{_N}[号日]?", text)
    if full:
        return _safe(lambda: _day_of(_year_of(full[1], today), to_number(full[2]), to_number(full[3]), today))
    figures = re.search(r"(?<![\d.])(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)", text)
    if figures:
        return _safe(lambda: _single(date(int(figures[1]), int(figures[2]), int(figures[3]))))
    bare = re.search(rf"(?:(上个?月|这个?月|本月))?(?<![近这去]){_N}[号日](?!线)", text)
    if bare is None:
        return None
    month = months_later(today.replace(day=1), -1) if (bare[1] or "").startswith("上") else today.replace(day=1)
    day = to_number(bare[2])
    found = _safe(lambda: _single(month.replace(day=day)))
    if found and found.first > today and not bare[1]:
        return _safe(lambda: _single(months_later(month, -1).replace(day=day)))
    return found


def _feast(text: str, today: date) -> Period | None:
    for name, (month, day) in _FEASTS.items():
        if re.search(rf"(?<!\d){name}(?![\d分个])", text):
            said = re.search(rf"(去年|前年|今年|\d{{4}}年)的?{name}", text)
            year, length = _year_of(said[1], today) if said else None, 7 if name.endswith("国庆") else 1
            first = _day_of(year, month, day, today).first
            return Period(first, first + timedelta(days=length - 1))
    return None


def _month(text: str, today: date) -> Period | None:
    named = re.search(rf"(?:(去年|前年|今年|\d{{4}}年)的?)?{_N}月(?!{_N}[号日])", text)
    if named and not re.search(rf"{_N}个月", text):
        number = to_number(named[2])
        year = _year_of(named[1], today) or (today.year if number <= today.month else today.year - 1)
        return _safe(lambda: _whole_month(date(year, number, 1)))
    told = re.search(r"(上上|上一|上|这|本|当)(?:一?个)?月", text)
    return _whole_month(months_later(today.replace(day=1), -_BACK[told[1]])) if told else None


def _week(text: str, today: date) -> Period | None:
    monday = today - timedelta(days=today.weekday())
    one = re.search(r"(上上|上|这|本)?周([一二三四五六日天末])", text)
    if one:
        start = monday - timedelta(weeks=_BACK.get(one[1] or "", 0))
        day = start + timedelta(days=_WEEKDAYS[one[2]])
        if not one[1] and day > today:
            day -= timedelta(weeks=1)
        return Period(day, day + timedelta(days=1 if one[2] == "末" else 0))
    told = re.search(r"(上上|上一|上|这一?|本)周", text)
    if told is None:
        return None
    start = monday - timedelta(weeks=_BACK[told[1].rstrip("一") or told[1]])
    return Period(start, start + timedelta(days=6))


def _recent(text: str, today: date) -> Period | None:
    told = re.search(rf"(?:最近|近|过去|这)(?:的)?{_N}(?:个)?(天|日|周|月|年|季度)", text)
    half = re.search(r"(?:最近|近|过去|这)半年", text)
    if half:
        return Period(months_later(today, -6) + timedelta(days=1), today)
    if told is None:
        return Period(today - timedelta(days=29), today) if re.search(r"最近|近期|这段时间", text) else None
    number = max(1, min(to_number(told[1]), 1000))
    match told[2]:
        case "天" | "日":
            return Period(today - timedelta(days=number - 1), today)
        case "周":
            return Period(today - timedelta(days=7 * number - 1), today)
    months = {"月": 1, "季度": 3, "年": 12}[told[2]] * number
    return _safe(lambda: Period(months_later(today, -months) + timedelta(days=1), today))


def _year(text: str, today: date) -> Period | None:
    told = re.search(r"(\d{4})年|(今年|本年|去年|前年|上一?年|年初)", text)
    if told is None:
        return None
    year = int(told[1]) if told[1] else _year_of(told[2], today) or today.year
    if re.search(r"上半年", text):
        return Period(date(year, 1, 1), date(year, 6, 30))
    if re.search(r"下半年", text):
        return Period(date(year, 7, 1), date(year, 12, 31))
    return _safe(lambda: Period(date(year, 1, 1), date(year, 12, 31)))


def _quarter(text: str, today: date) -> Period | None:
    told = re.search(r"(上上|上|这|本)个?季度", text)
    named = re.search(r"(?:(去年|前年|今年|\d{4}年)的?)?(?:第?([一二三四1-4])季度|q([1-4]))", text)
    if told:
        first = months_later(date(today.year, (today.month - 1) // 3 * 3 + 1, 1), -3 * _BACK[told[1]])
    elif named:
        number = to_number(named[2] or named[3])
        year = _year_of(named[1], today) or (today.year if number * 3 - 2 <= today.month else today.year - 1)
        first = date(year, number * 3 - 2, 1)
    else:
        return None
    return Period(first, months_later(first, 3) - timedelta(days=1))


def _half_year(text: str, today: date) -> Period | None:
    if re.search(r"[去前]年|\d{4}年", text):
        return None
    if "上半年" in text:
        return Period(date(today.year, 1, 1), date(today.year, 6, 30))
    return Period(date(today.year, 7, 1), date(today.year, 12, 31)) if "下半年" in text and today.month > 6 else None


def _day(text: str, today: date) -> Period | None:
    found = [today - timedelta(days=_DAYS[word]) for word in _DAY_WORD.findall(text)]
    return Period(min(found), max(found)) if found else None


def _year_of(word: str | None, today: date) -> int | None:
    if not word:
        return None
    if word[0].isdigit():
        return int(word[:4])
    return today.year - (2 if word.startswith("前") else 1 if word[0] in "去上" else 0)


def _day_of(year: int | None, month: int, day: int, today: date) -> Period:
    """That day of the year named; of the newest year in which it is not to come where none is."""
    found = date(year or today.year, month, day)
    if year is None and found > today:
        found = date(today.year - 1, month, day)
    return _single(found)


def _single(day: date) -> Period:
    return Period(day, day)


def _whole_month(first: date) -> Period:
    return Period(first, first.replace(day=calendar.monthrange(first.year, first.month)[1]))


def _safe(read: Callable[[], Period]) -> Period | None:
    """None for a day that no calendar has, such as the thirty-first of February."""
    try:
        return read()
    except (ValueError, OverflowError):
        return None


_READERS: Final = (_between, _feast, _date, _quarter, _half_year, _month, _week, _recent, _day, _year)
