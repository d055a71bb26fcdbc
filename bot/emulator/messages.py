"""App messages to staff: sending, cards and their update, recall."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field

from bot.emulator.api import Call, Endpoint
from bot.emulator.cards import INTERACTIVE, check_card, check_task_id, keys_of, needs_task
from bot.emulator.errors import ApiError, PhoneError
from bot.emulator.events import send_card_tap
from bot.emulator.limits import DAY_S, HOUR_S, MINUTE_S, cut_bytes
from bot.emulator.state import Json, Staff, State

TYPES = (
    "text", "markdown", "textcard", "news", "mpnews", "image", "voice", "video", "file",
    "miniprogram_notice", "template_card",
)  # fmt: skip
TEXT_KEYS = {"text": "content", "markdown": "content", "textcard": "description"}


@dataclass
class AppLine:
    """One message on one member's phone; a card's `content` is its present face."""

    number: int
    msgid: str
    at: float
    sender: str
    msgtype: str
    content: Json
    task_id: str = ""
    replaced: str = ""
    recalled: bool = False
    updated: int = 0
    tapped: list[str] = field(default_factory=list)


@dataclass
class ResponseCode:
    """The right to update one card message once."""

    msgid: str
    agent_id: int
    expires_at: float
    used: bool = False


@dataclass
class AppMemory:
    """Phones' app messages, task ids, response codes and what was sent when."""

    phones: dict[str, list[AppLine]] = field(default_factory=dict)
    task_ids: set[str] = field(default_factory=set)
    codes: dict[str, ResponseCode] = field(default_factory=dict)
    sent_at: dict[str, float] = field(default_factory=dict)
    bodies: dict[str, float] = field(default_factory=dict)


def _recipients(state: State, call: Call) -> tuple[list[Staff], list[str]]:
    touser = str(call.body.get("touser") or "")
    if touser == "@all":
        return list(state.staff.values()), []
    if not touser and not call.body.get("toparty") and not call.body.get("totag"):
        raise ApiError(40063, "touser, toparty or totag is required")
    names = [name for name in dict.fromkeys(touser.split("|")) if name]
    if len(names) > state.limits.app_recipients:
        raise ApiError(40032, "touser is too long")
    known = {name.lower(): state.staff[name.lower()] for name in names if state.is_staff(name)}
    return list(known.values()), [name.lower() for name in names if not state.is_staff(name)]


def _check_agent(state: State, call: Call) -> None:
    agent_id = call.body.get("agentid")
    if agent_id is None:
        raise ApiError(41011, "agentid missing")
    if str(agent_id) != str(state.config.agent_id):
        raise ApiError(40056, "invalid agentid")


def _content(state: State, call: Call) -> tuple[str, Json]:
    msgtype = call.body.get("msgtype")
    if msgtype not in TYPES:
        raise ApiError(40008, f"invalid msgtype {msgtype!r}")
    content = call.body.get(msgtype)
    if not isinstance(content, dict):
        raise ApiError(40058, f"{msgtype} is missing")
    content = json.loads(json.dumps(content))
    key = TEXT_KEYS.get(msgtype)
    if key is not None:
        if not content.get(key):
            raise ApiError(44004, "empty content")
        content[key] = cut_bytes(str(content[key]), state.limits.app_text_bytes)
    if msgtype == "template_card":
        check_card(content, state.limits)
    return msgtype, content


def _is_repeat(state: State, call: Call) -> bool:
    if call.body.get("enable_duplicate_check") != 1:
        return False
    memory, now = state.part(AppMemory), state.clock.now()
    asked = call.number("duplicate_check_interval", int(state.limits.duplicate_check_s), 1)
    interval_s = min(asked, state.limits.duplicate_check_max_s)
    checked = ("enable_duplicate_check", "duplicate_check_interval")
    body = json.dumps({name: item for name, item in call.body.items() if name not in checked}, sort_keys=True)
    repeat = memory.bodies.get(body, float("-inf")) + interval_s > now
    if not repeat:
        memory.bodies[body] = now
    return repeat


def _issue_code(state: State, msgid: str) -> str:
    code = f"RC-{secrets.token_urlsafe(18)}"
    expires_at = state.clock.now() + state.limits.response_code_s
    state.part(AppMemory).codes[code] = ResponseCode(msgid, state.config.agent_id, expires_at)
    return code


def send(state: State, call: Call) -> Json:
    """message/send: to phones of staff; unknown ids come back lower-cased, floods vanish silently.

    An identical message inside the duplicate-check interval is accepted and not delivered; it has a
    msgid but no response_code, because there is no second card. The check runs before the task_id's.
    """
    _check_agent(state, call)
    people, unknown = _recipients(state, call)
    if not people:
        raise ApiError(81013, "all recipients are invalid")
    msgtype, content = _content(state, call)
    memory, now = state.part(AppMemory), state.clock.now()
    if not state.frequency.allow("app/day", state.limits.app_per_day, DAY_S, now):
        raise ApiError(45009, "api freq out of limit")
    msgid = f"app-{secrets.token_urlsafe(18)}"
    answer: Json = {"msgid": msgid} | ({"invaliduser": "|".join(unknown)} if unknown else {})
    task_id = check_task_id(content) if msgtype == "template_card" else ""
    if msgtype == "template_card" and needs_task(content) and state.callbacks.receiver_of("app") is None:
        raise ApiError(43012, "the card needs the app's callback URL")
    if _is_repeat(state, call):
        return answer
    if task_id in memory.task_ids:
        raise ApiError(42014, "task_id was used before")
    if task_id:
        memory.task_ids.add(task_id)
    memory.sent_at[msgid] = now
    for person in people:
        _put(state, person, AppLine(0, msgid, now, "app", msgtype, content, task_id))
    if msgtype == "template_card" and needs_task(content):
        answer["response_code"] = _issue_code(state, msgid)
    return answer


def _put(state: State, person: Staff, line: AppLine) -> None:
    limits, now, key = state.limits, state.clock.now(), f"app/{person.userid}"
    per_min = state.frequency.drop_over(key, limits.app_per_member_per_min, MINUTE_S, now)
    if state.frequency.drop_over(key, limits.app_per_member_per_hour, HOUR_S, now) or per_min:
        return
    put_line(state, person.userid, line)


def put_line(state: State, userid: str, line: AppLine) -> AppLine:
    """Show a message on a member's phone in the app's chat."""
    line.number = state.next_number()
    state.part(AppMemory).phones.setdefault(userid, []).append(line)
    state.touch()
    return line


def _response_code(state: State, call: Call) -> ResponseCode:
    code = state.part(AppMemory).codes.get(call.text("response_code", 42016))
    if code is None or code.expires_at <= state.clock.now():
        raise ApiError(42016, "response_code is unknown or expired")
    if str(code.agent_id) != str(call.body.get("agentid")):
        raise ApiError(42015, "the card was sent by another app")
    if code.used:
        raise ApiError(42022, "response_code was used before")
    return code


def update_card(state: State, call: Call) -> Json:
    """message/update_template_card: grey the buttons or show another card; each code works once."""
    code = _response_code(state, call)
    card, button = call.body.get("template_card"), call.body.get("button")
    if isinstance(card, dict):
        check_card(card, state.limits)
    elif not isinstance(button, dict) or not button.get("replace_name"):
        raise ApiError(42020, "button.replace_name or template_card is required")
    if call.body.get("atall") == 1:
        asked = [person.userid for person in state.staff.values()]
    else:
        asked = call.texts("userids", 1000)
    if not asked:
        raise ApiError(82001, "no recipients")
    code.used = True
    unknown = [userid.lower() for userid in asked if not state.is_staff(userid)]
    for userid in asked:
        if state.is_staff(userid):
            _change_face(state, state.member(userid).userid, code.msgid, card, button)
    state.touch()
    return {"invaliduser": unknown} if unknown else {}


def _change_face(state: State, userid: str, msgid: str, card: Json | None, button: Json | None) -> None:
    for line in state.part(AppMemory).phones.get(userid, []):
        if line.msgid != msgid:
            continue
        line.updated += 1
        if card is not None:
            line.content = json.loads(json.dumps(card))
            line.task_id = str(card.get("task_id") or line.task_id)
            line.replaced = str(card.get("replace_text") or "")
        elif button is not None and line.content.get("card_type") in INTERACTIVE:
            line.replaced = str(button["replace_name"])


def recall(state: State, call: Call) -> Json:
    """message/recall: within 24 hours; the message disappears from every phone."""
    memory, msgid = state.part(AppMemory), call.text("msgid")
    if msgid not in memory.sent_at:
        raise ApiError(40058, "invalid msgid")
    if state.clock.now() - memory.sent_at[msgid] > state.limits.recall_s:
        raise ApiError(42052, "the message can no longer be recalled")
    for lines in memory.phones.values():
        for line in lines:
            line.recalled = line.recalled or line.msgid == msgid
    state.touch()
    return {}


def tap(state: State, userid: str, task_id: str, key: str, picks: dict[str, list[str]]) -> None:
    """A member taps a button of a card; PhoneError when it is not there or greyed."""
    person = state.member(userid)
    lines = [line for line in state.part(AppMemory).phones.get(person.userid, []) if line.task_id == task_id]
    if not lines or lines[-1].recalled:
        raise PhoneError(f"{person.name} has no card {task_id!r}")
    line = lines[-1]
    if line.replaced:
        raise PhoneError(f"the buttons of card {task_id!r} were replaced by {line.replaced!r}")
    if key not in keys_of(line.content):
        raise PhoneError(f"card {task_id!r} has no button {key!r}; it has {sorted(keys_of(line.content))}")
    line.tapped.append(key)
    send_card_tap(state, person.userid, line.content | {"task_id": task_id}, key, _issue_code(state, line.msgid), picks)
    state.touch()


ENDPOINTS = (
    Endpoint("message/send", send, "app"),
    Endpoint("message/update_template_card", update_card, "app"),
    Endpoint("message/recall", recall, "app"),
)
