"""Builds and starts the emulator: the platform's API, the control API and the page in one application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from bot.emulator.clock import VirtualClock
from bot.emulator.config import EmulatorConfig, KfAccount, OfficialAccount, People, Receiver
from bot.emulator.control import add_control
from bot.emulator.faults import FaultBoard
from bot.emulator.page import add_page
from bot.emulator.server import FAULTS, STATE, add_api
from bot.emulator.state import State

__all__ = [
    "EmulatorConfig",
    "KfAccount",
    "OfficialAccount",
    "People",
    "Receiver",
    "RunningEmulator",
    "VirtualClock",
    "build_emulator",
    "start_emulator",
]

BODY_BYTES = 8 * 1024 * 1024


async def _close_callbacks(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[STATE].callbacks.stop()


def build_emulator(config: EmulatorConfig, clock: VirtualClock) -> web.Application:
    """The emulator as an aiohttp application; its memory is under the key `STATE`."""
    app = web.Application(client_max_size=BODY_BYTES)
    app[STATE] = State(config, clock)
    app[FAULTS] = FaultBoard()
    add_api(app)
    add_control(app)
    add_page(app)
    app.cleanup_ctx.append(_close_callbacks)
    return app


@dataclass
class RunningEmulator:
    """An emulator that listens; `base_url` is WeCom's, `oa_base_url` the 公众号's."""

    clock: VirtualClock
    state: State
    faults: FaultBoard
    base_url: str
    runner: web.AppRunner

    @property
    def oa_base_url(self) -> str:
        """The base URL of the 公众号's API."""
        return f"{self.base_url}/oa"

    async def stop(self) -> None:
        """Stop listening and drop callbacks on their way."""
        await self.runner.cleanup()


async def start_emulator(
    config: EmulatorConfig, host: str = "127.0.0.1", port: int = 0, clock: VirtualClock | None = None
) -> RunningEmulator:
    """Listen on host and port (0 picks a free one); OSError when the port is taken."""
    clock = clock or VirtualClock()
    app = build_emulator(config, clock)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    bound = runner.addresses[0][1]
    return RunningEmulator(clock, app[STATE], app[FAULTS], f"http://{host}:{bound}", runner)
