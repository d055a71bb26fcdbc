"""Into the inbox before the answer: one writer per process commits whatever is waiting, all in one go.

IntakeUnavailable           not stored: the platform shall repeat it
└── IntakeRefused           the database will never take this one
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from bot.clock import Clock, monotonic_s
from bot.database import Database
from bot.intake_sql import Signal, Writing, connect
from handlers.talk.messages import Incoming

__all__ = ["Intake", "IntakeRefused", "IntakeUnavailable", "Signal", "Stored"]

MAX_BATCH = 512
MAX_WAITING = 8192
RETRY_S = 0.1
SWEEP_S = 0.25
WAIT_S = 3.0
"""The platform hangs up after 5 s; what is not stored by then must have been answered 503."""

Done = Callable[["IntakeUnavailable | None"], None]
"""Called once in the event loop: None after the commit, the error when nothing was stored."""
Stored = Callable[[int, frozenset[str]], None]
"""Called in the event loop after a commit: how many messages were offered, which sources have signalled."""


class IntakeUnavailable(Exception):
    """The database does not answer, or too many wait for it; nothing was acknowledged."""


class IntakeRefused(IntakeUnavailable):
    """The database refuses this message, alone too; the error's name stands in the log."""


@dataclass(slots=True, eq=False)
class _Caller:
    messages: Sequence[Incoming]
    signals: Sequence[Signal]
    done: Done
    since_s: float
    is_settled: bool = False

    def settle(self, error: IntakeUnavailable | None) -> None:
        """Tell the caller, once."""
        if not self.is_settled:
            self.is_settled = True
            self.done(error)


class Intake:
    """Stores messages and signals durably; `accept` returns after their commit.

    Start and stop it in the event loop. `on_stored` is called in the loop after each commit that succeeded,
    `observe_batch` with the number of callers in it.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        on_stored: Stored | None = None,
        observe_batch: Callable[[float], None] | None = None,
        wait_s: float = WAIT_S,
    ) -> None:
        self._database = database
        self._clock = clock
        self._on_stored = on_stored
        self._observe = observe_batch
        self._wait_s = wait_s
        self._waiting: deque[_Caller] = deque()
        self._in_hand: Sequence[_Caller] = ()
        self._idle: asyncio.Future[None] | None = None
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("intake")
        driver = database.engine.dialect.loaded_dbapi
        self._row_errors = (driver.DataError, driver.IntegrityError)
        self._passing_errors = (driver.Error, SQLAlchemyError, OSError)

    async def start(self) -> None:
        """Begin to write."""
        self._loop = asyncio.get_running_loop()
        self._is_stopping = False
        self._task = self._loop.create_task(self._write_on(), name="intake")
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    async def stop(self) -> None:
        """Write what is waiting, then end; what cannot be written raises `IntakeUnavailable` at its caller."""
        if self._task is None:
            return
        self._is_stopping = True
        self._rouse()
        await asyncio.wait({self._task}, timeout=self._wait_s + 1)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._timer.cancel()
        self._task = None
        self._settle([*self._in_hand, *self._waiting], IntakeUnavailable("stopped"))

    @property
    def waiting(self) -> int:
        """How many callers are not yet committed."""
        return len(self._waiting) + len(self._in_hand)

    def accept(self, messages: Sequence[Incoming], signals: Sequence[Signal] = ()) -> asyncio.Future[None]:
        """Await it: done after the commit; raises `IntakeUnavailable` when nothing was stored within the wait."""
        future = self._loop.create_future()

        def done(error: IntakeUnavailable | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self.offer(messages, signals, done)
        return future

    def offer(self, messages: Sequence[Incoming], signals: Sequence[Signal], done: Done) -> None:
        """The same without a future, from the event loop; `done` may be called at once."""
        if self._task is None or self._is_stopping or len(self._waiting) >= MAX_WAITING:
            done(IntakeUnavailable(f"stopping, or {MAX_WAITING} callers wait"))
            return
        self._waiting.append(_Caller(messages, signals, done, self._loop.time()))
        self._rouse()

    def _rouse(self) -> None:
        if self._idle is not None:
            self._idle.set_result(None)
            self._idle = None

    def _sweep(self) -> None:
        """Let go of callers whose time is over, even while the writer hangs in the driver."""
        oldest_s = self._loop.time() - self._wait_s
        overdue = [caller for caller in [*self._in_hand, *self._waiting] if caller.since_s < oldest_s]
        self._settle(overdue, IntakeUnavailable("the database did not answer in time"))
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    async def _write_on(self) -> None:
        writing: Writing | None = None
        while batch := await self._next_batch():
            writing = await self._store(batch, writing)
            self._in_hand = ()
        await self._close(writing)

    async def _next_batch(self) -> list[_Caller]:
        """All who came while the last batch was written, or in one turn of the loop; empty when it is time to end."""
        batch: list[_Caller] = []
        while not batch:
            while not self._waiting:
                if self._is_stopping:
                    return []
                self._idle = self._loop.create_future()
                await self._idle
            self._in_hand = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
            batch = [caller for caller in self._in_hand if not caller.is_settled]
        return batch

    async def _store(self, batch: list[_Caller], writing: Writing | None) -> Writing | None:
        """Commit; the connection is made anew after an error, until the callers' time is over."""
        until_s = monotonic_s() + self._wait_s
        while True:
            try:
                writing = writing or await connect(self._database, self._wait_s)
                await self._commit(batch, writing)
                return writing
            except Exception as error:
                await self._close(writing)
                writing = None
                name = type(error).__name__
                if not isinstance(error, self._passing_errors):
                    self._log.exception("intake: an error that no database raises")
                    await self._one_by_one(batch, name)
                    return None
                if isinstance(error, self._row_errors):
                    await self._one_by_one(batch, name)
                    return None
                self._log.warning("intake cannot write, trying again", error=name, callers=len(batch))
                if monotonic_s() > until_s or self._is_stopping:
                    self._settle(batch, IntakeUnavailable(name))
                    return None
                await asyncio.sleep(RETRY_S)

    async def _one_by_one(self, batch: list[_Caller], name: str) -> None:
        """A message that the database refuses must not take the others down with it."""
        if len(batch) == 1:
            self._log.error("intake: a message is refused by the database", error=name)
            self._settle(batch, IntakeRefused(name))
            return
        for caller in batch:
            await self._close(await self._store([caller], None))

    async def _commit(self, batch: list[_Caller], writing: Writing) -> None:
        messages = [message for caller in batch for message in caller.messages]
        signals = [signal for caller in batch for signal in caller.signals]
        if messages or signals:
            await writing.write(messages, signals, self._clock())
        if self._observe:
            self._observe(len(batch))
        self._settle(batch, None, len(messages), frozenset(signal.source for signal in signals))

    async def _close(self, writing: Writing | None) -> None:
        if writing is not None:
            try:
                await writing.close()
            except self._passing_errors as error:
                self._log.debug("intake: closing failed", error=type(error).__name__)

    def _settle(
        self,
        batch: Sequence[_Caller],
        error: IntakeUnavailable | None,
        messages: int = 0,
        sources: frozenset[str] = frozenset(),
    ) -> None:
        for caller in batch:
            caller.settle(error and type(error)(*error.args))
        if self._on_stored and (messages or sources):
            self._on_stored(messages, sources)
