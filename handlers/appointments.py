"""Appointments: a service, a day and a time are asked for until they are clear; booked, moved, cancelled, shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from handlers import appointment_book as book
from handlers.appointment_book import Appointment
from handlers.appointment_making import YES_NO, ask, ask_service, go_on
from handlers.appointment_reading import (
    BOOKED,
    CANCEL,
    CHANGE,
    local_now,
    names_service,
    pack,
    read_people,
    read_state,
    upcoming,
    zone_of,
)
from handlers.appointment_words import day_words, hours_words, rows_of, task_of, when_words
from handlers.moments import Moment, merge, read_moment, read_shift
from handlers.talk.answers import Answer, read_answer, read_number
from handlers.talk.turn import Ask, Close, Prompt, Say, Scene, Turn, Write

_SHOW: Final = re.compile(
    r"我约的|我(?:都)?约了(?:啥|什么|哪|几|没|吗)|我有(?:啥|什么|哪些)预约|我的预约|约的(?:是)?(?:几点|哪天|什么时候)|预约(?:成功|上)了?(?:吗|没|么)|查.{0,4}预约|约上了|约好了?[吗没]|还在不在|几点来着"
)
_OTHERWISE: Final = re.compile(r"(?:等等|等下|等一下|不对|那|哦)?[,， ]*(?:还是|算了?,?|改|换)")
_RATHER: Final = re.compile(r"(?:那|要不|不如|还是|要么)(?!.*[吗么?？])")
_LATE: Final = re.compile(r"迟到|晚到|晚点到|晚一点到|堵车|堵在|赶不上|赶不到|会晚")
_OPEN: Final = re.compile(r"营业|几点开门|几点关门|开到几点|几点下班|几点上班|开门吗")
_FACTS: Final = re.compile(
    r"(?:门店|店|你们|具体)?地址(?:是|在|呢|发|[?？]|$)|(?:店|地方|你们|位置)?在(?:哪|什么地方|什么位置)|怎么(?:走|去|过去)|"
    r"(?:要|需要|用|得)(?:自己)?(?:带|准备)(?:点|些)?(?:什么|啥|东西)|(?:带|准备)(?:点|些)?(?:什么|啥)|提醒(?:我|一下|吗)"
)
_WEEKDAY_ALONE: Final = re.compile(r"(?<![这本下个上])(?:周|星期|礼拜)[一二三四五六日天]")
_SERVICES: Final = re.compile(r"(?:能|可以)约(?:什么|啥|哪些)|有(?:什么|哪些|啥)(?:项目|服务|课)|都有啥")


def start(turn: Turn) -> Scene:
    """想约周六保养 / 改到下午三点 / 取消明天的课 / 我约的是几点."""
    plan, mine = turn.brand.appointments, upcoming(turn)
    if not turn.is_automatic:
        yield from _prepare(turn)
    elif not plan.services:
        yield Say(turn.reply("appointment_by_person"))
        yield Prompt("appointment", "客户想预约, 请确认排期", turn.reply("rep_appointment"))
    elif _LATE.search(turn.text) and mine and not CHANGE.search(turn.text.replace("晚点", "").replace("晚一点", "")):
        yield from _tell_late(turn, mine[0])
    elif CANCEL.search(turn.text) and not read_moment(_after_cancel(turn.text), local_now(turn)).is_said:
        yield from _cancel(turn, mine)
    elif (CHANGE.search(turn.text) or CANCEL.search(turn.text)) and mine and not _is_other_service(turn, mine):
        yield from _change(turn, mine)
    elif (_SHOW.search(turn.text) or (mine and asks_facts(turn.text))) and not CHANGE.search(turn.text):
        yield from _show(turn, mine)
    elif _SERVICES.search(turn.text):
        yield from ask_service(turn, {})
    elif _OPEN.search(turn.text) and not read_moment(turn.text, local_now(turn)).at:
        yield Say(turn.reply("appointment_hours", hours=hours_words(plan), place=plan.place))
    else:
        yield from go_on(turn, read_state(turn, {}))


def collect(turn: Turn) -> Scene:
    """What was asked for: a service, a day, a time of day; each answer may bring several, or another wish."""
    assert turn.dialog is not None
    state = turn.dialog.state
    answer = read_answer(turn.text)
    if re.match(r"^(?:等等|等一?下|稍等|我看看|我看下|等会儿?)", turn.text) and len(turn.text) <= 12:
        yield Ask("appointment", state)
        yield Say(turn.reply("take_your_time"))
        return
    if answer is Answer.NO or (CANCEL.search(turn.text) and not _changes_service(turn)):
        yield Close()
        yield Say(turn.reply("appointment_dropped"))
        return
    if _OPEN.search(turn.text):
        yield Ask("appointment", state)
        plan = turn.brand.appointments
        yield Say(turn.reply("appointment_hours", hours=hours_words(plan), place=plan.place))
        return
    found = read_state(turn, state)
    if answer is Answer.YES and state.get("offer"):
        found = found | {"sure": True}
    if found == state:
        yield Ask("appointment", state)
        yield Say(turn.reply("appointment_again", needs=state.get("needs", "")))
        return
    yield from go_on(turn, found)


def confirm_cancel(turn: Turn) -> Scene:
    """A visit is cancelled after a yes; which one is asked where there are several."""
    assert turn.dialog is not None
    shown, mine = turn.dialog.state["shown"], {visit.id: visit for visit in upcoming(turn)}
    number = read_number(turn.text)
    if len(shown) > 1:
        picked = [shown[number - 1]] if number is not None and 1 <= number <= len(shown) else []
        picked = picked or [visit.id for visit in _matching(turn, [mine[i] for i in shown if i in mine])]
        if len(picked) == 1 and picked[0] in mine:
            yield from _ask_cancel(turn, [mine[picked[0]]])
            return
    answer = read_answer(turn.text)
    if answer is Answer.NO:
        yield Close()
        yield Say(turn.reply("appointment_kept"))
    elif len(shown) == 1 and (
        answer is Answer.YES
        or re.fullmatch(r"(?:确认|是的?|对|嗯+|好的?)?[\s,，]*取消(?:预约)?(?:吧|掉|了)?", turn.text)
    ):
        yield from _cancelled(turn, mine.get(shown[0]))
    else:
        yield from _ask_cancel(turn, [mine[i] for i in shown if i in mine])


def pick_change(turn: Turn) -> Scene:
    """Several visits stand: which one is to be moved."""
    assert turn.dialog is not None
    state, mine = turn.dialog.state, {visit.id: visit for visit in upcoming(turn)}
    number = read_number(turn.text)
    chosen = [mine[i] for i in state["shown"] if i in mine]
    by_place = number is not None and 1 <= number <= len(chosen)
    chosen = [chosen[(number or 0) - 1]] if by_place else _matching(turn, chosen)
    if len(chosen) == 1:
        yield from _move(turn, chosen[0], state["said"])
    elif read_answer(turn.text) is Answer.NO:
        yield Close()
        yield Say(turn.reply("appointment_kept"))
    else:
        yield Ask("appointment_which", state)
        yield Say(turn.reply("appointment_which", lines=[when_words(turn, one) for one in chosen]))


def is_about(turn: Turn) -> bool:
    """Whether a message speaks of the appointment that is being made."""
    if read_answer(turn.text) is not Answer.NEITHER or names_service(turn) is not None:
        return True
    said = read_moment(turn.text, local_now(turn))
    return said.is_said or bool(_OPEN.search(turn.text)) or read_people(turn.text) is not None


def is_pick(turn: Turn) -> bool:
    """Whether a message picks one of the visits shown, or answers."""
    return is_about(turn) or read_number(turn.text) is not None or "取消" in turn.text


def is_change(turn: Turn) -> bool:
    """Just booked: whether a message wants it otherwise after all."""
    if read_shift(turn.text) is not None:
        return True
    if _RATHER.match(turn.text) and len(turn.text) <= 12 and read_moment(turn.text, local_now(turn)).is_said:
        return True
    if CANCEL.search(turn.text) or _OTHERWISE.match(turn.text):
        named = names_service(turn) is not None or read_moment(turn.text, local_now(turn)).is_said
        return named or len(turn.text) <= 10
    return False


def after_booking(turn: Turn) -> Scene:
    """Just booked, and it is to be otherwise: 还是三点吧, 算了不去了."""
    mine = upcoming(turn)
    if CANCEL.search(turn.text) or re.fullmatch(r"算了[吧啦]?", turn.text):
        yield from _cancel(turn, mine)
    elif mine:
        yield from _change(turn, mine)
    else:
        yield from go_on(turn, read_state(turn, {}))


def asks_hours(text: str) -> bool:
    """Whether a message asks when the place is open."""
    return bool(_OPEN.search(text))


def asks_facts(text: str) -> bool:
    """Whether a message asks something that is written about a visit: where, what to bring, the reminder."""
    return len(text) <= 14 and bool(_FACTS.search(text))


def speaks_of_delay(text: str) -> bool:
    """Whether a message says that somebody will come late."""
    return bool(_LATE.search(text))


def remind(turn: Turn) -> Scene:
    """Something else was asked in between: what the appointment still needs is recalled."""
    assert turn.dialog is not None
    yield Say(turn.reply("appointment_still_open", needs=turn.dialog.state.get("needs", "")))


def late(turn: Turn) -> Scene | None:
    """After the silence a moment or a service goes on where it stood; nothing else does."""
    assert turn.dialog is not None
    said = read_moment(turn.text, local_now(turn))
    return go_on(turn, read_state(turn, turn.dialog.state)) if said.is_said and not said.problem else None


def _changes_service(turn: Turn) -> bool:
    return names_service(turn) is not None


def _is_other_service(turn: Turn, mine: Sequence[Appointment]) -> bool:
    named = names_service(turn)
    return named is not None and all(visit.service != named.id for visit in mine)


def _after_cancel(text: str) -> str:
    """What a message that cancels wants instead: 明天去不了了, 改下周三 cancels nothing."""
    found = re.search(r"(?:改|换|挪|推|调)(?:到|成|为)?(.+)", text)
    return found[1] if found else ""


def _show(turn: Turn, mine: Sequence[Appointment]) -> Scene:
    if not mine:
        yield Say(turn.reply("appointment_none"))
        return
    yield Ask("appointment_done", {"id": mine[0].id})
    plan, lines = turn.brand.appointments, [when_words(turn, one) for one in mine]
    service = plan.service(mine[0].service) if len(mine) == 1 else None
    note, reminds = service.note if service else "", bool(plan.remind_before_h) and "提醒" in turn.text
    yield Say(turn.reply("appointment_list", lines=lines, place=plan.place, note=note, reminds=reminds))


def _matching(turn: Turn, mine: Sequence[Appointment]) -> list[Appointment]:
    """Those a message names by service or day; all where it names none."""
    named, said = names_service(turn), read_moment(re.split(r"改|换|挪|推|调", turn.text)[0], local_now(turn))
    kept = [one for one in mine if named is None or one.service == named.id]
    if said.first is not None and said.last is not None:
        zone = zone_of(turn)
        on_day = [one for one in kept if said.first <= one.starts_at.astimezone(zone).date() <= said.last]
        kept = on_day or kept
    return kept


def _cancel(turn: Turn, mine: Sequence[Appointment]) -> Scene:
    if not mine:
        yield Say(turn.reply("appointment_none"))
        return
    yield from _ask_cancel(turn, _matching(turn, mine) or mine)


def _ask_cancel(turn: Turn, which: Sequence[Appointment]) -> Scene:
    if not which:
        yield Close()
        yield Say(turn.reply("appointment_none"))
        return
    yield Ask("appointment_cancel", {"shown": [one.id for one in which], "needs": "取消确认"})
    lines = [when_words(turn, one) for one in which]
    yield Say(turn.reply("appointment_cancel", lines=lines), YES_NO if len(which) == 1 else ())


def _cancelled(turn: Turn, visit: Appointment | None) -> Scene:
    yield Close()
    if visit is None:
        yield Say(turn.reply("appointment_none"))
        return
    plan, now, member_id = turn.brand.appointments, turn.now, turn.member_id
    stood: bool = yield Write("appointment cancelled", lambda s, _key: book.cancel(s, visit.id, member_id, plan, now))
    turn.facts.forget(BOOKED)
    yield Say(turn.reply("appointment_cancelled", when=when_words(turn, visit)))
    if stood:
        task = task_of(turn, visit)
        quote = turn.reply("appointment_cancelled", when=when_words(turn, visit))
        yield Prompt(task, "客户取消了预约", quote, rows_of(turn, visit), private=True, title="预约取消")


def _change(turn: Turn, mine: Sequence[Appointment]) -> Scene:
    which = _matching(turn, mine) or list(mine)
    if turn.dialog is not None and turn.dialog.step == "appointment_done":
        which = [one for one in mine if one.id == turn.dialog.state["id"]] or which
    if len(which) == 1:
        yield from _move(turn, which[0], turn.text)
        return
    yield Ask("appointment_which", {"shown": [one.id for one in which], "said": turn.text, "needs": "改哪一个"})
    yield Say(turn.reply("appointment_which", lines=[when_words(turn, one) for one in which]))


def _move(turn: Turn, visit: Appointment, said_text: str) -> Scene:
    """改到下午三点 keeps the day, 改到周日 keeps the hour, 推迟一小时 moves both."""
    local = local_now(turn)
    start = visit.starts_at.astimezone(zone_of(turn))
    if _WEEKDAY_ALONE.search(said_text) and start.date() - timedelta(days=start.weekday()) > local.date():
        local = start.replace(hour=0, minute=0) - timedelta(days=start.weekday())  # the week of the visit is meant
    shift = read_shift(said_text)
    said = read_moment(said_text, local)
    people = read_people(said_text)
    state = {"service": visit.service, "people": people or visit.people, "moving": visit.id}
    known = Moment(start.date(), start.date(), start.time())
    if shift is not None and not said.first and not said.at:
        moved = start + shift
        said = Moment(moved.date(), moved.date(), moved.time())
    elif not said.is_said or (said.day == start.date() and said.at in {None, start.time()} and not said.part):
        if people is not None and people != visit.people:
            yield from go_on(turn, state | {"moment": pack(known)})
            return
        yield from ask(turn, state, "日期", "appointment_new_time", when=when_words(turn, visit))
        return
    if said.at is None and said.part:
        known = Moment(start.date(), start.date())
    named = names_service(turn)
    if named is not None:
        state["service"] = named.id
    yield from go_on(turn, state | {"moment": pack(said if said.problem else merge(known, said, local))})


def _tell_late(turn: Turn, visit: Appointment) -> Scene:
    yield Say(turn.reply("appointment_late", when=when_words(turn, visit)))
    quote = turn.reply("rep_appointment")
    yield Prompt(task_of(turn, visit), "客户说会晚到", quote, rows_of(turn, visit), private=True, title="预约晚到")


def _prepare(turn: Turn) -> Scene:
    """In groups nothing of an appointment is said: the rep gets what was understood."""
    said, named = read_moment(turn.text, local_now(turn)), names_service(turn)
    rows = [("项目", named.name)] if named else []
    if said.day is not None:
        rows.append(("想约", f"{day_words(said.day)} {f'{said.at:%H:%M}' if said.at else said.part}".strip()))
    rows += [("已约", when_words(turn, one)) for one in upcoming(turn)[:2]]
    why = "客户想预约、改约或取消, 请私聊确认"
    yield Prompt("appointment", why, turn.reply("rep_appointment"), tuple(rows), private=True)
