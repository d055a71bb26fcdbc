"""The rows of a CSV file, read ahead of who writes them: by a thread, or for a long file by a process of its own.

Reading and checking a row costs half of what writing it does, and both want a processor. That process runs `main`: it
takes what to read on standard input and gives chunk after chunk on standard output.
"""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

import msgspec

from loyalty.identities import Identifier
from loyalty.import_rows import Row, Sheet

LONG_BYTES = 4_000_000
"""From so many bytes on a process of its own has paid for its start."""

_START = f"import gc; gc.disable(); from {__name__} import main; main()"
"""Without looking for cycles: neither what imports build nor rows have any."""

Chunk = tuple[list[Row[Any]], int]
"""Rows, and how many bytes of the file were read by then."""


@dataclass(frozen=True)
class Source:
    """What to read, and how its rows are understood."""

    path: Path
    encoding: str
    read: Callable[..., Sheet[Any]]
    value: type
    identifier: Identifier
    zone: ZoneInfo
    source: str

    def sheet(self, lines: IO[str]) -> Sheet[Any]:
        """The rows of the open file."""
        return self.read(lines, self.identifier, self.zone, self.source)


def decoded(raw: IO[bytes], encoding: str) -> io.TextIOWrapper:
    """A file as text; what is neither UTF-8 nor GB18030 comes as lone surrogates, which refuse their row alone."""
    return io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape", newline="")


def chunks(source: Source, sheet: Sheet[Any], raw: IO[bytes], skip: int, size: int) -> Iterator[Chunk]:
    """The chunks of an open file after its first `skip` rows, the next one read while this one is written."""
    sheet.skip(skip)
    left = source.path.stat().st_size - raw.tell()
    if left < LONG_BYTES or (os.cpu_count() or 1) < 2:
        yield from _by_thread(sheet, raw, size)
        return
    with _reader(source, skip + size, size) as out:
        # The first chunk is read here: meanwhile the other process starts.
        yield sheet.chunk(size), raw.tell()
        decode = msgspec.msgpack.Decoder(list[Row[source.value]]).decode  # type: ignore[name-defined]
        while True:
            try:
                packed, read_bytes = pickle.load(out)  # noqa: S301 - our own process wrote it
            except EOFError:
                raise OSError(f"the process that reads {source.path} has died; start the import again, it goes on") \
                    from None
            rows: list[Row[Any]] = decode(packed) if isinstance(packed, bytes) else packed
            if not rows:
                return
            yield rows, read_bytes


def _by_thread(sheet: Sheet[Any], raw: IO[bytes], size: int) -> Iterator[Chunk]:
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(sheet.chunk, size)
        while rows := coming.result():
            coming = reader.submit(sheet.chunk, size)
            yield rows, raw.tell()


@contextmanager
def _reader(source: Source, skip: int, size: int) -> Iterator[IO[bytes]]:
    """The output of a process that reads; it ends with the block."""
    root = str(Path(__file__).resolve().parents[1])
    places = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-P", "-c", _START]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pipesize=1 << 20,
                          env=os.environ | {"PYTHONPATH": places}) as process:
        job, out = process.stdin, process.stdout
        if job is None or out is None:
            raise RuntimeError("a process without pipes")
        try:
            with suppress(BrokenPipeError):  # it died at once: there is nothing to read, which is told
                pickle.dump((source, skip, size), job)
                job.close()
            yield out
        finally:
            process.kill()


def _packed(rows: list[Row[Any]]) -> bytes | list[Row[Any]]:
    """Rows as MessagePack, which costs a twentieth of pickling them; as they are where a cell is no text."""
    try:
        return msgspec.msgpack.encode(rows)
    except UnicodeEncodeError:
        return rows


def main() -> None:
    """Read what standard input asks for, until it is over or nobody listens any more."""
    source, skip, size = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own process wrote it
    out = sys.stdout.buffer
    with source.path.open("rb") as raw, decoded(raw, source.encoding) as lines:
        sheet = source.sheet(lines)
        sheet.skip(skip)
        try:
            while True:
                rows = sheet.chunk(size)
                pickle.dump((_packed(rows), raw.tell()), out, pickle.HIGHEST_PROTOCOL)
                out.flush()
                if not rows:
                    return
        except BrokenPipeError:
            os._exit(0)  # nothing that is left to flush has a reader
