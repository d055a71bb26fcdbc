"""What every fault test starts from: a database of either kind for real processes, and private servers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.servers import OwnPostgres, OwnRedis
from tests.conftest import POSTGRES_URL


@pytest.fixture
def fleet_postgres(postgres_url: str) -> Iterator[str]:
    """An empty PostgreSQL database of this test's own on the shared server."""
    name = f"huitou_fleet_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(POSTGRES_URL, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        yield POSTGRES_URL.rsplit("/", 1)[0] + "/" + name
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgresql"])
def fleet_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/huitou.db"
    url: str = request.getfixturevalue("fleet_postgres")
    return url


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    """A private PostgreSQL cluster that runs, to be stopped at will."""
    server = OwnPostgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """A private Redis that runs, to be stopped at will."""
    server = OwnRedis(tmp_path)
    server.start()
    yield server
    server.stop()
