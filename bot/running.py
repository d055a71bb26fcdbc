"""Running processes: the event loop, the signals, and a service that stops in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import uvloop

from bot.app import Service


def run_async(main: Callable[[], Awaitable[int]]) -> int:
    """Run to the end on uvloop; gives the exit status."""

    async def body() -> int:
        return await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(body())


async def serve_until_stopped(
    service: Service,
    on_started: Callable[[], Awaitable[None]] | None = None,
    on_ready: Callable[[], None] = lambda: None,
) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the configuration anew."""
    stop = _stop_event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, service.reload))
    await service.start()
    try:
        if on_started is not None:
            await on_started()
        on_ready()
        await stop.wait()
    finally:
        await service.stop()
    return 0


async def wait_until_stopped() -> int:
    """Wait for SIGTERM or SIGINT."""
    await _stop_event().wait()
    return 0


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
