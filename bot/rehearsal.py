"""A rehearsal: follow-ups played against ghosts on a database of its own, with a clock that is pushed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.database import Database
from bot.past_lives import Life
from handlers import contacts
from handlers.brand import Brand
from handlers.followup import entries, sop, sources, sweeps
from handlers.followup.definition import Sop, Sops
from handlers.followup.entries import Happening
from handlers.followup.results import note_link
from handlers.followup.sop import FollowUps, Occasion
from handlers.followup.tables import TimerRow, TouchRow
from handlers.followup.why import Line, in_words
from handlers.talk import outbox
from handlers.talk.outbox import Outgoing
from handlers.talk.tables import OutboxRow
from loyalty import customers, orders
from loyalty.campaign_tables import Birthday
from loyalty.rewards import sync_stock
from loyalty.writing import write_rows

AT_ONCE: Final = 1000
Work = Callable[[Session], list[Outgoing]]
Act = tuple[datetime, int, Callable[[], None]]
"""Something a member does at a moment; the number keeps two of one moment in order."""


def ticks(brand: Brand, now: datetime, is_new_day: bool = True) -> Iterator[Work]:
    """What the ticker does for follow-ups at this moment, a transaction each; each gives what goes to the outbox."""
    if is_new_day:
        yield partial(_sweep, brand, now)
    yield partial(_hear, brand, now)
    yield lambda session: sop.fire_due(session, brand, now, AT_ONCE)[1]


def next_moment(session: Session, brand: Brand, now: datetime) -> datetime:
    """When something is due next: a timer, or the sweeps of the next morning; at the soonest in a second."""
    rules = brand.restraint
    local = now.astimezone(rules.zone)
    morning = local.replace(hour=rules.quiet_to_h % 24, minute=0, second=0, microsecond=0)
    morning += timedelta(days=int(morning <= local))
    due_at = session.scalar(select(func.min(TimerRow.due_at)).where(TimerRow.state == 0))
    soonest = min(morning.astimezone(UTC), due_at or morning.astimezone(UTC))
    return max(soonest, now + timedelta(seconds=1))


def _sweep(brand: Brand, now: datetime, session: Session) -> list[Outgoing]:
    for sweep in sweeps.due(brand, now):
        sweeps.make(session, brand, sweep, now)
    return []


def _hear(brand: Brand, now: datetime, session: Session) -> list[Outgoing]:
    sources.follow(session, brand, now, AT_ONCE)
    return entries.take_happenings(session, brand, now, AT_ONCE)[1]


@dataclass
class Rehearsal:
    """One brand, one empty database and a clock; what would go to the platform stays in the outbox."""

    database: Database
    brand: Brand
    now: datetime
    serial: int = 0
    _seen: int = 0

    def open(self) -> Rehearsal:
        """Make ready: stock of rewards, and from now on what is stored is heard."""
        with self.database.transaction() as session:
            sync_stock(session, self.brand.programme, self.now)
            sources.follow(session, self.brand, self.now, 1)
        return self

    def member(self, name: str, rep: str = "liuyang", birthday: tuple[int, int] | None = None) -> int:
        """A customer with a rep and perhaps a birthday."""
        identity = ("external_userid", f"wm{name}")
        with self.database.transaction() as session:
            member = customers.resolve(session, [identity], self.now)[identity]
            customers.set_name(session, member, name)
            if rep:
                contacts.serve(session, rep, identity[1], self.now)
            if birthday:
                row = {"member_id": member, "month": birthday[0], "day": birthday[1], "changed_at": self.now}
                write_rows(session, Birthday, [row])
        return member

    def order(self, name: str, sku: str, days_ago: float = 0, amount_yuan: int = 100) -> None:
        """A purchase, now or in the past."""
        self.serial += 1
        product = self.brand.programme.product(sku)
        order = orders.OrderIn.model_validate({
            "source": "shop", "external_id": f"o{self.serial}", "paid_at": self.now - timedelta(days=days_ago),
            "identities": [{"kind": "external_userid", "value": f"wm{name}"}], "amount_fen": amount_yuan * 100,
            "items": [{"sku": sku, "name": product.name if product else sku, "amount_fen": amount_yuan * 100}],
        })  # fmt: skip
        with self.database.transaction() as session:
            orders.record(session, order, self.brand.programme, self.now)

    def happen(self, kind: str, member_id: int, **data: Any) -> None:
        """Something happens to a member, as the edge or the API tells it; handled at once."""
        self.serial += 1
        happening = Happening(kind, member_id, f"{kind}:{self.serial}", self.now, data)
        with self.database.transaction() as session:
            outbox.add(session, entries.handle(session, self.brand, [happening], self.now), self.now)

    def hear(self, scenario: str, member_id: int, name: str, rep: str = "liuyang") -> None:
        """A scenario is heard from a member in the group."""
        self.serial += 1
        said = f"[{self.brand.title(scenario)}]"
        title, key = self.brand.title(scenario), f"m{self.serial}"
        occasion = Occasion(scenario, member_id, rep, key, title, said, "客户群", f"听到{said}", "好的", name)
        with self.database.transaction() as session:
            runs = FollowUps(session, [member_id], self.brand, self.now)
            opted_out = customers.profiles(session, [member_id])[member_id].opted_out_at is not None
            runs.start(occasion, opted_out)
            outbox.add(session, runs.flush(), self.now)

    def tick(self) -> list[OutboxRow]:
        """What the ticker does at this moment; gives what it brought into the outbox."""
        for work in ticks(self.brand, self.now):
            with self.database.transaction() as session:
                outbox.add(session, work(session), self.now)
        return self.take_out()

    def push(self, **span: float) -> list[OutboxRow]:
        """Let time pass, ticking whenever something is due; gives everything that went out."""
        until, found = self.now + timedelta(**span), self.tick()
        while self.now < until:
            self.now = min(until, self.next_moment())
            found += self.tick()
        return found

    def next_moment(self) -> datetime:
        """When something is due next: a timer, or the sweeps of the next morning; at the soonest in a second."""
        with self.database.reading() as session:
            return next_moment(session, self.brand, self.now)

    def take_out(self) -> list[OutboxRow]:
        """What has come into the outbox since this was last asked; links that were asked for are made."""
        with self.database.reading() as session:
            wanted = select(OutboxRow).where(OutboxRow.id > self._seen).order_by(OutboxRow.id)
            rows = list(session.scalars(wanted))
        self._seen = max((row.id for row in rows), default=self._seen)
        for row in rows:
            if row.kind == "contact_way":
                with self.database.transaction() as session:
                    note_link(session, row.recipient.removeprefix("way:"), "https://example.invalid/qr", "c1", self.now)
        return rows

    def touches(self) -> list[tuple[int, Line]]:
        """Every decision so far with the member it is about, in order."""
        with self.database.reading() as session:
            rows = session.execute(
                select(TouchRow.member_id, TouchRow.at, TouchRow.sop, TouchRow.channel, TouchRow.decision,
                       TouchRow.reason).order_by(TouchRow.id)
            )  # fmt: skip
            return [(row[0], Line(*row[1:])) for row in rows]


@dataclass
class DryRun:
    """One follow-up over a time: with ghosts whose lives come from a seed, or with `past` lives played again."""

    database: Database
    brand: Brand
    sop: Sop
    begin: datetime
    days: int = 31
    ghosts: int = 20
    seed: int = 7
    past: Sequence[Life] = ()
    names: dict[int, str] = field(default_factory=dict)

    def play(self) -> Iterator[str]:
        """Lines that say who would have got what and when, and who not and why; the last ones sum up."""
        alone = Sops({self.sop.id: self.sop.model_copy(update={"enabled": True})})
        brand = replace(self.brand, sops=alone)
        stage = Rehearsal(self.database, brand, self.begin - timedelta(days=1)).open()
        acts = self._relive(stage) if self.past else self._make_up(stage)
        stage.now, finish = self.begin, self.begin + timedelta(days=self.days)
        shown, counts = 0, dict[str, int]()
        while stage.now < finish:
            while acts and acts[0][0] <= stage.now:
                acts.pop(0)[2]()
            stage.tick()
            for member, line in stage.touches()[shown:]:
                shown += 1
                counts[line.decision] = counts.get(line.decision, 0) + 1
                yield f"{self.names.get(member, member)} | {in_words(line, brand, brand.restraint.zone)}"
            stage.now = min([stage.next_moment(), finish, *(moment for moment, *_ in acts[:1])])
        words = ", ".join(f"{decision} {count}" for decision, count in sorted(counts.items())) or "无人进入"
        yield f"{self.days} 天, {len(self.names)} 位{'会员' if self.past else '幽灵会员'}: {words}"

    def _make_up(self, stage: Rehearsal) -> list[Act]:
        """Ghosts, and what they do meanwhile: buy now and then, and for some the very thing that sets this one off."""
        dice = random.Random(self.seed)
        products = [product.sku for product in stage.brand.programme.products]
        for number in range(1, self.ghosts + 1):
            name = f"幽灵{number}"
            day = (self.begin + timedelta(days=dice.randrange(365))).date()
            member = stage.member(name, "liuyang" if dice.random() < 0.9 else "", (day.month, day.day))
            self.names[member] = name
            rhythm, sku = dice.randrange(8, 40), dice.choice(products)
            for back in range(dice.randrange(6), 0, -1):
                stage.order(name, sku, back * rhythm + dice.random() * 3, dice.randrange(40, 300))
        acts: list[Act] = []
        for member, name in self.names.items():
            for work in (partial(stage.order, name, products[0]), partial(self._set_off, stage, member, name)):
                if dice.random() < 0.6:
                    at = self.begin + timedelta(hours=dice.randrange(self.days * 24))
                    acts.append((at, len(acts), work))
        return sorted(acts)

    def _set_off(self, stage: Rehearsal, member: int, name: str) -> None:
        for trigger in self.sop.triggers:
            if trigger.scenario is not None:
                stage.hear(trigger.scenario, member, name)
            elif trigger.event_kind and trigger.order is None:
                stage.happen(trigger.event_kind, member, welcome_code="ghost", event_points=120, event_name="滤芯",
                             event_amount_yuan=80.0, event_days=7)  # fmt: skip

    def _relive(self, stage: Rehearsal) -> list[Act]:
        """Members without their names, and what they did: bought before, and bought, said and met meanwhile."""
        acts: list[Act] = []
        scenarios = {trigger.scenario for trigger in self.sop.triggers if trigger.scenario}
        for life in self.past:
            name = f"会员{life.member_id}"
            member = stage.member(name, life.rep, life.birthday)
            self.names[member] = name
            if life.is_opted_out:
                with stage.database.transaction() as session:
                    customers.opt_out(session, member, stage.now)
            for at, sku, fen in life.orders:
                work = partial(stage.order, name, sku, amount_yuan=fen // 100)
                if at < self.begin:
                    work(days_ago=(stage.now - at) / timedelta(days=1))
                else:
                    acts.append((at, len(acts), work))
            for at, scenario in life.said:
                if scenario in scenarios:
                    acts.append((at, len(acts), partial(stage.hear, scenario, member, name, life.rep)))
            for at, kind, data in life.happened:
                acts.append((at, len(acts), partial(stage.happen, kind, member, **data)))
        return sorted(acts)
