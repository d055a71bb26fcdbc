"""The callbacks of WeCom: several receivers at once, each with its own token, AES key and receive id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from bot.callbacks import Callbacks, Door, Opened, cut_encrypted, cut_query, query_of
from bot.clock import Clock
from bot.intake import Intake, Signal
from bot.metrics import CallbackMetrics
from bot.settings import Receiver, SettingsError, Web
from bot.wecom.crypto import BadEnvelope, BadQuery, CallbackCrypto, UnknownReceiver
from bot.wecom.parse import read
from handlers.talk.messages import Incoming

MAX_ECHO_BYTES = 128


class WeComCallbacks(Callbacks):
    """Receivers of self-built apps, customer contact, 微信客服 and the archive."""

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
        self._cryptos = {name: crypto_of(name, receiver, corp_id) for name, receiver in receivers.items()}
        super().__init__(Door(intake, clock, settings, metrics), self._cryptos.keys())
        self._kf_accounts = kf_accounts

    def echo(self, name: str, path: str) -> bytes:
        """The decrypted echo, nothing else (wecom.md 1.2)."""
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

    def open(self, name: str, path: str, body: bytes, now: datetime, trace: str) -> Opened:
        """See `Callbacks.open`."""
        crypto = self._crypto(name)
        query = cut_query(path, "msg_signature")
        encrypted = cut_encrypted(body)
        crypto.verify(*query, encrypted)
        self._door.check_fresh(query.timestamp, now)
        inner = crypto.decrypt(encrypted)
        self._door.replays.add(query.signature)
        items = read(inner, name, now, trace, self._kf_accounts)
        messages = [item for item in items if isinstance(item, Incoming)]
        return Opened(query.signature, messages, [item for item in items if isinstance(item, Signal)])

    def _crypto(self, name: str) -> CallbackCrypto:
        try:
            return self._cryptos[name]
        except KeyError:
            raise UnknownReceiver from None


def crypto_of(name: str, receiver: Receiver, receive_id: str) -> CallbackCrypto:
    """The crypto of a receiver, whose own receive id goes before the given one; raises `SettingsError`."""
    token, aes_key = receiver.token.get_secret_value(), receiver.aes_key.get_secret_value()
    try:
        return CallbackCrypto(token, aes_key, receiver.receive_id or receive_id)
    except ValueError as error:
        raise SettingsError(f"receiver {name}: {error} (HUITOU_..__RECEIVERS__{name.upper()}__AES_KEY)") from error
