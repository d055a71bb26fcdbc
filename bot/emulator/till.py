"""The brand's till: its buttons post to the service what a shop's own system would, for the customer in front of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import aiohttp

from bot.emulator.config import Till, TillButton
from bot.emulator.errors import PhoneError
from bot.emulator.state import Json, State

BEIJING: Final = ZoneInfo("Asia/Shanghai")
WAIT_S: Final = 10.0
SOON: Final = timedelta(days=2)
TEN_DAYS: Final = timedelta(days=10)


@dataclass
class TillMemory:
    """The number of each customer's last sale."""

    last: dict[str, str] = field(default_factory=dict)


async def press(state: State, body: Json) -> Json:
    """Press the button with this `label` for this `customer`; PhoneError where the service refuses."""
    till, customer = state.config.till, state.customer(str(body.get("customer", "")))
    button = next((one for one in till.buttons if one.label == body.get("label")), None) if till else None
    if till is None or button is None:
        known = ", ".join(one.label for one in till.buttons) if till else "there is no till here"
        raise PhoneError(f"no button {body.get('label')!r}; known: {known}")
    memory = state.part(TillMemory)
    if "$last" in button.path and customer.external_userid not in memory.last:
        raise PhoneError(f"{customer.name} has bought nothing at this till")
    number = f"till-{state.next_number()}"
    if button.is_sale:
        memory.last[customer.external_userid] = number
    words = _words(state, customer.external_userid, number, memory.last.get(customer.external_userid, ""))
    answer = await _post(till, button, words, f"{number}-key")
    state.touch()
    return {"number": number, "answer": answer}


def _words(state: State, external_userid: str, number: str, last: str) -> dict[str, Any]:
    """What stands for the placeholders of a button."""
    now = datetime.fromtimestamp(state.clock.now(), UTC)
    soon = (now + SOON).astimezone(BEIJING)
    return {
        "$customer": external_userid, "$number": number, "$last": last, "$now": now.isoformat(),
        "$in_10_days": (now + TEN_DAYS).isoformat(), "$soon_month": soon.month, "$soon_day": soon.day,
    }  # fmt: skip


async def _post(till: Till, button: TillButton, words: dict[str, Any], key: str) -> Json:
    path = "/".join(str(words.get(part, part)) for part in button.path.split("/"))
    headers = {"Authorization": f"Bearer {till.api_key}", "Idempotency-Key": key}
    timeout = aiohttp.ClientTimeout(total=WAIT_S)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.request(button.method, till.url + path, json=_filled(button.body, words)) as answer,
        ):
            text = await answer.text()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise PhoneError(f"the service does not answer: {type(error).__name__}") from None
    if answer.status >= 300:
        raise PhoneError(f"{button.label}: {answer.status} {text[:300]}")
    told: Json = json.loads(text)
    return told


def _filled(value: Any, words: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(part, words) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, words) for part in value]
    return words.get(value, value) if isinstance(value, str) else value
