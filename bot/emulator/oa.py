"""The 公众号: its two kinds of token, customer-service messages, messages and events of followers."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from bot.emulator.api import Call, Endpoint
from bot.emulator.callbacks import Callback, open_reply
from bot.emulator.config import OfficialAccount
from bot.emulator.errors import ApiError, CryptoError, PhoneError
from bot.emulator.events import oa_document
from bot.emulator.markup import Field, read_flat
from bot.emulator.state import Customer, Json, State

FAILURE = "该公众号提供的服务出现故障，请稍后再试"
MEDIA = ("image", "voice", "video", "mpnews", "wxcard", "miniprogrampage", "music", "news", "mpnewsarticle")


@dataclass
class Window:
    """So many customer-service messages until a moment."""

    left: int
    until: float


@dataclass
class OaMemory:
    """Per openid: the window opened by writing and the one opened by an event."""

    windows: dict[str, dict[str, Window]] = field(default_factory=dict)


def account(state: State) -> OfficialAccount:
    """The configured 公众号; ApiError 40013 when there is none."""
    if state.config.oa is None:
        raise ApiError(40013, "invalid appid")
    return state.config.oa


def _check_secret(state: State, appid: str, secret: str, grant: str) -> str:
    if grant != "client_credential":
        raise ApiError(40002, "invalid grant_type")
    oa = account(state)
    if appid != oa.appid:
        raise ApiError(40013, "invalid appid")
    if secret != oa.secret:
        raise ApiError(40125, "invalid appsecret")
    return secret


def stable_token(state: State, call: Call) -> Json:
    """stable_token: the same token until five minutes before its end; the old one lives on beside."""
    body = call.body
    secret = _check_secret(
        state, str(body.get("appid", "")), str(body.get("secret", "")), str(body.get("grant_type", ""))
    )
    renew_s = float("inf") if body.get("force_refresh") else float(state.limits.stable_overlap_s)
    token, left_s = state.oa_tokens.get(secret, renew_s)
    return {"access_token": token, "expires_in": left_s}


def classic_token(state: State, call: Call) -> Json:
    """token: a new one on every call; the one before dies after five minutes."""
    query = call.query
    secret = _check_secret(state, query.get("appid", ""), query.get("secret", ""), query.get("grant_type", ""))
    token, left_s = state.oa_tokens.replace(secret, state.limits.stable_overlap_s)
    return {"access_token": token, "expires_in": left_s}


def follower(state: State, openid: str) -> Customer:
    """The customer behind an openid; ApiError 40003 when nobody has it."""
    for customer in state.customers.values():
        if openid and customer.openid == openid:
            return customer
    raise ApiError(40003, "invalid openid")


def _spend(state: State, openid: str) -> None:
    now, windows = state.clock.now(), state.part(OaMemory).windows.get(openid, {})
    open_windows = [window for window in windows.values() if window.until > now]
    if not open_windows:
        raise ApiError(45015, "response out of time limit or subscription is canceled")
    for window in open_windows:
        if window.left > 0:
            window.left -= 1
            return
    raise ApiError(45047, "out of response count limit")


def _content(state: State, body: Json) -> tuple[str, str, Json]:
    msgtype = body.get("msgtype")
    content = body.get(str(msgtype))
    if not isinstance(content, dict):
        raise ApiError(40008, f"invalid message type {msgtype!r}")
    if msgtype == "text":
        text = str(content.get("content") or "")
        if not text:
            raise ApiError(44004, "empty content")
        if len(text.encode()) > state.limits.oa_text_bytes:
            raise ApiError(45002, "content size out of limit")
        return "text", text, {}
    if msgtype == "msgmenu":
        items = [
            {"type": "click", "id": str(item.get("id", "")), "content": item.get("content", ""), "url": ""}
            for item in content.get("list") or []
        ]
        return "menu", str(content.get("head_content", "")), {"items": items, "tail": content.get("tail_content", "")}
    if msgtype in MEDIA:
        return str(msgtype), str(content.get("title") or msgtype), dict(content)
    raise ApiError(40008, f"invalid message type {msgtype!r}")


def custom_send(state: State, call: Call) -> Json:
    """message/custom/send: 5 in 48 h after the user wrote, 3 in a minute after an event."""
    customer = follower(state, call.text("touser", 40003))
    kind, text, extra = _content(state, call.body)
    if not customer.subscribed:
        raise ApiError(45015, "response out of time limit or subscription is canceled")
    _spend(state, customer.openid)
    state.write(f"oa:{customer.openid}", account(state).gh_id, kind, text, extra)
    return {}


def typing(state: State, call: Call) -> Json:
    """message/custom/typing: accepted for followers."""
    follower(state, call.text("touser", 40003))
    if call.body.get("command") not in ("Typing", "CancelTyping"):
        raise ApiError(40058, "invalid command")
    return {}


def user_info(state: State, call: Call) -> Json:
    """user/info: whether an openid follows, and its unionid."""
    customer = follower(state, call.query.get("openid", ""))
    if not customer.subscribed:
        return {"subscribe": 0, "openid": customer.openid}
    shown: Json = {"subscribe": 1, "openid": customer.openid, "language": "zh_CN", "tagid_list": []}
    return shown | ({"unionid": customer.unionid} if customer.unionid else {})


def _post(state: State, customer: Customer, kind: str, fields: list[Field], answered: bool) -> None:
    oa = account(state)

    def show(answer: str | None) -> None:
        text = FAILURE if answer is None else _reply_text(state, answer)
        if text and answered:
            state.write(f"oa:{customer.openid}", oa.gh_id, "text", text, {"passive": True})

    inner = oa_document(state, customer.openid, fields)
    state.callbacks.post(Callback("oa", kind, inner, oa.gh_id, None, oa.mode, customer.openid, show))


def _reply_text(state: State, answer: str) -> str:
    """The line a user sees for an answer: nothing for ''/success, the failure line when malformed."""
    if answer.strip() in ("", "success"):
        return ""
    receiver = state.callbacks.receiver_of("oa")
    try:
        inner = open_reply(answer, receiver) if receiver and "<Encrypt>" in answer else answer
    except CryptoError:
        return FAILURE
    found = read_flat(inner)
    return found.get("Content", "") if found.get("MsgType") else FAILURE


def _open(state: State, openid: str, cause: str, left: int, lasts_s: float) -> None:
    window = Window(left, state.clock.now() + lasts_s)
    state.part(OaMemory).windows.setdefault(openid, {})[cause] = window


def say(state: State, customer: Customer, text: str, menu_id: str = "") -> str:
    """A follower writes (or taps a menu item); returns the MsgId."""
    if not customer.openid or not customer.subscribed:
        raise PhoneError(f"{customer.name} does not follow the 公众号")
    _open(state, customer.openid, "wrote", int(state.limits.oa_message_count), state.limits.oa_message_s)
    number = str(state.next_number())
    state.write(f"oa:{customer.openid}", customer.external_userid, "text", text)
    fields: list[Field] = [("MsgType", "text"), ("Content", text), ("MsgId", number)]
    _post(state, customer, "text", [*fields, ("bizmsgmenuid", menu_id or None)], answered=True)
    return number


def subscribe(state: State, customer: Customer, on: bool) -> None:
    """The customer follows or leaves the 公众号; a first-time follower gets an openid."""
    customer.openid = customer.openid or f"o{secrets.token_hex(13)}"
    if customer.subscribed == on:
        raise PhoneError(f"{customer.name} {'follows' if on else 'does not follow'} the 公众号 already")
    customer.subscribed = on
    event = "subscribe" if on else "unsubscribe"
    if on:
        _open(state, customer.openid, event, int(state.limits.oa_event_count), state.limits.oa_event_s)
    state.write(f"oa:{customer.openid}", customer.external_userid, "note", "关注了公众号" if on else "取消了关注")
    _post(state, customer, event, [("MsgType", "event"), ("Event", event), ("EventKey", "")], answered=on)


ENDPOINTS = (
    Endpoint("stable_token", stable_token, tokenless=True),
    Endpoint("token", classic_token, methods=("GET",), tokenless=True),
    Endpoint("message/custom/send", custom_send),
    Endpoint("message/custom/typing", typing),
    Endpoint("user/info", user_info, methods=("GET",)),
)
