"""A shop's day through the API: each answer shows what the write before it did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import select

from bot.api.routes import add_routes
from bot.database import Database
from handlers.followup.tables import HappeningRow, TouchRow
from loyalty.campaign_tables import Birthday
from loyalty.programme import Programme

pytestmark = pytest.mark.sockets

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
PROGRAMME = Programme.model_validate({
    "name": "青禾", "earning": {"points_per_yuan": 1},
    "tiers": [{"id": "seed", "name": "青芽", "from_amount_fen": 0},
              {"id": "leaf", "name": "青叶", "from_amount_fen": 50_000},
              {"id": "tree", "name": "青林", "from_amount_fen": 500_000}],
    "rewards": [{"id": "mug", "name": "陶瓷马克杯", "cost_points": 100, "stock": 5}],
    "coupons": [{"id": "ten_off", "name": "满100减10", "threshold_fen": 10_000, "amount_off_fen": 1000,
                 "valid_days": 30}],
    "plans": [{"id": "black", "name": "黑卡", "months": 12, "price_fen": 9900}],
    "behaviours": [{"id": "daily", "name": "签到", "kind": "check_in", "gain": {"points": 5}},
                   {"id": "photo", "name": "晒单", "kind": "ugc", "gain": {"points": 50}}],
})
ANNA = {"kind": "taobao", "value": "qinghe-fan"}
HOME = "/api/v1/members/taobao/qinghe-fan"
Send = Callable[..., Awaitable[Any]]


def play(database: Database, scene: Callable[[Send], Awaitable[None]], secret: str = "",
         programme: Programme = PROGRAMME) -> None:
    """Run a scene; `send` gives the answer's body and checks its status."""

    async def with_server() -> None:
        app = web.Application()
        add_routes(app, database, lambda: programme, {"shop": "key"}, lambda: NOON, identity_secret=secret)
        async with TestClient(TestServer(app)) as client:
            number = 0

            async def send(method: str, path: str, body: Any = None, status: int = 200, key: str = "") -> Any:
                nonlocal number
                number += 1
                headers = {"Authorization": "Bearer key", "Idempotency-Key": key or f"k{number}"}
                answer = await client.request(method, path if path[0] == "/" else f"/api/v1/{path}", json=body,
                                              headers=headers)
                assert answer.status == status, await answer.text()
                return await answer.json(content_type=None)

            await scene(send)

    asyncio.run(with_server())


async def an_order(send: Send, number: str = "T1", amount_fen: int = 60_000, **changes: Any) -> Any:
    """A paid order of Anna's."""
    return await send("POST", "orders", {
        "source": "pos", "external_id": number, "identities": [ANNA], "paid_at": "2026-03-10T11:58:00+08:00",
        "amount_fen": amount_fen} | changes, 201)


def test_points_are_held_settled_released_and_reversed(database: Database) -> None:
    """Every answer shows available and held as they are now; what cannot be is told with its field."""

    async def scene(send: Send) -> None:
        await send("POST", "members", {"identities": [ANNA], "name": "安娜", "join": True}, 201)
        earned = await send("POST", "points/earn", {"member": ANNA, "amount": 100, "reason": "survey"}, 201)
        assert earned["balance"] == 100
        by_id = {"kind": "id", "value": str(earned["member_id"])}
        held = await send("POST", "points/holds", {"member": by_id, "amount": 60, "reason": "basket"}, 201)
        assert (held["balance"], held["held"]) == (40, 60)
        short = await send("POST", "points/spend", {"member": ANNA, "amount": 41, "reason": "x"}, 422)
        assert short["errors"][0]["field"] == "amount"
        done = await send("POST", f"points/holds/{held['transfer_id']}/settle", {})
        assert (done["balance"], done["held"]) == (40, 0)
        again = await send("POST", f"points/holds/{held['transfer_id']}/release", {}, 409)
        assert again["errors"][0]["field"] == "transfer_id"
        other = await send("POST", "points/holds", {"member": ANNA, "amount": 10, "reason": "basket"}, 201)
        assert (await send("POST", f"points/holds/{other['transfer_id']}/release", {}))["balance"] == 40
        spent = await send("POST", "points/spend", {"member": ANNA, "amount": 40, "reason": "gift"}, 201)
        back = await send("POST", f"points/transfers/{spent['transfer_id']}/reverse", {"amount": 15})
        assert back["balance"] == 15
        too_much = await send("POST", f"points/transfers/{spent['transfer_id']}/reverse", {"amount": 26}, 422)
        assert too_much["errors"][0]["field"] == "amount"
        assert (await send("GET", HOME))["points"]["available"] == 15

    play(database, scene)


def test_an_order_is_shown_and_given_back_in_parts(database: Database) -> None:
    """A part takes its points back; the same refund number counts once under any key; the rest is the limit."""

    async def scene(send: Send) -> None:
        await an_order(send)
        first = await send("POST", "orders/pos/T1/refunds", {"amount_fen": 20_000, "refund_id": "R1"})
        assert (first["clawed_back"], first["balance"]) == (200, 400)
        assert await send("POST", "orders/pos/T1/refunds", {"amount_fen": 20_000, "refund_id": "R1"}) == first
        over = await send("POST", "orders/pos/T1/refunds", {"amount_fen": 40_001, "refund_id": "R2"}, 422)
        assert over["errors"][0]["field"] == "amount_fen"
        assert (await send("GET", "orders/pos/T1"))["state"] == "partly_refunded"
        assert (await send("POST", "orders/pos/T1/refunds", {"amount_fen": 40_000, "refund_id": "R2"}))["balance"] == 0
        await send("GET", "orders/pos/T2", status=404)

    play(database, scene)


def test_a_reward_is_redeemed_cancelled_and_its_code_verified(database: Database) -> None:
    """Points and pieces go and come back; a verified code cannot be cancelled."""

    async def scene(send: Send) -> None:
        await an_order(send)
        wish = {"member": ANNA, "reward_id": "mug", "quantity": 2}
        had = await send("POST", "redemptions", wish, 201)
        assert (had["cost"], had["balance"]) == (200, 400)
        assert (await send("GET", "rewards"))["rewards"][0]["stock"] == 3
        assert (await send("POST", f"redemptions/{had['id']}/cancel"))["balance"] == 600
        kept = await send("POST", "redemptions", wish, 201)
        assert (await send("POST", f"redemptions/{kept['code']}/verify"))["quantity"] == 2
        await send("POST", f"redemptions/{kept['id']}/cancel", status=422)
        await send("POST", "redemptions", wish | {"reward_id": "car"}, 404)
        states = [item["state"] for item in (await send("GET", f"{HOME}/redemptions"))["redemptions"]]
        assert states == ["verified", "undone"]

    play(database, scene)


def test_a_plan_is_bought_and_renewed_and_a_birthday_noted(database: Database) -> None:
    """The second term begins where the first ends; an unknown plan or day is refused."""

    async def scene(send: Send) -> None:
        await send("POST", "members", {"identities": [ANNA]}, 201)
        paid = {"member": ANNA, "paid_fen": 9900}
        first = await send("POST", "plans/black/terms", paid, 201)
        second = await send("POST", "plans/black/terms", paid, 201)
        assert second["starts_at"] == first["ends_at"]
        refused = await send("POST", "plans/gold/terms", paid, 404)
        assert refused["errors"][0]["field"] == "plan_id"
        await send("PUT", f"{HOME}/birthday", {"month": 2, "day": 29})
        await send("PUT", f"{HOME}/birthday", {"month": 2, "day": 30}, 422)
        with database.reading() as session:
            assert session.execute(select(Birthday.month, Birthday.day)).all() == [(2, 29)]

    play(database, scene)


def test_events_that_come_together_are_answered_each_for_itself(database: Database) -> None:
    """Thirty at once: notes for follow-ups, a behaviour, two unknown members; a refusal takes nothing with it."""

    async def scene(send: Send) -> None:
        await send("POST", "members", {"identities": [ANNA]}, 201)
        stranger = {"kind": "taobao", "value": "nobody"}
        seen = [{"member": ANNA, "kind": "car_due", "facts": {"event_days": number}} for number in range(26)]
        lost = [{"member": stranger, "kind": "car_due"}, {"member": stranger, "kind": "check_in"}]
        gained = [{"member": ANNA, "kind": "check_in"}, {"member": ANNA, "kind": "car_due", "friend": ANNA}]
        wanted = [201] * 26 + [404, 404, 201, 422]
        async with asyncio.TaskGroup() as group:
            told = [
                group.create_task(send("POST", "events", body, status, key=f"e{number}"))
                for number, (body, status) in enumerate(zip([*seen, *lost, *gained], wanted, strict=True))
            ]
        assert told[28].result()["activities"][0]["gained"][0]["amount"] == 5
        assert await send("POST", "events", gained[0], 201, key="e28") == told[28].result()
        with database.reading() as session:
            kinds = list(session.scalars(select(HappeningRow.kind)))
        assert (kinds.count("api:car_due"), kinds.count("api:check_in")) == (26, 1)

    play(database, scene)


def test_why_somebody_got_nothing_is_told(database: Database) -> None:
    """Every decision of the follow-ups about a member in words, newest first, page by page."""

    async def scene(send: Send) -> None:
        member = (await send("POST", "members", {"identities": [ANNA]}, 201))["member_id"]
        told = [("deferred", "安静时段 21:00–9:00, 推迟到 03-11 09:00"), ("skipped", "客户已选择勿扰")]
        row = {"task": "t", "sop": "running_out", "rep": "liuyang", "channel": "rep", "at": NOON}
        with database.transaction() as session:
            for owner in (member, member + 1):
                session.add_all(TouchRow(member_id=owner, decision=one, reason=why, **row) for one, why in told)
        first = await send("GET", f"{HOME}/follow-ups?limit=1")
        second = await send("GET", f"{HOME}/follow-ups?limit=1&cursor={first['next_cursor']}")
        seen = [(one["decision"], one["reason"]) for one in (*first["decisions"], *second["decisions"])]
        assert seen == told[::-1] and second["next_cursor"] is None

    play(database, scene)


def test_stored_value_is_paid_in_used_and_given_back(database: Database) -> None:
    """The caller's own payment number finds the payment again."""

    async def scene(send: Send) -> None:
        await send("POST", "members", {"identities": [ANNA]}, 201)
        paid_in = await send("POST", "stored-value/top-ups", {"member": ANNA, "amount_fen": 50_000}, 201)
        assert paid_in["principal_left_fen"] == 50_000
        basket = {"member": ANNA, "amount_fen": 20_000, "payment_id": "P1"}
        assert (await send("POST", "stored-value/payments", basket, 201))["principal_left_fen"] == 30_000
        returned = await send("POST", "stored-value/payments/P1/returns", {"amount_fen": 5000})
        assert returned["principal_left_fen"] == 35_000
        basket |= {"amount_fen": 35_001, "payment_id": "P2"}
        short = await send("POST", "stored-value/payments", basket, 422)
        assert short["errors"][0]["field"] == "amount_fen"
        back = await send("POST", f"stored-value/top-ups/{paid_in['id']}/refunds", {"amount_fen": 35_000})
        assert back["paid_back_fen"] == 35_000
        assert (await send("GET", f"{HOME}/stored-value"))["total_fen"] == 0
        assert (await send("GET", "stored-value/dormant"))["members"] == []

    play(database, scene)


def test_a_coupon_is_locked_used_and_returned(database: Database) -> None:
    """What it takes off is told when it is locked; another order cannot have it meanwhile."""

    async def scene(send: Send) -> None:
        await send("POST", "members", {"identities": [ANNA]}, 201)
        coupon = await send("POST", "coupons", {"member": ANNA, "type_id": "ten_off"}, 201)
        path, order = f"coupons/{coupon['code']}", {"member": ANNA, "order_ref": "T1"}
        lines = {"lines": [{"sku": "A", "amount_fen": 12_000}]}
        assert (await send("POST", f"{path}/lock", order | lines))["discount_fen"] == 1000
        taken = await send("POST", f"{path}/lock", order | lines | {"order_ref": "T2"}, 422)
        assert taken["errors"][0]["field"] == "code"
        assert (await send("POST", f"{path}/unlock", order))["state"] == "issued"
        assert (await send("POST", f"{path}/use", order | lines))["state"] == "used"
        assert (await send("GET", f"{HOME}/coupons"))["coupons"] == []
        assert (await send("POST", f"{path}/return", order))["state"] == "issued"
        assert len((await send("GET", f"{HOME}/coupons"))["coupons"]) == 1

    play(database, scene)


def test_events_earn_at_once_or_after_approval(database: Database) -> None:
    """A check-in counts, a photo waits; the decision shows the new balance."""

    async def scene(send: Send) -> None:
        await send("POST", "members", {"identities": [ANNA]}, 201)
        done = await send("POST", "events", {"member": ANNA, "kind": "check_in"}, 201)
        assert done["activities"][0]["gained"][0]["balance"] == 5
        waits = await send("POST", "events", {"member": ANNA, "kind": "ugc", "facts": {"link": "x"}}, 201)
        assert waits["activities"][0]["state"] == "pending"
        pending = (await send("GET", "events/pending"))["activities"]
        done = await send("POST", f"events/{pending[0]['activity_id']}/approve")
        assert (done["state"], done["gained"][0]["balance"]) == ("granted", 55)
        await send("POST", f"events/{pending[0]['activity_id']}/reject", {"reason": "late"}, 409)
        heard = await send("POST", "events", {"member": ANNA, "kind": "dance"}, 201)
        assert heard["activities"] == []  # no behaviour; a follow-up may wait for it
        await send("POST", "events", {"member": ANNA, "kind": "Tanz!"}, 422)

    play(database, scene)


def test_a_tier_is_explained_and_the_next_one_measured(database: Database) -> None:
    """Which tier, since which figures, and how much is missing."""

    async def scene(send: Send) -> None:
        await an_order(send)
        has = await send("GET", f"{HOME}/tier")
        assert (has["tier"], has["amount_fen"], has["next"]["tier"], has["next"]["missing_fen"]) == (
            "leaf", 60_000, "tree", 440_000)
        assert has["because"] and has["steps"][-1]["new_tier"] == "leaf"
        assert [tier["id"] for tier in (await send("GET", "tiers"))["tiers"]] == ["seed", "leaf", "tree"]

    play(database, scene)


def test_people_are_named_tagged_merged_and_parted(database: Database) -> None:
    """Both names lead to one member after a merge, also the old id; undone, they are two again."""

    async def scene(send: Send) -> None:
        other = {"kind": "openid", "value": "o-1"}
        one = await send("POST", "members", {"identities": [ANNA]}, 201)
        two = await send("POST", "members", {"identities": [other]}, 201)
        taken = await send("POST", f"{HOME}/identities", other, 409)
        assert taken["title"] == "IdentityTaken"
        tags = await send("POST", f"{HOME}/tags", {"tags": ["咖啡爱好者"]})
        assert tags["tags"][0]["source"] == "api:shop"
        await send("POST", "points/earn", {"member": other, "amount": 7, "reason": "gift"}, 201)
        merged = await send("POST", "merges", {"keep": ANNA, "other": other, "evidence": "said so"})
        assert merged["keep_id"] == one["member_id"]
        for path in ("openid/o-1", f"id/{two['member_id']}", "taobao/qinghe-fan"):
            assert (await send("GET", f"members/{path}"))["points"]["available"] == 7
        await send("POST", f"merges/{merged['id']}/undo")
        assert (await send("GET", HOME))["points"]["available"] == 0
        assert (await send("DELETE", f"{HOME}/tags/咖啡爱好者"))["tags"] == []

    play(database, scene)


def test_phones_are_brought_into_one_form_and_kept_as_hashes(database: Database) -> None:
    """With the secret set, two ways to write a number are one member, and no number stands in the database."""

    async def scene(send: Send) -> None:
        await an_order(send, identities=[{"kind": "phone", "value": "+86 138-0013-8000"}])
        seen = await send("GET", "members/phone/13800138000")
        assert seen["points"]["available"] == 600
        stored = (await send("GET", "members/phone/13800138000/identities"))["identities"]
        assert len(stored[0]["value"]) == 64
        wrong = await send("GET", "members/phone/12", status=422)
        assert wrong["errors"][0]["field"] == "phone"

    play(database, scene, secret="a long random text of the tests")


def test_webhooks_are_made_looked_at_and_ended(database: Database) -> None:
    """The secret is shown once; a foreign number is not found; a bad address is told."""

    async def scene(send: Send) -> None:
        made = await send("POST", "webhooks", {"url": "https://shop.example/h", "kinds": ["tier.reached"]}, 201)
        assert made["secret"].startswith("whsec_")
        assert "secret" not in (await send("GET", "webhooks"))["webhooks"][0]
        assert (await send("GET", f"webhooks/{made['id']}/deliveries"))["deliveries"] == []
        assert (await send("DELETE", f"webhooks/{made['id']}"))["ended_at"]
        await send("DELETE", "webhooks/99", status=404)
        bad = await send("POST", "webhooks", {"url": "ftp://x", "kinds": ["tier.reached"]}, 422)
        assert bad["errors"][0]["field"] == "url"

    play(database, scene)
