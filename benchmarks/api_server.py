"""The API alone, for the API benchmark. api_server.py PORT DATABASE-URL|floor"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

import structlog
import uvloop
from aiohttp import web

from bot.api.routes import add_routes
from bot.brands import read_programme
from bot.clock import system_clock
from bot.database import Database

KEY = "key-of-the-benchmark"


async def echo(request: web.Request) -> web.Response:
    """The floor: read the same order, answer as many bytes of JSON."""
    order = json.loads(await request.read())
    told = {"order_id": 1, "member_id": 1, "earned": order["amount_fen"] // 100, "balance": 1, "new": True}
    return web.Response(text=json.dumps(told), status=201, content_type="application/json")


async def serve(port: int, url: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))  # as the product runs
    app = web.Application()
    if url == "floor":
        app.router.add_post("/api/v1/orders", echo)
    else:
        programme = read_programme(Path("config"))
        add_routes(app, Database(url), lambda: programme, {"pos": KEY}, system_clock, requests_per_s=1_000_000)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
