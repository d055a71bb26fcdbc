"""Precision and recall of the fraud rules on a simulated attack set, with a seed.

    python benchmarks/bench_fraud.py [--members 20000] [--seed 7] [--postgresql]

How it is simulated. Honest life of 60 days first: buyers with a rhythm of their own, refunds of one order in fifteen,
referrals of whom two in three buy, families of two to five that share a phone or an address (and sometimes bring each
other), offices where forty share an address, a till's tablet with 120 buying customers, people who redeem twice on a
feast day, shopaholics who send half of their clothes back, daily check-ins. Then attacks, each with a strength drawn
from a range that reaches down to what honest people do: self-referral rings on shared devices or phones, farms of empty
accounts on one device, circles of referrals, referrers of empty friends, refund loops, order bursts, scripts that check
in, redemption bursts of one account and of groups. What counts is the member: flagged by any finding (precision,
recall), and per kind of attack. The rules know nothing of the simulation but the tables. Nothing was tuned on this seed
alone: try another.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from own_database import own_postgres
from sqlalchemy import func, select

from bot.database import Database
from bot.tables import METADATA
from loyalty import fraud
from loyalty.campaign_tables import Activity, Referral
from loyalty.insight_tables import FraudFinding, FraudSuspect
from loyalty.people_tables import Hint
from loyalty.programme import Programme
from loyalty.tables import Member, Order, PurchaseSummary, Redemption, Refund, table_of

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
DAYS = 60
BRAND = Programme.model_validate({"name": "青禾", "earning": {"points_per_yuan": 1}})


class World:
    """Rows in the making."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.rows: dict[type, list[dict[str, Any]]] = defaultdict(list)
        self.members = 0
        self.guilty: dict[int, str] = {}
        self.bought: dict[int, list[tuple[datetime, int]]] = defaultdict(list)
        self.friends: set[int] = set()

    def member(self, guilty: str = "") -> int:
        self.members += 1
        if guilty:
            self.guilty[self.members] = guilty
        self.rows[Member].append({"id": self.members, "created_at": NOW})
        return self.members

    def ago(self, most_days: float = DAYS, least_days: float = 0.0) -> datetime:
        return NOW - timedelta(days=self.rng.uniform(least_days, most_days))

    def share(self, members: list[int], kind: str) -> None:
        value = f"{kind}-{len(self.rows[Hint])}"
        for each in members:
            self.rows[Hint].append({"kind": kind, "value": value, "member_id": each, "evidence": "sim",
                                    "created_at": self.ago()})

    def order(self, member: int, at: datetime, fen: int, refunded: float = 0.0, waived: int = 0) -> None:
        number = len(self.rows[Order]) + 1
        self.rows[Order].append({
            "id": number, "source": "sim", "external_id": str(number), "body_hash": "", "member_id": member,
            "paid_at": at, "amount_fen": fen, "items": [], "earned": fen // 100, "recorded_at": at,
            "state": "paid" if not refunded else "refunded" if refunded == 1 else "partly_refunded"})
        self.bought[member].append((at, fen - int(fen * refunded)))
        if refunded:
            self.rows[Refund].append({
                "key": str(number), "order_id": number, "amount_fen": int(fen * refunded), "restored": 0,
                "clawed_back": 0, "owed": 0, "waived": waived, "stored_value_fen": 0,
                "at": min(NOW, at + timedelta(days=self.rng.uniform(0.5, 7)))})

    def act(self, member: int, kind: str, at: datetime, friend: int | None = None) -> int:
        number = len(self.rows[Activity]) + 1
        self.rows[Activity].append({
            "id": number, "key": str(number), "body_hash": "", "member_id": member, "behaviour_id": kind, "kind": kind,
            "subject": "", "friend_id": friend, "facts": {}, "state": "granted", "reason": "", "streak_days": 0,
            "day": at.date(), "at": at})
        return number

    def bring(self, member: int, friend: int, at: datetime) -> None:
        if friend not in self.friends:
            self.friends.add(friend)
            self.rows[Referral].append({"friend_id": friend, "member_id": member, "at": at,
                                        "activity_id": self.act(member, "referral", at, friend)})

    def redeem(self, member: int, at: datetime) -> None:
        number = len(self.rows[Redemption]) + 1
        self.rows[Redemption].append({
            "key": str(number), "code": str(number), "member_id": member, "reward_id": "mug", "name": "杯子",
            "handover": "", "quantity": 1, "cost": 100, "state": "issued", "at": at, "undo_until": at})

    def write(self, database: Database) -> None:
        for member, bought in self.bought.items():
            self.rows[PurchaseSummary].append({
                "member_id": member, "first_at": min(bought)[0], "last_at": max(bought)[0], "orders": len(bought),
                "amount_fen": sum(fen for _, fen in bought), "last_items": []})
        with database.transaction() as session:
            for entity in (Member, Hint, Order, Refund, Activity, Referral, Redemption, PurchaseSummary):
                if self.rows[entity]:
                    session.execute(table_of(entity).insert(), self.rows[entity])


def honest(world: World, members: int) -> None:
    """People who want nothing but their coffee."""
    rng = world.rng
    people = [world.member() for _ in range(members)]
    for each in people:
        habit = rng.random()
        if habit < 0.8:
            gap, at = rng.lognormvariate(2.7, 0.6), world.ago()
            returns = 0.5 if rng.random() < 0.01 else 1 / 15
            while at < NOW:
                back = rng.choice([1, 1, 0.5]) if rng.random() < returns else 0
                world.order(each, at, rng.randint(1500, 30_000), back)
                if rng.random() < 0.03:  # a second bill at the same table
                    world.order(each, at + timedelta(minutes=rng.randint(1, 50)), rng.randint(1500, 6000))
                at += timedelta(days=gap * rng.lognormvariate(0, 0.4))
        if rng.random() < 0.3:
            for _ in range(rng.randint(1, 20)):
                world.act(each, "check_in", world.ago())
        if rng.random() < 0.2:
            at = world.ago()
            for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
                world.redeem(each, at + timedelta(minutes=rng.randint(0, 40)))
    place = 0
    while place < members // 4:  # families
        family = people[place:place + rng.randint(2, 5)]
        place += len(family)
        world.share(family, rng.choice(["unverified_phone", "name_address", "name_address"]))
        for friend in family[1:]:
            if rng.random() < 0.25:
                world.bring(family[0], friend, world.ago())
    for start in range(members // 4, members // 4 + 400, 40):  # offices
        world.share(people[start:start + 40], "name_address")
    world.share([each for each in people[members // 2:] if world.bought.get(each)][:120], "device")  # a till's tablet
    for member in rng.sample(people, members // 25):  # who brings friends
        for _ in range(rng.randint(1, 12)):
            friend, at = world.member(), world.ago()
            world.bring(member, friend, at)
            if rng.random() < 0.66:
                world.order(friend, min(NOW, at + timedelta(days=rng.expovariate(1 / 4))), rng.randint(1500, 9000))


def ring(world: World, kind: str) -> None:
    members = [world.member(kind) for _ in range(world.rng.randint(3, 10))]
    world.share(members, world.rng.choice(["device", "device", "unverified_phone", "name_address"]))
    for friend in members[1:]:
        world.bring(world.rng.choice([members[0], world.rng.choice(members[:2])]), friend, world.ago(25))
        if world.rng.random() < 0.2:
            world.order(friend, world.ago(20), 100)


def farm(world: World, kind: str) -> None:
    members = [world.member(kind) for _ in range(world.rng.randint(4, 30))]
    world.share(members, world.rng.choice(["device", "unverified_phone"]))
    for each in members:
        world.act(each, "check_in", world.ago(20))
        if world.rng.random() < 0.15:
            world.order(each, world.ago(20), 100)


def circle(world: World, kind: str) -> None:
    members = [world.member(kind) for _ in range(world.rng.randint(2, 6))]
    for one, other in zip(members, members[1:] + members[:1], strict=True):
        world.bring(one, other, world.ago(25))
        if world.rng.random() < 0.5:
            world.order(other, world.ago(20), 2000)


def empty_friends(world: World, kind: str) -> None:
    boss = world.member(kind)
    for _ in range(world.rng.randint(5, 40)):
        friend = world.member()  # a name that was bought: the one who gains is the boss
        world.bring(boss, friend, world.ago(28, 1))
        if world.rng.random() < 0.08:
            world.order(friend, world.ago(20), 100)


def refund_loop(world: World, kind: str) -> None:
    each = world.member(kind)
    for _ in range(world.rng.randint(2, 10)):
        world.order(each, world.ago(27, 8), world.rng.randint(5000, 90_000), world.rng.choice([1, 1, 1, 0.9]),
                    world.rng.choice([0, 50, 200]))
    for _ in range(world.rng.randint(0, 2)):
        world.order(each, world.ago(27, 8), world.rng.randint(1000, 20_000))


def order_burst(world: World, kind: str) -> None:
    each, at = world.member(kind), world.ago(28, 1)
    for _ in range(world.rng.randint(5, 30)):
        world.order(each, at + timedelta(minutes=world.rng.uniform(0, 100)), world.rng.randint(100, 3000))


def script(world: World, kind: str) -> None:
    each, at = world.member(kind), world.ago(28, 1)
    for _ in range(world.rng.randint(25, 200)):
        world.act(each, "share", at + timedelta(minutes=world.rng.uniform(0, 55)))


def redeem_burst(world: World, kind: str) -> None:
    each, at = world.member(kind), world.ago(28, 1)
    for _ in range(world.rng.randint(3, 20)):
        world.redeem(each, at + timedelta(minutes=world.rng.uniform(0, 50)))


def group_burst(world: World, kind: str) -> None:
    members, at = [world.member(kind) for _ in range(world.rng.randint(3, 12))], world.ago(28, 1)
    world.share(members, world.rng.choice(["device", "name_address"]))
    for each in members:
        world.order(each, world.ago(DAYS), 3000)
        world.redeem(each, at + timedelta(minutes=world.rng.uniform(0, 50)))


ATTACKS: dict[str, Callable[[World, str], None]] = {
    "self-referral ring": ring, "farm of accounts": farm, "circle of referrals": circle, "empty friends": empty_friends,
    "refund loop": refund_loop, "order burst": order_burst, "script": script, "redemption burst": redeem_burst,
    "group burst": group_burst}


def main() -> None:
    """Simulate, look, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--attacks", type=int, default=20, help="of each kind")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args()
    world = World(options.seed)
    honest(world, options.members)
    for kind, attack in ATTACKS.items():
        for _ in range(options.attacks):
            attack(world, kind)

    def run(url: str) -> None:
        database = Database(url, sqlite_synchronous="OFF")
        METADATA.create_all(database.engine)
        world.write(database)
        judge(database, world, options.seed)
        database.dispose()

    if options.postgresql:
        with own_postgres() as dsn:
            run(dsn)
    else:
        with tempfile.TemporaryDirectory() as folder:
            run(f"sqlite:///{Path(folder) / 'bench.db'}")


def judge(database: Database, world: World, seed: int) -> None:
    """What was found, beside what was done."""
    started = time.perf_counter()
    with database.transaction() as session:
        fraud.look(session, BRAND, NOW)
    took = time.perf_counter() - started
    with database.reading() as session:
        by_rule: dict[str, set[int]] = defaultdict(set)
        for rule, member in session.execute(
                select(FraudFinding.rule, FraudSuspect.member_id)
                .join(FraudSuspect, FraudSuspect.finding_id == FraudFinding.id)):
            by_rule[rule].add(member)
        cases = dict(session.execute(select(FraudFinding.rule, func.count()).group_by(FraudFinding.rule)).all())
    print(f"seed {seed}: {world.members} members, {len(world.guilty)} of them in attacks, "
          f"{sum(map(len, world.rows.values()))} rows; one look at all of it: {took:.1f} s")
    print("by rule: findings, members, precision")
    for rule, members in sorted(by_rule.items()):
        right = len(members & world.guilty.keys())
        print(f"  {rule:22} {cases[rule]:4d} {len(members):5d}  {right / len(members):.2f}")
    flagged = set().union(*by_rule.values())
    print("by attack: members, recall")
    for kind in ATTACKS:
        theirs = {member for member, each in world.guilty.items() if each == kind}
        print(f"  {kind:22} {len(theirs):4d}  {len(theirs & flagged) / len(theirs):.2f}")
    right = len(flagged & world.guilty.keys())
    print(f"together: precision {right / len(flagged):.3f}, recall {right / len(world.guilty):.3f}, "
          f"{len(flagged) - right} honest members of {world.members - len(world.guilty)} under suspicion")


if __name__ == "__main__":
    main()
