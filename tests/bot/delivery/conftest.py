"""A platform, a clock and a cache of the test's own, plugged into the seams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from bot.cache import LocalCache
from bot.database import Database
from bot.delivery import Deliverer, PutOff, Withdrawn, nothing_put_off, nothing_withdrawn
from bot.delivery_metrics import DeliveryMetrics
from bot.sending import Gateways
from bot.settings import Deliver, Settings
from bot.wechat.gateway import wechat_gateway
from bot.wecom.gateway import wecom_gateway
from handlers.talk import outbox
from handlers.talk.outbox import Outgoing
from handlers.talk.tables import OutboxRow

START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
T = TypeVar("T")


class PushedClock:
    """A clock that stands until it is pushed."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        """The moment it was pushed to."""
        return self.now

    def push(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)


@dataclass
class Call:
    """One request as the platform saw it."""

    endpoint: str
    params: dict[str, str]
    body: dict[str, Any]


@dataclass
class Platform:
    """The other end of the transport seam: answers in the order it was told, errcode 0 when it was told nothing.

    An answer is a dict, bytes (sent as they are), an int (an HTTP status with an HTML body), an exception (the
    connection ends so), or a function of the call that gives one of these. `always` holds what an endpoint answers
    when nothing else was told.
    """

    calls: list[Call] = field(default_factory=list)
    answers: dict[str, list[Any]] = field(default_factory=dict)
    always: dict[str, Any] = field(default_factory=dict)
    delay_s: float = 0.0
    tokens: int = 0
    lives_s: int = 7200

    def will_answer(self, endpoint: str, *answers: Any) -> None:
        """What the endpoint answers next, and after that, and so on."""
        self.answers.setdefault(endpoint, []).extend(answers)

    def called(self, endpoint: str) -> list[Call]:
        """The calls of one endpoint, in order."""
        return [call for call in self.calls if call.endpoint == endpoint]

    async def __call__(
        self, method: str, url: str, params: Mapping[str, str], body: object | None
    ) -> tuple[int, bytes]:
        """Note the call and answer it."""
        endpoint = url.partition("/cgi-bin/")[2] or url.partition("//")[2].partition("/")[2]
        call = Call(endpoint, dict(params), json.loads(json.dumps(body or {})))
        self.calls.append(call)
        await asyncio.sleep(self.delay_s)
        waiting = self.answers.get(endpoint)
        answer = waiting.pop(0) if waiting else self.always.get(endpoint) or self._usual(endpoint)
        if callable(answer):
            answer = answer(call)
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, int):
            return answer, b"<html>busy</html>"
        return 200, answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def _usual(self, endpoint: str) -> dict[str, Any]:
        if endpoint in ("gettoken", "stable_token"):
            self.tokens += 1
            return {"errcode": 0, "errmsg": "ok", "access_token": f"tok-{self.tokens}", "expires_in": self.lives_s}
        if endpoint == "message/send":
            return {"errcode": 0, "msgid": "app-1", "response_code": "RC-1"}
        return {"errcode": 0, "errmsg": "ok"}


@dataclass
class Desk:
    """Everything delivery needs, with a platform in place of the network."""

    database: Database
    clock: PushedClock
    platform: Platform
    settings: Settings
    cache: LocalCache
    metrics: DeliveryMetrics
    registry: CollectorRegistry

    def gateways(self) -> Gateways:
        """Both ways out over the double."""
        common = (self.settings, self.platform, self.cache, self.clock, self.metrics)
        return Gateways(wecom_gateway(*common), wechat_gateway(*common), self.settings.wecom.agent_id)

    def deliverer(
        self, withdrawn: Withdrawn = nothing_withdrawn, put_off: PutOff = nothing_put_off, **changes: Any
    ) -> Deliverer:
        """A deliverer; `changes` are settings of delivery."""
        deliver = self.settings.deliver.model_copy(update=changes)
        wake = self.cache.subscribe("outbox")
        return Deliverer(
            self.database,
            self.gateways(),
            self.cache,
            deliver,
            self.clock,
            wake,
            self.metrics,
            withdrawn,
            jitter=lambda: 1.0,
            put_off=put_off,
        )

    def deliver(self, rounds: int = 1, **changes: Any) -> int:
        """So many rounds of delivery; gives how many rows were in hand in all."""

        async def go() -> int:
            deliverer = self.deliverer(**changes)
            return sum([await deliverer.deliver_due() for _ in range(rounds)])

        return asyncio.run(go())

    def write(self, *rows: Outgoing) -> None:
        """Put rows into the outbox now."""
        with self.database.transaction() as session:
            outbox.add(session, rows, self.clock.now)

    def rows(self) -> Sequence[OutboxRow]:
        """The outbox as it stands."""
        with self.database.reading() as session:
            return session.scalars(select(OutboxRow).order_by(OutboxRow.id)).all()

    def states(self) -> list[int]:
        """The states of all rows."""
        return [row.state for row in self.rows()]

    def alarms(self) -> float:
        """How often a person was called."""
        return sum(
            sample.value
            for metric in self.registry.collect()
            if metric.name == "alarms"
            for sample in metric.samples
            if sample.name == "alarms_total"
        )


@pytest.fixture
def clock() -> PushedClock:
    """A clock at ten in the morning, Beijing."""
    return PushedClock()


@pytest.fixture
def platform() -> Platform:
    """A platform that says yes."""
    return Platform()


@pytest.fixture
def settings() -> Settings:
    """A corp of the test's own."""
    wecom = {"base_url": "http://platform", "corp_id": "ww1", "agent_id": 1000002, "secret": "app-secret"}
    wechat = {"base_url": "http://platform/oa", "app_id": "wx1", "secret": "oa-secret"}
    return Settings(wecom=wecom, wechat=wechat, deliver=Deliver())


@pytest.fixture
def metrics_registry() -> CollectorRegistry:
    """Metrics of this test alone."""
    return CollectorRegistry()


@pytest.fixture
def desk(
    database: Database,
    clock: PushedClock,
    platform: Platform,
    settings: Settings,
    metrics_registry: CollectorRegistry,
) -> Desk:
    """A desk on each kind of database."""
    metrics = DeliveryMetrics(metrics_registry)
    return Desk(database, clock, platform, settings, LocalCache(clock), metrics, metrics_registry)


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs one coroutine to its end."""
    return asyncio.run
