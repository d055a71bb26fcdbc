"""Callback XML of the 公众号 to what the inbox keeps (wecom.md 9.1).

wechatpy tells what kind of message or event it is; the texts come from our own reader, because wechatpy strips
the white space around them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, Final

from bot.wecom.crypto import BadXml
from bot.wecom.parse import MAX_ID_CHARS, MAX_KEY_CHARS, event_key, fitted, leaves, moment, word
from bot.wecom.xml import Tree, parse
from handlers.talk.messages import Incoming

MESSAGE_KINDS: Final = frozenset({"text", "image", "voice", "video", "shortvideo", "location", "link"})
ENVELOPE: Final = frozenset({"ToUserName", "FromUserName", "CreateTime", "MsgType", "Content", "MsgId"})


def read(data: bytes, receiver: str, now: datetime, trace: str) -> list[Incoming]:
    """One callback as one message or event; raises `BadXml` or `TooLarge`."""
    tree = parse(data)
    text = data.decode()
    if not word(tree, "MsgType"):
        raise BadXml("no MsgType; is this a callback?")
    kind = _kind(text)
    is_event = word(tree, "MsgType").lower() == "event"
    known = is_event or kind in MESSAGE_KINDS
    return [
        Incoming(
            key=event_key(data) if is_event else _message_key(tree, receiver),
            channel="oa",
            kind=("event" if is_event else kind) if known else "unknown",
            sender=fitted(word(tree, "FromUserName"), MAX_ID_CHARS),
            at=moment(tree, now),
            chat="oa:" + word(tree, "ToUserName"),
            text=word(tree, "Content") if kind == "text" else "",
            identity="openid",
            data=_event(tree, kind) if is_event else leaves(tree, ENVELOPE),
            raw="" if known and kind != "unknown" else text,
            trace=trace,
        )
    ]


def _message_key(tree: Tree, receiver: str) -> str:
    key = f"wechat:{receiver}:{word(tree, 'FromUserName')}:{word(tree, 'MsgId')}:{word(tree, 'CreateTime')}"
    return fitted(key, MAX_KEY_CHARS)


def _event(tree: Tree, kind: str) -> dict[str, str]:
    """The event as the platform names it in small letters, its kind as wechatpy sees it, and its own fields."""
    return {"event": word(tree, "Event").lower(), "kind": kind} | leaves(tree, ENVELOPE | {"Event"})


def _kind(text: str) -> str:
    """What wechatpy takes it for: a message type, an event, or unknown; it raises all sorts on odd XML."""
    try:
        message: Any = _parser()(text)
        kind = message.event if message.type == "event" else message.type
    except Exception:
        return "unknown"
    return str(kind)


@cache
def _parser() -> Callable[[str], Any]:
    # wechatpy brings its HTTP client along: a tenth of the start of a service that may have no 公众号.
    from wechatpy import parse_message

    return parse_message  # type: ignore[no-any-return]


def warm_up() -> None:
    """Load wechatpy before the first message, so that it does not wait for that."""
    _parser()
