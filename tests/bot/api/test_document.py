"""The OpenAPI document: fits the routes, and what it says holds for requests that a machine makes up from it."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from bot.api import openapi
from bot.api.routes import ENDPOINTS, add_routes
from bot.api.scopes import SCOPES
from bot.api.webhooks import Kind
from bot.database import Database
from loyalty.customers import resolve
from loyalty.ledger import earn
from loyalty.programme import Programme
from loyalty.webhook_events import KINDS
from tests.thorough import of

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
SOMEBODY = {"kind": "taobao", "value": "qinghe-fan"}
EXAMPLES = int(os.environ.get("HUITOU_TEST_REQUESTS", str(of(300, 100))))
KEY = "key-of-the-machine"
PROGRAMME = Programme.model_validate({
    "name": "青禾", "earning": {"points_per_yuan": 1},
    "rewards": [{"id": "mug", "name": "陶瓷马克杯", "cost_points": 1, "stock": 5}],
})
DOCUMENT: dict[str, Any] = openapi.document(ENDPOINTS)


def test_the_document_fits_the_routes() -> None:
    """Every route under /api/v1 stands in it, and it promises none that is not served."""
    app = web.Application()
    add_routes(app, Database("sqlite://"), lambda: PROGRAMME, {}, lambda: NOON)
    served = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    told = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert served - told == {("GET", openapi.ADDRESS), ("*", "/api/v1/{rest}")}
    assert not told - served


def test_every_endpoint_has_a_scope_that_exists_and_a_name_of_its_own() -> None:
    """No route is open to any key, and reading never needs a scope for writing."""
    names = [one.name for one in ENDPOINTS]
    assert len(set(names)) == len(names)
    for one in ENDPOINTS:
        assert one.scope in SCOPES, one.path
        assert one.scope.endswith(":write" if one.writes else ":read"), one.path


def test_the_schemas_are_json_schema() -> None:
    """Each schema compiles as draft 2020-12, which OpenAPI 3.1 uses, and its references lead somewhere."""
    for name in DOCUMENT["components"]["schemas"]:
        assert "__" not in name, f"two models share a name: {name}"
        reference = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
        jsonschema_rs.Draft202012Validator(reference)


@pytest.fixture(scope="module")
def served(_sqlite_with_tables: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API on a port of this machine, in a thread of its own."""
    path = tmp_path_factory.mktemp("served") / "huitou.db"
    path.write_bytes(_sqlite_with_tables.read_bytes())
    database = Database(f"sqlite:///{path}", sqlite_synchronous="OFF")
    with database.transaction() as session:
        member_id = resolve(session, [(SOMEBODY["kind"], SOMEBODY["value"])], NOON)[SOMEBODY["kind"], SOMEBODY["value"]]
        earn(session, member_id, 10**6, key="welcome", reason="welcome", at=NOON)
    loop = asyncio.new_event_loop()

    async def start() -> tuple[web.AppRunner, int]:
        app = web.Application()
        add_routes(app, database, lambda: PROGRAMME, {"machine": KEY}, lambda: NOON, requests_per_s=100_000)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, runner.addresses[0][1]

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner, port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield f"http://127.0.0.1:{port}"
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
    database.dispose()


def cases() -> st.SearchStrategy[Case]:
    """Made-up requests to every address, after the document and against it."""
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    return st.one_of([
        result.ok().as_strategy(generation_mode=mode)
        for result in schema.get_all_operations() for mode in GenerationMode
    ])


@pytest.mark.sockets
def test_what_the_document_says_holds(served: str) -> None:
    """Made-up requests, good and bad: no 500, only promised statuses, types and bodies; bad ones are refused.

    A good one may be refused for what the document cannot know, so it is made about somebody who exists.
    """
    statuses: Counter[int] = Counter()
    numbers = count()

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(case=cases())
    def send(case: Case) -> None:
        if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
            _about_somebody(case, next(numbers))
        answer = case.call_and_validate(base_url=served, headers={"Authorization": f"Bearer {KEY}"},
                                        excluded_checks=[positive_data_acceptance])
        statuses[answer.status_code] += 1

    send()
    assert statuses[200] + statuses[201] > EXAMPLES / 6, statuses
    assert statuses[422] > EXAMPLES / 10, statuses


def _about_somebody(case: Case, number: int) -> None:
    if case.method != "GET":
        case.headers["Idempotency-Key"] = f"machine-{number}"
    if "kind" in case.path_parameters:
        case.path_parameters.update(SOMEBODY)
    if isinstance(case.body, dict) and "member" in case.body:
        case.body["member"] = SOMEBODY


def test_the_reference_lists_every_address() -> None:
    """The page for people has every address with its scope, every webhook event, and none that does not exist."""
    page = (Path(__file__).resolve().parents[3] / "docs/reference/api.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `([A-Z]+ /api/v1/\S+)` \| `(\S+)` \|", page, re.MULTILINE))
    assert told == {(f"{one.method} {one.path}", one.scope) for one in ENDPOINTS}
    assert set(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", page, re.MULTILINE)) == set(KINDS) == set(get_args(Kind))
