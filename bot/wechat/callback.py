"""The callbacks of the 公众号: plain and safe mode, several receivers at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from aiohttp import web

from bot.callbacks import UNNAMED, Door, Query, cut_encrypted, cut_query, query_of, receiver_name
from bot.clock import Clock, monotonic_s
from bot.intake import Intake, IntakeUnavailable
from bot.metrics import CallbackMetrics
from bot.settings import Receiver, Web
from bot.wechat.parse import read
from bot.wecom.callback import crypto_of
from bot.wecom.crypto import BadCallback, BadQuery, CallbackCrypto, UnknownReceiver, verify

ECHO = re.compile(r"[0-9A-Za-z_+/=-]{1,128}")


class _Plain:
    """A receiver in plain mode: the signature covers token, time and nonce only."""

    def __init__(self, token: str) -> None:
        self._token = token

    def verify(self, query: Query) -> None:
        """Raises `BadSignature`."""
        verify(query.signature, self._token, query.timestamp, query.nonce)


class WeChatCallbacks:
    """GET verifies an address, POST stores what came and answers success after the commit."""

    def __init__(
        self,
        receivers: Mapping[str, Receiver],
        app_id: str,
        intake: Intake,
        clock: Clock,
        settings: Web,
        metrics: CallbackMetrics,
    ) -> None:
        self._door = Door(intake, clock, settings, metrics)
        self._plain = {name: _Plain(receiver.token.get_secret_value()) for name, receiver in receivers.items()}
        self._safe: dict[str, CallbackCrypto] = {
            name: crypto_of(name, receiver, app_id) for name, receiver in receivers.items() if receiver.mode == "safe"
        }

    @property
    def names(self) -> Collection[str]:
        """The receivers in the settings."""
        return self._plain

    async def get(self, request: web.BaseRequest) -> web.Response:
        """Answer the echo as it came; in either mode only token, time and nonce are signed."""
        name = self._known(receiver_name(request.raw_path))
        try:
            echo = self._echo(name, request.raw_path)
        except BadCallback as error:
            return self._door.refused(name, error)
        self._door.metrics.count(name, "verified")
        return web.Response(text=echo)

    async def post(self, request: web.BaseRequest) -> web.Response:
        """Refuse, or store and answer success; 503 when the database cannot take it now."""
        since_s = monotonic_s()
        path = request.raw_path
        name = self._known(receiver_name(path))
        try:
            query, inner = self._open(name, path, await self._door.body(request))
            trace = await self._store(name, query, inner)
        except BadCallback as error:
            return self._door.refused(name, error)
        except IntakeUnavailable as error:
            return self._door.unavailable(name, error)
        return self._door.accepted(name, trace, since_s)

    def _known(self, name: str) -> str:
        return name if name in self._plain else UNNAMED

    def _echo(self, name: str, path: str) -> str:
        self._check(name, query := cut_query(path, "signature"))
        self._door.check_fresh(query.timestamp, self._door.clock())
        echo = query_of(path).get("echostr", "")
        if not ECHO.fullmatch(echo):
            raise BadQuery("echostr is missing or malformed")
        return echo

    def _check(self, name: str, query: Query) -> None:
        if name not in self._plain:
            raise UnknownReceiver
        self._plain[name].verify(query)

    def _open(self, name: str, path: str, body: bytes) -> tuple[Query, bytes]:
        """The message in clear; a receiver in safe mode takes nothing that is not encrypted."""
        crypto = self._safe.get(name)
        query = cut_query(path, "signature" if crypto is None else "msg_signature")
        if crypto is None:
            self._check(name, query)
            inner = body
        else:
            encrypted = cut_encrypted(body)
            crypto.verify(*query, encrypted)
            inner = crypto.decrypt(encrypted)
        self._door.check_fresh(query.timestamp, self._door.clock())
        self._door.replays.add(query.signature)
        return query, inner

    async def _store(self, name: str, query: Query, inner: bytes) -> str:
        trace = self._door.trace()
        messages = read(inner, name, self._door.clock(), trace)
        try:
            await self._door.intake.accept(messages)
        except IntakeUnavailable:
            self._door.replays.forget(query.signature)
            raise
        return trace
