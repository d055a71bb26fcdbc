"""Fraud: each rule finds the abuse it names and lets honest people be; points can be held, given back, taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import fraud, ledger
from loyalty.balances import available
from loyalty.campaign_tables import Activity, Referral
from loyalty.customers import Identity, resolve
from loyalty.errors import FindingDecided, UnknownFinding
from loyalty.fraud_links import Groups
from loyalty.insight_tables import FraudFinding
from loyalty.orders import OrderIn, record_many
from loyalty.people_tables import Hint
from loyalty.programme import Programme
from loyalty.refunds import refund
from loyalty.tables import Redemption, table_of

NOW = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
BRAND = Programme.model_validate({"name": "青禾", "earning": {"points_per_yuan": 1}})


def people(session: Session, *names: str) -> list[int]:
    """Members by these names."""
    wanted = [Identity("openid", name) for name in names]
    found = resolve(session, wanted, NOW)
    return [found[each] for each in wanted]


def buy(session: Session, who: str, *hours_ago: float, fen: int = 10_000) -> None:
    """Orders so many hours before now."""
    record_many(session, [OrderIn(source="pos", external_id=f"{who}-{hours}", identities=(Identity("openid", who),),
                                  paid_at=NOW - timedelta(hours=hours), amount_fen=fen) for hours in hours_ago], BRAND,
                NOW)


def share(session: Session, kind: str, *members: int) -> None:
    """All of them were seen with one and the same."""
    session.execute(table_of(Hint).insert(), [
        {"kind": kind, "value": f"{kind}:{members[0]}", "member_id": each, "evidence": "form", "created_at": NOW}
        for each in members])


def act(session: Session, member: int, number: int, at: datetime, friend: int | None = None) -> None:
    """Something that earns; with a friend it is a referral."""
    kind = "referral" if friend else "share"
    session.execute(table_of(Activity).insert(), [{
        "id": number, "key": f"a{number}", "body_hash": "", "member_id": member, "behaviour_id": kind, "kind": kind,
        "subject": "", "friend_id": friend, "facts": {}, "state": "granted", "reason": "", "streak_days": 0,
        "day": at.date(), "at": at}])
    if friend:
        session.execute(table_of(Referral).insert(), [
            {"friend_id": friend, "member_id": member, "activity_id": number, "at": at}])


def redeem(session: Session, member: int, *minutes_ago: int) -> None:
    """Rewards taken so many minutes before now."""
    session.execute(table_of(Redemption).insert(), [{
        "key": f"{member}-{each}", "code": f"{member}-{each}", "member_id": member, "reward_id": "mug", "name": "杯子",
        "handover": "", "quantity": 1, "cost": 10, "state": "issued", "at": NOW - timedelta(minutes=each),
        "undo_until": NOW} for each in minutes_ago])


def found(session: Session, programme: Programme = BRAND) -> dict[str, set[int]]:
    """Rules that fired, with their suspects."""
    fraud.look(session, programme, NOW)
    cases = [fraud.case_of(session, each.id) for each in fraud.findings(session)]
    assert all(case.evidence and case.finding.mend and 50 <= case.finding.score <= 100 for case in cases)
    return {case.finding.rule: {each.member_id for each in case.suspects} for case in cases}


def test_honest_people_are_let_be(database: Database) -> None:
    """A family with one address and phone that brought one of them, a returned order, two gifts at once: nothing."""
    with database.transaction() as session:
        family = people(session, "pa", "ma", "kid")
        for who in ("pa", "ma", "kid"):
            buy(session, who, 300, 100, 3, 2.9)
        share(session, "name_address", *family)
        share(session, "unverified_phone", *family)
        act(session, family[0], 1, NOW - timedelta(days=9), family[1])
        refund(session, "pos", "pa-3", 10_000, key="r", programme=BRAND, at=NOW)
        redeem(session, family[0], 5, 6)
        assert found(session) == {}


def test_six_orders_within_two_hours_are_too_fast(database: Database) -> None:
    """Six count wherever the hour turns; five, or six over a day, do not. A second look finds nothing new."""
    with database.transaction() as session:
        runner, _, _ = people(session, "runner", "five", "slow")
        buy(session, "runner", 1.9, 1.5, 1.2, 0.9, 0.5, 0.1)
        buy(session, "five", 1.9, 1.5, 1.2, 0.9, 0.5)
        buy(session, "slow", 20, 16, 12, 8, 4, 0.1)
        assert found(session) == {"velocity_orders": {runner}}
        assert fraud.look(session, BRAND, NOW + timedelta(minutes=5)) == []
        case = fraud.case_of(session, fraud.findings(session)[0].id)
        assert len(case.evidence) == 6 and {each.table_name for each in case.evidence} == {"orders"}


def test_a_script_is_faster_than_hands(database: Database) -> None:
    """Thirty shares within the hour."""
    with database.transaction() as session:
        [bot] = people(session, "bot")
        for number in range(30):
            act(session, bot, number + 1, NOW - timedelta(minutes=number))
        assert found(session) == {"velocity_activities": {bot}}


def test_a_ring_brings_itself(database: Database) -> None:
    """One phone on a table, four accounts, three referrals, nobody buys: a ring, and many accounts on one device."""
    with database.transaction() as session:
        ring = people(session, "a", "b", "c", "d")
        share(session, "device", *ring)
        for number, friend in enumerate(ring[1:], 1):
            act(session, ring[0], number, NOW - timedelta(days=2), friend)
        assert found(session) == {"self_referral": set(ring), "many_accounts": set(ring)}


def test_ties_reach_over_several_values(database: Database) -> None:
    """A shares a phone with B, B an address with C: C brought A and B, nobody buys, so it is one ring."""
    with database.transaction() as session:
        a, b, c = people(session, "a", "b", "c")
        share(session, "unverified_phone", a, b)
        share(session, "name_address", b, c)
        act(session, c, 1, NOW - timedelta(days=2), a)
        act(session, c, 2, NOW - timedelta(days=2), b)
        assert found(session) == {"self_referral": {a, b, c}}


def test_what_a_crowd_shares_ties_nobody(database: Database) -> None:
    """Thirty people of one office, two of whom were brought by a colleague and have not bought yet."""
    with database.transaction() as session:
        office = people(session, *(f"o{n}" for n in range(30)))
        share(session, "name_address", *office)
        for number in (1, 2):
            act(session, office[0], number, NOW - timedelta(days=2), office[number])
        assert found(session) == {}


def test_a_circle_of_referrals_has_no_beginning(database: Database) -> None:
    """A brought B, B brought C, C brought A; D whom C brought is no part of it."""
    with database.transaction() as session:
        a, b, c, d = people(session, "a", "b", "c", "d")
        for number, (one, other) in enumerate(((a, b), (b, c), (c, a), (c, d)), 1):
            act(session, one, number, NOW - timedelta(days=2), other)
        assert found(session) == {"referral_circle": {a, b, c}}


def test_friends_who_never_buy_tell_on_who_brought_them(database: Database) -> None:
    """Eight friends of ten days ago and no order; friends of yesterday may still buy."""
    with database.transaction() as session:
        old, young, *friends = people(session, "old", "young", *(f"f{n}" for n in range(16)))
        for number, friend in enumerate(friends, 1):
            days = 10 if number <= 8 else 1
            act(session, old if number <= 8 else young, number, NOW - timedelta(days=days), friend)
        assert found(session) == {"empty_referrals": {old}}


def test_buying_to_give_back_is_a_loop(database: Database) -> None:
    """Four orders, all given back; who gave back one of four does well."""
    with database.transaction() as session:
        looper, _ = people(session, "looper", "fitter")
        buy(session, "looper", 200, 150, 100, 50)
        buy(session, "fitter", 200, 150, 100, 50)
        for who, hours in (("looper", 200), ("looper", 150), ("looper", 100), ("looper", 50), ("fitter", 50)):
            refund(session, "pos", f"{who}-{hours}", 10_000, key=f"{who}{hours}", programme=BRAND, at=NOW)
        assert found(session) == {"refund_loop": {looper}}


def test_redemption_bursts_of_one_and_of_a_group(database: Database) -> None:
    """Five within minutes by one; and three who share a device with two each."""
    with database.transaction() as session:
        alone, *group = people(session, "alone", "a", "b", "c")
        redeem(session, alone, 1, 2, 3, 4, 5)
        share(session, "device", *group)
        for each in group:
            redeem(session, each, 10, 20)
        assert found(session) == {"burst_redemptions": {alone}, "burst_group": set(group)}


def suspect(session: Session) -> tuple[int, int]:
    """Somebody with 600 points of six hasty orders, and 50 of before: the finding and the member."""
    [runner] = people(session, "runner")
    ledger.earn(session, runner, 50, key="old", reason="gift", at=NOW - timedelta(days=300))
    buy(session, "runner", 1.9, 1.5, 1.2, 0.9, 0.5, 0.1)
    [finding] = fraud.look(session, BRAND, NOW)
    return finding, runner


def test_held_points_cannot_be_spent_and_come_back(database: Database) -> None:
    """Held is what was gained of late; dismissed, all is as before; a second decision is refused."""
    with database.transaction() as session:
        finding, member = suspect(session)
        assert fraud.hold(session, finding, BRAND, by="li", at=NOW) == 600
        assert available(session, [member], NOW)[member] == 50
        with pytest.raises(FindingDecided, match=r"is held, only what is open"):
            fraud.hold(session, finding, BRAND, by="li", at=NOW)
        assert fraud.dismiss(session, finding, by="li", at=NOW, note="员工内购") == 600
        assert available(session, [member], NOW)[member] == 650
        with pytest.raises(FindingDecided, match="is dismissed"):
            fraud.confiscate(session, finding, by="li", at=NOW)
        with pytest.raises(UnknownFinding, match="huitou fraud list"):
            fraud.dismiss(session, 999, by="li", at=NOW)


def test_confiscated_points_are_gone_and_the_ledger_balances(database: Database) -> None:
    """The suspicion was right: the held points are taken, the others stay."""
    with database.transaction() as session:
        finding, member = suspect(session)
        fraud.hold(session, finding, BRAND, by="li", at=NOW)
        assert fraud.confiscate(session, finding, by="wang", at=NOW, note="刷单") == 600
        assert available(session, [member], NOW)[member] == 50
        case = fraud.case_of(session, finding)
        assert (case.finding.state, case.finding.decided_by, case.finding.note) == ("confiscated", "wang", "刷单")


def test_a_review_that_nobody_makes_ends_by_itself(database: Database) -> None:
    """After 14 days the hold times out; a late decision takes nothing and breaks nothing."""
    with database.transaction() as session:
        finding, member = suspect(session)
        fraud.hold(session, finding, BRAND, by="li", at=NOW)
        late = NOW + timedelta(days=15)
        assert ledger.release_due_holds(session, late) == 1
        assert fraud.confiscate(session, finding, by="li", at=late) == 0
        assert available(session, [member], late)[member] == 650


def test_a_programme_may_hold_at_once(database: Database) -> None:
    """From a score the brand names, points are held when the finding is made."""
    strict = BRAND.model_copy(update={"fraud": BRAND.fraud.model_copy(update={"hold_from_score": 50})})
    with database.transaction() as session:
        [runner] = people(session, "runner")
        buy(session, "runner", 1.9, 1.5, 1.2, 0.9, 0.5, 0.1)
        fraud.look(session, strict, NOW)
        [finding] = fraud.findings(session, ("held",))
        assert finding.decided_by == "rule" and available(session, [runner], NOW)[runner] == 0


def test_the_ticker_looks_once_an_hour(database: Database) -> None:
    """Called every minute it looks every hour, and sees what came between, however it lies over the hour."""
    with database.transaction() as session:
        [runner] = people(session, "runner")
        assert fraud.look_when_due(session, BRAND, NOW - timedelta(minutes=61)) == []
        buy(session, "runner", 1.9, 1.5, 1.2, 0.9, 0.5, 0.1)
        assert fraud.look_when_due(session, BRAND, NOW - timedelta(minutes=10)) == []
        [finding] = fraud.look_when_due(session, BRAND, NOW)
        assert session.get_one(FraudFinding, finding).rule == "velocity_orders"
        assert {each.member_id for each in fraud.case_of(session, finding).suspects} == {runner}


def test_groups_grow_by_chains() -> None:
    """1-2, 3-4 and 2-3 are one group of four; 5 alone is none."""
    groups = Groups()
    for one, other in ((1, 2), (3, 4), (2, 3), (5, 5)):
        groups.join(one, other)
    assert list(groups.many()) == [[1, 2, 3, 4]]
