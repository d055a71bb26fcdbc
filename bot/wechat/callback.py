"""The callbacks of the 公众号: plain and safe mode, several receivers at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from bot.callbacks import Callbacks, Door, Opened, Query, cut_encrypted, cut_query, query_of
from bot.clock import Clock
from bot.intake import Intake
from bot.metrics import CallbackMetrics
from bot.settings import Receiver, Web
from bot.wechat.parse import read
from bot.wecom.callback import crypto_of
from bot.wecom.crypto import BadQuery, CallbackCrypto, UnknownReceiver, verify

ECHO = re.compile(r"[0-9A-Za-z_+/=-]{1,128}")


class _Plain:
    """A receiver in plain mode: the signature covers token, time and nonce only."""

    def __init__(self, token: str) -> None:
        self._token = token

    def verify(self, query: Query) -> None:
        """Raises `BadSignature`."""
        verify(query.signature, self._token, query.timestamp, query.nonce)


class WeChatCallbacks(Callbacks):
    """Receivers of a 公众号."""

    def __init__(
        self,
        receivers: Mapping[str, Receiver],
        app_id: str,
        intake: Intake,
        clock: Clock,
        settings: Web,
        metrics: CallbackMetrics,
    ) -> None:
        self._plain = {name: _Plain(receiver.token.get_secret_value()) for name, receiver in receivers.items()}
        self._safe: dict[str, CallbackCrypto] = {
            name: crypto_of(name, receiver, app_id) for name, receiver in receivers.items() if receiver.mode == "safe"
        }
        super().__init__(Door(intake, clock, settings, metrics), self._plain.keys())

    def echo(self, name: str, path: str) -> bytes:
        """The echo as it came; in either mode only token, time and nonce are signed."""
        self._check(name, query := cut_query(path, "signature"))
        self._door.check_fresh(query.timestamp, self._door.clock())
        echo = query_of(path).get("echostr", "")
        if not ECHO.fullmatch(echo):
            raise BadQuery("echostr is missing or malformed")
        return echo.encode()

    def open(self, name: str, path: str, body: bytes, now: datetime, trace: str) -> Opened:
        """See `Callbacks.open`; a receiver in safe mode takes nothing that is not encrypted."""
        crypto = self._safe.get(name)
        query = cut_query(path, "signature" if crypto is None else "msg_signature")
        if crypto is None:
            self._check(name, query)
            inner = body
        else:
            encrypted = cut_encrypted(body)
            crypto.verify(*query, encrypted)
            inner = crypto.decrypt(encrypted)
        self._door.check_fresh(query.timestamp, now)
        self._door.replays.add(query.signature)
        return Opened(query.signature, read(inner, name, now, trace))

    def _check(self, name: str, query: Query) -> None:
        if name not in self._plain:
            raise UnknownReceiver
        self._plain[name].verify(query)
