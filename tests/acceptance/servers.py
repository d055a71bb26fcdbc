"""Servers of the tests' own, to be stopped and started at will: a PostgreSQL cluster and a Redis."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import pytest

from bot.demo import free_port

START_S: Final = 30.0
DURABLE: Final = "fsync=on synchronous_commit=on full_page_writes=on max_connections=60 shared_buffers=32MB"


def missing(what: str, mend: str) -> None:
    """Skip, or fail in CI: there the tests must not silently run without a server."""
    message = f"{what} is missing; {mend}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class OwnPostgres:
    """A private, durable cluster in a folder of its own, reachable by TCP only."""

    def __init__(self) -> None:
        self.bin = _postgres_bin()
        if self.bin is None:
            missing("initdb", "install the PostgreSQL server (Debian: apt-get install postgresql)")
        self.folder = Path(tempfile.mkdtemp(prefix="huitou-pg-"))
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 " + " ".join(
            f"-c {setting}" for setting in DURABLE.split()
        )
        self._control("start", "-o", options, "-l", str(self.folder / "log"))

    def stop(self, mode: str) -> None:
        """Stop it: `fast` ends transactions, `immediate` is a crash."""
        self._control("stop", "-m", mode)

    def remove(self) -> None:
        """Stop it if it runs, and take the folder away."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", str(int(START_S)), "-s", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        assert self.bin is not None
        as_owner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        # The server inherits these: an open pipe would hold us until it stops.
        with (self.folder.parent / f"{self.folder.name}.out").open("wb") as out:
            done = subprocess.run(
                [*as_owner, str(self.bin / program), *arguments], stdout=out, stderr=out, cwd="/", timeout=2 * START_S
            )
        said = Path(out.name).read_text(errors="replace")
        Path(out.name).unlink()
        if done.returncode != 0:
            raise RuntimeError(f"{program} {' '.join(arguments)}: {said}")


class OwnRedis:
    """A private Redis that keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.program = shutil.which("redis-server")
        if self.program is None:
            missing("redis-server", "install it (Debian: apt-get install redis-server)")
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            [str(self.program), *arguments, "--dir", str(self.folder)], stdout=quiet, stderr=quiet
        )
        deadline = time.monotonic() + START_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"redis-server on port {self.port} did not start")
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill it; what it held is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def _postgres_bin() -> Path | None:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return folders[-1].parent if folders else None
