"""A fleet of real processes: the platform, and web, work, deliver and tick in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import aiohttp

from bot import demo
from bot.database import Database
from bot.emulator.remote import Phones

ROOT: Final = Path(__file__).resolve().parents[2]
START_S: Final = 240.0
STOP_S: Final = 25.0
QUIET_IN_THE_MORNING: Final = {"followup": {"quiet_from_h": 3, "quiet_to_h": 4}}
QUIET_AT_NOON: Final = {"followup": {"quiet_from_h": 12, "quiet_to_h": 13}}
QUICK: Final[dict[str, Any]] = {
    "log": {"format": "json", "level": "INFO"},
    "wecom": {"request_timeout_s": 2.0},
    "archive": {"poll_s": 5.0},
    "deliver": {
        "poll_s": 0.2, "lease_s": 6.0, "retry_first_s": 0.2, "retry_max_s": 2.0, "kf_poll_s": 5.0,
        "member_app_per_min": 1000,
    },
    "work": {"poll_s": 0.2, "retry_s": 0.3},
}  # fmt: skip
"""Back-offs and leases cut short, so that catching up takes seconds; the promises are the same."""


class Program:
    """One process of `python -m bot ...`, started again under the same name; its log goes to one file."""

    def __init__(self, name: str, arguments: Iterable[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._command = [sys.executable, "-m", "bot", *arguments]
        self._environment = dict(environment)
        self._log_start = 0
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Start it; what it writes is added to its log."""
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL, at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def stop(self) -> int:
        """SIGTERM and wait; gives the exit status. A process that does not end is killed: -9."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(self.process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def said_since_start(self) -> str:
        """What the process that runs now has written."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = 25) -> str:
        """The end of the log, for a message."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    async def wait_for(self, word: str) -> None:
        """Until the word stands in what it wrote; RuntimeError when it ends or takes too long."""
        deadline = time.monotonic() + START_S
        while word not in self.said_since_start():
            if not self.is_alive or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not say {word!r}:\n{self.tail()}")
            await asyncio.sleep(0.1)


class Fleet:
    """`async with Fleet(...)`: a migrated database, the platform, and as many processes of each part as asked for.

    Processes are named web1, web2, work1, deliver1, tick1 and platform. The platform's callbacks go to web1.
    """

    def __init__(
        self,
        folder: Path,
        models: Path,
        database_url: str,
        *,
        redis_url: str = "",
        webs: int = 1,
        workers: int = 1,
        deliverers: int = 1,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.folder, self.database_url = folder, database_url
        self.keys = demo.kept_keys(folder / "keys.json")
        self.platform_url = f"http://127.0.0.1:{demo.free_port()}"
        self.web_urls = [f"http://127.0.0.1:{demo.free_port()}" for _ in range(webs)]
        self.phones = Phones(self.platform_url)
        self.database = Database(database_url)
        self.programs: dict[str, Program] = {}
        self._shared = _environment(self, models, redis_url, settings or {})
        self._add("platform", ["emulate", *self._platform_arguments()], self.web_urls[0])
        for number, url in enumerate(self.web_urls, 1):
            self._add(f"web{number}", ["serve", "--only", "web"], url)
        for part, count in (("work", workers), ("deliver", deliverers), ("tick", 1)):
            for number in range(1, count + 1):
                self._add(f"{part}{number}", ["serve", "--only", part], self.web_urls[0])

    def _platform_arguments(self) -> list[str]:
        port = self.platform_url.rpartition(":")[2]
        return ["--port", port, "--target", self.web_urls[0], "--folder", str(self.folder)]

    def _add(self, name: str, arguments: list[str], web_url: str) -> None:
        environment = self._shared | {"HUITOU_WEB__PORT": web_url.rpartition(":")[2]}
        self.programs[name] = Program(name, arguments, environment, self.folder)

    async def __aenter__(self) -> Fleet:
        await asyncio.to_thread(self._migrate)
        try:
            for program in self.programs.values():
                program.spawn()
            await asyncio.gather(*(self.wait_ready(name) for name in self.programs))
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        statuses = await self._end()
        if kind is None:
            wrong = {name: status for name, status in statuses.items() if status != 0}
            assert not wrong, f"processes that did not stop in order: {wrong}\n{self.tails(wrong)}"

    async def _end(self) -> dict[str, int]:
        await self.phones.close()
        running = [program for program in self.programs.values() if program.process is not None]
        # The platform last, so that nobody stops in front of a closed door.
        ours = [program for program in running if program.name != "platform"]
        statuses = dict(zip([p.name for p in ours], await asyncio.gather(*(p.stop() for p in ours)), strict=True))
        for program in running:
            if program.name == "platform":
                statuses["platform"] = await program.stop()
        self.database.dispose()
        return statuses

    def _migrate(self) -> None:
        command = [sys.executable, "-m", "bot", "migrate"]
        done = subprocess.run(command, cwd=ROOT, env=self._shared, capture_output=True, text=True, timeout=START_S)
        assert done.returncode == 0, f"huitou migrate: {done.stdout}{done.stderr}"

    async def wait_ready(self, name: str) -> None:
        """Until the process does its work: web answers /readyz, the others have said that they started."""
        if name == "platform":
            await self.programs[name].wait_for("platform and phones")
            return
        await self.programs[name].wait_for('"event": "started"')
        if name.startswith("web"):
            await self.wait_web(self.web_urls[int(name[3:]) - 1])

    async def wait_web(self, url: str, wait_s: float = START_S) -> None:
        """Until /readyz says yes."""
        deadline = time.monotonic() + wait_s
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{url}/readyz") as answer:
                        shown = await answer.text()
                        if answer.status == 200:
                            return
                except aiohttp.ClientError as error:
                    shown = type(error).__name__
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{url} is not ready: {shown}")
                await asyncio.sleep(0.2)

    async def restart(self, name: str) -> None:
        """Kill -9 and start again; returns when it works again."""
        self.programs[name].kill()
        self.programs[name].spawn()
        await self.wait_ready(name)

    def assert_alive(self) -> None:
        """Nobody has ended by itself."""
        dead = [name for name, program in self.programs.items() if not program.is_alive]
        assert not dead, f"ended by themselves: {dead}\n{self.tails(dead)}"

    def tails(self, names: Iterable[str]) -> str:
        """The ends of some logs."""
        return "\n".join(f"--- {name}\n{self.programs[name].tail()}" for name in names)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of a part (all its processes) as objects."""
        found = []
        for program in self.programs.values():
            if program.name.rstrip("0123456789") == name:
                for line in program.log_path.read_text(errors="replace").splitlines():
                    if line.startswith("{"):
                        found.append(json.loads(line))
        return found

    async def until(self, holds: Callable[[], Any], wait_s: float, what: str) -> Any:
        """Look every quarter second until `holds()` is truthy; AssertionError naming `what` after `wait_s`."""
        deadline = time.monotonic() + wait_s
        while not (found := await asyncio.to_thread(holds)):
            assert time.monotonic() < deadline, f"not within {wait_s:.0f} s: {what}\n{self.tails(self.programs)}"
            await asyncio.sleep(0.25)
        return found


def _environment(
    fleet: Fleet, models: Path, redis_url: str, settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    port = int(fleet.web_urls[0].rpartition(":")[2])
    values = demo.service_values(fleet.keys, fleet.platform_url, fleet.database_url, port)
    if redis_url:
        values["storage"]["redis_url"] = redis_url
    values["paths"] = {"config": ROOT / "config", "models": models}
    for change in (QUICK, _quiet_elsewhere(), settings):
        for section, entries in change.items():
            values[section] = {**values.get(section, {}), **entries}
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HUITOU_")}
    return ours | dict(demo.as_environment(values)) | {"HUITOU_SETTINGS": str(ROOT / "config" / "settings.toml")}


def _quiet_elsewhere() -> dict[str, dict[str, int]]:
    """Quiet hours that are not now, whenever the tests run."""
    hour_in_shanghai = (time.gmtime().tm_hour + 8) % 24
    return QUIET_AT_NOON if hour_in_shanghai < 9 else QUIET_IN_THE_MORNING
