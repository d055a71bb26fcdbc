"""The worker: claims lanes of the inbox and handles each batch in one transaction; finds the message that fails."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby

import structlog

from bot.cache import Wake
from bot.clock import Clock, monotonic_s
from bot.database import Database, is_transient
from bot.second_opinion import SecondOpinion
from bot.settings import Work
from bot.work_metrics import WorkMetrics
from handlers.brand import Brand
from handlers.react import Reaction, Unsettled, react
from handlers.talk import inbox
from handlers.talk.inbox import Claimed
from handlers.talk.messages import SHARDS
from intents.classifier import Verdict

MAX_REST_S = 5.0
LEASE_SLACK = timedelta(seconds=5)
"""How much longer than its question a message is leased: time to handle it."""
log = structlog.get_logger("bot.worker")


class Worker:
    """One loop over the inbox. Any number may run, in any number of processes."""

    def __init__(
        self,
        database: Database,
        brand: Callable[[], Brand],
        settings: Work,
        clock: Clock,
        metrics: WorkMetrics,
        on_handled: Callable[[], None],
        second: SecondOpinion | None = None,
    ) -> None:
        self._database, self._brand, self._settings, self._clock = database, brand, settings, clock
        self._metrics, self._on_handled, self._second = metrics, on_handled, second
        self._unsettled: list[Unsettled] = []
        self._asking: set[asyncio.Task[None]] = set()
        self._lane = random.randrange(SHARDS)
        self._not_before: datetime | None = None

    def step(self) -> int:
        """Handle one batch; gives how many messages were handled, 0 when there was nothing to do yet."""
        now, started = self._clock(), monotonic_s()
        self._lane = (self._lane + 17) % SHARDS  # another first lane each time, so that none waits behind a busy one
        claimed: list[Claimed] = []
        reaction = Reaction([])
        try:
            with self._database.transaction() as session:
                claimed = inbox.claim(session, self._settings.batch, now, self._lane)
                if claimed:
                    reaction = react(session, claimed, self._brand(), now, lease=self._lease())
        except Exception as error:
            if not claimed or is_transient(error):
                raise
            log.warning("batch failed, one by one now", messages=len(claimed), error=str(error)[:300])
            return self._one_by_one(claimed)
        self._told(reaction)
        self._unsettled += reaction.unsettled
        if reaction.decided:
            self._metrics.observe_work(len(reaction.decided), monotonic_s() - started)
        return len(reaction.decided)

    async def run(self, wake: Wake) -> None:
        """Step until cancelled; rests when there is nothing to do, and longer while the database is away."""
        try:
            await self._run(wake)
        finally:
            for task in self._asking:
                task.cancel()  # their messages are free again when the lease is over

    async def _run(self, wake: Wake) -> None:
        failures = 0
        while True:
            try:
                taken = await asyncio.to_thread(self.step)
                self._ask_second()
                failures = 0
            except Exception as error:
                failures += 1
                taken = 0
                self._metrics.alarm("worker")
                log.error("worker could not work", error=str(error)[:300], failures=failures)
            if taken:
                self._on_handled()
            elif failures:
                await asyncio.sleep(min(self._settings.poll_s * 2**failures, MAX_REST_S))
            else:
                await wake.wait(self._rest_s())

    def _lease(self) -> timedelta | None:
        """How long a message may be left for a second opinion; None where there is nobody to ask."""
        second = self._second
        return second.patience + LEASE_SLACK if second is not None and second.is_ready() else None

    def _ask_second(self) -> None:
        """Ask for what was left, beside the next batches: nobody else waits for it."""
        items, self._unsettled = self._unsettled, []
        if items:
            task = asyncio.create_task(self._settle(items))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _settle(self, items: Sequence[Unsettled]) -> None:
        assert self._second is not None
        try:
            verdicts = await self._second.ask(items, self._brand().scenarios)
            for item in items:
                await asyncio.to_thread(self._handle_settled, item, verdicts)
        except Exception as error:
            # Nothing is lost: each is free again when its lease is over, and then nobody is asked.
            self._metrics.alarm("worker")
            log.error("unsure messages wait for the end of their lease", error=str(error)[:300])
        self._on_handled()

    def _handle_settled(self, item: Unsettled, verdicts: Mapping[str, Verdict]) -> None:
        try:
            self._told(self._react_again(item.parts, verdicts))
        except Exception as error:
            if is_transient(error):
                raise
            self._one_by_one(item.parts)

    def _rest_s(self) -> float:
        """How long there is nothing to do: until the next look, or until a message has waited for its companions."""
        if self._not_before is None:
            return self._settings.poll_s
        left_s = (self._not_before - self._clock()).total_seconds()
        if left_s <= self._settings.poll_s:
            self._not_before = None
        return min(max(left_s, 0.0), self._settings.poll_s)

    def _one_by_one(self, claimed: Sequence[Claimed]) -> int:
        in_order = sorted(claimed, key=lambda item: item.message.sender)
        for _sender, found in groupby(in_order, key=lambda item: item.message.sender):
            items = list(found)
            if len(items) > 1 and self._handle_together(items):
                continue  # what was said in one breath is still read as one
            for item in items:
                if not self._handle_alone(item):
                    break  # the rest is taken again with the next batch, behind the one that failed
        return len(claimed)

    def _handle_together(self, items: Sequence[Claimed]) -> bool:
        try:
            self._told(self._react_again(items))
        except Exception as error:
            if is_transient(error):
                raise
            return False
        return True

    def _handle_alone(self, item: Claimed) -> bool:
        try:
            reaction = self._react_again([item])
        except Exception as error:
            if is_transient(error):
                raise
            return self._note_failure(item, error)
        self._told(reaction)
        return True

    def _react_again(self, items: Sequence[Claimed], verdicts: Mapping[str, Verdict] | None = None) -> Reaction:
        with self._database.transaction() as session:
            again = [found for item in items if (found := inbox.claim_one(session, item.id)) is not None]
            return react(session, again, self._brand(), self._clock(), verdicts) if again else Reaction([])

    def _note_failure(self, item: Claimed, error: Exception) -> bool:
        """Put off or set aside; True when the messages behind it may go on."""
        now = self._clock()
        story = "".join(traceback.format_exception(error))[-inbox.MAX_ERROR_CHARS :]
        is_last = item.attempts + 1 >= self._settings.attempts
        with self._database.transaction() as session:
            if is_last:
                inbox.put_aside(session, item.id, story, now)
            else:
                wait = timedelta(seconds=self._settings.retry_s * 2**item.attempts)
                inbox.put_off(session, item.id, story, now + wait)
        self._metrics.count_failed("aside" if is_last else "retry")
        if is_last:
            self._metrics.alarm("message set aside")
        log.error(
            "message failed", trace=item.message.trace, attempt=item.attempts + 1, aside=is_last, error=str(error)[:300]
        )
        return is_last

    def _told(self, reaction: Reaction) -> None:
        if reaction.degraded:
            self._metrics.count_degraded(reaction.degraded)
            self._metrics.alarm("no model")
        if reaction.not_before is not None:
            self._not_before = min(reaction.not_before, self._not_before or reaction.not_before)
        for item in reaction.decided:
            self._metrics.count_decision(item.channel, item.decision)
            if item.decision != "silent":
                log.info("handled", trace=item.trace, channel=item.channel, decision=item.decision, why=item.why)
