"""Webhooks out: what happened is signed and sent to whoever listens, again until it is taken; at least once.

Messages follow Standard Webhooks: `webhook-id` stays the same over all tries, `webhook-timestamp` is when it was sent,
`webhook-signature` is HMAC-SHA-256 over id, time and body under the subscription's secret.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import aiohttp
import structlog

from bot.clock import Clock
from bot.database import Database
from loyalty import webhooks
from loyalty.programme import Programme
from loyalty.webhook_events import gather

WAITS_S: Final = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 43_200, 43_200, 86_400)
"""How long after each failed try the next one comes; after the last, three days on, the message has failed."""
TIMEOUT_S: Final = 10.0
LEASE_S: Final = 60.0
BATCH: Final = 50
POLL_S: Final = 1.0
ANSWER_CHARS: Final = 200
GONE: Final = 410
"""The listener asks to be left alone; the subscription ends."""

log = structlog.get_logger("bot.webhooks")


class Webhooks:
    """Gathers and sends; any number may run: gathering takes turns, messages are leased."""

    def __init__(self, database: Database, programme: Callable[[], Programme], clock: Clock,
                 notice_days: int = 7) -> None:
        self._database, self._programme, self._clock = database, programme, clock
        self._notice_days = notice_days

    async def run(self) -> None:
        """Work until cancelled; an outage is logged and tried again."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as client:
            while True:
                try:
                    busy = await self.step(client)
                except Exception as error:
                    log.error("webhooks failed", error=str(error)[:300])
                    busy = 0
                if busy < BATCH:
                    await asyncio.sleep(POLL_S)

    async def step(self, client: aiohttp.ClientSession) -> int:
        """Gather what happened, send what is due; how many were sent or tried."""
        due = await asyncio.to_thread(self._lease)
        answers = await asyncio.gather(*(self._send(client, message) for message in due))
        if due:
            await asyncio.to_thread(self._settle, list(zip(due, answers, strict=True)))
        return len(due)

    def _lease(self) -> list[webhooks.Due]:
        now = self._clock()
        with self._database.transaction() as session:
            gather(session, self._programme(), now, self._notice_days)
        with self._database.transaction() as session:
            return webhooks.lease(session, now, BATCH, LEASE_S)

    async def _send(self, client: aiohttp.ClientSession, message: webhooks.Due) -> tuple[int, str]:
        """Status and what was said; 0 where nobody answered."""
        body = body_of(message)
        try:
            async with client.post(message.url, data=body, headers=headers_of(message, body, self._clock()),
                                   allow_redirects=False) as answer:
                said = (await answer.content.read(ANSWER_CHARS)).decode("utf-8", "replace")
                return answer.status, f"{answer.status} {said}".strip()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return 0, type(error).__name__

    def _settle(self, results: list[tuple[webhooks.Due, tuple[int, str]]]) -> None:
        now = self._clock()
        with self._database.transaction() as session:
            for message, (status, said) in results:
                answer = said.replace("\x00", "")[:ANSWER_CHARS]
                if 200 <= status < 300:
                    webhooks.mark_delivered(session, message.id, answer, now)
                elif status == GONE:
                    webhooks.end(session, message.subscription_id, "the listener answered 410 Gone", now)
                elif message.attempts > len(WAITS_S):
                    webhooks.mark_failed(session, message.id, answer, now)
                    log.warning("a webhook has failed for good", delivery=message.id, answer=status)
                else:
                    wait = timedelta(seconds=WAITS_S[message.attempts - 1])
                    webhooks.mark_waiting(session, message.id, answer, now + wait)


def body_of(message: webhooks.Due) -> bytes:
    """The message as it is sent and signed."""
    told: dict[str, Any] = {"id": f"evt_{message.event_id}", "type": message.kind, "timestamp": message.at.isoformat(),
                            "data": message.body}
    return json.dumps(told, ensure_ascii=False).encode()


def headers_of(message: webhooks.Due, body: bytes, now: datetime) -> dict[str, str]:
    """Who says it, when, and the proof."""
    stamp = str(int(now.timestamp()))
    return {
        "content-type": "application/json",
        "user-agent": "huitou",
        "webhook-id": f"evt_{message.event_id}",
        "webhook-timestamp": stamp,
        "webhook-signature": signature(message.secret, f"evt_{message.event_id}", stamp, body),
    }


def signature(secret: str, message_id: str, stamp: str, body: bytes) -> str:
    """The signature of a message: v1 and the HMAC in base64."""
    key = base64.b64decode(secret.removeprefix(webhooks.SIGNING_PREFIX))
    signed = b".".join((message_id.encode(), stamp.encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
