"""What a template card must look like; the errcodes are those of the fact sheet 2.3 and 7.3."""

from __future__ import annotations

import re

from bot.emulator.errors import ApiError
from bot.emulator.limits import Limits
from bot.emulator.state import Json

TASK_ID = re.compile(r"[0-9A-Za-z_\-@]{1,128}")
INTERACTIVE = ("button_interaction", "vote_interaction", "multiple_interaction")
CARD_TYPES = ("text_notice", "news_notice", *INTERACTIVE)


def check_card(card: Json, limits: Limits) -> None:
    """Refuse a card that the platform would refuse; ApiError names the field."""
    kind = card.get("card_type")
    if kind not in CARD_TYPES:
        raise ApiError(42031, f"invalid card_type {kind!r}")
    _check_title(card, str(kind))
    _check_lists(card, limits)
    if kind == "button_interaction":
        check_buttons(card, limits)
    if kind in ("vote_interaction", "multiple_interaction"):
        _check_submit(card)
    if kind in ("text_notice", "news_notice") and (card.get("card_action") or {}).get("type") not in (1, 2):
        raise ApiError(42045, "card_action with type 1 or 2 is required")


def needs_task(card: Json) -> bool:
    """Whether the card calls back and so must carry a task_id."""
    return card.get("card_type") in INTERACTIVE or "action_menu" in card


def check_task_id(card: Json) -> str:
    """The card's task_id ("" when it needs none); ApiError 42014 for a missing or illegal one."""
    task_id = card.get("task_id", "")
    if (task_id or needs_task(card)) and not (isinstance(task_id, str) and TASK_ID.fullmatch(task_id)):
        raise ApiError(42014, "invalid task_id")
    return str(task_id)


def _check_title(card: Json, kind: str) -> None:
    title = (card.get("main_title") or {}).get("title")
    if kind == "text_notice":
        title = title or (card.get("main_title") or {}).get("desc") or card.get("sub_title_text")
    if not title:
        raise ApiError(42033, "main_title.title is required")


def _check_lists(card: Json, limits: Limits) -> None:
    rows = card.get("horizontal_content_list") or []
    if len(rows) > limits.card_horizontal:
        raise ApiError(42035, "horizontal_content_list is too long")
    if any(not row.get("keyname") for row in rows):
        raise ApiError(42027, "horizontal_content_list.keyname is missing")
    if any(row.get("type") == 1 and not row.get("url") for row in rows):
        raise ApiError(42028, "horizontal_content_list.url is missing")
    if len(card.get("jump_list") or []) > limits.card_jumps:
        raise ApiError(42042, "jump_list is too long")


def check_buttons(card: Json, limits: Limits) -> None:
    """Check button_list: 1 to 6, each with text, callback buttons with a key of at most 1024 bytes."""
    buttons = card.get("button_list") or []
    if not 1 <= len(buttons) <= limits.card_buttons:
        raise ApiError(40058, "button_list must have 1 to 6 buttons")
    for button in buttons:
        if not button.get("text"):
            raise ApiError(42038, "button text is missing")
        key = button.get("key", "")
        if button.get("type", 0) == 0 and (not key or len(str(key).encode()) > limits.card_key_bytes):
            raise ApiError(42039, "button key is missing or too long")


def _check_submit(card: Json) -> None:
    submit = card.get("submit_button") or {}
    if not submit.get("key"):
        raise ApiError(42046, "submit_button.key is missing")
    if not submit.get("text"):
        raise ApiError(42049, "submit_button.text is missing")


def keys_of(card: Json) -> set[str]:
    """Every key a member can tap on the card."""
    keys = {str(button.get("key")) for button in card.get("button_list") or [] if button.get("type", 0) == 0}
    return keys | ({str(card["submit_button"].get("key"))} if "submit_button" in card else set())
