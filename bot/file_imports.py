"""Bring a CSV file in, chunk by chunk, each row once.

A chunk, its refused rows and how far the file is are kept together: whatever ends the run, it goes on where it was.
"""

from __future__ import annotations

import codecs
import gc
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, TypeVar

from sqlalchemy.exc import IntegrityError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from bot.clock import Clock, monotonic_s
from bot.database import Database, is_transient
from bot.file_rows import Source, chunks, decoded
from loyalty import imports
from loyalty.identities import Identifier
from loyalty.import_columns import RowError
from loyalty.import_rows import MemberIn, Row, Sheet, members_in, orders_in
from loyalty.imports import Progress, Taken
from loyalty.orders import Ready
from loyalty.programme import Programme

CHUNK = 5000
"""Rows a transaction: long enough that the statements cost little, short enough that others wait little."""
CHUNKS_BETWEEN_SEARCHES = 16
TRIES = 5
SHOWN = 20
"""Errors printed; all of them are in the file of refused rows."""


Reading = Callable[[int], Iterator[list[Row[Any]]]]
"""The chunks of a file after so many rows."""
Done = TypeVar("Done")


class _RolledBack(Exception):
    """Ends the transaction of a dry run."""


@dataclass(frozen=True)
class Kind:
    """A kind of file: how its rows are read and written, and what they are in between."""

    name: str
    read: Callable[..., Sheet[Any]]
    write: Callable[..., Taken]
    value: type


MEMBERS = Kind("members", members_in, imports.write_members, MemberIn)
ORDERS = Kind("orders", orders_in, imports.write_orders, Ready)


@dataclass
class Report:
    """What an import did, for the last lines of the command."""

    new: int = 0
    known: int = 0
    points: int = 0
    rejected: int = 0
    rows: int = 0
    ignored: Sequence[str] = ()
    errors: Sequence[RowError] = ()
    rejected_file: Path | None = None
    finished_before: datetime | None = None
    elapsed_s: float = 0.0


class Import:
    """One file on its way in."""

    def __init__(self, kind: Kind, path: Path, database: Database, programme: Programme, identifier: Identifier,
                 clock: Clock, source: str = "", chunk: int = CHUNK) -> None:
        self.kind, self.path, self.database, self.programme = kind, path, database, programme
        self.identifier, self.clock, self.source, self.chunk = identifier, clock, source, chunk
        self.rejected_path = path.with_name(path.stem + ".rejected.csv")

    def run(self, *, dry_run: bool = False, again: bool = False,
            advance: Callable[[int], None] = lambda _: None) -> Report:
        """Bring the file in, or go on with it; `advance` hears how many bytes were read.

        Raises HeaderError, ImportInterrupted, OSError.
        """
        began_s = monotonic_s()
        with _without_cycles(), opened(self.path) as (lines, encoded, digest):
            source = Source(self.path, lines.encoding, self.kind.read, self.kind.value, self.identifier,
                            self.programme.zone, self.source)
            sheet = source.sheet(lines)
            report = Report(ignored=sheet.header.ignored)

            def read(skip: int) -> Iterator[list[Row[Any]]]:
                for number, (rows, read_bytes) in enumerate(chunks(source, sheet, encoded, skip, self.chunk), 1):
                    yield rows
                    if number % CHUNKS_BETWEEN_SEARCHES == 0:
                        gc.collect(0)
                    advance(read_bytes)

            if dry_run:
                self._try(read, report)
            else:
                self._bring_in(sheet, read, report, digest, again)
        report.elapsed_s = monotonic_s() - began_s
        return report

    def _try(self, read: Reading, report: Report) -> None:
        """Write every chunk as if in earnest, and take it back."""
        errors: list[RowError] = []
        for rows in read(0):
            taken = _again(partial(self._pretend, rows))
            report.rows, report.rejected = report.rows + len(rows), report.rejected + len(taken.refused)
            report.new, report.known = report.new + taken.new, report.known + taken.known
            report.points += taken.points
            errors += [error for _, error in _in_order(taken)][:SHOWN - len(errors)]
        report.errors = errors

    def _pretend(self, rows: list[Row[Any]]) -> Taken:
        taken = Taken()
        try:
            with self.database.transaction() as session:
                taken = self.kind.write(session, rows, self.programme, self.clock())
                raise _RolledBack
        except _RolledBack:
            return taken

    def _bring_in(self, sheet: Sheet[Any], read: Reading, report: Report, digest: str, again: bool) -> None:
        name, errors = self.path.name, list[RowError]()
        with self.database.transaction() as session:
            content = hashlib.sha256(f"{digest}:{self.source}".encode()).hexdigest()
            at = imports.begin_import(session, self.kind.name, content, name, self.clock())
            if again:
                at = imports.forget_progress(session, at)
        if at.finished_at is None:
            with _rejects(self.rejected_path, at.rejected_bytes) as rejects:
                for rows in read(at.rows):
                    taken, at = _again(partial(self._write, rows, at, sheet, rejects, rejects.tell()))
                    errors += [error for _, error in _in_order(taken)][:SHOWN - len(errors)]
                with self.database.transaction() as session:
                    at = imports.note_progress(session, at, name, 0, Taken(), at.rejected_bytes, self.clock())
        else:
            report.finished_before = at.finished_at
        report.rows, report.new, report.known, report.points = at.rows, at.new, at.known, at.points
        report.rejected, report.errors = at.rejected, errors
        report.rejected_file = self.rejected_path if at.rejected else None

    def _write(self, rows: list[Row[Any]], at: Progress, sheet: Sheet[Any], rejects: IO[bytes],
               end: int) -> tuple[Taken, Progress]:
        """Write a chunk, its refused rows from `end` of their file on, and how far the file is."""
        rejects.seek(end)
        rejects.truncate()
        with self.database.transaction() as session:
            taken = self.kind.write(session, rows, self.programme, self.clock())
            _put_aside(rejects, sheet, taken)
            return taken, imports.note_progress(session, at, self.path.name, len(rows), taken, rejects.tell())


def _again(work: Callable[[], Done]) -> Done:
    """Do a chunk's transaction, and again where another writer was in the way: it then finds what that one stored."""
    retrying = Retrying(stop=stop_after_attempt(TRIES), wait=wait_random_exponential(0.05, max=1), reraise=True,
                        retry=retry_if_exception(lambda error: isinstance(error, IntegrityError)
                                                 or is_transient(error)))
    return retrying(work)


@contextmanager
def _without_cycles() -> Iterator[None]:
    """No search for reference cycles meanwhile: rows have none, and searching them takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def opened(path: Path) -> Iterator[tuple[TextIOWrapper, IO[bytes], str]]:
    """The file as text, the bytes below it, and the digest of its content; UTF-8, or GB18030 as Excel writes it."""
    digest, decoder, encoding = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")(), "utf-8-sig"
    with path.open("rb") as raw:
        while block := raw.read(1 << 20):
            digest.update(block)
            if encoding == "utf-8-sig":
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    encoding = "gb18030"
        raw.seek(0)
        with decoded(raw, encoding) as lines:
            yield lines, raw, digest.hexdigest()


@contextmanager
def _rejects(path: Path, size: int) -> Iterator[IO[bytes]]:
    """The file of refused rows, cut to what the last commit knows of; removed where it stays empty."""
    with path.open("r+b" if size and path.exists() else "wb") as file:
        file.truncate(min(size, path.stat().st_size))
        file.seek(0, os.SEEK_END)
        yield file
        empty = file.tell() == 0
    if empty:
        path.unlink()


def _put_aside(file: IO[bytes], sheet: Sheet[Any], taken: Taken) -> None:
    if taken.refused:
        text = imports.rejected_lines(sheet.header.cells, _in_order(taken), with_header=file.tell() == 0)
        file.write(text.encode("utf-8", errors="replace"))
        file.flush()
        os.fsync(file.fileno())


def _in_order(taken: Taken) -> list[tuple[Row[Any], RowError]]:
    return sorted(taken.refused, key=lambda refused: refused[1].line)
