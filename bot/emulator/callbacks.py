"""Sends callbacks to the service as the platform does: encrypted, five seconds, three tries, no promises."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import aiohttp

from bot.emulator.clock import VirtualClock
from bot.emulator.config import Receiver
from bot.emulator.crypto import PacketCrypto, sign
from bot.emulator.errors import CryptoError
from bot.emulator.markup import document, read_flat

FALLBACKS = {"contact": "app", "kf": "app"}
SHOWN_ANSWER_CHARS = 300
LOG_KEPT = 5000


@dataclass
class CallbackSettings:
    """Switches of the delivery; seconds here are real ones, because the service really waits."""

    timeout_s: float = 5.0
    echo_timeout_s: float = 1.0
    deliveries: int = 3
    retry_wait_s: float = 1.0
    resend_on: str = "any"
    duplicate: int = 1
    lose: int = 0
    delay_s: float = 0.0
    reorder: int = 0

    def change(self, **values: Any) -> None:
        """Set switches by name; ValueError for a name or value that does not exist."""
        known = {item.name for item in fields(self)}
        for name, value in values.items():
            if name not in known or not isinstance(value, str if name == "resend_on" else int | float):
                raise ValueError(f"no callback switch {name}={value!r}; known: {', '.join(sorted(known))}")
            if name == "resend_on" and value not in ("any", "timeout"):
                raise ValueError('resend_on is "any" (every non-200) or "timeout" (network and time-out only)')
            setattr(self, name, value)


@dataclass
class Callback:
    """One event on its way: the inner XML and how it is to be wrapped."""

    receiver: str
    kind: str
    inner: str
    to_user: str
    agent_id: str | None = None
    mode: str = "safe"
    openid: str = ""
    on_answer: Callable[[str | None], None] | None = None


@dataclass
class Attempt:
    """One request to the service and what came back."""

    status: int
    verdict: str
    answer: str
    took_ms: int


@dataclass
class Record:
    """The log of one event: every attempt in order; `outcome` is ok, odd, failed, lost, unconfigured."""

    number: int
    at: float
    receiver: str
    kind: str
    inner: str
    outcome: str = "pending"
    attempts: list[Attempt] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The record as plain data."""
        return asdict(self)


class CallbackSender:
    """Delivers callbacks and remembers what the service answered."""

    def __init__(self, receivers: dict[str, Receiver], clock: VirtualClock, on_change: Callable[[], None]) -> None:
        self.settings = CallbackSettings()
        self.log: deque[Record] = deque(maxlen=LOG_KEPT)
        self._receivers = receivers
        self._clock = clock
        self._on_change = on_change
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[tuple[Callback, Record]] = []
        self._session: aiohttp.ClientSession | None = None
        self._count = 0

    def receiver_of(self, name: str) -> Receiver | None:
        """The receiver configured under the name, or the app's where the platform shares it."""
        return self._receivers.get(name) or self._receivers.get(FALLBACKS.get(name, ""))

    def configure(self, receivers: dict[str, Receiver]) -> None:
        """Add or replace receivers while running, as an administrator does in the console."""
        self._receivers.update(receivers)

    def post(self, callback: Callback) -> Record:
        """Send in the background; returns the record that fills as attempts are made."""
        self._count += 1
        record = Record(self._count, self._clock.now(), callback.receiver, callback.kind, callback.inner)
        self.log.append(record)
        if self.receiver_of(callback.receiver) is None:
            record.outcome = "unconfigured"
        elif self.settings.lose > 0:
            self.settings.lose -= 1
            record.outcome = "lost"
        else:
            self._line_up(callback, record)
        self._on_change()
        return record

    def _line_up(self, callback: Callback, record: Record) -> None:
        self._held.append((callback, record))
        if len(self._held) <= self.settings.reorder:
            return
        held, self._held = self._held[::-1], []
        for waiting, waiting_record in held:
            for _ in range(max(1, int(self.settings.duplicate))):
                self._start(self._deliver(waiting, waiting_record))

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait until nothing is on its way; events held back for reordering go out first."""
        held, self._held = self._held[::-1], []
        for callback, record in held:
            self._start(self._deliver(callback, record))
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Give up what is on its way and close the connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _deliver(self, callback: Callback, record: Record) -> None:
        if self.settings.delay_s:
            await asyncio.sleep(self.settings.delay_s)
        attempt = await self._attempt(callback, record)
        for _ in range(int(self.settings.deliveries) - 1):
            if not self._again(attempt):
                break
            await asyncio.sleep(self.settings.retry_wait_s)
            attempt = await self._attempt(callback, record)
        good = attempt.status == 200
        record.outcome = ("odd" if attempt.verdict == "odd" else "ok") if good else "failed"
        if callback.on_answer is not None:
            callback.on_answer(attempt.answer if good else None)
        self._on_change()

    def _again(self, attempt: Attempt) -> bool:
        if attempt.status == 200:
            return False
        return attempt.status == 0 or self.settings.resend_on == "any"

    async def _attempt(self, callback: Callback, record: Record) -> Attempt:
        receiver = self.receiver_of(callback.receiver)
        if receiver is None:
            return Attempt(0, "unconfigured", "", 0)
        query, body = wrap(callback, receiver, str(int(self._clock.now())), secrets.token_hex(5))
        started = time.perf_counter()
        status, text = await self._request("POST", receiver.url, query, body, self.settings.timeout_s)
        verdict = text if status == 0 else judge(status, text, receiver)
        attempt = Attempt(status, verdict, "" if status == 0 else text, int((time.perf_counter() - started) * 1000))
        record.attempts.append(
            Attempt(attempt.status, attempt.verdict, attempt.answer[:SHOWN_ANSWER_CHARS], attempt.took_ms)
        )
        return attempt

    async def _request(self, method: str, url: str, query: dict[str, str], body: str, wait_s: float) -> tuple[int, str]:
        if self._session is None:
            # A queue for connections would eat the five seconds and look like a slow service.
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        timeout = aiohttp.ClientTimeout(total=wait_s)
        headers = {"Content-Type": "text/xml"} if body else {}
        try:
            async with self._session.request(
                method, url, params=query, data=body.encode() or None, timeout=timeout, headers=headers
            ) as answer:
                return answer.status, await answer.text(errors="replace")
        except TimeoutError:
            return 0, "timeout"
        except (aiohttp.ClientError, OSError) as error:
            return 0, f"network: {type(error).__name__}"

    async def verify(self, name: str) -> dict[str, Any]:
        """Ask the receiver for the echo, as the console does on saving; `ok` says whether it came back."""
        receiver = self.receiver_of(name)
        if receiver is None:
            return {"ok": False, "why": f"no receiver {name}"}
        echo = str(secrets.randbelow(10**16))
        timestamp, nonce = str(int(self._clock.now())), secrets.token_hex(5)
        if name == "oa":
            query = {"signature": sign(receiver.token, timestamp, nonce), "echostr": echo}
        else:
            crypto = PacketCrypto(receiver.token, receiver.aes_key, receiver.receive_id)
            packet = crypto.encrypt(echo)
            query = {"msg_signature": crypto.signature(timestamp, nonce, packet), "echostr": packet}
        query |= {"timestamp": timestamp, "nonce": nonce}
        status, text = await self._request("GET", receiver.url, query, "", self.settings.echo_timeout_s)
        good = status == 200 and text == echo
        return {"ok": good, "status": status, "why": "" if good else f"answered {text[:100]!r}, wanted {echo!r}"}


def wrap(callback: Callback, receiver: Receiver, timestamp: str, nonce: str) -> tuple[dict[str, str], str]:
    """Query and body of one delivery: fresh signature and, unless plain, a fresh packet."""
    query = {"timestamp": timestamp, "nonce": nonce}
    if callback.receiver == "oa":
        query |= {"signature": sign(receiver.token, timestamp, nonce), "openid": callback.openid}
        if callback.mode == "plain":
            return query, callback.inner
        query["encrypt_type"] = "aes"
    crypto = PacketCrypto(receiver.token, receiver.aes_key, receiver.receive_id)
    packet = crypto.encrypt(callback.inner)
    query["msg_signature"] = crypto.signature(timestamp, nonce, packet)
    body = document([("ToUserName", callback.to_user), ("AgentID", callback.agent_id), ("Encrypt", packet)])
    if callback.mode == "compatible":
        body = callback.inner.replace("</xml>", f"<Encrypt><![CDATA[{packet}]]></Encrypt></xml>")
    return query, body


def open_reply(text: str, receiver: Receiver) -> str:
    """The inner XML of an encrypted passive reply; CryptoError when signature or packet is wrong."""
    found = read_flat(text)
    crypto = PacketCrypto(receiver.token, receiver.aes_key, receiver.receive_id)
    signature, packet = found.get("MsgSignature", ""), found.get("Encrypt", "")
    if not crypto.matches(signature, found.get("TimeStamp", ""), found.get("Nonce", ""), packet):
        raise CryptoError("the reply's signature is wrong")
    return crypto.decrypt(packet)


def judge(status: int, text: str, receiver: Receiver) -> str:
    """What the platform makes of an answer: ok, reply, odd, or http NNN."""
    if status != 200:
        return f"http {status}"
    if text.strip() in ("", "success"):
        return "ok"
    if "<Encrypt>" not in text:
        return "reply" if text.lstrip().startswith("<xml>") else "odd"
    try:
        open_reply(text, receiver)
    except CryptoError:
        return "odd"
    return "reply"
