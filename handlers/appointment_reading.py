"""What a message says of an appointment: service, day, time, how many; and how that is kept in a dialog."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

from handlers import appointment_book as book
from handlers.appointment_book import Appointment, Service
from handlers.moments import Moment, merge, read_moment
from handlers.talk.answers import read_number, to_number
from handlers.talk.turn import Turn

BOOKED: Final = "appointments"
CANCEL: Final = re.compile(
    r"取消|退掉|退订|不约了|不去了|去不了|来不了|去不成|来不成|不想去|不来了|别约了|约?不了了|销掉|撤掉|让出来|请(?:个|一次)?假|推掉"
)
CHANGE: Final = re.compile(r"改|换|挪|推迟|延后|往后|提前|往前|延一?|调|重新约|早一?点|晚一?点")
_QUESTION: Final = re.compile(
    r"有位|有空|空位|空档|有号|有名额|还有|有没有|约得上|排得|能约|可以约|能不能|可以吗|行吗|行不|可不可以|[吗么][?？]?$|几点能|几点可以"
)
_PEOPLE: Final = re.compile(
    r"(\d{1,2}|[一二两三四五六七八九十俩仨])\s*(?:个人|人|位|大人|个位子|个位置|张床)|(?:我们|一共)(俩|仨)|"
    r"(?:我和|我跟|带着?|和)(?!你)[^,，。]{1,6}(?:一起|去|来|都)|"
    r"(?:我和|我跟|和|跟|带着?)我?(?:老公|老婆|朋友|闺蜜|妈妈?|爸爸?|同事|孩子|女儿|儿子|对象|男朋友|女朋友)"
)


def upcoming(turn: Turn) -> tuple[Appointment, ...]:
    """The member's visits that are not over, soonest first."""
    found: dict[int, tuple[Appointment, ...]] = turn.facts.look_up(BOOKED, book.upcoming)
    return found.get(turn.member_id, ())


def local_now(turn: Turn) -> datetime:
    """Now, in the zone in which hours are meant."""
    return turn.now.astimezone(turn.brand.programme.zone)


def names_service(turn: Turn) -> Service | None:
    """The service a message names; the longest name that stands in it wins."""
    bare = re.sub(r"\s", "", turn.text.lower())
    hits = [
        (max((len(name) for name in (one.name, *one.aliases) if name.lower() in bare), default=0), one)
        for one in turn.brand.appointments.services
    ]
    length, best = max(hits, key=lambda hit: hit[0], default=(0, None))
    return best if length else None


def read_people(text: str) -> int | None:
    """For how many people a message asks, or None where it does not say."""
    found = _PEOPLE.search(text)
    if found is None:
        return None
    word = found[1] or found[2]
    return to_number({"俩": "二", "仨": "三"}.get(word, word)) if word else 2


def read_state(turn: Turn, state: dict[str, Any]) -> dict[str, Any]:
    """The state with everything a message says."""
    found = {name: value for name, value in state.items() if name not in {"sure"}}
    named = names_service(turn)
    number = read_number(turn.text)
    if named is not None:
        found["service"] = named.id
    elif number is not None and state.get("needs") == "项目" and 1 <= number <= len(turn.brand.appointments.services):
        found["service"] = turn.brand.appointments.services[number - 1].id
        return found
    people = read_people(turn.text)
    if people is not None:
        found["people"] = people
    said = _read_said(turn, state)
    if said.is_said:
        found |= {"moment": pack(merge(unpack(state.get("moment")), said, local_now(turn))), "offer": ""}
    if "offer" not in state and _QUESTION.search(turn.text):
        found["asks"] = True
    elif state:
        found.pop("asks", None)
    return found


def _read_said(turn: Turn, state: dict[str, Any]) -> Moment:
    local = local_now(turn)
    said = read_moment(turn.text, local)
    shown = state.get("shown") or ()
    place = re.fullmatch(r"第([一二三四五六\d])个?(?:吧|呀|啊)?", turn.text.strip())
    if place and shown and to_number(place[1]) <= len(shown):
        start = datetime.fromisoformat(shown[to_number(place[1]) - 1]).astimezone(local.tzinfo)
        return Moment(start.date(), start.date(), start.time())
    bare = re.fullmatch(r"(\d{1,2})(?:[点:：](\d{2}))?[吧呀啊]?", turn.text.strip())
    if not said.is_said and bare and state.get("needs") == "时间" and int(bare[1]) <= 24:
        return read_moment(f"{bare[1]}点", local)
    return said


def pack(moment: Moment) -> dict[str, Any]:
    """A moment as a dialog keeps it."""
    first, last = (day.isoformat() if day else "" for day in (moment.first, moment.last))
    at = moment.at.isoformat("minutes") if moment.at else ""
    return {"first": first, "last": last, "at": at, "part": moment.part, "loose": moment.is_loose,
            "problem": moment.problem}  # fmt: skip


def unpack(packed: dict[str, Any] | None) -> Moment:
    """What a dialog kept of a moment."""
    if not packed:
        return Moment()
    first = date.fromisoformat(packed["first"]) if packed["first"] else None
    last = date.fromisoformat(packed["last"]) if packed["last"] else None
    at = time.fromisoformat(packed["at"]) if packed["at"] else None
    return Moment(first, last, at, packed["part"], packed["loose"], packed["problem"])


def zone_of(turn: Turn) -> ZoneInfo:
    """The zone in which hours are meant."""
    return turn.brand.programme.zone
