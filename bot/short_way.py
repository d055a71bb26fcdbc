"""The short way in: plain deliveries to known receivers are read and answered below aiohttp's request objects.

Whatever is not the plainest form of a POST to a receiver (another method or path, chunks, Expect, Upgrade, odd header
lines, a body over the limit, a path without signature) goes to aiohttp with every byte as it came, and the connection
stays there. So nothing is decided here that aiohttp would decide otherwise; docs/why/0013 has the figures.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from bot.callbacks import Answer, Callbacks
from bot.clock import monotonic_s, system_clock

MAX_HEAD_BYTES: Final = 8192
QUIET_S: Final = 75.0
"""A connection that sends nothing for so long is closed, as aiohttp does it."""
SWEEP_S: Final = 15.0
FAREWELL_S: Final = 5.0

_head = re.compile(
    rb"POST (/(?:wecom|wechat)/[0-9A-Za-z_-]{1,64})(\?[!-~]{1,2048}) HTTP/1\.1\r\n"
    rb"((?:[0-9A-Za-z_-]+:[\t -~\x80-\xff]*\r\n)+)\r\n"
).match
_length = re.compile(rb"(?:^|\r\n)content-length:[ \t]*([0-9]{1,8})[ \t]*\r\n").findall
_unusual = re.compile(
    rb"(?:^|\r\n)(?:transfer-encoding|content-encoding|expect|upgrade|connection:(?![ \t]*keep-alive[ \t]*\r\n))"
).search

Delivery = Callable[[str, bytes, Callable[[Answer], None]], None]


class ShortWay:
    """Makes the protocols of a listening socket; `deliveries` maps a path without query to who takes it."""

    def __init__(self, server: web.Server, deliveries: Mapping[bytes, Delivery], body_max_bytes: int) -> None:
        self.long_way = server
        self.deliveries = deliveries
        self.body_max_bytes = body_max_bytes
        self.connections: set[_Connection] = set()
        self.is_closing = False

    def __call__(self) -> asyncio.Protocol:
        """A protocol for a new connection."""
        return _Connection(self)

    def sweep(self) -> None:
        """Close the connections that have been quiet for too long."""
        oldest_s = monotonic_s() - QUIET_S
        for connection in list(self.connections):
            connection.close_when_quiet_since(oldest_s)

    async def close(self) -> None:
        """Answer what is in hand, then close every connection."""
        self.is_closing = True
        until_s = monotonic_s() + FAREWELL_S
        for connection in list(self.connections):
            connection.close_when_quiet_since(until_s)
        while self.connections and monotonic_s() < until_s:
            await asyncio.sleep(0.01)


class ShortWaySite(web.BaseSite):
    """Listens for a runner: plain deliveries take the short way, everything else is the runner's application."""

    def __init__(
        self,
        runner: web.AppRunner,
        platforms: Mapping[str, Callbacks],
        host: str,
        port: int,
        body_max_bytes: int,
        backlog: int = 1024,
    ) -> None:
        super().__init__(runner, backlog=backlog)
        self._host, self._port = host, port
        assert runner.server is not None
        self._way = ShortWay(runner.server, deliveries_of(platforms), body_max_bytes)

    @property
    def name(self) -> str:
        """The address as people write it."""
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen; raises OSError when the port is taken."""
        await super().start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._way, self._host, self._port, backlog=self._backlog)
        self._sweeping = loop.create_task(self._sweep(), name="short way")

    async def stop(self) -> None:
        """Listen no more, answer what is in hand, close the rest."""
        await super().stop()
        self._sweeping.cancel()
        await self._way.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self._way.sweep()


def deliveries_of(platforms: Mapping[str, Callbacks]) -> dict[bytes, Delivery]:
    """Who takes a delivery, by path: platforms are given by their prefix (/wecom/)."""
    return {
        (prefix + name).encode(): callbacks.deliver
        for prefix, callbacks in platforms.items()
        for name in callbacks.names
    }


class _Connection(asyncio.Protocol):
    """One connection: a request at a time, answered in order."""

    __slots__ = ("_buffer", "_is_busy", "_is_paused", "_since_s", "_transport", "_way")
    _transport: Any

    def __init__(self, way: ShortWay) -> None:
        self._way = way
        self._transport = None
        self._buffer = b""
        self._is_busy = False
        self._is_paused = False
        self._since_s = monotonic_s()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport
        self._way.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = None
        self._way.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._buffer = self._buffer + data if self._buffer else data
        self._since_s = monotonic_s()
        if not self._is_busy:
            self._read()
        elif len(self._buffer) > MAX_HEAD_BYTES + self._way.body_max_bytes and not self._is_paused:
            self._transport.pause_reading()
            self._is_paused = True

    def close_when_quiet_since(self, oldest_s: float) -> None:
        """Close unless a request is in hand or a byte came later than that."""
        if not self._is_busy and self._since_s < oldest_s and self._transport is not None:
            self._transport.close()

    def _read(self) -> None:
        """Take the next request when it is whole; hand the connection over when it is not a plain delivery."""
        data = self._buffer
        head = _head(data)
        if head is None:
            if b"\r\n\r\n" in data or len(data) > MAX_HEAD_BYTES or not b"POST /we".startswith(data[:8]):
                self._hand_over()
            return
        path, query, fields = head.groups()
        fields = fields.lower()
        deliver = self._way.deliveries.get(path)
        lengths = _length(fields)
        if deliver is None or len(lengths) != 1 or fields.count(b"content-length") != 1 or _unusual(fields):
            self._hand_over()
            return
        start, size = head.end(), int(lengths[0])
        if size > self._way.body_max_bytes:
            self._hand_over()
        elif len(data) >= start + size:
            self._buffer = data[start + size :]
            self._is_busy = True
            deliver((path + query).decode("ascii"), data[start : start + size], self._answer)

    def _answer(self, answer: Answer) -> None:
        self._is_busy = False
        if self._transport is None:
            return
        self._transport.write(_wire(answer, int(system_clock().timestamp())))
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        if self._way.is_closing:
            self._transport.close()
        elif self._buffer:
            self._read()

    def _hand_over(self) -> None:
        """From here on aiohttp reads this connection, beginning with what has come so far."""
        transport, self._transport = self._transport, None
        self._way.connections.discard(self)
        protocol = self._way.long_way()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(self._buffer)


@lru_cache(maxsize=64)
def _wire(answer: Answer, second: int) -> bytes:
    """An answer as it goes over the wire; the same one is asked for many times within a second."""
    head = (
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(answer.body)}\r\nDate: {formatdate(second, usegmt=True)}\r\n\r\n"
    )
    return head.encode() + answer.body
