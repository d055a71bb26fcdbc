"""What an office does through the API: draws, plans, pools, red packets, campaign figures, fraud, a person's wishes."""

from __future__ import annotations

from typing import Any

import pytest

from bot.database import Database
from loyalty.programme import Programme
from tests.bot.api.test_flows import ANNA, HOME, Send, an_order, play

pytestmark = [pytest.mark.sockets, pytest.mark.either_engine]

BOB = {"kind": "taobao", "value": "qinghe-neighbour"}
OFFICE = Programme.model_validate({
    "name": "青禾", "earning": {"points_per_yuan": 1, "rules": [
        {"id": "gift", "name": "中秋加赠", "points": 100, "campaign": "autumn"}]},
    "costs": {"point_value_fen": 1, "margin": 0.6},
    "campaigns": [{"id": "autumn", "name": "中秋", "budget": {"points": 200, "alert_at": 0.5}, "cost_fen": 50}],
    "plans": [{"id": "black", "name": "黑卡", "months": 12, "price_fen": 9900, "percent_off": 10,
               "trial": {"skus": ["NEW-1"], "per_month": 1}}],
    "rewards": [
        {"id": "film", "name": "电影票", "cost_points": 50, "way": "exchange", "pool": "cinema", "low_pool": 1},
        {"id": "packet", "name": "红包", "cost_points": 50, "way": "red_packet", "value_fen": 100},
    ],
    "lotteries": [{"id": "wheel", "name": "转盘", "consolation": "thanks", "prizes": [
        {"id": "win", "name": "二十积分", "odds": 400_000, "points": 20}, {"id": "thanks", "name": "谢谢参与"}]}],
})


async def members(send: Send) -> None:
    """Anna and Bob, each with an identity of theirs."""
    for who in (ANNA, BOB):
        await send("POST", "members", {"identities": [who, {"kind": "openid", "value": f"o-{who['value']}"}]}, 201)


def test_a_draw_can_be_rolled_again_by_anybody(database: Database) -> None:
    """The odds add up, the hash is shown before, the seed after; the audit of it all finds nothing."""

    async def scene(send: Send) -> None:
        await members(send)
        bound = await send("POST", "lotteries/wheel/seed")
        assert bound["seed"] is None
        [wheel] = (await send("GET", "lotteries"))["lotteries"]
        assert {prize["id"]: prize["odds"] for prize in wheel["prizes"]} == {"win": 400_000, "thanks": 600_000}
        assert wheel["seed_hash"] == bound["seed_hash"]
        refused = await send("POST", "lotteries/wheel/draws", {"member": ANNA}, 422)
        assert (refused["title"], refused["errors"][0]["field"]) == ("NotEnough", "member")
        given = await send("POST", "lotteries/chances", {"member": ANNA, "count": 2, "reason": "survey"}, 201)
        assert given["chances"] == 2
        drawn = await send("POST", "lotteries/wheel/draws", {"member": ANNA}, 201, key="d1")
        assert drawn == await send("POST", "lotteries/wheel/draws", {"member": ANNA}, 201, key="d1")
        assert (drawn["chances"], drawn["seed_hash"]) == (1, bound["seed_hash"])
        assert drawn["prize_id"] == ("win" if drawn["roll"] < 400_000 else "thanks")
        assert (await send("POST", "lotteries/wheel/reveal"))["seed"]
        proof = await send("GET", "lotteries/wheel/audit")
        assert proof["findings"] == [] and proof["fairness"][0]["draws"] == 1
        await send("POST", "lotteries/roulette/draws", {"member": ANNA}, 404)

    play(database, scene, programme=OFFICE)


def test_a_plan_is_good_for_what_it_says_and_is_paid_back(database: Database) -> None:
    """Sold, it takes its share off an order and lets one new product a month be tried; cancelled at once, all of it."""

    async def scene(send: Send) -> None:
        await members(send)
        basket = {"member": ANNA, "lines": [{"sku": "QH-30", "amount_fen": 10_000}]}
        assert (await send("POST", "plans/offers", basket))["discount_fen"] == 0
        await send("POST", "plans/black/terms", {"member": ANNA, "paid_fen": 9900}, 201)
        assert (await send("POST", "plans/offers", basket))["discount_fen"] == 1000
        assert [plan["plan_id"] for plan in (await send("GET", f"{HOME}/plans"))["plans"]] == ["black"]
        taste = {"member": ANNA, "sku": "NEW-1"}
        assert (await send("POST", "plans/black/trials", taste, 201))["left"] == 0
        assert (await send("POST", "plans/black/trials", taste, 422))["title"] == "LimitReached"
        assert (await send("POST", "plans/black/cancel", {"member": ANNA}))["refund_fen"] == 9900
        assert (await send("GET", f"{HOME}/plans"))["plans"] == []

    play(database, scene, programme=OFFICE)


def test_a_pool_is_filled_whole_and_told_when_it_runs_low(database: Database) -> None:
    """Each bad code is named by its place; a dry run keeps nothing; codes go out and the pool calls for more."""

    async def scene(send: Send) -> None:
        await an_order(send)
        codes = [{"code": "AA-1"}, {"code": "AA-2", "last_day": "2026-12-31"}]
        assert (await send("POST", "pools/cinema/codes", {"codes": codes, "dry_run": True}))["added"] == 2
        assert (await send("GET", "pools"))["pools"] == [{"pool": "cinema", "free": 0, "low": True}]
        assert (await send("POST", "pools/cinema/codes", {"codes": codes}, 201))["added"] == 2
        bad = [*codes, {"code": "AA-3"}, {"code": "AA-3"}, {"code": "AA-4", "last_day": "2026-01-01"}]
        for dry_run in (True, False):
            refused = await send("POST", "pools/cinema/codes", {"codes": bad, "dry_run": dry_run}, 422)
            assert {error["field"] for error in refused["errors"]} == {
                "codes[0].code", "codes[1].code", "codes[3].code", "codes[4].last_day"}
        await send("POST", "pools/theatre/codes", {"codes": codes}, 404)
        assert (await send("GET", "pools"))["pools"] == [{"pool": "cinema", "free": 2, "low": False}]
        got = await send("POST", "redemptions", {"member": ANNA, "reward_id": "film"}, 201)
        assert "AA-2" in got["handover"]  # what lapses first goes first
        assert (await send("GET", "pools"))["pools"] == [{"pool": "cinema", "free": 1, "low": True}]

    play(database, scene, programme=OFFICE)


def test_red_packets_are_fetched_and_paid_once(database: Database) -> None:
    """A packet is in one payer's hands; paid it is delivered, refused for good the points are back."""

    async def scene(send: Send) -> None:
        await members(send)
        await an_order(send, amount_fen=20_000)
        first, second = [await send("POST", "redemptions", {"member": ANNA, "reward_id": "packet"}, 201)
                         for _ in range(2)]
        assert len((await send("GET", "red-packets"))["red_packets"]) == 2
        early = await send("POST", "red-packets/1/sent", {"receipt": "wx-1"}, 404)
        assert early["errors"][0]["field"] == "packet_id"
        taken = (await send("POST", "red-packets/claims", {"limit": 5}))["red_packets"]
        assert [(one["amount_fen"], one["openid"]) for one in taken] == [(100, "o-qinghe-fan")] * 2
        assert (await send("POST", "red-packets/claims", {}))["red_packets"] == []
        await send("POST", f"red-packets/{taken[0]['id']}/sent", {"receipt": "wx-1"})
        lost = {"error": "user is not verified", "final": True}
        assert (await send("POST", f"red-packets/{taken[1]['id']}/failed", lost))["ended"] is True
        await send("POST", f"red-packets/{taken[1]['id']}/failed", lost, 404)
        states = {one["id"]: one["state"] for one in (await send("GET", f"{HOME}/redemptions"))["redemptions"]}
        assert states == {first["id"]: "delivered", second["id"]: "failed"}
        assert (await send("GET", HOME))["points"]["available"] == 200 + 100 - 50

    play(database, scene, programme=OFFICE)


def test_a_campaign_tells_what_a_new_customer_costs(database: Database) -> None:
    """Two first orders moved by 100 points each: two yuan and the poster for two new customers; the budget is used."""

    async def scene(send: Send) -> None:
        await an_order(send, "T1", 10_000)
        await an_order(send, "T2", 10_000, identities=[BOB])
        shown = await send("GET", "campaigns/autumn")
        cost = shown["cost"]
        assert (cost["points"], cost["cost_fen"], cost["new_customers"], cost["per_new_customer_fen"]) == (
            200, 250, 2, 125)
        assert cost["roi"] == pytest.approx((20_000 * 0.6 - 250) / 250)
        assert shown["budget"] == [{"unit": "points", "used": 200, "most": 200}]
        assert (await send("GET", "campaigns"))["campaigns"] == [shown]
        told = await send("GET", "budget-events")
        assert {event["kind"] for event in told["events"]} == {"alert", "stop"}
        assert (await send("GET", f"budget-events?cursor={told['next_cursor']}"))["events"] == []
        await send("GET", "campaigns/spring", status=404)

    play(database, scene, programme=OFFICE)


def test_many_accounts_on_one_device_are_found_and_held(database: Database) -> None:
    """Five accounts with one device are a finding; their points are held, and taken or given back."""

    async def scene(send: Send) -> None:
        for number in range(5):
            who = {"kind": "taobao", "value": f"farm-{number}"}
            await send("POST", "members", {"identities": [who]}, 201)
            await send("POST", "points/earn", {"member": who, "amount": 30, "reason": "welcome"}, 201)
            noted = await send("POST", f"members/taobao/farm-{number}/hints", {"kind": "device", "value": "IMEI-7"})
            assert noted["sharing"] == number + 1
        [number] = (await send("POST", "fraud/looks"))["finding_ids"]
        [finding] = (await send("GET", "fraud/findings"))["findings"]
        assert (finding["id"], finding["rule"], finding["state"]) == (number, "many_accounts", "open")
        assert (await send("POST", f"fraud/findings/{number}/hold"))["points"] == 150
        case = await send("GET", f"fraud/findings/{number}")
        assert [(one["points"], one["held"]) for one in case["suspects"]] == [(30, 30)] * 5
        assert {proof["table_name"] for proof in case["evidence"]} == {"hints"}
        assert (await send("GET", "members/taobao/farm-0"))["points"]["available"] == 0
        assert (await send("POST", f"fraud/findings/{number}/release", {"note": "一家人"}))["points"] == 150
        await send("POST", f"fraud/findings/{number}/confiscate", {}, 409)
        assert (await send("GET", "fraud/findings?state=released"))["findings"][0]["note"] == "一家人"
        assert (await send("POST", "fraud/findings/99/dismiss", {}, 404))["errors"][0]["field"] == "finding_id"

    play(database, scene, programme=OFFICE)


def test_who_may_be_one_person_is_proposed_merged_and_parted(database: Database) -> None:
    """A name somebody else has is refused and proposed; accepted they are one, and the merge can be undone."""

    async def scene(send: Send) -> None:
        await members(send)
        taken = await send("POST", f"{HOME}/identities", {"kind": "openid", "value": "o-qinghe-neighbour"}, 409)
        assert taken["title"] == "IdentityTaken"
        await send("POST", "members", {"identities": [BOB, ANNA]}, 409)
        page = await send("GET", "merge-proposals")
        assert [one["kind"] for one in page["proposals"]] == ["openid", "taobao"]
        first, second = page["proposals"]
        await send("POST", f"merge-proposals/{second['id']}/reject")
        merged = await send("POST", f"merge-proposals/{first['id']}/accept")
        assert [one["id"] for one in (await send("GET", f"{HOME}/merges"))["merges"]] == [merged["id"]]
        assert (await send("GET", "merge-proposals"))["proposals"] == []
        assert (await send("POST", f"merges/{merged['id']}/undo"))["undone_at"]

    play(database, scene, programme=OFFICE)


def test_a_person_takes_their_data_along_and_is_forgotten(database: Database) -> None:
    """The export tells all; afterwards nobody of that name is known, and an old answer about them is told no more."""

    async def scene(send: Send) -> None:
        known: dict[str, Any] = {"identities": [ANNA], "name": "安娜"}
        await send("POST", "members", known, 201, key="first")
        await an_order(send)
        told = await send("GET", f"{HOME}/export")
        assert told["data"]["member"]["name"] == "安娜" and told["data"]["orders"][0]["external_id"] == "T1"
        gone = await send("DELETE", HOME, key="wish")
        assert (gone["identities"], gone["points"]) == (1, 600 + 100)
        assert await send("DELETE", HOME, key="wish") == gone
        await send("GET", HOME, status=404)
        refused = await send("POST", "members", known, 409, key="first")
        assert (refused["title"], refused["errors"][0]["field"]) == ("AnswerErased", "Idempotency-Key")

    play(database, scene, programme=OFFICE)
