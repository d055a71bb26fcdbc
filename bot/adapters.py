"""Systems of the brand that call, send SMS or pay red packets: one signed request each."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

from bot.clock import Clock
from bot.wecom.errors import BadAnswer, ErrorClass, NotSendable, PlatformError, Unreachable
from bot.wecom.gateway import Transport


class UnknownAdapter(PlatformError):
    """A follow-up names an adapter that the settings do not: set HUITOU_FOLLOWUP__ADAPTERS__<NAME>__URL."""

    group = ErrorClass.CONFIG


def sign(secret: str, timestamp: str, key: str, body: bytes) -> str:
    """HMAC-SHA256 in hex over timestamp, key and body, joined by line ends."""
    return hmac.new(secret.encode(), b"\n".join((timestamp.encode(), key.encode(), body)), hashlib.sha256).hexdigest()


class Adapters:
    """The adapters of the settings by name: (address, secret)."""

    def __init__(self, known: Mapping[str, tuple[str, str]], transport: Transport, clock: Clock) -> None:
        self._known, self._transport, self._clock = dict(known), transport, clock

    async def ask(self, name: str, key: str, body: Mapping[str, Any]) -> bytes:
        """POST the body, with timestamp, key and signature in the query, and give what was answered.

        The same key again means the same request.
        """
        if name not in self._known:
            raise UnknownAdapter(f"no adapter {name!r}; set HUITOU_FOLLOWUP__ADAPTERS__{name.upper()}__URL")
        url, secret = self._known[name]
        timestamp = str(int(self._clock().timestamp()))
        signature = sign(secret, timestamp, key, msgspec.json.encode(dict(body)))
        params = {"timestamp": timestamp, "key": key, "signature": signature}
        try:
            status, raw = await self._transport("POST", url, params, dict(body))
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"adapter {name}", type(error).__name__) from None
        if status >= 500 or status == 429:
            raise BadAnswer(f"adapter {name}", status, raw)
        if status >= 300:
            raise NotSendable(f"adapter {name} refused with HTTP {status}: {raw[:200].decode('utf-8', 'replace')}")
        return raw
