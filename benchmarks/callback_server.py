"""The callback side alone, for the callback benchmark. callback_server.py PORT DATABASE-URL"""

from __future__ import annotations

import asyncio
import logging
import sys

import structlog
import uvloop
from aiohttp import web
from callback_load import AES_KEY, CORP_ID, TOKEN
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from bot.callbacks import add_callback_routes
from bot.clock import system_clock
from bot.database import Database
from bot.intake import Intake
from bot.metrics import CallbackMetrics
from bot.settings import Receiver, Web
from bot.short_way import ShortWaySite
from bot.wechat.callback import WeChatCallbacks
from bot.wecom.callback import WeComCallbacks


async def serve(port: int, url: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))  # as the product runs
    registry = CollectorRegistry()
    metrics = CallbackMetrics(registry)
    intake = Intake(Database(url), system_clock, observe_batch=metrics.observe_batch)
    await intake.start()
    receivers = {"app": Receiver(token=SecretStr(TOKEN), aes_key=SecretStr(AES_KEY))}
    app = web.Application()

    async def counted(_request: web.Request) -> web.Response:
        labels = {"receiver": "app", "outcome": "accepted"}
        batches = registry.get_sample_value("intake_batch_size_count")
        return web.json_response({"accepted": registry.get_sample_value("callbacks_total", labels), "batches": batches})

    app.router.add_get("/counted", counted)
    wecom = WeComCallbacks(receivers, CORP_ID, intake, system_clock, Web(), metrics)
    wechat = WeChatCallbacks({}, "", intake, system_clock, Web(), metrics)
    add_callback_routes(app, wecom, wechat)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    platforms = {"/wecom/": wecom, "/wechat/": wechat}
    await ShortWaySite(runner, platforms, "127.0.0.1", port, Web().body_max_bytes).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
