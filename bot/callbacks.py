"""What the callbacks of WeCom and of the 公众号 share: reading, refusing, replays, answers, and where they hang."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qsl

import structlog
from aiohttp import web

from bot.clock import Clock, monotonic_s
from bot.intake import Intake, IntakeUnavailable, Signal
from bot.metrics import CallbackMetrics
from bot.settings import Web
from bot.wecom.crypto import BadCallback, BadEnvelope, BadQuery, BadXml, Replayed, Stale, TooLarge
from handlers.talk.messages import Incoming

MAX_REMEMBERED = 200_000
REMEMBER_S = 600
UNNAMED = "unknown"
"""How a receiver that is not in the settings is counted: names from outside would flood the metrics."""

_parameters = re.compile(r"[?&](msg_signature|signature|timestamp|nonce)=([0-9A-Za-z]{1,64})(?=&|$)").findall


class Answer(NamedTuple):
    """What goes back to the platform: an HTTP status and a short plain text."""

    status: int
    body: bytes


SUCCESS = Answer(200, b"success")


class Query(NamedTuple):
    """The signed parameters of a callback's address."""

    signature: str
    timestamp: str
    nonce: str


def cut_query(path: str, signature: str) -> Query:
    """The three parameters cut from the raw path, in any order; raises `BadQuery`.

    `signature` says under which name it stands. Parsing the address in full costs more than the rest together.
    """
    found = dict(_parameters(path)) if path.count("=") < 12 else {}
    try:
        return Query(found[signature], found["timestamp"], found["nonce"])
    except KeyError:
        return _whole_query(path, signature)


def _whole_query(path: str, signature: str) -> Query:
    found = query_of(path)
    try:
        query = Query(found[signature], found["timestamp"], found["nonce"])
    except KeyError as error:
        raise BadQuery(f"{error} is missing") from error
    if max(map(len, query)) > 128:
        raise BadQuery("a parameter is too long")
    return query


def query_of(path: str) -> dict[str, str]:
    """Every parameter of a raw path; raises `BadQuery`."""
    try:
        return dict(parse_qsl(path.partition("?")[2], keep_blank_values=True, errors="strict", max_num_fields=32))
    except ValueError as error:
        raise BadQuery("the address is not well-formed") from error


def cut_encrypted(body: bytes) -> bytes:
    """The one Encrypt of an envelope, base64 not yet checked; raises `BadEnvelope` or `BadXml`."""
    if b"<!D" in body or b"<!E" in body:
        raise BadXml("a document type or an entity is declared")
    start, end = body.find(b"<Encrypt>"), body.rfind(b"</Encrypt>")
    if not 0 <= start < end or body.find(b"<Encrypt>", start + 1) >= 0:
        raise BadEnvelope("not one Encrypt element but none or several")
    found = body[start + 9 : end].strip()
    return found[9:-3] if found.startswith(b"<![CDATA[") and found.endswith(b"]]>") else found


class Replays:
    """Remembers the signatures of the last `window_s` at least, in bounded memory.

    A signature stands for its request: it covers the timestamp, the nonce and, where there is one, the Encrypt.
    """

    def __init__(self, window_s: float, limit: int = MAX_REMEMBERED) -> None:
        self._window_s = window_s
        self._limit = limit
        self._new: set[str] = set()
        self._old: set[str] = set()
        self._since_s = monotonic_s()

    def add(self, signature: str) -> None:
        """Remember a request; raises `Replayed` when it is known."""
        if signature in self._new or signature in self._old:
            raise Replayed
        now_s = monotonic_s()
        if now_s - self._since_s > self._window_s or len(self._new) >= self._limit:
            self._old, self._new, self._since_s = self._new, set(), now_s
        self._new.add(signature)

    def forget(self, signature: str) -> None:
        """Let a request come again: it was not stored."""
        self._new.discard(signature)
        self._old.discard(signature)


class Door:
    """What every callback goes through on one process, whatever platform it comes from."""

    def __init__(self, intake: Intake, clock: Clock, settings: Web, metrics: CallbackMetrics) -> None:
        self.intake = intake
        self.clock = clock
        self.metrics = metrics
        self._max_bytes = settings.body_max_bytes
        self._stale_after_s = settings.stale_after_s
        self.replays = Replays(2 * (settings.stale_after_s or REMEMBER_S))
        self._prefix = secrets.token_hex(4)
        self._serial = itertools.count(1)
        self.log = structlog.get_logger("callbacks").bind()

    def trace(self) -> str:
        """A fresh short id; it follows the message to its delivery."""
        return f"{self._prefix}{next(self._serial):x}"

    def check_fresh(self, timestamp: str, now: datetime) -> None:
        """Whether a signed time is near; raises `Stale` or `BadQuery`."""
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            raise BadQuery("the timestamp is not a number")
        if self._stale_after_s and abs(now.timestamp() - int(timestamp)) > self._stale_after_s:
            raise Stale

    async def body(self, request: web.BaseRequest) -> bytes:
        """The body within its limit; raises `TooLarge` or `BadEnvelope`."""
        if (request.content_length or 0) > self._max_bytes:
            raise TooLarge(f"a body of more than {self._max_bytes} bytes")
        content = request.content
        try:
            if content.is_eof() and content.total_bytes <= self._max_bytes:
                return content.read_nowait(-1)
            body = bytearray()
            while chunk := await content.readany():
                body += chunk
                if len(body) > self._max_bytes:
                    raise TooLarge(f"a body of more than {self._max_bytes} bytes")
        except (web.RequestPayloadError, OSError) as error:
            raise BadEnvelope("the body did not come whole") from error
        return bytes(body)

    def accepted(self, receiver: str, trace: str, since_s: float) -> Answer:
        """Count, time and answer what was stored."""
        self.metrics.count(receiver, "accepted")
        self.metrics.observe_seconds(monotonic_s() - since_s)
        self.log.debug("callback accepted", receiver=receiver, trace=trace)
        return SUCCESS

    def refused(self, receiver: str, error: BadCallback) -> Answer:
        """Count, log without a word of the content, and refuse."""
        self.metrics.count(receiver, error.label)
        self.log.warning("callback refused", receiver=receiver, reason=error.label, detail=str(error))
        return Answer(error.status, error.label.encode())

    def unavailable(self, receiver: str, error: IntakeUnavailable) -> Answer:
        """The platform shall repeat it."""
        self.metrics.count(receiver, "unavailable")
        self.log.error("callback not stored", receiver=receiver, detail=str(error))
        return Answer(503, b"unavailable")


class Opened(NamedTuple):
    """A delivery that is genuine: its signature and what it brings."""

    signature: str
    messages: Sequence[Incoming]
    signals: Sequence[Signal] = ()


class Callbacks(ABC):
    """The callbacks of one platform: GET verifies an address, POST stores what came and answers after the commit."""

    def __init__(self, door: Door, names: Collection[str]) -> None:
        self._door = door
        self.names = names

    @abstractmethod
    def echo(self, name: str, path: str) -> bytes:
        """What the platform wants to read back; raises a `BadCallback`."""

    @abstractmethod
    def open(self, name: str, path: str, body: bytes, now: datetime, trace: str) -> Opened:
        """Verify, decrypt, parse, and remember the signature; raises a `BadCallback`."""

    async def get(self, request: web.BaseRequest) -> web.Response:
        """The platform verifies the address."""
        name = self._known(request.raw_path)
        try:
            echo = self.echo(name, request.raw_path)
        except BadCallback as error:
            return _response(self._door.refused(name, error))
        self._door.metrics.count(name, "verified")
        return _response(Answer(200, echo))

    async def post(self, request: web.BaseRequest) -> web.Response:
        """The platform delivers."""
        path = request.raw_path
        try:
            body = await self._door.body(request)
        except BadCallback as error:
            return _response(self._door.refused(self._known(path), error))
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.deliver(path, body, partial(_tell, done))
        return _response(await done)

    def deliver(self, path: str, body: bytes, answer: Callable[[Answer], None]) -> None:
        """Refuse, or store and answer success; 503 when the database cannot take it now. Calls `answer` once."""
        since_s = monotonic_s()
        door = self._door
        name, trace = self._known(path), door.trace()
        try:
            opened = self.open(name, path, body, door.clock(), trace)
        except BadCallback as error:
            answer(door.refused(name, error))
            return

        def stored(error: IntakeUnavailable | None) -> None:
            if error is None:
                answer(door.accepted(name, trace, since_s))
            else:
                door.replays.forget(opened.signature)
                answer(door.unavailable(name, error))

        door.intake.offer(opened.messages, opened.signals, stored)

    def _known(self, path: str) -> str:
        """The receiver's name out of a raw path: /wecom/app?nonce=1 gives app."""
        name = path.partition("?")[0].rpartition("/")[2]
        return name if name in self.names else UNNAMED


def _tell(done: asyncio.Future[Answer], answer: Answer) -> None:
    if not done.done():  # the client may have hung up
        done.set_result(answer)


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, content_type="text/plain", charset="utf-8")


def add_callback_routes(app: web.Application, wecom: Callbacks, wechat: Callbacks) -> None:
    """Hang both platforms into the application: GET and POST of /wecom/{name} and /wechat/{name}.

    The names that are known get addresses of their own: the router finds these without a regular expression.
    """
    for prefix, callbacks in (("/wecom/", wecom), ("/wechat/", wechat)):
        for name in (*callbacks.names, "{name}"):
            app.router.add_post(prefix + name, callbacks.post)
            app.router.add_get(prefix + name, callbacks.get, allow_head=False)
