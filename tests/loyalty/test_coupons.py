"""Coupons: issued, locked, used, returned, lapsed; never used twice, never dearer than the basket."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import errors
from loyalty.baskets import Basket, discount
from loyalty.coupons import give_back, issue, lapsing, lock, of_member, sweep, unlock, usable, use
from loyalty.customers import resolve
from loyalty.programme import Programme
from loyalty.reward_parts import CouponType
from loyalty.reward_tables import Coupon

TYPES = [
    {"id": "ten", "name": "10元无门槛券", "amount_off_fen": 1_000, "valid_days": 30},
    {"id": "full", "name": "满100减20", "amount_off_fen": 2_000, "threshold_fen": 10_000, "valid_days": 30},
    {"id": "beans", "name": "咖啡豆85折", "percent_off": 15, "most_off_fen": 3_000, "skus": ["BEAN"],
     "categories": ["豆子"], "valid_days": 7, "stock": 3, "per_member": 1},
    {"id": "small", "name": "1元叠加券", "amount_off_fen": 100, "valid_days": 30, "stackable": True},
    {"id": "may", "name": "五月券", "amount_off_fen": 500, "valid_to": "2026-06-01T00:00:00+08:00",
     "open_from": "2026-05-01T00:00:00+08:00"},
]


@pytest.fixture
def programme(programme: Programme) -> Programme:
    """With five types of coupon."""
    return Programme.model_validate(programme.model_dump(mode="json") | {"coupons": TYPES})


def somebody(session: Session, at: datetime, name: str = "oWangFang") -> int:
    """A member."""
    return resolve(session, [("openid", name)], at)["openid", name]


def basket(*lines: tuple[str, int], category: str = "") -> Basket:
    """A basket of these products and amounts."""
    return Basket.model_validate({"lines": [{"sku": sku, "amount_fen": fen, "category": category}
                                            for sku, fen in lines]})


COFFEE = basket(("QH-30", 12_000))


def race(database: Database, act: Any) -> list[str]:
    """What each of six got who started at the same moment: the answer, or the name of the refusal."""
    gate = Barrier(6)

    def run(number: int) -> str:
        gate.wait(10)
        try:
            with database.transaction() as session:
                return str(act(session, number))
        except errors.LoyaltyError as refusal:
            return type(refusal).__name__

    with ThreadPoolExecutor(6) as pool:
        return sorted(pool.map(run, range(6)))


def test_a_coupon_is_issued_once(database: Database, noon: datetime, programme: Programme) -> None:
    """Valid to the end of the thirtieth day; the same key again is the same coupon, another body is refused."""
    with database.transaction() as session:
        member = somebody(session, noon)
        first = issue(session, member, "ten", "order T1", programme, noon)
        assert first.expires_at == noon.replace(hour=16) + timedelta(days=30)
        assert issue(session, member, "ten", "order T1", programme, noon + timedelta(days=2)) == first
        with pytest.raises(errors.KeyReused):
            issue(session, member, "full", "order T1", programme, noon)
        with pytest.raises(errors.UnknownOffer, match="gold"):
            issue(session, member, "gold", "order T2", programme, noon)
        with pytest.raises(errors.UnknownMember):
            issue(session, 999, "ten", "order T3", programme, noon)
        with pytest.raises(errors.RewardClosed):
            issue(session, member, "may", "order T4", programme, noon)
        assert of_member(session, member, noon) == [first]


def test_limits_of_a_type_hold(database: Database, noon: datetime, programme: Programme) -> None:
    """One a member, three in all; a refusal leaves its key free."""
    with database.transaction() as session:
        members = [somebody(session, noon, f"p{n}") for n in range(4)]
        issue(session, members[0], "beans", "1", programme, noon)
        with pytest.raises(errors.LimitReached):
            issue(session, members[0], "beans", "2", programme, noon)
        issue(session, members[1], "beans", "2", programme, noon)
        issue(session, members[2], "beans", "3", programme, noon)
        with pytest.raises(errors.OutOfStock):
            issue(session, members[3], "beans", "4", programme, noon)
        assert issue(session, members[3], "ten", "4", programme, noon).type_id == "ten"


def test_what_fits_a_basket_is_told_with_the_reason_of_the_rest(database: Database, noon: datetime,
                                                                programme: Programme) -> None:
    """Best first; below a threshold, for other products, locked elsewhere or lapsed: each says why."""
    with database.transaction() as session:
        member = somebody(session, noon)
        codes = {kind: issue(session, member, kind, kind, programme, noon).code for kind in ("ten", "full", "beans")}
        fits = usable(session, member, COFFEE, noon)
        assert [(fit.coupon.type_id, fit.discount_fen, fit.why) for fit in fits] == [
            ("full", 2_000, ""), ("ten", 1_000, ""), ("beans", 0, "nothing in the basket is what it is for")]
        beans = basket(("BEAN", 4_000), ("QH-30", 5_000))
        fits = usable(session, member, beans, noon)
        assert [(fit.coupon.type_id, fit.discount_fen) for fit in fits if fit.usable] == [
            ("ten", 1_000), ("beans", 600)]
        assert "1000 fen are missing" in fits[-1].why
        assert usable(session, member, basket(("X", 50_000), category="豆子"), noon)[0].discount_fen == 3_000
        lock(session, codes["ten"], member, "T1", COFFEE, "k", noon)
        reasons = {fit.coupon.type_id: fit.why for fit in usable(session, member, beans, noon)}
        assert reasons["ten"] == "it is locked for order 'T1'"
        assert len(usable(session, member, COFFEE, noon + timedelta(days=8))) == 2
        assert usable(session, somebody(session, noon, "other"), COFFEE, noon) == []


def test_an_order_takes_a_coupon_through_its_life(database: Database, noon: datetime, programme: Programme) -> None:
    """Locked, used, returned with the order, used again; every step once per key, none out of turn."""
    with database.transaction() as session:
        member = somebody(session, noon)
        code = issue(session, member, "full", "i", programme, noon).code
        locked = lock(session, code, member, "T1", COFFEE, "l1", noon)
        assert (locked.state, locked.order_ref, locked.discount_fen) == ("locked", "T1", 2_000)
        assert lock(session, code.lower(), member, "T1", COFFEE, "l1", noon) == locked
        for order, error in (("T2", errors.CouponRefused),):
            with pytest.raises(error):
                use(session, code, member, order, COFFEE, "x", noon)
        with pytest.raises(errors.CouponRefused):
            give_back(session, code, member, "T1", "x", noon)
        assert use(session, code, member, "T1", COFFEE, "u1", noon).state == "used"
        with pytest.raises(errors.CouponRefused, match="it is used"):
            use(session, code, member, "T1", COFFEE, "u2", noon)
        with pytest.raises(errors.CouponRefused):
            unlock(session, code, member, "T1", "x", noon)
        assert give_back(session, code, member, "T1", "r1", noon).state == "issued"
        assert use(session, code, member, "T3", COFFEE, "u3", noon).order_ref == "T3"
        late = noon + timedelta(days=40)
        assert give_back(session, code, member, "T3", "r3", late).state == "lapsed"
        with pytest.raises(errors.KeyReused):
            use(session, code, member, "T4", COFFEE, "u3", noon)
        with pytest.raises(errors.UnknownOffer):
            use(session, code, somebody(session, noon, "thief"), "T4", COFFEE, "u4", noon)


def test_a_lock_has_its_time(database: Database, noon: datetime, programme: Programme) -> None:
    """A coupon locked in its last minute is good until the lock ends; after that another order may take it."""
    with database.transaction() as session:
        member = somebody(session, noon)
        code = issue(session, member, "ten", "i", programme, noon)
        end = code.expires_at
        lock(session, code.code, member, "T1", COFFEE, "l1", end - timedelta(minutes=1))
        assert use(session, code.code, member, "T1", COFFEE, "u1", end + timedelta(minutes=5)).state == "used"
        other = issue(session, member, "ten", "i2", programme, noon).code
        lock(session, other, member, "T2", COFFEE, "l2", noon)
        assert use(session, other, member, "T3", COFFEE, "u2", noon + timedelta(minutes=30)).order_ref == "T3"


def test_only_stackable_coupons_share_an_order(database: Database, noon: datetime, programme: Programme) -> None:
    """Two ¥1 coupons go together, a ¥10 coupon goes alone, in either order."""
    with database.transaction() as session:
        member = somebody(session, noon)
        small = [issue(session, member, "small", f"s{n}", programme, noon).code for n in range(3)]
        ten = issue(session, member, "ten", "t", programme, noon).code
        for number, code in enumerate(small[:2]):
            use(session, code, member, "T1", COFFEE, f"u{number}", noon)
        with pytest.raises(errors.CouponRefused, match="does not go with it"):
            use(session, ten, member, "T1", COFFEE, "u9", noon)
        lock(session, ten, member, "T2", COFFEE, "l", noon)
        with pytest.raises(errors.CouponRefused, match="does not go with it"):
            lock(session, small[2], member, "T2", COFFEE, "l2", noon)


def test_the_sweep_frees_locks_and_ends_what_is_over(database: Database, noon: datetime,
                                                     programme: Programme) -> None:
    """Half an hour after the lock it is free again; at its end it is lapsed; used ones stay used; limits hold."""
    with database.transaction() as session:
        member = somebody(session, noon)
        entries = [issue(session, member, "ten", f"i{n}", programme, noon) for n in range(4)]
        lock(session, entries[0].code, member, "T1", COFFEE, "l", noon)
        use(session, entries[1].code, member, "T2", COFFEE, "u", noon)
        assert sweep(session, noon + timedelta(minutes=29)) == 0
        assert sweep(session, noon + timedelta(minutes=30)) == 1
        end = entries[0].expires_at
        assert len(lapsing(session, end - timedelta(days=3), end + timedelta(seconds=1))) == 3
        assert lapsing(session, end - timedelta(days=3), end) == []
        assert of_member(session, member, end) == []
        assert sweep(session, end, limit=2) == 2 and sweep(session, end) == 1 and sweep(session, end) == 0
        states = session.execute(select(Coupon.state, func.count()).group_by(Coupon.state).order_by(Coupon.state))
        assert [tuple(row) for row in states] == [("lapsed", 3), ("used", 1)]


def test_issued_terms_outlive_the_programme(database: Database, noon: datetime, programme: Programme) -> None:
    """A type that is taken out of the programme stays good for whoever has one."""
    with database.transaction() as session:
        member = somebody(session, noon)
        code = issue(session, member, "ten", "i", programme, noon).code
        bare = Programme.model_validate(programme.model_dump(mode="json") | {"coupons": []})
        with pytest.raises(errors.UnknownOffer):
            issue(session, member, "ten", "i2", bare, noon)
        assert use(session, code, member, "T1", COFFEE, "u", noon).discount_fen == 1_000


def test_one_coupon_at_six_tills_is_used_once(database: Database, noon: datetime, programme: Programme) -> None:
    """Six orders want it at the same moment: one gets it, five are told."""
    with database.transaction() as session:
        member = somebody(session, noon)
        code = issue(session, member, "ten", "i", programme, noon).code

    def act(session: Session, number: int) -> str:
        take = lock if number % 2 else use
        take(session, code, member, f"T{number}", COFFEE, f"k{number}", noon)
        return "taken"

    assert race(database, act) == ["CouponRefused"] * 5 + ["taken"]


def test_one_key_at_once_issues_one_and_the_stock_holds(database: Database, noon: datetime,
                                                        programme: Programme) -> None:
    """A double tap of six is one coupon; six members want three: three get one."""
    with database.transaction() as session:
        members = [somebody(session, noon, f"p{n}") for n in range(6)]

    codes = race(database, lambda session, number: issue(session, members[0], "ten", "tap", programme, noon).code)
    assert len(set(codes)) == 1
    got = race(database, lambda session, n: issue(session, members[n], "beans", f"w{n}", programme, noon).type_id)
    assert got == ["OutOfStock"] * 3 + ["beans"] * 3


@settings(max_examples=60)
@given(lines=st.lists(st.tuples(st.sampled_from(["BEAN", "QH-30"]), st.integers(0, 10**7)), min_size=1, max_size=5),
       percent=st.none() | st.integers(1, 100), amount=st.integers(1, 10**6), most=st.none() | st.integers(1, 10**6),
       threshold=st.integers(0, 10**6), for_beans=st.booleans())
def test_a_discount_never_exceeds_what_it_is_for(lines: list[tuple[str, int]], percent: int | None, amount: int,
                                                 most: int | None, threshold: int, for_beans: bool) -> None:
    """Whatever the basket and the terms: 0 ≤ discount ≤ the lines it is for, its caps kept, 0 exactly with a reason."""
    kind = CouponType(id="c", name="c", amount_off_fen=None if percent else amount, percent_off=percent,
                      most_off_fen=most if percent else None, threshold_fen=threshold,
                      skus=("BEAN",) if for_beans else (), valid_days=1)
    off, why = discount(kind, basket(*lines))
    meant = sum(fen for sku, fen in lines if sku == "BEAN" or not for_beans)
    assert 0 <= off <= meant and bool(why) == (off == 0)
    assert off == 0 or meant >= threshold
    if percent:
        assert off <= meant * percent / 100 and (most is None or off <= most)
    else:
        assert off in (0, min(amount, meant))


@pytest.mark.parametrize(("changes", "mend"), [
    ({"percent_off": 10}, "either amount_off_fen or percent_off"),
    ({"amount_off_fen": None}, "either amount_off_fen or percent_off"),
    ({"most_off_fen": 5}, "only a discount by percent"),
    ({"valid_days": None}, "how long it is valid"),
])
def test_a_type_that_cannot_work_is_refused(changes: dict[str, Any], mend: str) -> None:
    """Two discounts, none, a cap on a fixed amount, no end: each is told."""
    with pytest.raises(ValidationError, match=mend):
        CouponType.model_validate(TYPES[0] | changes)
