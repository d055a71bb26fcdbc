"""Fixtures every suite shares: a fresh database of either kind with all tables in it."""

from __future__ import annotations

import gc
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from filelock import FileLock

from bot.brands import load_brand
from bot.database import Database
from bot.settings import load_settings
from bot.tables import METADATA
from bot.trainings import has_learnt, train_model
from handlers.brand import Brand
from intents import shelf

CONFIG = Path(__file__).resolve().parents[1] / "config"
MODELS = CONFIG.parent / "var" / "models"
POSTGRES_URL = os.environ.get("HUITOU_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
START_POSTGRES = "start it with: pg_ctlcluster --skip-systemctl-redirect $(ls /etc/postgresql) main start"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What SQLite has answered is asked of PostgreSQL once a test, or once a file that is `either_engine`.

    The other parameters and tests are left to make thorough.
    """
    asked: set[object] = set()
    for item in items:
        parameters = getattr(item, "callspec", None)
        if parameters is None or parameters.params.get("database") != "postgresql" or "sqlite" not in _engines(item):
            continue
        one = item.path if item.get_closest_marker("either_engine") else (item.path, item.parent, _name(item))
        if one in asked:
            item.add_marker("thorough")
        asked.add(one)


def pytest_collection_finish() -> None:
    """What is loaded by now stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _name(item: pytest.Item) -> str:
    return getattr(item, "originalname", item.name)


def _engines(item: pytest.Item) -> list[str]:
    own = [mark.args[1] for mark in item.iter_markers("parametrize") if mark.args[0] == "database"]
    return own[0] if own else ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL database of this run's own; skipped where no server answers, an error in CI."""
    name = f"huitou_{uuid.uuid4().hex[:12]}"
    try:
        admin = psycopg.connect(POSTGRES_URL, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError as error:
        message = f"no PostgreSQL at {POSTGRES_URL} ({error}); {START_POSTGRES}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    admin.execute(f'CREATE DATABASE "{name}"')
    # What a power cut does is tested with real servers (make faults); here nobody needs to wait for the disk.
    admin.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    yield POSTGRES_URL.rsplit("/", 1)[0] + "/" + name
    admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    admin.close()


@pytest.fixture(scope="session")
def _postgres_with_tables(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url)
    METADATA.create_all(database.engine)
    yield database
    database.dispose()


@pytest.fixture(scope="session")
def _sqlite_with_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to copy: that is twenty times as fast as making every table for every test."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{path}", sqlite_synchronous="OFF")
    METADATA.create_all(database.engine)
    database.dispose()
    return path


@pytest.fixture(scope="session")
def _sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One engine for all tests, as each learns every statement anew; the file below it is another for each test."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/huitou.db", sqlite_synchronous="OFF")
    yield database
    database.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database with every table; each test runs over both kinds."""
    if request.param == "postgresql":
        database: Database = request.getfixturevalue("_postgres_with_tables")
        yield database
        # Twenty times as fast as TRUNCATE, which makes new files for every table.
        emptied = "; ".join(f'DELETE FROM "{table.name}"' for table in METADATA.sorted_tables)
        with database.engine.begin() as connection:
            connection.exec_driver_sql(
                f"SET LOCAL session_replication_role = replica; {emptied}; "
                "SELECT setval(oid, 1, false) FROM pg_class WHERE relkind = 'S'"
            )
        return
    database = request.getfixturevalue("_sqlite")
    path = Path(database.engine.url.database or "")
    shutil.copy(request.getfixturevalue("_sqlite_with_tables"), path)
    yield database
    database.dispose()
    for left in path.parent.glob("huitou.db*"):
        left.unlink()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shelf with a model of config/: the checkout's own where it learnt from the same, else one made for this run."""
    if has_learnt(load_settings(paths={"config": CONFIG, "models": MODELS})):
        return MODELS
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "models"
    with FileLock(str(root) + ".lock"):
        if shelf.current(root) is None:
            settings = load_settings(paths={"config": CONFIG, "models": root})
            shelf.promote(root, train_model(settings, lambda _done, _all: None))
    return root


@pytest.fixture(scope="session")
def brand(models: Path) -> Brand:
    """The sample brand of config/ with its own model, 刘阳 as default rep and 王莉 as supervisor."""
    staff = {"default_rep": "liuyang", "supervisor": "wangli"}
    return load_brand(load_settings(paths={"config": CONFIG, "models": models}, wecom=staff))
