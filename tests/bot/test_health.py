"""Health: alive, ready or not with the reason, and figures, over a real socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry, Counter

from bot import demo
from bot.app import Service
from bot.database import Database
from bot.health import add_health_routes
from bot.migrations import migrate
from bot.settings import load_settings

pytestmark = pytest.mark.sockets
CONFIG = Path(__file__).resolve().parents[2] / "config"


async def fine() -> str:
    """A check with nothing to say."""
    return ""


async def missing() -> str:
    """A check that knows what is missing."""
    return "no model: cues and keywords only; run huitou train"


async def broken() -> str:
    """A check that fails."""
    raise ConnectionRefusedError("connection to 127.0.0.1:5432 refused")


async def stuck() -> str:
    """A check that never answers."""
    await asyncio.sleep(60)
    return ""


def ask(path: str, **checks: Any) -> tuple[int, Any]:
    """Status and body of one address of a service with these checks."""

    async def go() -> tuple[int, Any]:
        app, registry = web.Application(), CollectorRegistry()
        Counter("seen", "Seen", registry=registry).inc(3)
        add_health_routes(app, registry, checks)
        async with TestServer(app) as server, ClientSession() as session, session.get(server.make_url(path)) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.text()

    return asyncio.run(go())


def test_ready_names_what_it_looked_at() -> None:
    """All well: 200 and an ok for each."""
    assert ask("/readyz", database=fine, token=fine) == (
        200,
        {"ready": True, "checks": {"database": "ok", "token": "ok"}},
    )


def test_not_ready_says_why() -> None:
    """One missing, one broken, one silent: 503 with each reason, in the time of the slowest, not their sum."""
    status, body = ask("/readyz", database=broken, model=missing, token=stuck, cache=fine)
    assert status == 503 and body == {
        "ready": False,
        "checks": {
            "database": "ConnectionRefusedError: connection to 127.0.0.1:5432 refused",
            "model": "no model: cues and keywords only; run huitou train",
            "token": "no answer within 2 s",
            "cache": "ok",
        },
    }


def test_alive_does_not_look_at_anything() -> None:
    """A process that waits for its database lives, and is not restarted for it."""
    assert ask("/healthz", database=stuck) == (200, {"status": "ok"})


def test_metrics_are_text_for_prometheus() -> None:
    """The registry's figures in the text format."""
    status, body = ask("/metrics")
    assert status == 200 and "seen_total 3.0" in body


def test_the_service_says_what_it_lacks(tmp_path: Path) -> None:
    """No model, no platform, then no database either: /readyz names each, /healthz stays 200."""
    file = tmp_path / "huitou.db"
    port = demo.free_port()
    settings = load_settings(
        web={"host": "127.0.0.1", "port": port}, storage={"url": f"sqlite:///{file}"},
        wecom={"base_url": "http://127.0.0.1:9", "corp_id": "ww1", "secret": "s"},
        paths={"config": CONFIG, "models": tmp_path / "models"},
    )  # fmt: skip
    database = Database(f"sqlite:///{file}")
    migrate(database)
    database.dispose()

    async def go() -> list[tuple[int, Any]]:
        service = Service(settings, ["web"])
        await service.start()
        answers = []
        try:
            async with ClientSession(f"http://127.0.0.1:{port}") as session:
                async with session.get("/readyz") as answer:
                    answers.append((answer.status, await answer.json()))
                service.database.dispose()
                for left in tmp_path.glob("huitou.db*"):
                    left.unlink()
                file.mkdir()
                for path in ("/readyz", "/healthz"):
                    async with session.get(path) as answer:
                        answers.append((answer.status, await answer.json()))
        finally:
            await service.stop()
        return answers

    (status, first), (_, second), alive = asyncio.run(go())
    assert status == 503 and first["checks"]["database"] == "ok"
    assert "huitou train" in first["checks"]["model"]
    assert first["checks"]["token"] != "ok"
    assert "OperationalError" in second["checks"]["database"]
    assert alive == (200, {"status": "ok"})
