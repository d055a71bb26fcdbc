"""A platform that seals callbacks, and a whole HTTP server without a socket under it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy import text

from bot.callbacks import add_callback_routes
from bot.database import Database
from bot.intake import Intake
from bot.metrics import CallbackMetrics
from bot.settings import Receiver, Web
from bot.short_way import ShortWay, deliveries_of
from bot.wechat.callback import WeChatCallbacks
from bot.wecom.callback import WeComCallbacks
from bot.wecom.crypto import CallbackCrypto, sign
from handlers.talk.messages import Incoming, decode

CORP_ID, APP_ID = "ww0000000000000001", "wx0000000000000009"
KEYS = {
    "app": ("appToken01", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
    "archive": ("archiveToken02", "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8"),
}
NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run one test's coroutine to its end, with asyncio's own checks for what was forgotten."""
    return asyncio.run(work)


@dataclass(frozen=True)
class Answer:
    """What came back over the wire."""

    status: int
    head: str
    body: bytes


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self._closing = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self._closing = True

    abort = close

    def is_closing(self) -> bool:
        return self._closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def _whole(written: bytearray) -> Answer | None:
    head, split, body = bytes(written).partition(b"\r\n\r\n")
    if not split:
        return None
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    if len(body) < int(lengths[0].split(b":")[1]):
        return None
    return Answer(int(head.split()[1]), head.decode(), body)


class Desk:
    """The service's callback side over one database: routes, intake, counters, and a clock that stands."""

    def __init__(self, database: Database, wait_s: float = 3.0, short: bool = False, **settings: Any) -> None:
        self.database = database
        self.now = NOW
        self.registry = CollectorRegistry()
        self.stored: list[tuple[int, frozenset[str]]] = []
        metrics = CallbackMetrics(self.registry)
        web_settings = Web(**settings)
        self.intake = Intake(
            database, lambda: self.now, lambda *told: self.stored.append(told), metrics.observe_batch, wait_s
        )
        receivers = {
            name: Receiver(token=SecretStr(token), aes_key=SecretStr(key)) for name, (token, key) in KEYS.items()
        }
        shared = (self.intake, lambda: self.now, web_settings, metrics)
        self.app = web.Application()
        oa = {"oa": receivers["app"], "clear": Receiver(token=SecretStr("clearToken"), mode="plain")}
        self._both = (
            WeComCallbacks(receivers, CORP_ID, *shared, kf_accounts=["wkAAA0001", "wkAAA0002"]),
            WeChatCallbacks(oa, APP_ID, *shared),
        )
        self._short = short
        self._body_max_bytes = web_settings.body_max_bytes
        add_callback_routes(self.app, *self._both)

    async def __aenter__(self) -> Desk:
        await self.intake.start()
        self._runner = web.AppRunner(self.app, access_log=None, handle_signals=False)
        await self._runner.setup()
        assert self._runner.server is not None
        self.connect = self._runner.server
        if self._short:
            platforms = dict(zip(("/wecom/", "/wechat/"), self._both, strict=True))
            self.connect = ShortWay(self._runner.server, deliveries_of(platforms), self._body_max_bytes)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.intake.stop()
        await self._runner.cleanup()

    async def send(self, method: str, path: str, body: bytes = b"", length: int | None = None) -> Answer:
        """One request over a connection of its own; `length` may lie."""
        transport = Transport()
        transport.set_protocol(self.connect())
        transport.protocol.connection_made(transport)
        size = len(body) if length is None else length
        head = f"{method} {path} HTTP/1.1\r\nHost: huitou\r\nContent-Length: {size}\r\n\r\n"
        transport.protocol.data_received(head.encode() + body)
        while (answer := _whole(transport.written)) is None:
            await asyncio.sleep(0.0005)
        transport.protocol.connection_lost(None)
        return answer

    async def post(self, path: str, body: bytes) -> Answer:
        """Deliver a body."""
        return await self.send("POST", path, body)

    def counted(self, outcome: str, receiver: str = "app") -> int:
        """How many callbacks ended so."""
        labels = {"receiver": receiver, "outcome": outcome}
        return int(self.registry.get_sample_value("callbacks_total", labels) or 0)

    def inbox(self) -> list[Incoming]:
        """What is in the inbox, in order."""
        with self.database.reading() as session:
            return [decode(body) for body in session.execute(text("SELECT body FROM inbox ORDER BY id")).scalars()]

    def cursors(self) -> dict[str, str]:
        """The token of every source that has signalled."""
        with self.database.reading() as session:
            rows = session.execute(text("SELECT source, token FROM cursors WHERE signalled_at IS NOT NULL"))
            return {row.source: row.token for row in rows}


@dataclass
class Platform:
    """Seals what the platform would send; every delivery has a nonce of its own."""

    serial: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def crypto(self, receiver: str = "app", receive_id: str = CORP_ID) -> CallbackCrypto:
        """The platform's half of a receiver."""
        return CallbackCrypto(*KEYS[receiver], receive_id)

    def deliver(
        self,
        inner: str | bytes,
        receiver: str = "app",
        at: datetime = NOW,
        receive_id: str = CORP_ID,
        prefix: str = "/wecom/",
    ) -> tuple[str, bytes]:
        """Address and body of one delivery."""
        stamp, nonce = str(int(at.timestamp())), f"n{next(self.serial)}"
        data = inner.encode() if isinstance(inner, str) else inner
        random16 = nonce.rjust(16, "0").encode()
        encrypted, signature = self.crypto(receiver, receive_id).seal(data, stamp, nonce, random16)
        body = b"<xml><ToUserName><![CDATA[%b]]></ToUserName><Encrypt><![CDATA[%b]]></Encrypt></xml>"
        path = f"{prefix}{receiver}?msg_signature={signature}&timestamp={stamp}&nonce={nonce}"
        return path, body % (receive_id.encode(), encrypted)

    def verification(self, echo: str, receiver: str = "app", at: datetime = NOW, spaced: bool = False) -> str:
        """The address of a GET; `spaced` as a proxy that turns + into a space leaves it."""
        stamp, nonce = str(int(at.timestamp())), f"n{next(self.serial)}"
        encrypted, signature = self.crypto(receiver).seal(echo.encode(), stamp, nonce, b"0123456789abcdef")
        shown = encrypted.decode().replace("+", " ") if spaced else encrypted.decode()
        query = f"msg_signature={signature}&timestamp={stamp}&nonce={nonce}&echostr={quote(shown, safe='')}"
        return f"/wecom/{receiver}?{query}"

    def clear(self, token: str = "clearToken", at: datetime = NOW, extra: str = "") -> str:
        """The address of a delivery of the 公众号 in plain mode."""
        stamp, nonce = str(int(at.timestamp())), f"n{next(self.serial)}"
        return f"/wechat/clear?signature={sign(token, stamp, nonce)}&timestamp={stamp}&nonce={nonce}{extra}"


@pytest.fixture
def platform() -> Platform:
    """The other side."""
    return Platform()


@pytest.fixture(params=["router", "short"])
def open_desk(database: Database, request: pytest.FixtureRequest) -> Callable[..., Desk]:
    """A desk over the test's database, by either way; used as `async with open_desk() as desk`."""
    return lambda **settings: Desk(database, short=request.param == "short", **settings)


@pytest.fixture
def desk_of() -> Callable[..., Desk]:
    """A desk over any database."""
    return Desk


@pytest.fixture(name="run")
def _run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine."""
    return run


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Log lines are made but not printed."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)
    yield
    structlog.reset_defaults()
