"""A shop counter for handlers: the sample brand with a listener that understands only what it was told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from bot.brands import read_programme, read_replies, read_scenarios, read_sops
from bot.database import Database
from bot.settings import Work
from bot.work_metrics import WorkMetrics
from bot.worker import Worker
from handlers import contacts
from handlers.brand import Brand, DialogRules, Staff
from handlers.followup import sop
from handlers.talk import inbox, outbox
from handlers.talk.messages import Incoming
from handlers.talk.tables import OutboxRow, VerdictRow
from intents.classifier import Scored, Verdict
from loyalty import customers, ledger
from loyalty.rewards import sync_stock

CONFIG = Path(__file__).resolve().parents[2] / "config"
NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
KF = "kf:wkAAA0001"
GROUP = "wrGROUP0001"


class Poisoned(RuntimeError):
    """What the listener raises for a text it was told to choke on."""


@dataclass
class Listener:
    """The understanding seam: scenarios by text, nothing for the rest, and an error for what `chokes_on` holds."""

    hears: dict[str, tuple[str, ...]] = field(default_factory=dict)
    near: dict[str, tuple[str, ...]] = field(default_factory=dict)
    chokes_on: set[str] = field(default_factory=set)
    batches: list[list[str]] = field(default_factory=list)

    def classify(self, texts: Sequence[str], chats: Sequence[str]) -> list[Verdict]:
        """One verdict a text, all at .9; what is only near stands at .3 and makes it unsure."""
        self.batches.append(list(texts))
        for text in texts:
            if text in self.chokes_on:
                raise Poisoned(f"cannot bear to hear {text}")
        return [self._verdict(text) for text in texts]

    def cut(self, label: str, chat: str) -> float:
        """A scenario counts from .5 everywhere."""
        return 0.5

    def _verdict(self, text: str) -> Verdict:
        found = tuple(Scored(name, 0.9) for name in self.hears.get(text, ()))
        near = tuple(Scored(name, 0.3) for name in self.near.get(text, ()))
        reasons = tuple(f"{one.id} {one.score:.2f}: {text}" for one in found)
        return Verdict(found, bool(near), reasons, near, "0007", degraded=False)


@dataclass
class Counter:
    """One database, one brand, one worker and a clock that is pushed."""

    database: Database
    brand: Brand
    listener: Listener
    now: datetime = NOON
    work: Work = field(default_factory=Work)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    alarms: list[str] = field(default_factory=list)
    serial: int = 0

    def __post_init__(self) -> None:
        with self.database.transaction() as session:
            inbox.ensure_shards(session)
            sync_stock(session, self.brand.programme, self.now)
        self.worker = Worker(
            self.database, lambda: self.brand, self.work, lambda: self.now,
            WorkMetrics(self.registry, self.alarms.append), lambda: None,
        )  # fmt: skip

    def push(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)

    def member(self, external_userid: str, points: int = 0, rep: str = "", name: str = "") -> int:
        """A customer with points, a name and a rep."""
        identity = ("external_userid", external_userid)
        with self.database.transaction() as session:
            member = customers.resolve(session, [identity], self.now)[identity]
            customers.set_name(session, member, name or external_userid)
            if points:
                key = f"start:{member}"
                ledger.earn(session, member, points, key=key, reason="start", ref="", at=self.now, expires_at=None)
            if rep:
                contacts.serve(session, rep, external_userid, self.now)
        return member

    def message(self, sender: str, text: str, channel: str = "kf", **more: Any) -> Incoming:
        """A customer's message as the edge hands it over."""
        self.serial += 1
        chat = {"kf": KF, "oa": "oa:gh_1", "group": GROUP}.get(channel, f"liuyang|{sender}")
        values = {"key": f"m{self.serial}", "chat": chat, "kind": "text", "at": self.now} | more
        return Incoming(channel=channel, sender=sender, text=text, **values)

    def event(self, kind: str = "event", channel: str = "contact", sender: str = "wmA", **data: str) -> Incoming:
        """Something the platform tells."""
        self.serial += 1
        chat = data.pop("chat", "")
        return Incoming(
            key=f"m{self.serial}", channel=channel, kind=kind, sender=sender, identity="external_userid",
            chat=chat, at=self.now, data=data,
        )  # fmt: skip

    def tap(self, by: str, task_id: str, button: str) -> Incoming:
        """A rep's thumb on a card."""
        self.serial += 1
        data = {"task_id": task_id, "button": button, "response_code": f"code{self.serial}"}
        return Incoming(
            key=f"m{self.serial}", channel="staff", kind="tap", sender=by, identity="userid", is_staff=True,
            at=self.now, data=data,
        )  # fmt: skip

    def store(self, *messages: Incoming) -> None:
        """Put messages into the inbox."""
        with self.database.transaction() as session:
            inbox.store(session, messages, self.now)

    def handle(self, *messages: Incoming) -> list[OutboxRow]:
        """Store, work until nothing is left, and give the outbox rows this led to."""
        before = {row.id for row in self.outbox()}
        self.store(*messages)
        while self.worker.step():
            pass
        return [row for row in self.outbox() if row.id not in before]

    def fire(self) -> list[OutboxRow]:
        """Fire the timers that are due and give the cards."""
        before = {row.id for row in self.outbox()}
        with self.database.transaction() as session:
            _, cards = sop.fire_due(session, self.brand, self.now, 100)
            outbox.add(session, cards, self.now)
        return [row for row in self.outbox() if row.id not in before]

    def outbox(self) -> Sequence[OutboxRow]:
        """The outbox as it stands."""
        with self.database.reading() as session:
            return session.scalars(select(OutboxRow).order_by(OutboxRow.id)).all()

    def verdicts(self) -> Sequence[VerdictRow]:
        """What was decided, in order."""
        with self.database.reading() as session:
            return session.scalars(select(VerdictRow).order_by(VerdictRow.id)).all()


@pytest.fixture(scope="session")
def sample() -> Brand:
    """The brand of config/ without a model: 刘阳 is the default rep, 王莉 the supervisor."""
    programme, scenarios = read_programme(CONFIG), read_scenarios(CONFIG)
    return Brand(
        programme=programme, scenarios=scenarios, replies=read_replies(CONFIG), understanding=Listener(),
        staff=Staff("liuyang", "wangli"), dialog=DialogRules(burst=timedelta(0)),
        sops=read_sops(CONFIG, programme, frozenset(scenarios), frozenset({"sms"})),
    )  # fmt: skip


@pytest.fixture
def counter(database: Database, sample: Brand) -> Iterator[Counter]:
    """A counter on either kind of database."""
    listener = Listener()
    yield Counter(database, replace(sample, understanding=listener), listener)
