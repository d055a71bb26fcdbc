"""The ticker: asks the clock and fires what is due: follow-up timers, holds that ran out, points that lapsed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from bot.brands import BrandHolder
from bot.cache import Sleeper, Wake
from bot.clock import Clock
from bot.database import Database
from bot.notices import Notices
from bot.work_metrics import WorkMetrics
from handlers.followup import entries, sop, sources, sweeps
from handlers.reminders import due_reminders
from handlers.talk import inbox, outbox
from loyalty import coupons, fraud, insights
from loyalty.blocks import seal
from loyalty.ledger import expire_due, release_due_holds
from loyalty.merging import carry_over
from loyalty.pruning import prune_answers, prune_events
from loyalty.redemptions import lapse_due
from loyalty.tags import drop_expired
from loyalty.tiers import evaluate_due

log = structlog.get_logger("bot.ticker")
TIMERS_PER_CLAIM = 1000
SWEEP_EVERY = timedelta(seconds=60)
MEASURE_EVERY = timedelta(seconds=1)
TICK_S = 1.0
INSIGHT_PAGE, INSIGHT_PAGES = 1000, 20
"""How many members a sweep looks at in one transaction, and how often in a row: timers must not wait for long."""
PRUNED, PRUNE_ROUNDS = 5000, 20
"""How many old rows go in one transaction, and how often in a row: more a minute than orders come in."""
PAUSE_S = 0.1
"""The least rest between two ticks, so that what happens in a crowd is taken together."""


SWEEPS: tuple[Callable[[Session, datetime], object], ...] = (
    seal, release_due_holds, expire_due, coupons.sweep, lapse_due, carry_over, drop_expired,
)  # fmt: skip
"""What passes by itself: blocks are sealed, holds and lots and coupons and codes run out, late lots follow a merge."""


class Ticker:
    """Any number may run: timers are claimed, sweeps are idempotent."""

    def __init__(
        self,
        database: Database,
        brand: BrandHolder,
        clock: Clock,
        metrics: WorkMetrics,
        on_fired: Callable[[], None],
        keep_answers: timedelta = timedelta(days=7),
        keep_events: timedelta = timedelta(days=30),
    ) -> None:
        self._database, self._brand, self._clock = database, brand, clock
        self._metrics, self._on_fired = metrics, on_fired
        self._keep_answers, self._keep_events = keep_answers, keep_events
        self._notices = Notices(metrics.alarm)
        self._swept_at: datetime | None = None
        self._measured_at: datetime | None = None

    async def run(self, wake: Wake | None = None) -> None:
        """Tick until cancelled, each second and when called; an outage is logged and the next tick tries again."""
        wake = wake or Sleeper()
        while True:
            try:
                await asyncio.to_thread(self.tick)
            except Exception as error:
                self._metrics.alarm("ticker")
                log.error("tick failed", error=str(error)[:300])
            await asyncio.sleep(PAUSE_S)
            await wake.wait(TICK_S - PAUSE_S)

    def tick(self) -> None:
        """Do what is due now."""
        now = self._clock()
        while self._hear(now) == TIMERS_PER_CLAIM:
            pass
        while self._fire(now) == TIMERS_PER_CLAIM:
            pass
        if self._measured_at is None or abs(now - self._measured_at) >= MEASURE_EVERY:
            self._measure()
            self._measured_at = now
        if self._swept_at is None or abs(now - self._swept_at) >= SWEEP_EVERY:
            self._sweep(now)
            self._swept_at = now

    def _fire(self, now: datetime) -> int:
        with self._database.transaction() as session:
            taken, cards = sop.fire_due(session, self._brand(), now, TIMERS_PER_CLAIM)
            outbox.add(session, cards, now)
        if cards:
            self._on_fired()
        return taken

    def _hear(self, now: datetime) -> int:
        """What has happened since: read from its sources, then let set off and wake follow-ups."""
        with self._database.transaction() as session:
            sources.follow(session, self._brand(), now, TIMERS_PER_CLAIM)
        with self._database.transaction() as session:
            taken, cards = entries.take_happenings(session, self._brand(), now, TIMERS_PER_CLAIM)
            outbox.add(session, cards, now)
        if cards:
            self._on_fired()
        return taken

    def _enter_by_date(self, now: datetime) -> None:
        """Whom the calendar lets in today; a sweep that was made today is not made again."""
        for sweep in sweeps.due(self._brand(), now):
            with self._database.transaction() as session:
                sweeps.make(session, self._brand(), sweep, now)

    def _sweep(self, now: datetime) -> None:
        """Each sweep in a transaction of its own; one that fails is told and keeps none of the others."""
        self._enter_by_date(now)
        for sweep in SWEEPS:
            try:
                with self._database.transaction() as session:
                    sweep(session, now)
            except Exception as error:
                self._metrics.alarm("ticker")
                log.error("sweep failed", sweep=sweep.__name__, error=str(error)[:300])
        with self._database.transaction() as session:
            evaluate_due(session, self._brand().programme, now)
        with self._database.transaction() as session:
            reminders = due_reminders(session, self._brand(), now)
            outbox.add(session, reminders, now)
        if reminders:
            self._on_fired()
        self._know_members(now)
        self._prune(now)
        with self._database.reading() as session:
            self._notices.look(session, self._brand().programme, now)

    def _prune(self, now: datetime) -> None:
        """Answers and events whose time is over."""
        drops: tuple[Callable[[Session], int], ...] = (
            lambda session: prune_answers(session, now - self._keep_answers, PRUNED),
            lambda session: prune_events(session, now - self._keep_events, now, PRUNED),
        )
        for drop in drops:
            for _ in range(PRUNE_ROUNDS):
                with self._database.transaction() as session:
                    gone = drop(session)
                if gone < PRUNED:
                    break

    def _know_members(self, now: datetime) -> None:
        """Rhythms and scores of those who bought meanwhile, and what looks like abuse."""
        programme = self._brand().programme
        for _ in range(INSIGHT_PAGES):
            with self._database.transaction() as session:
                if not insights.refresh(session, programme, now, INSIGHT_PAGE):
                    break
        with self._database.transaction() as session:
            if found := fraud.look_when_due(session, programme, now):
                log.warning("fraud suspected", findings=found)

    def _measure(self) -> None:
        with self._database.reading() as session:
            waiting, sending = inbox.depth(session), outbox.depth(session)
        self._metrics.set_depth("inbox", "waiting", waiting[inbox.WAITING])
        self._metrics.set_depth("inbox", "aside", waiting[inbox.ASIDE])
        self._metrics.set_depth("outbox", "waiting", sending[outbox.WAITING])
        self._metrics.set_depth("outbox", "failed", sending[outbox.FAILED])
