"""The floor of the callback benchmark: bare aiohttp on uvloop that answers success at once. floor_callback.py PORT"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web


async def answer(_request: web.Request) -> web.Response:
    return web.Response(text="success")


async def serve(port: int) -> None:
    app = web.Application(client_max_size=64 * 1024)
    app.router.add_post("/wecom/app", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
