"""Keys: what one opens and what it does not, how often, and how it is made and revoked on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import select
from typer.testing import CliRunner

from bot.api import keys as keys_module
from bot.api.routes import add_routes
from bot.cache import LocalCache
from bot.database import Database
from bot.keys_cli import keys_app
from bot.migrations import migrate
from loyalty.api_keys import ApiKey, create_key, revoke_key
from loyalty.programme import Programme
from loyalty.storage import Base

pytestmark = pytest.mark.sockets

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
PROGRAMME = Programme.model_validate({"name": "青禾", "earning": {"points_per_yuan": 1}})
ROOT = Path(__file__).resolve().parents[3]

Client = TestClient[web.Request, web.Application]


class Noon:
    """A clock that a test may push."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def play(database: Database, scene: Callable[[Client], Awaitable[None]], requests_per_s: int = 100,
         clock: Noon | None = None) -> None:
    """Run a scene against a server with no keys but those in the database."""

    async def with_server() -> None:
        app, now = web.Application(), clock or Noon()
        add_routes(app, database, lambda: PROGRAMME, {}, now, LocalCache(now), requests_per_s)
        async with TestClient(TestServer(app)) as client:
            await scene(client)

    asyncio.run(with_server())


def a_key(database: Database, *scopes: str, per_s: int | None = None) -> tuple[int, dict[str, str]]:
    """A key of the till: its number, and the header it goes into."""
    with database.transaction() as session:
        key_id, key = create_key(session, "till", scopes, NOON, per_s)
    return key_id, {"Authorization": f"Bearer {key}"}


def test_a_key_opens_what_its_scopes_say(database: Database) -> None:
    """A till that may write orders cannot read members; the refusal names the scope that is missing."""
    _, till = a_key(database, "orders:write", "rewards:read")

    async def scene(client: Client) -> None:
        assert (await client.get("/api/v1/rewards", headers=till)).status == 200
        assert (await client.get("/api/v1/openapi.json", headers=till)).status == 200
        refused = await client.get("/api/v1/members/phone/x", headers=till)
        assert refused.status == 403 and "members:read" in await refused.text()
        both = till | {"Idempotency-Key": "k"}
        refused = await client.post("/api/v1/points/earn", json={}, headers=both)
        assert refused.status == 403 and "points:write" in await refused.text()

    play(database, scene)


def test_the_key_itself_is_not_kept(database: Database) -> None:
    """A copy of the database opens nothing: only the hash stands in it, and two keys are never the same."""
    _, till = a_key(database, "*")
    _, other = a_key(database, "*")
    assert till != other
    with database.reading() as session:
        row = session.scalars(select(ApiKey)).first()
    assert row is not None
    assert till["Authorization"].removeprefix("Bearer ") not in str(vars(row))


def test_a_revoked_key_opens_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """401 as soon as the keys are read again; the other key of the same system goes on."""
    monkeypatch.setattr(keys_module, "KEYS_AGE_S", 0.0)
    old_id, old = a_key(database, "*")
    _, new = a_key(database, "*")

    async def scene(client: Client) -> None:
        assert (await client.get("/api/v1/rewards", headers=old)).status == 200
        with database.transaction() as session:
            assert revoke_key(session, old_id, NOON) and not revoke_key(session, old_id, NOON)
        assert (await client.get("/api/v1/rewards", headers=old)).status == 401
        assert (await client.get("/api/v1/rewards", headers=new)).status == 200

    play(database, scene)


def test_a_key_that_is_made_while_the_service_runs_works(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown key makes the process look again."""
    monkeypatch.setattr(keys_module, "LOOK_AGAIN_S", 0.0)

    async def scene(client: Client) -> None:
        assert (await client.get("/api/v1/rewards", headers={"Authorization": "Bearer nobody"})).status == 401
        _, fresh = a_key(database, "rewards:read")
        assert (await client.get("/api/v1/rewards", headers=fresh)).status == 200

    play(database, scene)


def test_too_many_requests_are_told_when_to_come_back(database: Database) -> None:
    """429 with Retry-After for this key alone; after the wait it goes on."""
    _, busy = a_key(database, "*", per_s=1)
    _, calm = a_key(database, "*")
    clock = Noon()

    async def scene(client: Client) -> None:
        answers = [await client.get("/api/v1/rewards", headers=busy) for _ in range(11)]
        assert [answer.status for answer in answers] == [200] * 10 + [429]
        assert "10 requests in 10 s" in await answers[-1].text()
        assert (await client.get("/api/v1/rewards", headers=calm)).status == 200
        clock.now += timedelta(seconds=int(answers[-1].headers["Retry-After"]))
        assert (await client.get("/api/v1/rewards", headers=busy)).status == 200

    play(database, scene, clock=clock)


def test_an_address_that_leads_nowhere_is_told(database: Database) -> None:
    """404, and 405 with the methods there are; without a key not even that."""
    _, till = a_key(database, "*")

    async def scene(client: Client) -> None:
        assert (await client.get("/api/v1/nowhere", headers=till)).status == 404
        wrong = await client.put("/api/v1/orders", headers=till)
        assert (wrong.status, wrong.headers["Allow"], wrong.content_type) == (405, "POST", "application/problem+json")
        assert (await client.get("/api/v1/nowhere")).status == 401

    play(database, scene)


def test_keys_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made and shown once, listed without the key, revoked once; a wrong scope is told with those there are."""
    url = f"sqlite:///{tmp_path}/huitou.db"
    for name, value in {"SETTINGS": ROOT / "config/settings.toml", "PATHS__CONFIG": ROOT / "config",
                        "STORAGE__URL": url}.items():
        monkeypatch.setenv(f"HUITOU_{name}", str(value))
    database = Database(url)
    migrate(database)
    Base.metadata.create_all(database.engine)
    configured = structlog.get_config()

    def run(*words: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(keys_app, list(words), catch_exceptions=False)
        return result.exit_code, result.stdout, result.stderr

    status, key, told = run("create", "till", "--scope", "orders:write", "--per-s", "5")
    assert status == 0 and key.startswith("huitou_") and "key 1 for till" in told
    status, listed, _ = run("list")
    assert "1 till orders:write 5/s since" in listed and key.strip() not in listed
    assert run("revoke", "1")[:2] == (0, "key 1 is revoked\n")
    assert run("revoke", "1")[0] == 1 and "revoked" in run("list")[1]
    status, _, told = run("create", "till", "--scope", "orders")
    assert status == 2 and "orders:write" in told
    assert run("create", "till")[0] == 2
    structlog.configure(**configured)
    database.dispose()
