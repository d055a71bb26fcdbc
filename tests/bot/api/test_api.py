"""The API as a till and a shop use it, over a socket of this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import func, select

from bot.api.requests import MAX_BODY_BYTES
from bot.api.routes import add_routes
from bot.database import Database
from loyalty.customers import find
from loyalty.ledger import spend
from loyalty.programme import Programme
from loyalty.redemptions import redeem
from loyalty.tables import Order, Transfer

pytestmark = pytest.mark.sockets

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
KEYS = {"pos": "pos-key-of-the-tests", "mall": "mall-key-of-the-tests"}
PROGRAMME = Programme.model_validate({
    "name": "青禾",
    "earning": {"points_per_yuan": 1},
    "expiry": {"rule": "after_days", "days": 30},
    "rewards": [{"id": "mug", "name": "陶瓷马克杯", "cost_points": 100, "stock": 5}],
})
MEMBER = "/api/v1/members/phone/hash-of-138"

Client = TestClient[web.Request, web.Application]
Scene = Callable[[Client], Awaitable[None]]


def headers(key: str | None = "k-1", client: str = "pos") -> dict[str, str]:
    """Headers of a request by one of the brand's systems."""
    own = {"Idempotency-Key": key} if key is not None else {}
    return {"Authorization": f"Bearer {KEYS[client]}", **own}


def an_order(**changes: Any) -> dict[str, Any]:
    """An order as a till sends it."""
    return {
        "source": "pos", "external_id": "T1001", "identities": [{"kind": "phone", "value": "hash-of-138"}],
        "paid_at": "2026-03-10T11:58:00+08:00", "amount_fen": 19_800,
        "items": [{"sku": "QH-DRIP-30", "name": "挂耳咖啡30包", "quantity": 2, "amount_fen": 19_800}],
    } | changes


def play(database: Database, scene: Scene) -> None:
    """Run a scene against a server of its own."""

    async def with_server() -> None:
        app = web.Application()
        add_routes(app, database, lambda: PROGRAMME, KEYS, lambda: NOON)
        async with TestClient(TestServer(app)) as client:
            await scene(client)

    asyncio.run(with_server())


async def send(client: Client, key: str = "k-1", **changes: Any) -> ClientResponse:
    """Post an order."""
    return await client.post("/api/v1/orders", json=an_order(**changes), headers=headers(key))


async def problem(answer: ClientResponse, status: int) -> dict[str, Any]:
    """The problem document of a refused request."""
    assert (answer.status, answer.content_type) == (status, "application/problem+json"), await answer.text()
    body: dict[str, Any] = await answer.json(content_type=None)
    assert body["status"] == status and body["title"] and body["detail"]
    assert all(item["field"] and item["mend"] for item in body["errors"])
    return body


def count(database: Database, entity: Any) -> int:
    """Rows of a table."""
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(entity)) or 0


def test_an_order_earns_and_shows_the_new_balance(database: Database) -> None:
    """¥198 posted: 198 points in the very answer, and on the next look at the member."""

    async def scene(client: Client) -> None:
        answer = await send(client)
        body = await answer.json()
        assert answer.status == 201
        assert (body["earned"], body["balance"], body["new"]) == (198, 198, True)
        seen = await (await client.get(MEMBER, headers=headers(None))).json()
        assert seen == {
            "member_id": body["member_id"], "name": "", "tier": None, "joined_at": None, "opted_out_at": None,
            "points": {"available": 198, "held": 0, "lapsing": [{"on": "2026-04-09", "amount": 198}]},
        }

    play(database, scene)


def test_a_retried_order_is_answered_from_the_first(database: Database) -> None:
    """The same key and body give the first answer word for word, though points were spent meanwhile."""

    async def scene(client: Client) -> None:
        first = await send(client)
        body = await first.text()
        with database.transaction() as session:
            member = find(session, "phone", "hash-of-138")
            assert member is not None
            spend(session, member, 50, key="s", reason="redeem", at=NOON)
        again = await send(client)
        assert (again.status, await again.text()) == (201, body)
        assert again.headers["Idempotent-Replayed"] == "true" and "Idempotent-Replayed" not in first.headers
        assert count(database, Order) == 1

    play(database, scene)


def test_a_known_order_under_a_new_key_changes_nothing(database: Database) -> None:
    """A till that lost its key sends again under another one: told that it was known."""

    async def scene(client: Client) -> None:
        await send(client, "k-1")
        again = await send(client, "k-2")
        body = await again.json()
        assert (again.status, body["new"], body["earned"], body["balance"]) == (200, False, 198, 198)
        assert count(database, Transfer) == 1

    play(database, scene)


def test_a_key_with_another_body_is_a_conflict_that_names_both(database: Database) -> None:
    """409 with both hashes for a reused key, and for a known order number with another amount."""

    async def scene(client: Client) -> None:
        await send(client)
        reused = await problem(await send(client, "k-1", amount_fen=5), 409)
        assert reused["errors"][0]["field"] == "Idempotency-Key"
        assert reused["detail"].count("body") >= 2
        other = await problem(await send(client, "k-2", amount_fen=5), 409)
        assert other["errors"][0]["field"] == "external_id" and "pos/T1001" in other["detail"]
        assert count(database, Transfer) == 1

    play(database, scene)


def test_two_clients_may_use_the_same_key(database: Database) -> None:
    """Keys belong to the system that sends them."""

    async def scene(client: Client) -> None:
        await send(client)
        other = await client.post("/api/v1/orders", json=an_order(source="mall"), headers=headers("k-1", "mall"))
        assert other.status == 201 and (await other.json())["balance"] == 396

    play(database, scene)


def test_a_refused_request_does_not_use_up_its_key(database: Database) -> None:
    """After the mend the same key goes through."""

    async def scene(client: Client) -> None:
        await problem(await send(client, amount_fen=-1), 422)
        assert (await send(client)).status == 201

    play(database, scene)


WRONG_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"amount_fen": "198"}, "amount_fen"),
    ({"amount_fen": True}, "amount_fen"),
    ({"amount_fen": 10**30}, "amount_fen"),
    ({"paid_at": "2026-03-10T11:58:00"}, "paid_at"),
    ({"paid_at": "0001-01-01T00:00:00+08:00"}, "paid_at"),
    ({"identities": []}, "identities"),
    ({"identities": [{"kind": "phone"}]}, "identities[0].value"),
    ({"identities": [{"kind": "手机", "value": "1"}]}, "identities[0].kind"),
    ({"items": [{"sku": "", "name": "挂耳"}]}, "items[0].sku"),
    ({"external_id": "T\u0000"}, "external_id"),
    ({"coupon": "X"}, "coupon"),
]


def test_a_wrong_field_is_named(database: Database) -> None:
    """422 that names the field; nothing is stored."""

    async def scene(client: Client) -> None:
        for changes, field in WRONG_FIELDS:
            body = await problem(await send(client, **changes), 422)
            assert [item["field"] for item in body["errors"]] == [field], changes
        assert count(database, Order) == 0

    play(database, scene)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_all_wrong_fields_are_named_at_once(database: Database) -> None:
    """A person who mends a till wants the whole list."""

    async def scene(client: Client) -> None:
        answer = await client.post("/api/v1/orders", json={"source": "pos"}, headers=headers())
        fields = {item["field"] for item in (await problem(answer, 422))["errors"]}
        assert fields == {"external_id", "identities", "paid_at", "amount_fen"}

    play(database, scene)


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic pos-key-of-the-tests", "Bearer ü"])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_a_key_of_ours_nothing_is_told(database: Database, authorization: str) -> None:
    """401 on every route, with the scheme to use, and no word on whether the member exists."""

    async def scene(client: Client) -> None:
        for method, path in (("POST", "/api/v1/orders"), ("GET", MEMBER), ("GET", f"{MEMBER}/statement"),
                             ("POST", "/api/v1/redemptions/ABC/verify")):
            answer = await client.request(method, path, headers={"Authorization": authorization})
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert (await problem(answer, 401))["errors"][0]["field"] == "Authorization"

    play(database, scene)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_write_without_a_good_key_of_its_own_is_refused(database: Database) -> None:
    """400 that names the header: missing, empty, too long, or with blanks inside."""

    async def scene(client: Client) -> None:
        for key in (None, "", "x" * 201, "a b"):
            answer = await client.post("/api/v1/orders", json=an_order(), headers=headers(key))
            assert (await problem(answer, 400))["errors"][0]["field"] == "Idempotency-Key"

    play(database, scene)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_body_that_is_no_json_or_too_large_is_refused(database: Database) -> None:
    """400, 415 and 413; a huge body is not read to its end."""

    async def scene(client: Client) -> None:
        as_json = headers() | {"Content-Type": "application/json"}
        for text in (b"", b"{", b"[1]", b"\xff\xfe", b'{"source": "\xff"}'):
            answer = await client.post("/api/v1/orders", data=text, headers=as_json)
            assert answer.status in (400, 422), text
        answer = await client.post("/api/v1/orders", data=json.dumps(an_order()), headers=headers())
        await problem(answer, 415)
        answer = await client.post("/api/v1/orders", data=b"[" * (MAX_BODY_BYTES + 1), headers=as_json)
        await problem(answer, 413)
        assert (await send(client)).status == 201

    play(database, scene)


def test_a_statement_is_read_in_pages(database: Database) -> None:
    """Two pages of three orders, newest first, the last page says so; odd queries are named."""

    async def scene(client: Client) -> None:
        for number in range(3):
            await send(client, f"k{number}", external_id=f"T{number}", amount_fen=100 * (number + 1))
        path = f"{MEMBER}/statement"
        first = await (await client.get(f"{path}?limit=2", headers=headers(None))).json()
        assert [(entry["delta"], entry["ref"]) for entry in first["entries"]] == [(3, "T2"), (2, "T1")]
        assert first["entries"][0]["at"] == "2026-03-10T04:00:00Z"
        more = await client.get(f"{path}?limit=2&cursor={first['next_cursor']}", headers=headers(None))
        body = await more.json()
        assert [entry["ref"] for entry in body["entries"]] == ["T0"] and body["next_cursor"] is None
        for query in ("limit=0", "limit=many", "cursor=99999999999999999999", "since=yesterday", "sort=up"):
            answer = await client.get(f"{path}?{query}", headers=headers(None))
            assert (await problem(answer, 422))["errors"][0]["field"] == query.partition("=")[0]

    play(database, scene)


def test_an_unknown_member_is_not_found(database: Database) -> None:
    """404 that does not repeat the personal value; control characters in the address are refused."""

    async def scene(client: Client) -> None:
        for path in ("/api/v1/members/phone/13800138000", "/api/v1/members/phone/13800138000/statement"):
            answer = await client.get(path, headers=headers(None))
            body = await problem(answer, 404)
            assert body["errors"][0]["field"] == "value" and "13800138000" not in json.dumps(body)
        await problem(await client.get("/api/v1/members/phone/%00", headers=headers(None)), 422)

    play(database, scene)


def test_a_code_is_verified_once(database: Database) -> None:
    """The till learns what to hand out; a retry is the same answer, a second use a conflict, a typo not found."""

    async def scene(client: Client) -> None:
        await send(client)
        with database.transaction() as session:
            member = find(session, "phone", "hash-of-138")
            assert member is not None
            code = redeem(session, member, "mug", 1, "wish", PROGRAMME, NOON).code
        path = f"/api/v1/redemptions/{code.lower()}/verify"
        first = await client.post(path, headers=headers("v-1"))
        body = await first.json()
        assert (first.status, body["name"], body["quantity"], body["balance"]) == (200, "陶瓷马克杯", 1, 98)
        again = await client.post(path, headers=headers("v-1"))
        assert await again.json() == body
        used = await problem(await client.post(path, headers=headers("v-2")), 409)
        assert used["title"] == "CodeUsed" and used["errors"][0]["field"] == "code"
        await problem(await client.post("/api/v1/redemptions/2222222222/verify", headers=headers("v-3")), 404)
        await problem(await client.post("/api/v1/orders", json=an_order(), headers=headers("v-1")), 409)

    play(database, scene)


def test_one_order_sent_ten_times_at_once_counts_once(database: Database) -> None:
    """Ten connections with one key: one order, one answer."""

    async def scene(client: Client) -> None:
        answers = await asyncio.gather(*(send(client) for _ in range(10)))
        assert {answer.status for answer in answers} == {201}
        assert len({await answer.text() for answer in answers}) == 1
        assert (count(database, Order), count(database, Transfer)) == (1, 1)

    play(database, scene)


def test_a_database_that_is_away_is_told_as_such() -> None:
    """503 with the advice to send again, not a crash: here no server stands behind the address."""
    nobody = Database("postgresql://postgres@127.0.0.1:9/nothing")

    async def scene(client: Client) -> None:
        answer = await send(client)
        assert answer.headers["Retry-After"] == "2"
        assert "same Idempotency-Key" in (await problem(answer, 503))["errors"][0]["mend"]

    play(nobody, scene)
    nobody.dispose()
