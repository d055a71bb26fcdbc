"""What a kf message may look like: types, menus and their byte limits (fact sheet 6.5)."""

from __future__ import annotations

import re
from typing import Any

from bot.emulator.errors import ApiError
from bot.emulator.kf_table import BAD_ITEM, TOO_MANY_ITEMS
from bot.emulator.limits import Limits, cut_bytes
from bot.emulator.state import Json

MSGID = re.compile(r"[0-9a-zA-Z_-]{1,32}")
MEDIA = ("image", "voice", "video", "file")
OTHER = {"link": ("title", "url", "thumb_media_id"), "location": ("latitude", "longitude"), "ca_link": ("link_url",)}
MINIPROGRAM = ("appid", "title", "thumb_media_id", "pagepath")


def check_msgid(body: Json) -> str:
    """The caller's msgid or ""; an empty or illegal one is an error."""
    if "msgid" not in body:
        return ""
    msgid = body["msgid"]
    if not isinstance(msgid, str) or not MSGID.fullmatch(msgid):
        raise ApiError(40058, "msgid must be 1-32 characters of [0-9a-zA-Z_-]")
    return msgid


def shown(body: Json, limits: Limits, allowed: tuple[str, ...] = ()) -> tuple[str, str, Json]:
    """Kind, text and extra of the bubble that the message makes; ApiError when it is not allowed."""
    msgtype = body.get("msgtype")
    content = body.get(str(msgtype))
    if (allowed and msgtype not in allowed) or not isinstance(msgtype, str):
        raise ApiError(40008, f"invalid msgtype {msgtype!r}")
    if not isinstance(content, dict):
        raise ApiError(40058, f"{msgtype} is missing")
    if msgtype == "text":
        return "text", _text(content, limits), {}
    if msgtype == "msgmenu":
        return "menu", *_menu(content, limits)
    return msgtype, *_other(msgtype, content)


def _text(content: Json, limits: Limits) -> str:
    if not content.get("content"):
        raise ApiError(44004, "empty content")
    return cut_bytes(str(content["content"]), limits.kf_text_bytes)


def _other(msgtype: str, content: Json) -> tuple[str, Json]:
    needed = ("media_id",) if msgtype in MEDIA else MINIPROGRAM if msgtype == "miniprogram" else OTHER.get(msgtype)
    if needed is None:
        raise ApiError(40008, f"invalid msgtype {msgtype!r}")
    missing = [name for name in needed if name not in content]
    if missing:
        raise ApiError(40058, f"{msgtype}.{missing[0]} is missing")
    return str(content.get("title") or content.get("name") or msgtype), dict(content)


def _menu(content: Json, limits: Limits) -> tuple[str, Json]:
    head = cut_bytes(str(content.get("head_content") or ""), limits.kf_menu_head_bytes)
    tail = cut_bytes(str(content.get("tail_content") or ""), limits.kf_menu_head_bytes)
    items = content.get("list") or []
    clickable = [item for item in items if item.get("type") != "text"]
    if len(items) > limits.kf_menu_entries or len(clickable) > limits.kf_menu_clickable:
        raise ApiError(TOO_MANY_ITEMS, "too many menu items")
    if not head and not items:
        raise ApiError(44004, "empty menu")
    return head, {"items": [_item(item, limits) for item in items], "tail": tail}


def _item(item: Json, limits: Limits) -> Json:
    kind = item.get("type")
    body: Any = item.get(str(kind))
    if kind not in ("click", "view", "miniprogram", "text") or not isinstance(body, dict):
        raise ApiError(BAD_ITEM, f"invalid menu item type {kind!r}")
    most = {"text": limits.kf_menu_text_bytes, "view": limits.kf_menu_view_bytes}
    _fits(body, "content", most.get(str(kind), limits.kf_menu_content_bytes))
    if kind == "click":
        _fits(body, "id", limits.kf_menu_id_bytes, needed=False)
    if kind == "view":
        _fits(body, "url", limits.kf_menu_url_bytes)
    return {"type": kind, "id": str(body.get("id", "")), "content": body["content"], "url": body.get("url", "")}


def _fits(body: Json, name: str, most_bytes: int, needed: bool = True) -> None:
    value = body.get(name, "")
    if not isinstance(value, str) or (needed and not value):
        raise ApiError(40058, f"menu item {name} is missing")
    if len(value.encode()) > most_bytes:
        raise ApiError(45002, f"menu item {name} is over {most_bytes} bytes")
