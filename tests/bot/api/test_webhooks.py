"""Webhooks: what happens is told to who listens, signed, again until it is taken, and never passed over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from bot.database import Database
from bot.webhooks import WAITS_S, Webhooks, signature
from loyalty import webhooks
from loyalty.customers import resolve
from loyalty.ledger import earn, expire_due, reverse, spend
from loyalty.orders import OrderIn, record
from loyalty.programme import Programme
from loyalty.webhook_events import KINDS, gather
from loyalty.webhook_tables import WebhookDelivery, WebhookEvent

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
PROGRAMME = Programme.model_validate({
    "name": "青禾", "earning": {"points_per_yuan": 1},
    "tiers": [{"id": "seed", "name": "青芽", "from_amount_fen": 0},
              {"id": "leaf", "name": "青叶", "from_amount_fen": 50_000},
              {"id": "tree", "name": "青林", "from_amount_fen": 500_000}],
})


class Noon:
    """A clock that a test may push."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def listen(session: Session, url: str = "http://127.0.0.1:9/", kinds: tuple[str, ...] = tuple(KINDS)) -> str:
    """A till that listens; the secret."""
    gather(session, PROGRAMME, NOON)  # the sources begin where they end now
    return webhooks.subscribe(session, "till", url, kinds, NOON)[1]


def wait_for_others(database: Database) -> None:
    """Until whatever else ran on the server at this moment has ended: a horizon waits for it, whoever it belongs to."""
    if database.is_sqlite:
        return
    with database.transaction() as session:
        now_id = session.scalar(text("SELECT pg_current_xact_id()::text::bigint")) or 0
    for _ in range(400):
        with database.reading() as session:
            if (session.scalar(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")) or 0) > now_id:
                return
        sleep(0.05)
    raise AssertionError("a transaction on this server has been open for 20 s")


def told(database: Database, is_patient: bool = True) -> list[tuple[str, dict[str, Any]]]:
    """Kind and body of every event, after looking twice: a horizon is read up by the look that follows it."""
    for _ in range(2):
        with database.transaction() as session:
            gather(session, PROGRAMME, NOON)
        if is_patient:
            wait_for_others(database)
    with database.reading() as session:
        return [(event.kind, event.body) for event in session.scalars(select(WebhookEvent).order_by(WebhookEvent.id))]


def somebody(session: Session) -> int:
    """A member."""
    return resolve(session, [("openid", "o-1")], NOON)["openid", "o-1"]


def test_what_happens_to_points_and_tiers_is_told(database: Database) -> None:
    """An order earns and lifts, a spend, both taken back, a lapse: each one event with its numbers."""
    with database.transaction() as session:
        listen(session)
    with database.transaction() as session:
        order = OrderIn.model_validate({
            "source": "pos", "external_id": "T1", "identities": [{"kind": "openid", "value": "o-1"}], "paid_at": NOON,
            "amount_fen": 60_000})
        record(session, order, PROGRAMME, NOON)
        member_id = somebody(session)
        spent = spend(session, member_id, 100, key="s", reason="redeem", ref="mug", at=NOON)
        reverse(session, spent.id, key="r", at=NOON)
        given = earn(session, member_id, 30, key="e", reason="survey", at=NOON)
        reverse(session, given.id, key="r2", at=NOON)
        earn(session, member_id, 5, key="e2", reason="gift", at=NOON - timedelta(days=2), expires_at=NOON)
        expire_due(session, NOON)
    found = told(database)
    assert [(kind, body.get("amount")) for kind, body in found if kind != "tier.reached"] == [
        ("points.earned", 600), ("points.spent", 100), ("points.returned", 100), ("points.earned", 30),
        ("points.taken_back", 30), ("points.earned", 5), ("points.lapsed", 5)]
    assert ("tier.reached", {"member_id": member_id, "tier": "leaf", "before": None, "balance": 600}) in found
    assert found[0][1]["balance"] == 600 and found[1][1]["ref"] == "mug"
    assert told(database) == found


def test_who_subscribes_hears_of_what_happens_from_then_on(database: Database) -> None:
    """Not of the years before, and only of the kinds asked for."""
    with database.transaction() as session:
        earn(session, somebody(session), 10, key="old", reason="gift", at=NOON)
    with database.transaction() as session:
        listen(session, kinds=("points.spent",))
    with database.transaction() as session:
        spend(session, somebody(session), 3, key="s", reason="redeem", at=NOON)
        earn(session, somebody(session), 3, key="e", reason="gift", at=NOON)
    assert [kind for kind, _ in told(database)] == ["points.spent"]


def test_points_that_are_about_to_lapse_are_told_once(database: Database) -> None:
    """What lapses together is one event with the last day; what lapses later is not told yet."""
    with database.transaction() as session:
        listen(session)
        member_id = somebody(session)
        for key, days in (("a", 3), ("b", 3), ("c", 30)):
            earn(session, member_id, 10, key=key, reason="gift", at=NOON, expires_at=NOON + timedelta(days=days))
    found = [body for kind, body in told(database) if kind == "points.about_to_lapse"]
    assert found == [{"member_id": member_id, "amount": 20, "last_day": "2026-03-13", "balance": 30}]
    assert len([kind for kind, _ in told(database) if kind == "points.about_to_lapse"]) == 1


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_transfer_that_commits_late_is_not_passed_over(database: Database) -> None:
    """A lower id that becomes visible after a higher one was read is told too."""
    with database.transaction() as session:
        listen(session)
        late, early = resolve(session, [("openid", "a"), ("openid", "b")], NOON).values()
        for member_id in (late, early):
            earn(session, member_id, 1, key=f"open-{member_id}", reason="open", at=NOON)
    with database.transaction() as slow:
        earn(slow, late, 7, key="late", reason="gift", at=NOON)
        with database.transaction() as session:
            earn(session, early, 8, key="early", reason="gift", at=NOON)
        during = [body["amount"] for _, body in told(database, is_patient=False)]
    after = [body["amount"] for _, body in told(database)]
    assert 7 not in during and after == [1, 1, 7, 8]


@pytest.mark.sockets
def test_a_message_is_signed_and_sent_again_until_it_is_taken(database: Database) -> None:
    """503, silence of the port, then 200: one id all along, a fresh time and a signature that fits each try."""
    clock, heard, answers = Noon(), [], [503, 200]

    async def hear(request: web.Request) -> web.Response:
        body = await request.read()
        heard.append((dict(request.headers), body))
        return web.Response(status=answers.pop(0), text="said\x00")

    async def scene() -> None:
        app = web.Application()
        app.router.add_post("/hook", hear)
        async with TestServer(app) as server, aiohttp.ClientSession() as client:
            with database.transaction() as session:
                secret = listen(session, str(server.make_url("/hook")), ("points.earned",))
            with database.transaction() as session:
                earn(session, somebody(session), 10, key="e", reason="gift", at=NOON)
            sender = Webhooks(database, lambda: PROGRAMME, clock)
            for _ in range(3):
                await sender.step(client)
                await asyncio.to_thread(wait_for_others, database)
            assert len(heard) == 1
            clock.now += timedelta(seconds=WAITS_S[0])
            await sender.step(client)
            clock.now += timedelta(days=1)
            assert await sender.step(client) == 0
            for headers, body in heard:
                stamp = headers["webhook-timestamp"]
                assert headers["webhook-signature"] == signature(secret, headers["webhook-id"], stamp, body)
            assert len({headers["webhook-id"] for headers, _ in heard}) == 1
            assert int(heard[1][0]["webhook-timestamp"]) - int(heard[0][0]["webhook-timestamp"]) == WAITS_S[0]
            assert json.loads(heard[0][1])["data"]["amount"] == 10

    run(scene)
    with database.reading() as session:
        row = session.scalars(select(WebhookDelivery)).one()
    assert (row.state, row.attempts, row.answer) == ("delivered", 2, "200 said")


@pytest.mark.sockets
def test_a_message_nobody_takes_fails_and_can_be_sent_again(database: Database) -> None:
    """After the last try it has failed, with what was said; its owner, and nobody else, may send it once more."""
    clock = Noon()

    async def scene() -> None:
        async with aiohttp.ClientSession() as client:
            sender = Webhooks(database, lambda: PROGRAMME, clock)
            for _ in range(3):
                await sender.step(client)
                await asyncio.to_thread(wait_for_others, database)
            for wait_s in WAITS_S:
                clock.now += timedelta(seconds=wait_s)
                await sender.step(client)

    with database.transaction() as session:
        listen(session)
    with database.transaction() as session:
        earn(session, somebody(session), 10, key="e", reason="gift", at=NOON)
    run(scene)
    with database.transaction() as session:
        found = webhooks.deliveries(session, 1, "till", 10)[0]
        assert (found.state, found.attempts, found.answer) == ("failed", len(WAITS_S) + 1, "ClientConnectorError")
        assert not webhooks.send_again(session, found.id, "mall", NOON)
        assert webhooks.send_again(session, found.id, "till", NOON)
        assert len(webhooks.lease(session, NOON, 10, 60)) == 1
        assert webhooks.lease(session, NOON, 10, 60) == []
        assert len(webhooks.lease(session, NOON + timedelta(seconds=61), 10, 60)) == 1


@pytest.mark.sockets
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_listener_that_is_gone_is_left_alone(database: Database) -> None:
    """410 ends the subscription and what still waits for it."""

    async def gone(_request: web.Request) -> web.Response:
        return web.Response(status=410)

    async def scene() -> None:
        app = web.Application()
        app.router.add_post("/", gone)
        async with TestServer(app) as server, aiohttp.ClientSession() as client:
            with database.transaction() as session:
                listen(session, str(server.make_url("/")))
            with database.transaction() as session:
                earn(session, somebody(session), 10, key="e", reason="gift", at=NOON)
            await Webhooks(database, lambda: PROGRAMME, lambda: NOON).step(client)

    run(scene)
    with database.reading() as session:
        assert "410" in (webhooks.subscriptions(session, "till")[0].end_reason or "")
        assert session.scalars(select(WebhookDelivery.state)).all() == ["failed"]


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification: whoever checks with a library of theirs finds it right."""
    assert signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330",
                     b'{"test": 2432232314}') == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def run(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene to its end."""

    async def whole() -> None:
        await scene()

    asyncio.run(whole())
