"""Group commit for small notes: whatever waits is written in one transaction, again until the database is back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from sqlalchemy.orm import Session

from bot.database import Database, is_transient

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 5.0

Note = Callable[[Session], None]
log = structlog.get_logger("bot.commits")


class Commits:
    """Writes notes for many tasks; `do` returns when its own is committed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Note, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def do(self, note: Note) -> None:
        """Write the note, however long the database is away; raises what writing it alone raises for good."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((note, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name="commits")
        await done

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            await self._commit(batch)

    async def _commit(self, batch: Sequence[tuple[Note, asyncio.Future[None]]]) -> None:
        wait_s = RETRY_FIRST_S
        while True:
            try:
                await asyncio.to_thread(self._write, [note for note, _ in batch])
                break
            except Exception as error:
                if is_transient(error):
                    log.warning("the database is away, notes wait", notes=len(batch), error=type(error).__name__)
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * 2, RETRY_MAX_S)
                elif len(batch) > 1:
                    for item in batch:
                        await self._commit([item])
                    return
                else:
                    _end(batch[0][1], error)
                    return
        for _, done in batch:
            _end(done, None)

    def _write(self, notes: Sequence[Note]) -> None:
        with self._database.transaction() as session:
            for note in notes:
                note(session)


def _end(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
