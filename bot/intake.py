"""Into the inbox before the answer: one writer thread per process commits whatever is waiting, all in one go.

IntakeUnavailable           not stored: the platform shall repeat it
└── IntakeRefused           the database will never take this one
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import structlog
from sqlalchemy.exc import SQLAlchemyError

from bot.clock import Clock, monotonic_s
from bot.database import Database
from bot.intake_sql import Signal, Writing, connect
from handlers.talk.messages import Incoming

__all__ = ["Intake", "IntakeRefused", "IntakeUnavailable", "Signal", "Stored"]

MAX_BATCH = 512
MAX_WAITING = 8192
BUSY_BATCH = 8
GATHER_S = 0.003
GATHER_STEP_S = 0.0005
"""Under load a commit waits up to GATHER_S for company: fewer, larger commits leave the CPU to the callbacks."""
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
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._is_idle = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = structlog.get_logger("intake")
        driver = database.engine.dialect.loaded_dbapi
        self._row_errors = (driver.DataError, driver.IntegrityError)
        self._passing_errors = (driver.Error, SQLAlchemyError, OSError)

    async def start(self) -> None:
        """Begin to write."""
        self._loop = asyncio.get_running_loop()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._write_on, name="intake", daemon=True)
        self._thread.start()
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    async def stop(self) -> None:
        """Write what is waiting, then end; what cannot be written raises `IntakeUnavailable` at its caller."""
        if self._thread is None:
            return
        self._stopping.set()
        self._wake.put(None)
        await asyncio.to_thread(self._thread.join, self._wait_s + 1)
        self._timer.cancel()
        self._thread = None
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
        if self._thread is None or self._stopping.is_set() or len(self._waiting) >= MAX_WAITING:
            done(IntakeUnavailable(f"stopping, or {MAX_WAITING} callers wait"))
            return
        self._waiting.append(_Caller(messages, signals, done, self._loop.time()))
        if self._is_idle:
            self._is_idle = False
            self._wake.put(None)

    def _sweep(self) -> None:
        """Let go of callers whose time is over, even while the writer hangs in the driver."""
        oldest_s = self._loop.time() - self._wait_s
        overdue = [caller for caller in [*self._in_hand, *self._waiting] if caller.since_s < oldest_s]
        self._settle(overdue, IntakeUnavailable("the database did not answer in time"))
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    def _write_on(self) -> None:
        writing: Writing | None = None
        crowd = 0.0
        while batch := self._next_batch():
            writing = self._store(batch, writing)
            crowd = max(0.9 * crowd, len(batch) + len(self._waiting))
            if len(batch) >= BUSY_BATCH:
                self._gather(crowd * 0.75)
            self._in_hand = ()
        if writing is not None:
            writing.close()

    def _gather(self, enough: float) -> None:
        """Wait for half of the callers of the moment: one half is committed while the other is being read."""
        until_s = monotonic_s() + GATHER_S
        while len(self._waiting) < enough and monotonic_s() < until_s:
            if self._stopping.wait(GATHER_STEP_S):
                return

    def _next_batch(self) -> list[_Caller]:
        while not self._waiting:
            if self._stopping.is_set():
                return []
            self._is_idle = True
            if not self._waiting:  # looked at again: one may have come before the flag was up
                self._wake.get()
            self._is_idle = False
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
        self._in_hand = batch
        return [caller for caller in batch if not caller.is_settled] or self._next_batch()

    def _store(self, batch: list[_Caller], writing: Writing | None) -> Writing | None:
        """Commit; the connection is made anew after an error, until the callers' time is over."""
        until_s = monotonic_s() + self._wait_s
        while True:
            try:
                writing = writing or connect(self._database, self._wait_s)
                self._commit(batch, writing)
                return writing
            except Exception as error:
                self._close(writing)
                writing = None
                name = type(error).__name__
                if not isinstance(error, self._passing_errors):
                    self._log.exception("intake: an error that no database raises")
                    self._one_by_one(batch, name)
                    return None
                if isinstance(error, self._row_errors):
                    self._one_by_one(batch, name)
                    return None
                self._log.warning("intake cannot write, trying again", error=name, callers=len(batch))
                if monotonic_s() > until_s or self._stopping.wait(RETRY_S):
                    self._tell(batch, IntakeUnavailable(name))
                    return None

    def _one_by_one(self, batch: list[_Caller], name: str) -> None:
        """A message that the database refuses must not take the others down with it."""
        if len(batch) == 1:
            self._log.error("intake: a message is refused by the database", error=name)
            self._tell(batch, IntakeRefused(name))
            return
        for caller in batch:
            self._close(self._store([caller], None))

    def _commit(self, batch: list[_Caller], writing: Writing) -> None:
        messages = [message for caller in batch for message in caller.messages]
        signals = [signal for caller in batch for signal in caller.signals]
        if messages or signals:
            writing.write(messages, signals, self._clock())
        if self._observe:
            self._observe(len(batch))
        self._tell(batch, None, len(messages), frozenset(signal.source for signal in signals))

    def _close(self, writing: Writing | None) -> None:
        if writing is not None:
            try:
                writing.close()
            except self._passing_errors as error:
                self._log.debug("intake: closing failed", error=type(error).__name__)

    def _tell(
        self,
        batch: Sequence[_Caller],
        error: IntakeUnavailable | None,
        messages: int = 0,
        sources: frozenset[str] = frozenset(),
    ) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, batch, error, messages, sources)

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
