"""The brand's till in the demo: a button posts what it says for the customer in front of it."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot import demo_till
from bot.emulator.app import start_emulator
from bot.emulator.errors import PhoneError
from bot.emulator.remote import Phones
from bot.emulator.seed import default_config

pytestmark = pytest.mark.sockets
QING = "wmAAAA0001"


def test_a_button_posts_for_the_customer_and_tells_a_refusal() -> None:
    """A sale and its refund carry one number, each press a key of its own; a refusal and a misspelt button tell."""
    got: list[tuple[str, str, Any]] = []

    async def service(request: web.Request) -> web.Response:
        got.append((request.path, request.headers["Idempotency-Key"], await request.json()))
        refused = "top-ups" in request.path
        return web.json_response({"detail": "too much"} if refused else {"ok": 1}, status=422 if refused else 201)

    async def play() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", service)
        async with TestServer(app) as server:
            config = default_config()
            config.till = demo_till.till(str(server.make_url("")).rstrip("/"), "key")
            emulator = await start_emulator(config)
            try:
                async with Phones(emulator.base_url) as phones, aiohttp.ClientSession() as http:
                    with pytest.raises(PhoneError, match="bought nothing"):
                        await phones.till(QING, "退最后一单 39 元")
                    await phones.till(QING, "买燕麦奶1升 39 元")
                    await phones.till(QING, "退最后一单 39 元")
                    with pytest.raises(PhoneError, match="too much"):
                        await phones.till(QING, "充值 100 元")
                    with pytest.raises(PhoneError, match="no button"):
                        await phones.till(QING, "送我一千块")
                    async with http.get(emulator.base_url) as page:
                        assert 'data-till="充值 100 元"' in await page.text()
            finally:
                await emulator.stop()

    asyncio.run(play())
    (_, first_key, sale), (refund_path, second_key, refund), _ = got
    assert sale["identities"] == [{"kind": "external_userid", "value": QING}] and sale["amount_fen"] == 3900
    assert refund_path == f"/api/v1/orders/till/{sale['external_id']}/refunds" and refund == {"amount_fen": 3900}
    assert first_key != second_key
