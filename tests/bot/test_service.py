"""The service as one process beside the emulated platform: the shortest way from a message to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot import demo
from bot.app import Service
from bot.clock import clock_of
from bot.emulator.app import start_emulator
from bot.emulator.clock import VirtualClock
from bot.emulator.remote import Phones
from bot.migrations import SchemaError
from bot.settings import Settings, load_settings
from tests.conftest import CONFIG

pytestmark = pytest.mark.sockets
KF, AQING = "wkAAA0001", "wmAAAA0001"
Story = Callable[[Phones, str, demo.Keys, Service], Awaitable[None]]


def _settings(folder: Path, models: Path, keys: demo.Keys, platform_url: str, port: int) -> Settings:
    values = demo.service_values(keys, platform_url, f"sqlite:///{folder}/huitou.db", port)
    return load_settings(**values, paths={"config": CONFIG, "models": models})


def _play(folder: Path, models: Path, story: Story) -> None:
    """Run a story with service and platform in this process, at eleven in the morning in Shanghai."""

    async def run() -> None:
        keys, clock = demo.new_keys(), VirtualClock()
        clock.push((3 * 3600 - clock.now()) % 86400)
        port = demo.free_port()
        emulator = await start_emulator(demo.platform_config(keys, f"http://127.0.0.1:{port}"), clock=clock)
        settings = _settings(folder, models, keys, emulator.base_url, port)
        demo.prepare(settings)
        service = Service(settings, clock=clock_of(clock.now))
        try:
            await service.start()
            async with Phones(emulator.base_url) as phones:
                await story(phones, f"http://127.0.0.1:{port}", keys, service)
        finally:
            await service.stop()
            await emulator.stop()

    asyncio.run(run())


async def _get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


def test_from_the_first_word_to_the_card_and_the_answer(tmp_path: Path, models: Path) -> None:
    """快吃完了 in the group becomes a card on the rep's phone, 我有多少积分 in kf is answered with the points."""

    async def story(phones: Phones, base_url: str, keys: demo.Keys, service: Service) -> None:
        await demo.post_orders(base_url, keys.api_key, service.clock())
        await phones.say(AQING, "group", "挂耳快吃完了")
        await phones.say(AQING, "kf", "我有多少积分")

        def card(view: Any) -> Any:
            staff = next(person for person in view["staff"] if person["userid"] == "liuyang")
            return [item for item in staff["app"] if "card" in item]

        def answer(view: Any) -> Any:
            lines = view["chats"].get(f"kf:{KF}:{AQING}", ())
            return [line["text"] for line in lines if line["from"] == KF]

        cards, answers = await phones.until(card), await phones.until(answer)
        assert [item["text"] for item in cards[0]["card"]["buttons"]] == ["已发送", "不合适", "稍后提醒"]
        assert "挂耳咖啡30包" in cards[0]["card"]["quote"]
        assert "1017" in answers[0]

    _play(tmp_path, models, story)


def test_health_is_told_over_http(tmp_path: Path, models: Path) -> None:
    """/healthz lives, /readyz names database, model and token, /metrics counts the message that came."""

    async def story(phones: Phones, base_url: str, _keys: demo.Keys, _service: Service) -> None:
        assert await _get(f"{base_url}/healthz") == (200, '{"status": "ok"}')
        status, ready = await _get(f"{base_url}/readyz")
        assert (status, ready) == (
            200,
            '{"ready": true, "checks": {"database": "ok", "model": "ok", "token": "ok"}}',
        )
        await phones.say(AQING, "oa", "谢谢")
        await phones.settle()
        status, metrics = await _get(f"{base_url}/metrics")
        assert status == 200
        counted = [line for line in metrics.splitlines() if '"oa"' in line and '"accepted"' in line]
        assert [line.rpartition(" ")[2] for line in counted] == ["1.0"]

    _play(tmp_path, models, story)


def test_an_old_schema_is_refused_with_the_mend(tmp_path: Path, models: Path) -> None:
    """A start on a database that was never migrated says what to run, and leaves no door open."""
    settings = _settings(tmp_path, models, demo.new_keys(), "http://127.0.0.1:9", demo.free_port())
    service = Service(settings)
    with pytest.raises(SchemaError, match="run huitou migrate"):
        asyncio.run(service.start())
    service.database.dispose()
