"""微信客服: what is read from it and what is sent through it (wecom.md §6)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bot.texts import cut, split_text
from bot.wecom.errors import (
    MOVE_REFUSED,
    NOT_A_SERVICER,
    SERVICER_STOPPED,
    SESSION_ENDED,
    STATE_FORBIDS,
    ApiRefused,
    ErrorClass,
    NotSendable,
)
from bot.wecom.gateway import Gateway, Json, flat, text_of
from handlers.talk.messages import Incoming

TEXT_BYTES: Final = 2048
HEAD_BYTES: Final = 1024
TAIL_BYTES: Final = 1024
ITEM_ID_BYTES: Final = 128
ITEM_BYTES: Final = 128
MENU_ITEMS: Final = 10
"""The older, lower count of what may be tapped in one menu."""
SYNC_LIMIT: Final = 1000
MSGID_CHARS: Final = 32

NEW, ASSISTANT, POOL, HUMAN, ENDED = range(5)
"""States of a session (§6.4)."""
FROM_CUSTOMER, FROM_SYSTEM, FROM_SERVICER = 3, 4, 5

KINDS: Final = frozenset(
    "text image voice video file location link business_card miniprogram msgmenu channels_shop_product "
    "channels_shop_order merged_msg channels meeting schedule calendar note event".split()
)


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of sync_msg; an empty page may well have more behind it."""

    messages: Sequence[Json]
    next_cursor: str
    has_more: bool


def msgid_of(key: str, part: int = 0) -> str:
    """The platform's idempotency key of one part of an outbox row: the same row gives the same id."""
    return hashlib.sha256((key if part == 0 else f"{key}#{part}").encode()).hexdigest()[:MSGID_CHARS]


def text_bodies(content: str) -> list[Json]:
    """A text as the messages it takes."""
    return [{"msgtype": "text", "text": {"content": part}} for part in split_text(content, TEXT_BYTES)]


def menu_bodies(head: str, items: Sequence[Sequence[str]], tail: str) -> list[Json]:
    """A menu as the messages it takes: an over-long head goes ahead as text, more entries than one menu holds follow.

    Raises NotSendable for an entry whose id is too long, because a cut id would not be recognised when tapped.
    """
    for item_id, _ in items:
        if len(item_id.encode()) > ITEM_ID_BYTES:
            raise NotSendable(f"menu id {item_id[:40]!r}… is longer than {ITEM_ID_BYTES} bytes")
    if not items:
        return text_bodies("\n".join(part for part in (head, tail) if part))
    heads, tails = split_text(head, HEAD_BYTES), split_text(tail, TAIL_BYTES)
    bodies = [body for part in heads[:-1] for body in text_bodies(part)]
    for start in range(0, len(items), MENU_ITEMS):
        is_last = start + MENU_ITEMS >= len(items)
        menu = {
            "head_content": heads[-1] if start == 0 else "",
            "list": [_click(*item) for item in items[start : start + MENU_ITEMS]],
            "tail_content": tails[0] if is_last else "",
        }
        bodies.append({"msgtype": "msgmenu", "msgmenu": {name: value for name, value in menu.items() if value}})
    return bodies + [body for part in tails[1:] for body in text_bodies(part)]


async def send(gateway: Gateway, touser: str, open_kfid: str, body: Json, msgid: str, trace: str = "") -> str:
    """One message; gives its msgid. Raises NotSendable when a person is serving or the session is over."""
    message = {"touser": touser, "open_kfid": open_kfid, "msgid": msgid, **body}
    try:
        answer = await gateway.call("POST", "kf/send_msg", message, trace=trace)
    except ApiRefused as error:
        if error.errcode != STATE_FORBIDS:
            raise
        raise await _why_forbidden(gateway, open_kfid, touser, error, trace) from error
    return str(answer.get("msgid") or msgid)


async def send_on_event(gateway: Gateway, code: str, content: str, msgid: str, trace: str = "") -> None:
    """The one text a code of an event or a hand-over allows (§6.6)."""
    body = {"code": code, "msgid": msgid, "msgtype": "text", "text": {"content": cut(content, TEXT_BYTES)}}
    await gateway.call("POST", "kf/send_msg_on_event", body, trace=trace)


async def session_state(gateway: Gateway, open_kfid: str, external_userid: str, trace: str = "") -> int:
    """The state of a session, NEW to ENDED."""
    body = {"open_kfid": open_kfid, "external_userid": external_userid}
    answer = await gateway.call("POST", "kf/service_state/get", body, trace=trace)
    return int(answer.get("service_state", ENDED))


async def transfer(
    gateway: Gateway, open_kfid: str, external_userid: str, state: int, servicer: str, trace: str = ""
) -> str:
    """Hand a session over; gives the msg_code for the one text that goes with it, "" where there is none.

    A servicer who cannot take it now means the waiting pool instead. A session that people have already is done.
    Raises NotSendable when the session is over.
    """
    try:
        return await _move(gateway, open_kfid, external_userid, state, servicer, trace)
    except ApiRefused as error:
        if error.errcode in (NOT_A_SERVICER, SERVICER_STOPPED) and state == HUMAN:
            return await transfer(gateway, open_kfid, external_userid, POOL, "", trace)
        if error.errcode not in (MOVE_REFUSED, SESSION_ENDED):
            raise
        now_in = await session_state(gateway, open_kfid, external_userid, trace)
        if now_in in (POOL, HUMAN):
            return ""
        if now_in == ENDED:
            raise NotSendable(f"the session is over ({error})") from error
        raise ApiRefused(error.errcode, error.errmsg, error.endpoint, ErrorClass.RETRY) from error


async def sync(gateway: Gateway, open_kfid: str, cursor: str, token: str) -> Page:
    """The messages behind the cursor; raises ApiRefused 95007 when the token is no good."""
    body: Json = {"open_kfid": open_kfid, "limit": SYNC_LIMIT, "cursor": cursor}
    answer = await gateway.call("POST", "kf/sync_msg", body | ({"token": token} if token else {}))
    messages = [item for item in answer.get("msg_list") or () if isinstance(item, dict)]
    return Page(messages, str(answer.get("next_cursor") or cursor), bool(int(answer.get("has_more") or 0)))


def read_message(raw: Mapping[str, Any], open_kfid: str, now: datetime) -> Incoming:
    """One entry of msg_list; what cannot be understood becomes kind "unknown" with everything in `raw`."""
    try:
        return _event(raw, open_kfid) if raw.get("msgtype") == "event" else _message(raw, open_kfid)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError):
        return _unknown(raw, open_kfid, now)


def _message(raw: Mapping[str, Any], open_kfid: str) -> Incoming:
    kind, is_staff = text_of(raw["msgtype"]), raw.get("origin") == FROM_SERVICER
    customer = text_of(raw["external_userid"])
    data = flat(raw.get(kind) or {})
    text = data.pop("content", "") if kind == "text" else ""
    is_known = kind in KINDS and raw.get("origin") in (FROM_CUSTOMER, FROM_SERVICER)
    return Incoming(
        key=_key(raw, open_kfid),
        channel="kf",
        kind=kind if is_known else "unknown",
        sender=(text_of(raw["servicer_userid"]) if is_staff else customer)[:128],
        at=datetime.fromtimestamp(int(raw["send_time"]), UTC),
        chat=f"kf:{open_kfid}",
        text=text,
        identity="userid" if is_staff else "external_userid",
        is_staff=is_staff,
        data=data | ({"to": customer} if is_staff else {}) | ({} if is_known else {"msgtype": kind}),
        raw="" if is_known else text_of(raw),
        trace=trace_of(_key(raw, open_kfid)),
    )


def _event(raw: Mapping[str, Any], open_kfid: str) -> Incoming:
    data = flat(raw["event"])
    customer = data.get("external_userid") or text_of(raw.get("external_userid"))
    servicer = data.get("servicer_userid", "")
    return Incoming(
        key=_key(raw, open_kfid),
        channel="kf",
        kind="event",
        sender=(customer or servicer or open_kfid)[:128],
        at=datetime.fromtimestamp(int(raw["send_time"]), UTC),
        chat=f"kf:{open_kfid}",
        identity="external_userid" if customer else "userid" if servicer else "none",
        is_staff=bool(servicer) and not customer,
        data=data,
        trace=trace_of(_key(raw, open_kfid)),
    )


def _unknown(raw: Mapping[str, Any], open_kfid: str, now: datetime) -> Incoming:
    return Incoming(
        key=_key(raw, open_kfid),
        channel="other",
        kind="unknown",
        sender=open_kfid,
        at=now,
        chat=f"kf:{open_kfid}",
        identity="none",
        raw=text_of(dict(raw)),
        trace=trace_of(_key(raw, open_kfid)),
    )


def _key(raw: Mapping[str, Any], open_kfid: str) -> str:
    msgid = text_of(raw.get("msgid"))
    if not 0 < len(msgid) <= 100:
        msgid = hashlib.sha256(json.dumps(raw, sort_keys=True, default=str).encode()).hexdigest()
    return f"kf:{open_kfid}:{msgid}"


def trace_of(key: str) -> str:
    """The id under which a pulled message is followed; the same whenever it is pulled."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _click(item_id: str, content: str) -> Json:
    return {"type": "click", "click": {"id": item_id, "content": cut(content, ITEM_BYTES)}}


async def _move(gateway: Gateway, open_kfid: str, external_userid: str, state: int, servicer: str, trace: str) -> str:
    body: Json = {"open_kfid": open_kfid, "external_userid": external_userid, "service_state": state}
    if servicer and state == HUMAN:
        body["servicer_userid"] = servicer
    answer = await gateway.call("POST", "kf/service_state/trans", body, trace=trace)
    return str(answer.get("msg_code") or "")


async def _why_forbidden(
    gateway: Gateway, open_kfid: str, external_userid: str, error: ApiRefused, trace: str
) -> ApiRefused | NotSendable:
    # 95018 is also what an unverified corp or a session of 48 h gets, so the state decides.
    now_in = await session_state(gateway, open_kfid, external_userid, trace)
    if now_in in (POOL, HUMAN):
        return NotSendable(f"a person is serving (state {now_in}; {error})")
    if now_in == ENDED:
        return NotSendable(f"the session is over ({error})")
    return ApiRefused(error.errcode, error.errmsg, error.endpoint, ErrorClass.RETRY)
