"""Health: /healthz says that the process lives, /readyz that it can work, /metrics what it has done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

Check = Callable[[], Awaitable[str]]
"""Looks at one thing the service needs; gives what is wrong, or nothing."""
CHECK_S = 2.0


def add_health_routes(app: web.Application, registry: CollectorRegistry, checks: Mapping[str, Check]) -> None:
    """Hang the three addresses into the application; they show no personal data and need no login."""

    async def alive(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        names = list(checks)
        found = await asyncio.gather(*(_look(checks[name]) for name in names))
        wrong = {name: problem for name, problem in zip(names, found, strict=True) if problem}
        body = {"ready": not wrong, "checks": {name: wrong.get(name, "ok") for name in names}}
        return web.json_response(body, status=503 if wrong else 200)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4"})

    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", metrics)


async def _look(check: Check) -> str:
    try:
        return await asyncio.wait_for(check(), CHECK_S)
    except TimeoutError:
        return f"no answer within {CHECK_S:.0f} s"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
