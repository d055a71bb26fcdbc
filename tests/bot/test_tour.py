"""The tour as a newcomer starts it: one command, one process, every step as it should be."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
from aiohttp import web

from bot import demo_tour
from bot.emulator.app import start_emulator
from bot.emulator.clock import VirtualClock
from bot.emulator.seed import default_config

ROOT = Path(__file__).parents[2]
MOST_S = 60
LEAST_STEPS = 14

pytestmark = [pytest.mark.sockets, pytest.mark.faults]


@pytest.mark.timeout(MOST_S + 30)
def test_the_tour_ends_well_within_a_minute() -> None:
    """`huitou demo --tour` exits 0 in under 60 s, and every step of at least 14 was as the story says."""
    status, told = asyncio.run(_run_tour())
    assert status == 0, told
    assert "✗" not in told
    steps = [int(number) for number in re.findall(r"^ ?(\d+)\. ", told, re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1)), told
    assert len(steps) >= LEAST_STEPS


async def _run_tour() -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUITOU_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "demo", "--tour", cwd=ROOT, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        told, _ = await asyncio.wait_for(process.communicate(), MOST_S)
    except TimeoutError:
        process.kill()
        told, _ = await process.communicate()
        return 1, f"not done within {MOST_S} s:\n{told.decode()}"
    assert process.returncode is not None
    return process.returncode, told.decode()


@pytest.mark.timeout(120)
def test_a_service_that_does_nothing_fails_every_step() -> None:
    """The tour can fail: beside a mute service it goes on to the end, names what it missed, and does not give 0."""
    told: list[str] = []
    assert asyncio.run(_play_beside_a_mute_service(told)) == 1
    text = "\n".join(told)
    assert len(re.findall(r"^     ✗ ", text, re.MULTILINE)) >= len(demo_tour.STORY)
    assert f"{len(demo_tour.STORY)} 步, {len(demo_tour.STORY)} 步不对" in text


async def _play_beside_a_mute_service(told: list[str]) -> int:
    async def mute(_request: web.Request) -> web.Response:
        return web.json_response({}, status=404)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", mute)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    emulator = await start_emulator(default_config(), port=0, clock=VirtualClock())
    try:
        return await demo_tour.play(
            emulator.base_url, f"http://127.0.0.1:{runner.addresses[0][1]}", "no-key", told.append, wait_s=0.2
        )
    finally:
        await emulator.stop()
        await runner.cleanup()
