"""The composition root: builds the parts from the settings, starts them, and stops them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.orm import Session

from bot.adapters import Adapters
from bot.api.routes import add_routes
from bot.brands import BrandHolder
from bot.cache import INBOX, OUTBOX, PULL, TICK, Cache, LocalCache
from bot.callbacks import add_callback_routes
from bot.clock import Clock, system_clock
from bot.database import Database
from bot.delivery import Deliverer
from bot.delivery_metrics import DeliveryMetrics
from bot.health import Check, add_health_routes
from bot.intake import Intake
from bot.metrics import CallbackMetrics
from bot.pulls import Puller, readers_of
from bot.red_packets import RedPackets
from bot.rosters import Rosters
from bot.schema import check_schema
from bot.second_opinion import SecondOpinion
from bot.sending import Gateways
from bot.settings import Settings, links_of
from bot.short_way import ShortWaySite
from bot.ticker import Ticker
from bot.webhooks import Webhooks
from bot.wechat.callback import WeChatCallbacks
from bot.wechat.gateway import wechat_gateway
from bot.wechat.parse import warm_up
from bot.wecom.callback import WeComCallbacks
from bot.wecom.gateway import AiohttpTransport, wecom_gateway
from bot.work_metrics import WorkMetrics
from bot.worker import Worker
from handlers.followup import lateness, sop
from handlers.talk.outbox import Leased
from loyalty.rewards import sync_stock

PARTS: Final = ("web", "work", "deliver", "tick")
FOLLOW_S: Final = 2.0
"""How soon a model that was promoted or rolled back, or another lexicon, is taken up, in every process."""
log = structlog.get_logger("bot.app")


class Service:
    """The running service, or some parts of it; any number of processes may run any parts on one PostgreSQL."""

    def __init__(self, settings: Settings, parts: Collection[str] = PARTS, clock: Clock = system_clock) -> None:
        self.settings, self.parts, self.clock = settings, frozenset(parts), clock
        self.registry = CollectorRegistry()
        self.database = Database(settings.storage.url.get_secret_value(), settings.storage.pool_size)
        self.brand = BrandHolder(settings)
        self._tasks: list[asyncio.Task[None]] = []
        self._published: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._second: SecondOpinion | None = None

    async def start(self) -> None:
        """Start the parts; raises `SchemaError` on an old schema, OSError when the port is taken."""
        await asyncio.to_thread(check_schema, self.database)
        await asyncio.to_thread(self._sync_stock)
        self._loop = asyncio.get_running_loop()
        self.cache = _cache(self.settings, self.clock)
        self._transport = AiohttpTransport(self.settings.wecom.request_timeout_s)
        self._metrics = DeliveryMetrics(self.registry)
        self._work_metrics = WorkMetrics(self.registry, self._metrics.alarm)
        self._gateways = self._build_gateways()
        if self.settings.second_opinion.url:
            self._second = SecondOpinion(self.settings.second_opinion, self.cache, self.clock, self._work_metrics)
        self._intake = Intake(self.database, self.clock, self._stored)
        if "web" in self.parts:
            await self._start_web()
        elif self.settings.web.metrics_port:
            await self._start_health()
        for name, work in self._loops():
            self._tasks.append(asyncio.create_task(work, name=name))
        if "web" in self.parts and self.settings.wechat.receivers:
            self._loop.run_in_executor(None, warm_up)
        log.info("started", parts=sorted(self.parts), database=self.database.engine.dialect.name)

    async def stop(self) -> None:
        """Take no more in, finish what is in hand, let go of everything."""
        if self._runner is not None:
            await self._runner.cleanup()
            await self._intake.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._published, return_exceptions=True)
        await self._transport.close()
        if self._second is not None:
            await self._second.close()
        await self.cache.close()
        self.database.dispose()
        log.info("stopped")

    def reload(self) -> None:
        """Read the configuration anew; a faulty one is refused and the old one stays."""
        if self.brand.reload():
            self._sync_stock()

    def _loops(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        loops: list[tuple[str, Coroutine[Any, Any, None]]] = [("follow", self._follow())]
        settings, clock = self.settings, self.clock
        if "work" in self.parts:
            worker = Worker(
                self.database, self.brand, settings.work, clock, self._work_metrics, lambda: self._wake(OUTBOX, TICK),
                self._second,
            )  # fmt: skip
            loops.append(("work", worker.run(self.cache.subscribe(INBOX))))
        if "deliver" in self.parts:
            deliverer = Deliverer(
                self.database, self._gateways, self.cache, settings.deliver, clock,
                self.cache.subscribe(OUTBOX), self._metrics, withdrawn,
                put_off=lambda session, rows, now: lateness.put_off(session, rows, self.brand(), now),
            )  # fmt: skip
            readers = readers_of(settings, self._gateways.wecom, self._transport, self._metrics)
            puller = Puller(self.database, readers, self.cache, settings.deliver, clock, self._metrics)
            loops.append(("deliver", deliverer.run()))
            if settings.wecom.corp_id:
                rosters = Rosters(self.database, self._gateways.wecom, settings.deliver, clock, self._metrics)
                loops.append(("roster", rosters.run()))
            loops.append(("pull", puller.run(self.cache.subscribe(PULL))))
            notice_days = settings.api.lapse_notice_days
            webhooks = Webhooks(self.database, lambda: self.brand().programme, clock, notice_days)
            loops.append(("webhooks", webhooks.run()))
            if settings.rewards.red_packet_adapter and self._gateways.adapters is not None:
                packets = RedPackets(self.database, self._gateways.adapters, settings.rewards.red_packet_adapter, clock)
                loops.append(("red packets", packets.run()))
        if "tick" in self.parts:
            keep = (timedelta(days=settings.api.keep_answers_days), timedelta(days=settings.api.keep_events_days))
            ticker = Ticker(self.database, self.brand, clock, self._work_metrics, lambda: self._wake(OUTBOX), *keep)
            loops.append(("tick", ticker.run(self.cache.subscribe(TICK))))
        return loops

    async def _start_web(self) -> None:
        settings = self.settings
        metrics = CallbackMetrics(self.registry)
        self._intake = Intake(self.database, self.clock, self._stored, metrics.observe_batch)
        await self._intake.start()
        app = web.Application(client_max_size=settings.web.body_max_bytes)
        wecom = WeComCallbacks(
            settings.wecom.receivers, settings.wecom.corp_id, self._intake, self.clock, settings.web, metrics,
            settings.wecom.kf_accounts,
        )  # fmt: skip
        wechat = WeChatCallbacks(
            settings.wechat.receivers, settings.wechat.app_id, self._intake, self.clock, settings.web, metrics
        )
        add_callback_routes(app, wecom, wechat)
        keys = {name: key.get_secret_value() for name, key in settings.api.api_keys.items()}
        limit = settings.api.requests_per_s
        secret = settings.identity.secret.get_secret_value()
        add_routes(
            app, self.database, lambda: self.brand().programme, keys, self.clock, self.cache, limit, secret,
            lambda: self._wake(TICK), links_of(settings),
        )  # fmt: skip
        add_health_routes(app, self.registry, self._checks())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
        await self._runner.setup()
        platforms = {"/wecom/": wecom, "/wechat/": wechat}
        host, port, body_max_bytes = settings.web.host, settings.web.port, settings.web.body_max_bytes
        await ShortWaySite(self._runner, platforms, host, port, body_max_bytes).start()

    async def _start_health(self) -> None:
        """A process without the web part shows its health and its counters on a port of its own."""
        app = web.Application()
        add_health_routes(app, self.registry, self._checks())
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.settings.web.host, self.settings.web.metrics_port).start()

    async def _follow(self) -> None:
        """Take up another model or lexicon, and show whether there is a model at all."""
        self._show_model()
        while True:
            await asyncio.sleep(FOLLOW_S)
            try:
                wrong = await asyncio.to_thread(self.brand.follow)
                if wrong:
                    self._metrics.alarm(wrong)
                self._show_model()
            except Exception as error:
                self._metrics.alarm("model refused")
                log.error("cannot look for another model or lexicon", error=str(error)[:300])

    def _show_model(self) -> None:
        self._work_metrics.set_degraded(self.brand.is_degraded)

    def _build_gateways(self) -> Gateways:
        shared = (self.settings, self._transport, self.cache, self.clock, self._metrics)
        wechat = wechat_gateway(*shared) if self.settings.wechat.app_id else None
        known = self.settings.followup.adapters.items()
        named = {name: (one.url, one.secret.get_secret_value()) for name, one in known}
        adapters = Adapters(named, self._transport, self.clock)
        return Gateways(wecom_gateway(*shared), wechat, self.settings.wecom.agent_id, adapters)

    def _checks(self) -> dict[str, Check]:
        async def database() -> str:
            await asyncio.to_thread(self._ping)
            return ""

        async def model() -> str:
            verdict = self.brand().understanding.classify(["你好"], ["private"])[0]
            return "no model: cues and keywords only; run huitou train" if verdict.degraded else ""

        async def token() -> str:
            await self._gateways.wecom.check()
            return ""

        return {"database": database, "model": model, "token": token}

    def _ping(self) -> None:
        with self.database.reading() as session:
            session.execute(text("SELECT 1"))

    def _sync_stock(self) -> None:
        with self.database.transaction() as session:
            sync_stock(session, self.brand().programme, self.clock())

    def _stored(self, messages: int, sources: frozenset[str]) -> None:
        if messages:
            self._wake(INBOX)
        if sources:
            self._wake(PULL)

    def _wake(self, *channels: str) -> None:
        """Call whoever waits on a channel, from any thread; one call under way a channel is enough."""
        for channel in channels:
            self._loop.call_soon_threadsafe(self._publish, channel)

    def _publish(self, channel: str) -> None:
        if any(task.get_name() == channel for task in self._published):
            return
        task = self._loop.create_task(self.cache.publish(channel), name=channel)
        self._published.add(task)
        task.add_done_callback(self._published.discard)


def withdrawn(session: Session, rows: Sequence[Leased], now: datetime) -> dict[int, str]:
    """Consent once more when sending: follow-ups of people who have opted out meanwhile."""
    gone = sop.prune_masses(session, rows)
    return gone | sop.withdrawn(session, [(row.id, row.member_id) for row in rows if row.is_follow_up], now)


def _cache(settings: Settings, clock: Clock) -> Cache:
    url = settings.storage.redis_url
    if url is None:
        return LocalCache(clock)
    from bot.redis_cache import RedisCache  # the client costs a tenth of a start that does not use it

    return RedisCache(url.get_secret_value(), clock)
