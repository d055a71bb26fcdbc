"""Bring a CSV file in, chunk by chunk, each row once.

A chunk, its refused rows and how far the file is are kept together: whatever ends the run, it goes on where it was.
"""

from __future__ import annotations

import codecs
import gc
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from bot.clock import Clock, monotonic_s
from bot.database import Database
from loyalty import imports
from loyalty.identities import Identifier
from loyalty.import_columns import RowError
from loyalty.import_rows import Row, Sheet, members_in, orders_in
from loyalty.imports import Taken
from loyalty.programme import Programme

CHUNK = 5000
"""Rows a transaction: long enough that the statements cost little, short enough that others wait little."""
SHOWN = 20
"""Errors printed; all of them are in the file of refused rows."""


class _RolledBack(Exception):
    """Ends the transaction of a dry run."""


@dataclass(frozen=True)
class Kind:
    """A kind of file: how its rows are read and written."""

    name: str
    read: Callable[..., Sheet[Any]]
    write: Callable[..., Taken]


MEMBERS = Kind("members", members_in, imports.write_members)
ORDERS = Kind("orders", orders_in, imports.write_orders)


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
            sheet = self.kind.read(lines, self.identifier, self.programme.zone, self.source)
            report = Report(ignored=sheet.header.ignored)
            if dry_run:
                self._try(sheet, report, lambda: advance(encoded.tell()))
            else:
                self._bring_in(sheet, report, digest, again, lambda: advance(encoded.tell()))
        report.elapsed_s = monotonic_s() - began_s
        return report

    def _try(self, sheet: Sheet[Any], report: Report, step: Callable[[], None]) -> None:
        """Write every chunk as if in earnest, and take it back."""
        errors: list[RowError] = []
        for rows in _ahead(sheet, self.chunk):
            taken = Taken()
            try:
                with self.database.transaction() as session:
                    taken = self.kind.write(session, rows, self.programme, self.clock())
                    raise _RolledBack
            except _RolledBack:
                pass
            report.rows, report.rejected = report.rows + len(rows), report.rejected + len(taken.refused)
            report.new, report.known = report.new + taken.new, report.known + taken.known
            report.points += taken.points
            errors += [error for _, error in _in_order(taken)][:SHOWN - len(errors)]
            gc.collect(0)
            step()
        report.errors = errors

    def _bring_in(self, sheet: Sheet[Any], report: Report, digest: str, again: bool,
                  step: Callable[[], None]) -> None:
        name, errors = self.path.name, list[RowError]()
        with self.database.transaction() as session:
            content = hashlib.sha256(f"{digest}:{self.source}".encode()).hexdigest()
            at = imports.begin_import(session, self.kind.name, content, name, self.clock())
            if again:
                at = imports.forget_progress(session, at)
        if at.finished_at is None:
            sheet.skip(at.rows)
            with _rejects(self.rejected_path, at.rejected_bytes) as rejects:
                for rows in _ahead(sheet, self.chunk):
                    with self.database.transaction() as session:
                        taken = self.kind.write(session, rows, self.programme, self.clock())
                        _put_aside(rejects, sheet, taken)
                        at = imports.note_progress(session, at, name, len(rows), taken, rejects.tell())
                    errors += [error for _, error in _in_order(taken)][:SHOWN - len(errors)]
                    gc.collect(0)
                    step()
                with self.database.transaction() as session:
                    at = imports.note_progress(session, at, name, 0, Taken(), at.rejected_bytes, self.clock())
        else:
            report.finished_before = at.finished_at
        report.rows, report.new, report.known, report.points = at.rows, at.new, at.known, at.points
        report.rejected, report.errors = at.rejected, errors
        report.rejected_file = self.rejected_path if at.rejected else None


def _ahead(sheet: Sheet[Any], size: int) -> Iterator[list[Row[Any]]]:
    """The chunks of a sheet, the next one read while the database works on this one."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(sheet.chunk, size)
        while rows := coming.result():
            coming = reader.submit(sheet.chunk, size)
            yield rows


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
def opened(path: Path) -> Iterator[tuple[IO[str], IO[bytes], str]]:
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
        # What is neither comes as lone surrogates, which refuse their row alone.
        with io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape", newline="") as lines:
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
