"""Random lives of the ledger against a plain model that keeps lots in lists."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from bot.database import Database
from loyalty import ledger
from loyalty.audit import findings
from loyalty.balances import balances
from loyalty.customers import resolve
from loyalty.errors import HoldClosed, LoyaltyError, NotEnough, NotReversible
from tests.thorough import of

STEPS = int(os.environ.get("HUITOU_LEDGER_STEPS", str(of(1200, 500))))
MEMBERS = 4


@dataclass(eq=False)
class Heap:
    """A lot of the model."""

    expires_at: datetime | None
    left: int

    def alive(self, now: datetime) -> bool:
        """Whether it counts at this moment."""
        return self.expires_at is None or self.expires_at > now


@dataclass
class Taking:
    """A spend or hold of the model: what was taken from which heap."""

    id: int
    parts: list[tuple[Heap, int]]
    until: datetime | None = None


@dataclass
class Person:
    """A member of the model."""

    id: int
    heaps: list[Heap] = field(default_factory=list)
    spends: list[Taking] = field(default_factory=list)
    holds: dict[str, Taking] = field(default_factory=dict)

    def available(self, now: datetime) -> int:
        """Sum of what has not lapsed."""
        return sum(heap.left for heap in self.heaps if heap.alive(now))

    def take(self, amount: int, now: datetime) -> list[tuple[Heap, int]]:
        """Take from what lapses first."""
        parts = []
        far = datetime.max.replace(tzinfo=now.tzinfo)
        for heap in sorted((h for h in self.heaps if h.alive(now)), key=lambda h: h.expires_at or far):
            part = min(heap.left, amount)
            heap.left -= part
            amount -= part
            parts.append((heap, part))
        return parts


class Life:
    """One random life: each step is done to the ledger and to the model."""

    def __init__(self, session: Session, seed: int, now: datetime) -> None:
        self.session, self.random, self.now, self.count = session, random.Random(seed), now, 0
        names = [("openid", f"p{n}") for n in range(MEMBERS)]
        self.people = [Person(id) for id in resolve(session, names, now).values()]
        self.steps = [self.earn, self.earn, self.spend, self.spend, self.hold, self.settle, self.release,
                      self.time_out, self.sweep, self.reverse, self.repeat, self.wait]

    def step(self) -> None:
        """Do one thing to one person."""
        self.count += 1
        self.random.choice(self.steps)(self.random.choice(self.people))

    def key(self) -> str:
        """A key nobody used."""
        return f"k{self.count}"

    def earn(self, person: Person) -> None:
        """A new heap, sometimes for ever."""
        amount, days = self.random.randint(1, 50), self.random.choice([None, 1, 3, 9])
        expiry = self.now + timedelta(days=days) if days else None
        ledger.earn(self.session, person.id, amount, key=self.key(), reason="order", at=self.now, expires_at=expiry)
        person.heaps.append(Heap(expiry, amount))

    def spend(self, person: Person) -> None:
        """Sometimes more than there is."""
        amount, available = self.random.randint(1, 60), person.available(self.now)
        try:
            posted = ledger.spend(self.session, person.id, amount, key=self.key(), reason="redeem", at=self.now)
        except NotEnough as refusal:
            assert (refusal.available, refusal.missing) == (available, amount - available) and amount > available
            return
        assert amount <= available
        person.spends.append(Taking(posted.id, person.take(amount, self.now)))

    def hold(self, person: Person) -> None:
        """Set some aside for some hours."""
        amount, until = self.random.randint(1, 30), self.now + timedelta(hours=self.random.randint(1, 40))
        if amount > person.available(self.now):
            return
        posted = ledger.hold(self.session, person.id, amount, key=self.key(), reason="draw", until=until, at=self.now)
        person.holds[self.key()] = Taking(posted.id, person.take(amount, self.now), until)

    def settle(self, person: Person) -> None:
        """End a hold as spent; too late it is refused."""
        if not person.holds:
            return
        name, held = self.random.choice(list(person.holds.items()))
        try:
            posted = ledger.settle(self.session, name, key=self.key(), at=self.now)
        except HoldClosed:
            assert held.until is not None and held.until <= self.now
            return
        person.spends.append(Taking(posted.id, person.holds.pop(name).parts))

    def release(self, person: Person) -> None:
        """End a hold as never been."""
        if person.holds:
            name = self.random.choice(list(person.holds))
            ledger.release(self.session, name, key=self.key(), at=self.now)
            self.give_back(person.holds.pop(name))

    def time_out(self, _: Person) -> None:
        """Everybody's holds whose time is over."""
        due = [(person, name) for person in self.people for name, held in person.holds.items()
               if held.until is not None and held.until <= self.now]
        assert ledger.release_due_holds(self.session, self.now) == len(due)
        for person, name in due:
            self.give_back(person.holds.pop(name))

    def sweep(self, _: Person) -> None:
        """Everybody's lapsed heaps."""
        due = [heap for person in self.people for heap in person.heaps if heap.left and not heap.alive(self.now)]
        assert ledger.expire_due(self.session, self.now) == len(due)
        for heap in due:
            heap.left = 0

    def reverse(self, person: Person) -> None:
        """A spend, whole; a second time is refused."""
        if not person.spends:
            return
        spent = self.random.choice(person.spends)
        ledger.reverse(self.session, spent.id, key=self.key(), at=self.now)
        person.spends.remove(spent)
        self.give_back(spent)
        with pytest.raises(NotReversible):
            ledger.reverse(self.session, spent.id, key=f"{self.key()} again", at=self.now)

    def repeat(self, person: Person) -> None:
        """A key of the past moves nothing, whatever comes under it."""
        before = balances(self.session, [person.id], self.now)
        old = f"k{self.random.randint(1, self.count)}"
        if old != self.key():
            try:
                posted = ledger.post(self.session, [ledger.spending(person.id, 10**6, old, "redeem")], self.now)
                assert posted[0].error is not None
            except LoyaltyError as error:
                raise AssertionError("a batch answers by row") from error
        assert balances(self.session, [person.id], self.now) == before

    def wait(self, _: Person) -> None:
        """Time goes by."""
        self.now += timedelta(hours=self.random.randint(1, 30))

    def give_back(self, taking: Taking) -> None:
        """Back to the heaps, lapsed or not."""
        for heap, part in taking.parts:
            heap.left += part

    def compare(self) -> None:
        """Ledger and model agree on everybody."""
        found = balances(self.session, [person.id for person in self.people], self.now)
        for person in self.people:
            held = sum(part for taking in person.holds.values() for _, part in taking.parts)
            assert (found[person.id].available, found[person.id].held) == (person.available(self.now), held)


def test_random_lives_keep_the_books(database: Database, noon: datetime) -> None:
    """All along ledger and model agree on everybody, and the audit finds nothing."""
    seed = int(os.environ.get("HUITOU_LEDGER_SEED", str(random.randrange(1 << 32))))
    print(f"HUITOU_LEDGER_SEED={seed}")
    steps = STEPS if database.is_sqlite else STEPS // 4
    with database.transaction() as session:
        life = Life(session, seed, noon)
        for number in range(steps):
            life.step()
            if number % 5 == 4:
                life.compare()
            if number % 500 == 499:
                assert findings(session) == [], f"seed {seed}, step {number}"
        assert findings(session) == [], f"seed {seed}"
