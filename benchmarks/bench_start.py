"""Start of `huitou serve` to ready, its idle memory, and how long the tour takes; each beside a floor of the same run.

    python benchmarks/bench_start.py [--rounds 3] [--no-tour]

The floor of the start is a Python that imports what the service imports and ends; the floor of memory is the resident
size of that process. Targets: ready in under 3 s, idle under 300 MB, tour in under 60 s. A model must be in force
(huitou train). Everything runs on SQLite in a folder that is thrown away, beside a platform on this machine.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

IMPORTS = "import aiohttp, sqlalchemy.orm, sklearn.svm, cryptography.fernet, uvloop, redis, pydantic, structlog"
READY_S, IDLE_MB, TOUR_S = 3.0, 300.0, 60.0
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a service is installed with its modules compiled


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def floor(folder: str) -> tuple[float, float]:
    """Seconds and resident MB of a process that only imports."""
    code = f"{IMPORTS}\nimport psutil; print(psutil.Process().memory_info().rss / 1e6)"
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    return time.perf_counter() - started, float(done.stdout)


def wait_ready(port: int, process: subprocess.Popen[bytes], limit_s: float = 30.0) -> None:
    """Until /readyz answers 200; raises when the process ends or the time is over."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"huitou serve ended with {process.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise TimeoutError(f"not ready within {limit_s} s")


def service_environment(folder: str, platform_port: int, port: int) -> dict[str, str]:
    """The environment `huitou emulate` has written, on a database of this run's own."""
    environment = os.environ | {
        "HUITOU_STORAGE__URL": f"sqlite:///{folder}/start.db", "HUITOU_WEB__PORT": str(port),
        "HUITOU_LOG__LEVEL": "ERROR",
    }  # fmt: skip
    name, lines = "", Path(folder, "service.env").read_text()
    for line in lines.splitlines():
        if line.startswith("HUITOU_") and "='" in line:
            name, _, value = line.partition("='")
            environment[name] = value
        else:
            environment[name] += "\n" + line
    fixed = {key: value.removesuffix("'") for key, value in environment.items() if key.startswith("HUITOU_")}
    return environment | fixed | {"HUITOU_WEB__PORT": str(port)}


def start_once(folder: str, platform_port: int) -> tuple[float, float]:
    """Seconds until ready, and resident MB five seconds later."""
    port = free_port()
    environment = service_environment(folder, platform_port, port)
    subprocess.run([sys.executable, "-m", "bot", "migrate"], env=environment, check=True, capture_output=True)
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "bot", "serve"], env=environment)
    try:
        wait_ready(port, process)
        took = time.perf_counter() - started
        time.sleep(5)
        return took, psutil.Process(process.pid).memory_info().rss / 1e6
    finally:
        process.terminate()
        process.wait(20)


def main() -> None:
    """Print medians, ratios to the floor and whether the targets hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-tour", action="store_true")
    options = parser.parse_args()
    starts, memories, floors, floor_memories = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        platform_port = free_port()
        platform = subprocess.Popen(
            [sys.executable, "-m", "bot", "emulate", "--port", str(platform_port), "--folder", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            while not Path(folder, "service.env").exists():
                time.sleep(0.1)
            for _ in range(options.rounds):
                floor_s, floor_mb = floor(folder)
                start_s, idle_mb = start_once(folder, platform_port)
                starts.append(start_s), memories.append(idle_mb)
                floors.append(floor_s), floor_memories.append(floor_mb)
        finally:
            platform.terminate()
            platform.wait(20)
    show("start to ready", "s", starts, floors, READY_S)
    show("idle memory", "MB", memories, floor_memories, IDLE_MB)
    if not options.no_tour:
        started = time.perf_counter()
        status = subprocess.run([sys.executable, "-m", "bot", "demo", "--tour"], capture_output=True).returncode
        took = time.perf_counter() - started
        print(f"tour: {took:.1f} s, exit {status}, target under {TOUR_S:.0f} s")


def show(what: str, unit: str, ours: list[float], floors: list[float], target: float) -> None:
    """One line: median, floor, ratio, target."""
    median, floor_median = statistics.median(ours), statistics.median(floors)
    print(
        f"{what}: {median:.2f} {unit}, floor (imports alone) {floor_median:.2f} {unit}, "
        f"ratio {median / floor_median:.2f}, target under {target:.0f} {unit}"
    )


if __name__ == "__main__":
    main()
