"""Dates and times of day as people say them: 下周三下午两点, 大后天上午, 月底, 两小时后. Nothing is guessed."""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Final

from handlers.talk.answers import to_number

PARTS: Final[dict[str, tuple[int, int]]] = {
    "凌晨": (0, 6), "早上": (6, 11), "上午": (6, 12), "中午": (11, 14), "下午": (12, 18), "傍晚": (16, 20),
    "晚上": (17, 24), "半夜": (22, 24),
}  # fmt: skip
"""The hours a part of the day may mean, from and up to."""

_SPELT: Final = str.maketrans("週禮點後號個鐘兩聽晝過馬", "周礼点后号个钟两听昼过马")
_SAME: Final = (
    (r"(今|明|听|后|昨)(?:儿个?|日(?!起))", r"\1天"), (r"听天|听(?=[早晚])", "明天"), (r"天天+", "天"),
    (r"(今|明|后|昨)天?(早|晚)(?![点些一饭餐])(?:上|间|晨)?", r"\1天\2上"), (r"今夜", "今天晚上"),
    (r"星期|礼拜", "周"), (r"周日|周7", "周天"), (r"双休日?", "周末"), (r"周个?(?=末)", "周"),
    (r"(周[一二三四五六天末1-7]|[号日])的?(早|晚)(?![点些一饭餐间上晨])", r"\1\2上"),
    (r"大?清早|清晨|一大早|早晨|早间|朝早", "早上"), (r"上昼", "上午"), (r"晌午|正午|午间|午休", "中午"),
    (r"午后|下昼|晏昼", "下午"), (r"黄昏", "傍晚"), (r"晚间|夜里|夜晚|夜晚黑|挨晚", "晚上"), (r"深夜|午夜", "半夜"),
    (r"钟头", "小时"), (r"点钟", "点"), (r"一刻钟", "15分钟"), (r"(?<!个)半个?小时", "30分钟"), (r"半天", "半日"),
)  # fmt: skip
_ENGLISH: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAYS: Final = "一二三四五六天"
_N: Final = r"(?:\d{1,4}|[零〇一二两三四五六七八九十廿卅]{1,4})"
_PREFIX: Final = r"(上上|上|这|本|(?<!一)下下|(?<!一)下)?个?"
_DAYS: Final = {"大前天": -3, "前天": -2, "昨天": -1, "今天": 0, "明天": 1, "大大后天": 4, "大后天": 3, "后天": 2}
_WEEKS: Final = {"上上": -2, "上": -1, "这": 0, "本": 0, "下": 1, "下下": 2}
_FEASTS: Final = {"元旦": (1, 1), "情人节": (2, 14), "妇女节": (3, 8), "五一": (5, 1), "劳动节": (5, 1),
                  "儿童节": (6, 1), "国庆": (10, 1), "双十一": (11, 11), "双11": (11, 11), "双十二": (12, 12),
                  "双12": (12, 12), "平安夜": (12, 24), "圣诞": (12, 25), "跨年夜": (12, 31)}  # fmt: skip
_CHANGED: Final = re.compile(
    r"(?:改|换|挪|调|推迟?|提前|延|订|定)(?:到|成|为|在)|不是.*?是|还是|改(?!期|个|天|时|日)|挪|[,，。;；]\s*(?:换|要)"
)
_DECLINED: Final = re.compile(r"不行|不要|没空|没时间|去不了|来不了|过不来|有事|加班|不方便|不可以|满了")
_YEAR: Final = r"(?:(\d{4})[年/.\-]|(今年|明年|来年|后年)的?)?"
_DATE: Final = re.compile(rf"{_YEAR}(?<![\d./\-])({_N})月的?(?:({_N})[号日]?(?!点)|(底|末|初|中旬?|上旬|下旬))?")
_SLASHED: Final = re.compile(
    r"(?<![\d.:])(?:(\d{4})[./\-])?(\d{1,2})([./\-])(\d{1,2})(?![\d.:]|\s*[点个元块折米万千岁人位小分号日天周%])"
)
_MONTH: Final = re.compile(rf"(?<!\d){_PREFIX}月的?(?:({_N})[号日]?(?!点)|(底|末|初|中旬?|上旬|下旬))?")
_WEEK: Final = re.compile(rf"{_PREFIX}周(?:([{_WEEKDAYS}1-6])|(末))?")
_DAY_OF_MONTH: Final = re.compile(
    rf"(?<![\d第零一二两三四五六七八九十廿卅])({_N})[号日](?!技师|店|楼|线|桌|库|仓|门|包|房|床|院|老师|师傅|机|子)"
)
_AFTER: Final = re.compile(
    rf"(?:过|再过)?({_N})(天|周|个周|个月|小时|个小时|分钟|个半小时)(?:之后|以后|后(?!天|日))|"
    rf"(?:再过|过)({_N})(天|周|个周|个小时|小时|分钟)"
)
_PART: Final = "|".join(PARTS)
_MINUTES: Final = (
    r"(半)|([1-3一二三])刻|(\d\d)(?!\d|个|人|位|号)分?|"
    rf"(零[一二三四五六七八九]|[二三四五六七八九]?十[一二三四五六七八九]?)(?!个|人|位)分?|({_N})分(?!钟)|整"
)
_SAYS_DAY: Final = re.compile(
    rf"{'|'.join(_DAYS)}|{'|'.join(_FEASTS)}|周[{_WEEKDAYS}末1-6]|[下这本]个?[周月]|月[底初末]|{_PART}"
)
_CLOCK: Final = re.compile(
    rf"(?:差({_N}|一刻)分?)?(?<!\d)(?<![有早晚快多少差便宜简近远慢好大小])({_N})点(?:{_MINUTES})?(?!儿|点)")
_DIGITAL: Final = re.compile(r"(?<![\d:])(\d{1,2}):(\d{2})(?![\d])\s*(am|pm)?|(?<![\d:])(\d{1,2})\s*(am|pm)")
_SHIFT: Final = re.compile(
    r"(推迟|延后|延迟|延|往后|后推|往后推|后挪|晚|迟|提前|往前|早)[^\d零一二两三四五六七八九十]{0,3}"
    rf"({_N})个?(半)?(分钟|小时|天|周|个钟|钟)(半)?"
)

_WEEKDAY: Final = re.compile(r"周[一二三四五六天1-6](?!\d*点)|周[一二三四五六天]")
_BARE_WEEKDAY: Final = re.compile(r"(?<![上这本下个])周[一二三四五六天1-6]")


@dataclass(frozen=True, slots=True)
class Moment:
    """What a text says of a moment: days from `first` to `last` (one day where they are the same), a time, a part.

    `is_loose` marks an hour that may be of the morning or of the afternoon. `problem` is past, impossible or mismatch.
    """

    first: date | None = None
    last: date | None = None
    at: time | None = None
    part: str = ""
    is_loose: bool = False
    problem: str = ""

    @property
    def day(self) -> date | None:
        """The day, where the text leaves only one."""
        return self.first if self.first == self.last else None

    @property
    def is_said(self) -> bool:
        """Whether the text says anything of a moment."""
        return bool(self.first or self.at or self.part or self.problem)

    def times(self) -> tuple[time, ...]:
        """The times of day the text may mean."""
        if self.at is None:
            return ()
        later = time(self.at.hour + 12, self.at.minute) if self.is_loose and self.at.hour < 12 else None
        return (self.at, later) if later else (self.at,)


def read_moment(text: str, now: datetime) -> Moment:
    """The moment a text names, seen from `now`, which carries the zone it is meant in; what is not said stays open."""
    plain = _spell(text)
    after = _read_after(plain, now)
    if after is not None and after.at is not None:
        return after
    found = after or _read_day(_meant(plain), now)
    clock = _read_clock(_meant(plain))
    problem = found.problem or clock.problem
    moment = replace(found, at=clock.at, part=clock.part, is_loose=clock.is_loose, problem=problem)
    if clock.first is not None and moment.first is not None and moment.last is not None:  # past midnight
        ahead = timedelta(days=1)
        moment = replace(moment, first=moment.first + ahead, last=moment.last + ahead)
    return _look_at_now(moment, now, may_move=bool(_BARE_WEEKDAY.search(_meant(plain))))


def read_shift(text: str) -> timedelta | None:
    """How far an appointment is to be moved (推迟一小时, 提前半小时, 往后挪一天), or None."""
    found = _SHIFT.search(_spell(text))
    if found is None or (found[1] in {"晚", "迟", "早"} and found[4] in {"天", "周"}):
        return None
    number = _number(found[2])
    unit = {"分钟": "minutes", "小时": "hours", "个钟": "hours", "钟": "hours", "天": "days", "周": "weeks"}[found[4]]
    span = timedelta(**{unit: number}) + (timedelta(**{unit: 1}) / 2 if found[3] or found[5] else timedelta())
    return -span if found[1] in {"提前", "往前", "早"} else span


def merge(known: Moment, said: Moment, now: datetime) -> Moment:
    """What was known, with what was said now: a part of the day settles a loose hour, a new day keeps the time."""
    day = said if said.first else known
    at, part, loose = (said.at, said.part, said.is_loose) if said.at else (known.at, known.part, known.is_loose)
    settled = Moment(at=at, part=part, is_loose=loose)
    if said.at and said.is_loose and not said.part and known.part:
        settled = _in_part(said.at.hour, said.at.minute, known.part)
    elif said.part and not said.at:
        settled = Moment(part=said.part)
        if known.at is not None and known.is_loose:
            settled = _in_part(known.at.hour, known.at.minute, said.part)
    moment = replace(settled, first=day.first, last=day.last, problem=said.problem or settled.problem)
    return moment if moment.problem else _look_at_now(moment, now, may_move=False)


def _spell(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).lower().translate(_SPELT)
    for place, name in enumerate(_ENGLISH):
        weekday = f"周{_WEEKDAYS[place]}"
        for ahead, said in ((r"next ?", "下" + weekday), ("", weekday)):
            plain = re.sub(rf"(?<![a-z]){ahead}{name}(?:s|rs|nes|ur)?(?:day)?(?![a-z])", said, plain)
    for word, same in (("tomorrow", "明天"), ("today", "今天"), ("tonight", "今天晚上")):
        plain = plain.replace(word, same)
    plain = re.sub(r"(?<=[^\d\s])\s+|\s+(?=[^\d\sap])", "", plain)
    for pattern, same in _SAME:
        plain = re.sub(pattern, same, plain)
    return plain


def _meant(plain: str) -> str:
    """The part that counts: what stands behind 改到 and the like, and no clause that is declined."""
    tail = plain[[found.end() for found in _CHANGED.finditer(plain)][-1] :] if _CHANGED.search(plain) else ""
    if tail and _says_any(tail):
        return tail
    clauses = [clause for clause in re.split(r"[,，。;；!！\s]+", plain) if not _DECLINED.search(clause)]
    kept = "，".join(clauses)
    return kept if _says_any(kept) else plain


def _says_any(plain: str) -> bool:
    day = any(pattern.search(plain) for pattern in (_DATE, _SLASHED, _DAY_OF_MONTH, _CLOCK, _DIGITAL))
    return day or bool(_SAYS_DAY.search(plain))


def _number(word: str) -> int:
    word = word.replace("廿", "二十").replace("卅", "三十").replace("〇", "零")
    if word.isdigit():
        return int(word)
    word = word.lstrip("零") or "零"
    try:
        return to_number(word)
    except KeyError:
        return 0


def _read_after(plain: str, now: datetime) -> Moment | None:
    found = _AFTER.search(plain)
    if found is None:
        return None
    number, unit = _number(found[1] or found[3]), (found[2] or found[4]).removeprefix("个")
    if unit in {"小时", "分钟", "半小时"}:
        span = timedelta(minutes=number) if unit == "分钟" else timedelta(hours=number, minutes=30 * (unit[0] == "半"))
        moment = now + span
        moment += timedelta(minutes=-moment.minute % 5, seconds=-moment.second, microseconds=-moment.microsecond)
        return Moment(moment.date(), moment.date(), moment.time())
    if unit == "月":
        return _in_month(now.date(), number, now.day, now)
    day = now.date() + timedelta(days=number * (7 if unit == "周" else 1))
    return Moment(day, day)


def _read_day(plain: str, now: datetime) -> Moment:
    today = now.date()
    dated = _read_date(plain, now)
    week = _WEEK.search(plain)
    bare = _DAY_OF_MONTH.search(_WEEKDAY.sub("周 ", plain))
    if dated is None and week and bare and not week[1]:
        dated = _in_month(today, 0, _number(bare[1]), now, is_bare=True)
    if dated is not None:
        weekday = week[2] if week and not week[1] else None
        if weekday and dated.day and dated.day.weekday() != _weekday(weekday) and not dated.problem:
            return replace(dated, problem="mismatch")
        return dated
    named = next((name for name in sorted(_DAYS, key=len, reverse=True) if name in plain), "")
    if named:
        day = today + timedelta(days=_DAYS[named])
        return Moment(day, day)
    if week and (week[1] or week[2] or week[3]):
        return _read_week(week, today)
    feast = next((name for name in _FEASTS if name in plain), "")
    if feast:
        month, day_of_month = _FEASTS[feast]
        year = today.year + ((month, day_of_month) < (today.month, today.day) or "明年" in plain)
        return _of_year(year, month, day_of_month, today)
    return _in_month(today, 0, _number(bare[1]), now, is_bare=True) if bare else Moment()


def _read_date(plain: str, now: datetime) -> Moment | None:
    today = now.date()
    found = _DATE.search(plain)
    if found and (found[4] or found[5]):
        year = int(found[1]) if found[1] else {"今年": 0, "明年": 1, "来年": 1, "后年": 2}.get(found[2] or "")
        year = year + today.year if year is not None and year < 100 else year
        month = _number(found[3])
        if found[4]:
            return _of_year(year, month, _number(found[4]), today)
        start = _of_year(year, month, 1, today)
        if start.first is None:
            return start
        is_over = year is None and start.problem == "past" and start.first.month == today.month
        return _part_of_month(start.first if not is_over else today.replace(day=1), found[5])
    slashed = _SLASHED.search(plain)
    if slashed:
        return _of_year(int(slashed[1]) if slashed[1] else None, int(slashed[2]), int(slashed[4]), today)
    month_said = _MONTH.search(plain)
    if month_said and (month_said[1] or month_said[3]):
        ahead = _WEEKS.get(month_said[1] or "", 0)
        if month_said[2]:
            return _in_month(today, ahead, _number(month_said[2]), now)
        first = _add_months(today.replace(day=1), ahead)
        if month_said[3]:
            return _part_of_month(first, month_said[3])
        if month_said[1] in {"下", "下下"}:
            return Moment(first, first.replace(day=monthrange(first.year, first.month)[1]))
    return None


def _read_week(found: re.Match[str], today: date) -> Moment:
    monday = today - timedelta(days=today.weekday())
    if found[1]:
        start = monday + timedelta(weeks=_WEEKS[found[1]])
        if found[2]:
            day = start + timedelta(days=_weekday(found[2]))
            return Moment(day, day)
        first = start + timedelta(days=5) if found[3] else start
        return Moment(max(first, today) if start + timedelta(days=6) >= today else first, start + timedelta(days=6))
    if found[3]:
        return Moment(max(monday + timedelta(days=5), today), monday + timedelta(days=6))
    day = today + timedelta(days=(_weekday(found[2]) - today.weekday()) % 7)
    return Moment(day, day)


def _weekday(word: str) -> int:
    return int(word) - 1 if word.isdigit() else _WEEKDAYS.index(word)


def _of_year(year: int | None, month: int, day: int, today: date) -> Moment:
    """A day of the year; without the year the one that comes next, unless it has only just gone by."""
    try:
        found = date(year or today.year, month, day)
    except ValueError:
        if year is None and (month, day) == (2, 29) and _is_date(today.year + 1, 2, 29) and today.month > 2:
            return Moment(date(today.year + 1, 2, 29), date(today.year + 1, 2, 29))
        return Moment(problem="impossible")
    if year is None and found < today:
        if (today - found).days < 180 or not _is_date(today.year + 1, month, day):
            return Moment(found, found, problem="past")
        found = date(today.year + 1, month, day)
    return Moment(found, found)


def _in_month(today: date, ahead: int, day: int, now: datetime, is_bare: bool = False) -> Moment:
    """A day of this month or a later one; a bare number that is over means the next month."""
    first = _add_months(today.replace(day=1), ahead)
    if is_bare and 0 < day < today.day:
        first = _add_months(first, 1)
    if not _is_date(first.year, first.month, day):
        return Moment(problem="impossible")
    found = first.replace(day=day)
    return Moment(found, found)


def _part_of_month(first: date, part: str) -> Moment:
    last = monthrange(first.year, first.month)[1]
    end_of_it = (last - 2, last)
    known = {"底": end_of_it, "末": end_of_it, "初": (1, 5), "上旬": (1, 10), "下旬": (21, last)}
    start, end = known.get(part, (11, 20))
    return Moment(first.replace(day=start), first.replace(day=end))


def _add_months(first: date, ahead: int) -> date:
    months = first.year * 12 + first.month - 1 + ahead
    return date(months // 12, months % 12 + 1, 1)


def _is_date(year: int, month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


def _read_clock(plain: str) -> Moment:
    plain = _WEEKDAY.sub("周 ", plain)
    said = re.search(_PART, plain)
    part = said[0] if said else ""
    digital, clock = _DIGITAL.search(plain), _CLOCK.search(plain)
    if digital and (digital[2] or digital[5]):
        hour, minute = int(digital[1] or digital[4]), int(digital[2] or 0)
        half = digital[3] or digital[5]
        if half and not part:
            part = "下午" if half == "pm" else "上午"
        return _in_part(hour, minute, part)
    if clock:
        return _at_clock(clock, part)
    return Moment(at=time(12), part=part) if part == "中午" else Moment(part=part)


def _at_clock(found: re.Match[str], part: str) -> Moment:
    hour = _number(found[2])
    minute = 0
    if found[3]:
        minute = 30
    elif found[4]:
        minute = 15 * _number(found[4])
    elif found[5] or found[6] or found[7]:
        minute = _number(found[5] or found[6] or found[7])
    if found[1]:
        before = 15 if found[1] == "一刻" else _number(found[1])
        hour, minute = (hour - 1, 60 - before) if before else (hour, minute)
    return _in_part(hour, minute, part)


def _in_part(hour: int, minute: int, part: str) -> Moment:
    """The time of day of an hour in a part of the day; `first` set means that it is past midnight."""
    wrong = Moment(part=part, problem="impossible")
    if minute > 59 or hour > 24 or (hour == 24 and minute):
        return wrong
    if not part:
        if hour == 24:
            return Moment(first=date.min, at=time(0))
        return Moment(at=time(hour, minute), is_loose=1 <= hour <= 11)
    if part in {"晚上", "半夜"} and (hour in {0, 12, 24} or hour < 5):
        return Moment(first=date.min, at=time(hour % 12, minute), part=part)
    if part in {"下午", "傍晚", "晚上", "半夜"}:
        later = hour + 12 if hour < 12 else hour
        return wrong if later == 24 or hour == 0 else Moment(at=time(later, minute), part=part)
    if part == "中午":
        later = hour + 12 if hour < 5 else hour
        return Moment(at=time(later, minute), part=part) if 10 <= later <= 15 else wrong
    if part == "凌晨":
        return Moment(at=time(hour % 12, minute), part=part) if hour in {12, 24} or hour < 7 else wrong
    return Moment(at=time(hour, minute), part=part) if hour <= 12 else wrong


def _look_at_now(moment: Moment, now: datetime, may_move: bool) -> Moment:
    """What is over is told; a bare weekday whose hour is over today means the next week."""
    if moment.problem or moment.last is None:
        return moment
    today = now.date()
    if moment.last < today:
        return replace(moment, problem="past")
    if moment.day != today:
        return moment
    left = [at for at in moment.times() if at > now.time()]
    is_over = not left if moment.at else bool(moment.part) and PARTS[moment.part][1] <= now.hour
    if is_over and may_move:
        later = today + timedelta(days=7)
        return replace(moment, first=later, last=later)
    if is_over:
        return replace(moment, problem="past")
    return replace(moment, at=left[0], is_loose=False) if moment.is_loose and len(left) == 1 else moment
