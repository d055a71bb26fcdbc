"""Handing over in every way with words of its own, phones that nobody proved, and what a late reader counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import select

from handlers.brand import Brand
from handlers.talk.tables import OutboxRow
from loyalty import customers, matching
from loyalty.balances import balance_of
from loyalty.codes import import_codes
from loyalty.customers import Identity
from loyalty.handover import Links
from loyalty.identities import PHONE, Identifier
from loyalty.people_tables import Hint
from loyalty.programme import Programme
from loyalty.rewards import sync_stock
from tests.handlers.conftest import Counter

pytestmark = pytest.mark.either_engine

REWARDS = [
    {"id": "film", "name": "电影票", "cost_points": 10, "way": "exchange", "pool": "films", "handover": "{codes}"},
    {"id": "club", "name": "读书会", "cost_points": 10, "way": "link", "link": "https://club.example/join?t={token}"},
    {"id": "show", "name": "展览券", "cost_points": 10, "way": "page"},
    {"id": "drink", "name": "饮品券", "cost_points": 10, "kind": "coupon", "way": "coupon", "coupon": "drink"},
    {"id": "cash", "name": "现金红包", "cost_points": 10, "way": "red_packet", "value_fen": 100},
    {"id": "mug", "name": "马克杯", "cost_points": 10, "way": "ship", "handover": "三天内寄出", "per_member_month": 1},
]


@pytest.fixture
def shop(counter: Counter) -> Counter:
    """A counter whose brand hands over in all ways, with a member who has points."""
    known = counter.brand.programme.model_dump(mode="json")
    coupon = {"id": "drink", "name": "饮品券", "amount_off_fen": 500, "valid_days": 30}
    programme = Programme.model_validate(known | {"rewards": REWARDS, "coupons": [coupon]})
    links = Links("k" * 32, "https://member.example/r/")
    brand: Brand = replace(counter.brand, programme=programme, links=links, identifier=Identifier("pepper"))
    counter.brand = brand
    counter.listener.hears |= {f"换{reward['name']}": ("points_redeem",) for reward in REWARDS}
    counter.listener.hears |= {"绑定手机号": ("membership",), "签到": ("check_in",), "我要入会": ("membership",)}
    with counter.database.transaction() as session:
        sync_stock(session, programme, counter.now)
        import_codes(session, "films", ["code", "FILM0001"], "first", counter.now, programme.zone)
    counter.member("wmA", 100, rep="liuyang")
    return counter


def told(rows: Sequence[OutboxRow]) -> str:
    """All that a customer is told."""
    payloads = [msgspec.json.decode(row.payload) for row in rows if row.kind in {"kf_text", "kf_menu"}]
    return "\n".join(str(one.get("content") or one.get("head")) for one in payloads)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("电影票", ["兑换密码", "FILM0001", "不能撤销"]),
        ("读书会", ["点这里领取", "https://club.example/join?t="]),
        ("展览券", ["领取页", "https://member.example/r/"]),
        ("饮品券", ["放进您的卡包"]),
        ("现金红包", ["红包会发到您的微信"]),
        ("马克杯", ["三天内寄出", "兑换码"]),
    ],
)
def test_each_way_of_handing_over_has_its_own_words(name: str, words: list[str], shop: Counter) -> None:
    """The customer reads what to do with exactly this; a code is shown only where one is handed in."""
    assert "确认兑换吗" in told(shop.handle(shop.message("wmA", f"换{name}")))
    done = told(shop.handle(shop.message("wmA", "好的")))
    assert all(word in done for word in ["换好啦", "还剩 90", *words])
    assert ("撤销兑换" in done) == (name != "电影票")


def test_a_limit_by_month_is_told_before_the_prompt(shop: Counter) -> None:
    """The second of the month is refused in words, and may be had next month."""
    shop.handle(shop.message("wmA", "换马克杯"))
    shop.handle(shop.message("wmA", "好的"))
    assert "每人最多换 1 份" in told(shop.handle(shop.message("wmA", "换马克杯")))
    shop.push(days=31)
    assert "确认兑换吗" in told(shop.handle(shop.message("wmA", "换马克杯")))


def test_a_typed_phone_takes_over_nobody(shop: Counter) -> None:
    """Who types the number of somebody else gets nothing of theirs: staff decide; the number is kept hashed."""
    phone = shop.brand.identifier.identity(PHONE, "13800138000")
    owner = shop.member("wmOwner", 5000)
    with shop.database.transaction() as session:
        customers.attach(session, owner, phone.kind, phone.value, "till", shop.now)
    shop.handle(shop.message("wmA", "绑定手机号"))
    said = told(shop.handle(shop.message("wmA", "138-0013-8000")))
    assert "尾号 8000" in said and "13800138000" not in said
    with shop.database.reading() as session:
        mine = customers.find(session, "external_userid", "wmA")
        assert mine is not None and mine != customers.find(session, *phone)
        assert balance_of(session, mine, shop.now).available == 100
        [proposal] = matching.proposals(session)
        assert {proposal.member_id, proposal.other_id} == {mine, owner}
        assert session.scalars(select(Hint.value)).all() == [phone.value]


def test_a_phone_without_a_secret_goes_to_staff(shop: Counter) -> None:
    """Where numbers cannot be hashed none is kept, and somebody is asked to help."""
    shop.brand = replace(shop.brand, identifier=Identifier(""))
    rows = shop.handle(shop.message("wmA", "13800138000"))
    assert "已请同事" in told(rows) and any(row.kind == "card" for row in rows)
    with shop.database.reading() as session:
        assert session.scalars(select(Hint.value)).all() == []


def test_joining_needs_a_yes_and_counts_once(shop: Counter) -> None:
    """A doubt joins nobody; a yes delivered twice joins and welcomes once."""
    shop.handle(shop.message("wmNew", "我要入会"))
    shop.handle(shop.message("wmNew", "我想想啊 有什么好处"))
    new = Identity("external_userid", "wmNew")
    with shop.database.reading() as session:
        member = customers.find_many(session, [new])[new]
        assert customers.profiles(session, [member])[member].joined_at is None
    yes = shop.message("wmNew", "同意加入")
    shop.handle(yes)
    shop.handle(yes)
    with shop.database.reading() as session:
        assert customers.profiles(session, [member])[member].joined_at == shop.now
        assert balance_of(session, member, shop.now).available == 20


def test_a_check_in_read_after_midnight_counts_for_the_day_it_was_written(shop: Counter) -> None:
    """Written a minute before midnight in Shanghai, read a minute after: the next one is of the next day."""
    shop.push(hours=12)  # it is midnight in Shanghai
    late = shop.message("wmA", "签到", at=shop.now - timedelta(minutes=1))
    assert "连续 1 天" in told(shop.handle(late))
    assert "连续 2 天" in told(shop.handle(shop.message("wmA", "签到")))
