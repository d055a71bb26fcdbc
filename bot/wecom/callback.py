"""The callbacks of WeCom: several receivers at once, each with its own token, AES key and receive id."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from aiohttp import web

from bot.callbacks import UNNAMED, Door, Query, cut_encrypted, cut_query, query_of, receiver_name
from bot.clock import Clock, monotonic_s
from bot.intake import Intake, IntakeUnavailable, Signal
from bot.metrics import CallbackMetrics
from bot.settings import Receiver, SettingsError, Web
from bot.wecom.crypto import BadCallback, BadEnvelope, BadQuery, CallbackCrypto, UnknownReceiver
from bot.wecom.parse import read
from handlers.talk.messages import Incoming

MAX_ECHO_BYTES = 128


class WeComCallbacks:
    """GET verifies an address, POST stores what came and answers success after the commit."""

    def __init__(
        self,
        receivers: Mapping[str, Receiver],
        corp_id: str,
        intake: Intake,
        clock: Clock,
        settings: Web,
        metrics: CallbackMetrics,
        kf_accounts: Sequence[str] = (),
    ) -> None:
        self._door = Door(intake, clock, settings, metrics)
        self._kf_accounts = kf_accounts
        self._cryptos = {name: crypto_of(name, receiver, corp_id) for name, receiver in receivers.items()}

    @property
    def names(self) -> Collection[str]:
        """The receivers in the settings."""
        return self._cryptos

    async def get(self, request: web.BaseRequest) -> web.Response:
        """Answer the decrypted echo, nothing else (wecom.md 1.2)."""
        name = self._known(receiver_name(request.raw_path))
        try:
            echo = self._echo(name, request.raw_path)
        except BadCallback as error:
            return self._door.refused(name, error)
        self._door.metrics.count(name, "verified")
        return web.Response(body=echo, content_type="text/plain")

    async def post(self, request: web.BaseRequest) -> web.Response:
        """Refuse, or store and answer success; 503 when the database cannot take it now."""
        since_s = monotonic_s()
        path = request.raw_path
        name = self._known(receiver_name(path))
        try:
            query = cut_query(path, "msg_signature")
            now = self._door.clock()
            inner = self._open(name, query, await self._door.body(request), now)
            trace = await self._store(name, query, inner, now)
        except BadCallback as error:
            return self._door.refused(name, error)
        except IntakeUnavailable as error:
            return self._door.unavailable(name, error)
        return self._door.accepted(name, trace, since_s)

    def _known(self, name: str) -> str:
        return name if name in self._cryptos else UNNAMED

    def _crypto(self, name: str) -> CallbackCrypto:
        try:
            return self._cryptos[name]
        except KeyError:
            raise UnknownReceiver from None

    def _echo(self, name: str, path: str) -> bytes:
        crypto = self._crypto(name)
        query = cut_query(path, "msg_signature")
        echo = query_of(path).get("echostr", "").replace(" ", "+")  # a proxy may have turned + into a space
        if not echo.isascii() or not echo:
            raise BadQuery("echostr is missing or malformed")
        self._door.check_fresh(query.timestamp, self._door.clock())
        plain = crypto.open(*query, echo.encode())
        if len(plain) > MAX_ECHO_BYTES or plain[:1] in (b"<", b"{"):
            # A callback caught on the way carries a valid signature: echoing it would decrypt it for the thief.
            raise BadEnvelope("this is a message, not an echo")
        return plain

    def _open(self, name: str, query: Query, body: bytes, now: datetime) -> bytes:
        crypto = self._crypto(name)
        encrypted = cut_encrypted(body)
        crypto.verify(*query, encrypted)
        self._door.check_fresh(query.timestamp, now)
        inner = crypto.decrypt(encrypted)
        self._door.replays.add(query.signature)
        return inner

    async def _store(self, name: str, query: Query, inner: bytes, now: datetime) -> str:
        trace = self._door.trace()
        items = read(inner, name, now, trace, self._kf_accounts)
        messages = [item for item in items if isinstance(item, Incoming)]
        signals = [item for item in items if isinstance(item, Signal)]
        try:
            await self._door.intake.accept(messages, signals)
        except IntakeUnavailable:
            self._door.replays.forget(query.signature)
            raise
        return trace


def crypto_of(name: str, receiver: Receiver, receive_id: str) -> CallbackCrypto:
    """The crypto of a receiver, whose own receive id goes before the given one; raises `SettingsError`."""
    token, aes_key = receiver.token.get_secret_value(), receiver.aes_key.get_secret_value()
    try:
        return CallbackCrypto(token, aes_key, receiver.receive_id or receive_id)
    except ValueError as error:
        raise SettingsError(f"receiver {name}: {error} (HUITOU_..__RECEIVERS__{name.upper()}__AES_KEY)") from error
