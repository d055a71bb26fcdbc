"""Real processes, killed at random while they fire timers: none is fired twice, none early, none lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_workers_that_are_killed_lose_and_double_nothing(postgres_url: str) -> None:
    """20,000 due among 40,000, two workers, six kills: every timer once, every card once, nothing before its time."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "bench_timers.py"), "--pending", "40000", "--due", "20000", "--kill", "6"],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "each fired once, none early, every card once" in done.stdout
