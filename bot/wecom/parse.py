"""Decrypted callback XML to what the inbox keeps: messages, events, and signals to pull (wecom.md 1.6, 3, 6.2, 7.6)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from bot.intake import Signal
from bot.wecom.crypto import BadXml
from bot.wecom.xml import Tree, parse
from handlers.talk.messages import Incoming

MAX_ID_CHARS: Final = 128
MAX_KEY_CHARS: Final = 200
MAX_SOURCE_CHARS: Final = 100
MESSAGE_KINDS: Final = frozenset({"text", "image", "voice", "video", "location", "link"})
ENVELOPE: Final = frozenset({"ToUserName", "FromUserName", "CreateTime", "MsgType", "Content", "MsgId", "AgentID"})
"""What every message carries; the rest is the data of its kind."""


def read(
    data: bytes, receiver: str, now: datetime, trace: str, kf_accounts: Sequence[str] = ()
) -> list[Incoming | Signal]:
    """One callback as one or more things to store; raises `BadXml` or `TooLarge`.

    `now` stands in where the platform gives no time. `kf_accounts` are signalled where an old platform does not
    say which account has news. Whatever is not known is kept whole under the channel "other".
    """
    tree = parse(data)
    kind = word(tree, "MsgType")
    if not kind:
        raise BadXml("no MsgType; is this a callback?")
    if kind != "event":
        return [_message(tree, data, receiver, now, trace)]
    event = word(tree, "Event")
    if event == "msgaudit_notify":
        return [Signal("archive")]
    if event == "kf_msg_or_event":
        return _kf(tree, kf_accounts) or [_other(tree, data, now, trace)]
    known = EVENTS.get(event)
    found = known(tree, data, now, trace) if known else None
    return [found or _other(tree, data, now, trace)]


def word(tree: Tree, name: str) -> str:
    """The text of an element, empty where it is missing or not a leaf."""
    value = tree.get(name, "")
    return value if isinstance(value, str) else ""


def fitted(value: str, limit: int) -> str:
    """The value, or for one longer than its column a cut that stays distinct."""
    if len(value) <= limit:
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()[:32]
    return f"{value[: limit - 33]}~{digest}"


def moment(tree: Tree, now: datetime) -> datetime:
    """CreateTime in UTC, or now where there is none that makes sense."""
    text = word(tree, "CreateTime")
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return now
    return datetime.fromtimestamp(int(text), UTC)


def event_key(data: bytes) -> str:
    """The key of an event: its XML without white space; the platform's own key is too coarse (wecom.md 1.5)."""
    return "event:" + hashlib.sha256(b"".join(data.split())).hexdigest()


def leaves(tree: Tree, without: frozenset[str] = frozenset(), prefix: str = "") -> dict[str, str]:
    """Every leaf by its path (A.B, A.0.B in lists), for what has no form of its own."""
    found: dict[str, str] = {}
    for name, value in tree.items():
        if prefix or name not in without:
            _collect(found, prefix + name, value)
    return found


def _collect(found: dict[str, str], path: str, value: Any) -> None:
    if isinstance(value, str):
        found[path] = value
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _collect(found, f"{path}.{place}", item)
    else:
        found |= leaves(value, prefix=path + ".")


def _message(tree: Tree, data: bytes, receiver: str, now: datetime, trace: str) -> Incoming:
    kind, sender = word(tree, "MsgType"), word(tree, "FromUserName")
    key = f"wecom:{receiver}:{sender}:{word(tree, 'MsgId')}:{word(tree, 'CreateTime')}"
    known = kind in MESSAGE_KINDS
    return Incoming(
        key=fitted(key, MAX_KEY_CHARS),
        channel="staff",
        kind=kind if known else "unknown",
        sender=fitted(sender, MAX_ID_CHARS),
        at=moment(tree, now),
        text=word(tree, "Content") if kind == "text" else "",
        identity="userid",
        is_staff=True,
        data={} if kind == "text" else leaves(tree, ENVELOPE),
        raw="" if known else data.decode(),
        trace=trace,
    )


def _kf(tree: Tree, accounts: Sequence[str]) -> list[Incoming | Signal]:
    account, token = word(tree, "OpenKfId"), word(tree, "Token")
    named = [account] if account else accounts
    token = token if len(token) <= MAX_KEY_CHARS else ""
    return [Signal(f"kf:{one}", token) for one in named if len(one) <= MAX_SOURCE_CHARS - 3]


def _tap(tree: Tree, data: bytes, now: datetime, trace: str) -> Incoming:
    fields = {
        "task_id": word(tree, "TaskId"),
        "button": word(tree, "EventKey"),
        "response_code": word(tree, "ResponseCode"),
        "card_type": word(tree, "CardType"),
    }
    return Incoming(
        key=event_key(data),
        channel="staff",
        kind="tap",
        sender=fitted(word(tree, "FromUserName"), MAX_ID_CHARS),
        at=moment(tree, now),
        identity="userid",
        is_staff=True,
        data=fields | _choices(tree),
        trace=trace,
    )


def _choices(tree: Tree) -> dict[str, str]:
    """What was selected on a card, as selected.<question> = option ids with commas between."""
    found: dict[str, str] = {}
    items = tree.get("SelectedItems")
    for item in _list(items.get("SelectedItem") if isinstance(items, dict) else None):
        if isinstance(item, dict):
            options = item.get("OptionIds")
            ids = _list(options.get("OptionId") if isinstance(options, dict) else None)
            found[f"selected.{word(item, 'QuestionKey')}"] = ",".join(one for one in ids if isinstance(one, str))
    return found


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _contact(tree: Tree, data: bytes, now: datetime, trace: str) -> Incoming | None:
    customer = word(tree, "ExternalUserID")
    if not customer:
        return None
    fields = {
        "event": "change_external_contact",
        "change": word(tree, "ChangeType"),
        "userid": word(tree, "UserID"),
        "external_userid": customer,
        "state": word(tree, "State"),
        "welcome_code": word(tree, "WelcomeCode"),
        "source": word(tree, "Source"),
        "fail_reason": word(tree, "FailReason"),
    }
    return Incoming(
        key=event_key(data),
        channel="contact",
        kind="event",
        sender=fitted(customer, MAX_ID_CHARS),
        at=moment(tree, now),
        data=fields,
        trace=trace,
    )


def _chat(tree: Tree, data: bytes, now: datetime, trace: str) -> Incoming | None:
    chat = word(tree, "ChatId")
    if not chat:
        return None
    fields = {
        "event": "change_external_chat",
        "change": word(tree, "ChangeType"),
        "detail": word(tree, "UpdateDetail"),
        "members": ",".join(_members(tree)),
        "join_scene": word(tree, "JoinScene"),
        "quit_scene": word(tree, "QuitScene"),
        "last_version": word(tree, "LastMemVer"),
        "version": word(tree, "CurMemVer"),
    }
    return Incoming(
        key=event_key(data),
        channel="contact",
        kind="event",
        sender=fitted(chat, MAX_ID_CHARS),
        chat=chat,
        at=moment(tree, now),
        identity="none",
        data=fields,
        trace=trace,
    )


def _members(tree: Tree) -> list[str]:
    """MemChangeList as one text with commas, as repeated Items, or absent."""
    changed = tree.get("MemChangeList", "")
    if isinstance(changed, dict):
        ids = [one for one in _list(changed.get("Item")) if isinstance(one, str)]
    else:
        ids = changed.split(",") if isinstance(changed, str) else []
    return [one.strip() for one in ids if one.strip()]


def _other(tree: Tree, data: bytes, now: datetime, trace: str) -> Incoming:
    """An event we have no use for, kept whole: what is acknowledged is never dropped."""
    event = word(tree, "Event")
    return Incoming(
        key=event_key(data),
        channel="other",
        kind="event" if event in KNOWN_EVENTS else "unknown",
        sender=fitted(word(tree, "FromUserName") or "sys", MAX_ID_CHARS),
        at=moment(tree, now),
        identity="none",
        data=leaves(tree),
        raw=data.decode(),
        trace=trace,
    )


EVENTS: Final[dict[str, Callable[[Tree, bytes, datetime, str], Incoming | None]]] = {
    "template_card_event": _tap,
    "change_external_contact": _contact,
    "change_external_chat": _chat,
}
"""Events with a form of their own; None from one of these means: keep it whole."""

KNOWN_EVENTS: Final = frozenset(EVENTS) | frozenset(
    """kf_msg_or_event msgaudit_notify
    subscribe unsubscribe enter_agent LOCATION click view view_miniprogram scancode_push scancode_waitmsg
    pic_sysphoto pic_photo_or_album pic_weixin location_select batch_job_result change_contact open_approval_change
    share_agent_change share_chain_change template_card_menu_event inactive_alert close_inactive_agent
    reopen_inactive_agent low_active_alert low_active active_restored change_external_tag customer_acquisition
    kf_account_auth_change""".split()
)
