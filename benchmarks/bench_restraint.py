"""What restraint is worth: the same customers with and without Huitou's rules, from one seed.

    python benchmarks/bench_restraint.py [--people 60] [--days 120] [--seed 7]

Simulated customers (synthetic: their numbers are assumptions, printed below, not findings) buy by a rhythm of their
own, complain now and then, are reminded by a touch that comes when a purchase is near, and tire of touches: each adds
to a fatigue that fades within two weeks, and the more tired they are the less a touch moves them and the likelier they
opt out. The follow-ups are those of config/, played by the product itself on SQLite with a pushed clock. Without the
rules means: no budgets, no quiet hours, no pause after a complaint; opting out holds in both.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from followup_stage import sample_brand

from bot.database import Database
from bot.rehearsal import Rehearsal
from bot.tables import METADATA
from handlers.brand import Brand
from handlers.followup.definition import Sop, Sops
from loyalty import customers

BEGIN = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
FADES_DAYS, MOVED, TIRES, LEAVES = 14.0, 0.35, 0.15, 0.0015
"""Fatigue fades in so many days; a touch at the right time moves a rested customer so often; how fast touches move less
and drive away with fatigue."""
SKUS = ("QH-DRIP-30", "QH-BEAN-500")
WEEKLY = [
    {"id": f"offer_{n}", "title": f"每日推荐 {n}", "kind": "selling", "priority": 20 + n,
     "entry": {"again_after_days": 1}, "triggers": [{"event": f"offer_{n}"}],
     "steps": [{"prompt": {"text": "{{ name or '亲' }}, 这周有新品"}}]}
    for n in range(3)
]  # fmt: skip
"""What an eager marketing adds to the follow-ups of config/: an offer a day for everybody."""


@dataclass
class Customer:
    """A life from a seed: rhythm, when the next purchase would come by itself, fatigue, and whether still reachable."""

    name: str
    member: int
    rhythm_days: float
    next_days: float
    fatigue: float = 0.0
    gone: bool = False
    touches: int = 0
    orders: int = 0


def without_rules(brand: Brand) -> Brand:
    """Nothing is held back."""
    free = replace(brand.restraint, quiet_from_h=0, quiet_to_h=0, per_day=99, per_week=999, per_month=999,
                   same_within=timedelta(0), no_selling_after_complaint=timedelta(0), mass_per_month=999)  # fmt: skip
    return replace(brand, restraint=free)


def live(brand: Brand, people: int, days: int, seed: int, follow_ups: bool = True) -> list[Customer]:
    """Play so many days; the dice of each customer are their own, so both worlds begin the same."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/life.db", sqlite_synchronous="OFF")
        METADATA.create_all(database.engine)
        stage = Rehearsal(database, brand, BEGIN).open()
        dice = [random.Random(f"{seed}:{number}") for number in range(people)]
        crowd = []
        for number, one in enumerate(dice):
            name, rhythm = f"客{number}", one.uniform(12, 45)
            member = stage.member(name)
            stage.order(name, one.choice(SKUS), days_ago=rhythm * one.random())
            crowd.append(Customer(name, member, rhythm, rhythm * one.uniform(0.2, 1.4)))
        for day in range(days):
            stage.now = BEGIN + timedelta(days=day)
            if follow_ups:
                for person in crowd:
                    stage.happen(f"api:offer_{day % len(WEEKLY)}", person.member)
            rows = stage.push(hours=12) if follow_ups else []
            for person, one in zip(crowd, dice, strict=True):
                touched = sum(row.member_id == person.member and row.kind in ("card", "kf_text", "oa_text")
                              for row in rows)  # fmt: skip
                _day(stage, person, one, day, touched)
        database.dispose()
    return crowd


def _day(stage: Rehearsal, person: Customer, dice: random.Random, day: int, touched: int) -> None:
    """One day of a life: touches tire, may move or drive away; then comes what comes by itself."""
    rolls = [dice.random() for _ in range(5)]
    if rolls[4] < 0.01:
        stage.hear("complaint", person.member, person.name)
        stage.take_out()
    person.fatigue *= math.exp(-1 / FADES_DAYS)
    person.touches += touched
    person.fatigue += touched
    left_days = person.next_days - day
    if touched and not person.gone and rolls[0] < touched * LEAVES * math.exp(person.fatigue / 4):
        person.gone = True
        with stage.database.transaction() as session:
            customers.opt_out(session, person.member, stage.now)
    near = abs(left_days) < 0.25 * person.rhythm_days
    is_moved = touched and near and rolls[1] < MOVED * math.exp(-TIRES * max(0.0, person.fatigue - 1))
    # Who is not reminded forgets now and then: the purchase slips by a part of the rhythm, or away to somebody else.
    if left_days <= 0 and not is_moved and rolls[2] < 0.45:
        person.next_days = day + person.rhythm_days * (0.4 + rolls[3])
    elif left_days <= 0 or is_moved:
        stage.order(person.name, SKUS[0])
        person.orders += 1
        person.next_days = day + person.rhythm_days * (0.8 + 0.4 * rolls[3])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    brand = sample_brand()
    wanted = {name: sop for name, sop in brand.sops.by_id.items() if name in ("cycle_refill", "inactive_recall")}
    brand = replace(brand, sops=Sops(wanted | {raw["id"]: Sop.model_validate(raw) for raw in WEEKLY}))
    print(f"{asked.people} simulated customers, {asked.days} days, seed {asked.seed}; assumed: fatigue fades in "
          f"{FADES_DAYS:.0f} days, a timely touch moves {MOVED:.0%} of the rested")  # fmt: skip
    print(f"{'':<18}{'touches':>9}{'opted out':>11}{'repurchases':>13}")
    free = without_rules(brand)
    for title, world, follow_ups in (("no follow-ups", brand, False), ("without rules", free, True),
                                     ("with rules", brand, True)):  # fmt: skip
        crowd = live(world, asked.people, asked.days, asked.seed, follow_ups)
        gone, orders = sum(one.gone for one in crowd), sum(one.orders for one in crowd)
        print(f"{title:<18}{sum(one.touches for one in crowd):>9}{gone:>11}{orders:>13}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
