"""Messages to staff: texts, cards with buttons, and cards greyed after the tap (wecom.md §7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bot.wecom.errors import ApiRefused, ErrorClass, NotSendable
from bot.wecom.gateway import Gateway, Json

TEXT_BYTES: Final = 2048
CARD_ROWS: Final = 6
CARD_BUTTONS: Final = 6
DUPLICATE_CHECK_S: Final = 600
"""An identical message within so long is dropped by the platform: longer than a lease and the longest back-off."""

NO_LICENCE: Final = 701008


async def send_text(gateway: Gateway, agent_id: int, touser: str, content: str, trace: str = "") -> str:
    """A text of at most TEXT_BYTES to one member; gives the platform's msgid."""
    answer = await _send(gateway, agent_id, touser, "text", {"content": content}, trace)
    return str(answer.get("msgid", ""))


async def send_card(gateway: Gateway, agent_id: int, touser: str, payload: Mapping[str, Any], trace: str = "") -> str:
    """A card with buttons; gives its response_code, "" when the platform dropped a duplicate."""
    answer = await _send(gateway, agent_id, touser, "template_card", card_body(payload), trace)
    return str(answer.get("response_code", ""))


async def update_card(
    gateway: Gateway, agent_id: int, userids: Sequence[str], response_code: str, replace_name: str, trace: str = ""
) -> None:
    """Grey the buttons of a card and show what was chosen; 42022 when the code was used before."""
    body = {
        "userids": list(userids),
        "agentid": agent_id,
        "response_code": response_code,
        "button": {"replace_name": replace_name},
    }
    await gateway.call("POST", "message/update_template_card", body, trace=trace)


def card_body(payload: Mapping[str, Any]) -> Json:
    """A `card` payload in the platform's words; rows and buttons over the platform's count are left out."""
    card: Json = {
        "card_type": "button_interaction",
        "task_id": payload["task_id"],
        "main_title": {"title": payload["title"], "desc": payload["desc"]},
        "horizontal_content_list": [
            {"type": 0, "keyname": name, "value": value} for name, value in payload["rows"][:CARD_ROWS]
        ],
        "button_list": [
            {"type": 0, "text": text, "style": style, "key": key}
            for text, style, key in payload["buttons"][:CARD_BUTTONS]
        ],
    }
    if payload["quote"]:
        card["quote_area"] = {"type": 0, "quote_text": payload["quote"]}
    return card


async def _send(gateway: Gateway, agent_id: int, touser: str, msgtype: str, content: Json, trace: str) -> Json:
    body = {
        "touser": touser,
        "agentid": agent_id,
        "msgtype": msgtype,
        msgtype: content,
        "enable_duplicate_check": 1,
        "duplicate_check_interval": DUPLICATE_CHECK_S,
    }
    answer = await gateway.call("POST", "message/send", body, trace=trace)
    # errcode 0 with the only recipient named as invalid is a refusal too; ids come back lower-cased.
    if touser.lower() in _names(answer, "invaliduser"):
        raise NotSendable("the member does not exist or is outside the app's visible range (invaliduser)")
    if touser.lower() in _names(answer, "unlicenseduser"):
        raise ApiRefused(NO_LICENCE, "the member has no licence (unlicenseduser)", "message/send", ErrorClass.CONFIG)
    return answer


def _names(answer: Json, key: str) -> list[str]:
    return str(answer.get(key) or "").lower().split("|")
