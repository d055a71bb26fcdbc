"""Group commit of orders and events: whatever is posted at the same time is recorded in one transaction.

A transaction costs the disk a write and the database a dozen round trips, for one order as for a hundred. Under load
requests come while the batch before them is being committed; they make the next batch. A single one waits for nobody,
a crowd waits at most GATHER_S for company.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy.orm import Session

from bot.api.endpoints import Call, Endpoint, Told
from bot.api.problems import Problem, database_away
from bot.api.writes import Answer, Raced, Write, again, answer_once, store_answers, stored_answers
from bot.clock import monotonic_s
from bot.database import Database, is_transient
from loyalty.errors import LoyaltyError

MAX_BATCH = 200
BUSY = 4
GATHER_S = 0.004
GATHER_STEP_S = 0.0005
log = structlog.get_logger("api")


@dataclass(slots=True, eq=False)
class _Posted:
    write: Write
    call: Call[Any, Any, Any]
    done: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class GroupCommits:
    """Takes the requests of one endpoint that can be done together; `take` returns when its own is committed."""

    def __init__(self, database: Database, endpoint: Endpoint) -> None:
        self._database, self._endpoint = database, endpoint
        self._waiting: list[_Posted] = []
        self._task: asyncio.Task[None] | None = None

    async def take(self, write: Write, call: Call[Any, Any, Any]) -> Answer:
        """Do a request under its write; raises what doing it raises, and a 503 problem."""
        posted = _Posted(write, call)
        self._waiting.append(posted)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name=f"group commits {self._endpoint.path}")
        return await posted.done

    async def _drain(self) -> None:
        crowd = 0.0
        while self._waiting:
            await self._gather(crowd * 0.75)
            batch = self._next()
            crowd = max(0.9 * crowd, len(batch) + len(self._waiting))
            try:
                ends = await asyncio.to_thread(self._commit, batch)
            except Exception as error:
                log.exception("a batch could not be committed", path=self._endpoint.path)
                ends = [error] * len(batch)
            for posted, end in zip(batch, ends, strict=True):
                _settle(posted.done, end)

    async def _gather(self, enough: float) -> None:
        """Wait for most of the callers of the moment: they have just been answered and are about to send the next."""
        until_s = monotonic_s() + GATHER_S
        while enough > BUSY and len(self._waiting) < enough and monotonic_s() < until_s:
            await asyncio.sleep(GATHER_STEP_S)

    def _next(self) -> list[_Posted]:
        """The next batch, in the order they came; of two with one key the later waits for the answer of the first."""
        batch: dict[tuple[str, str], _Posted] = {}
        later: list[_Posted] = []
        for posted in self._waiting:
            name = (posted.write.client, posted.write.key)
            if name in batch or len(batch) == MAX_BATCH:
                later.append(posted)
            else:
                batch[name] = posted
        self._waiting = later
        return list(batch.values())

    def _commit(self, batch: Sequence[_Posted]) -> list[Answer | Exception]:
        """Together if that goes; else each for itself, so that one cannot take the others down."""
        try:
            return again(lambda: self._together(batch))
        except Exception as error:
            if is_transient(error):
                log.warning("database away", error=type(error).__name__, requests=len(batch))
                return [database_away()] * len(batch)
            if not isinstance(error, Raced | LoyaltyError):
                log.warning("a batch failed, each is tried alone", error=type(error).__name__)
        return [self._alone(posted) for posted in batch]

    def _together(self, batch: Sequence[_Posted]) -> list[Answer | Exception]:
        with self._database.transaction() as session:
            known = stored_answers(session, [posted.write for posted in batch])
            fresh = [posted for posted, answer in zip(batch, known, strict=True) if answer is None]
            together = self._endpoint.together
            ends = together(session, [posted.call for posted in fresh]) if together is not None and fresh else []
            made = [end if isinstance(end, LoyaltyError | Problem) else _answer(*end) for end in ends]
            store_answers(session, [
                (posted.write, answer, posted.call.at) for posted, answer in zip(fresh, made, strict=True)
                if isinstance(answer, Answer)
            ])
        rest = iter(made)
        return [next(rest) if answer is None else answer for answer in known]

    def _alone(self, posted: _Posted) -> Answer | Exception:
        def work(session: Session) -> tuple[int, dict[str, Any]]:
            answer = _answer(*self._endpoint.work(session, posted.call))
            return answer.status, answer.body

        def transact() -> Answer:
            with self._database.transaction() as session:
                return answer_once(session, posted.write, work, posted.call.at)

        try:
            return again(transact)
        except Exception as error:
            return database_away() if is_transient(error) else error


def _answer(status: int, told: Told) -> Answer:
    return Answer(status, told.model_dump(mode="json"), replayed=False)


def _settle(done: asyncio.Future[Answer], end: Answer | Exception) -> None:
    if done.done():  # the client has hung up
        return
    if isinstance(end, Answer):
        done.set_result(end)
    else:
        done.set_exception(end)
