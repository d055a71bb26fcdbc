"""Transcripts: a conversation as a file, played against the real worker on a database of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import msgspec
from prometheus_client import CollectorRegistry
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import select

from bot.database import Database
from bot.settings import Work
from bot.work_metrics import WorkMetrics
from bot.worker import Worker
from handlers import contacts
from handlers.brand import Brand
from handlers.followup import sop
from handlers.talk import inbox, outbox
from handlers.talk.messages import Incoming
from handlers.talk.tables import DialogRow, OutboxRow, VerdictRow
from loyalty import customers, ledger, orders
from loyalty.balances import balance_of
from loyalty.rewards import sync_stock

Channel = Literal["kf", "oa", "group", "private"]
CHATS = {"kf": "kf:wkAAA0001", "oa": "oa:gh_000000000001", "group": "wrGROUP0001"}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Person(_Part):
    """A customer: ids, the rep who serves them, points with the days until they lapse."""

    external_userid: str
    openid: str = ""
    rep: str = ""
    points: int = 0
    lapse_in_days: int = 365


class Bought(_Part):
    """An order of the past, or one placed in the middle of the conversation."""

    by: str
    sku: str
    days_ago: int = 0
    amount_yuan: int = 100


class Step(_Part):
    """One thing that happens, and what must come of it; all expectations of a step are looked at together."""

    who: str = ""
    at: Channel = "kf"
    say: str | None = None
    kind: str = "text"
    staff_says: str | None = None
    tap: Literal["done", "no", "later"] | None = None
    wait_min: int = 0
    order: Bought | None = None
    twice: bool = False
    answered: list[str] = Field(default=[], description="each stands in what the person is told")
    never: list[str] = Field(default=[], description="none stands in anything that leaves")
    silent: bool = False
    prompted: list[str] | None = Field(default=None, description="each stands in the card; empty: no card")
    to: str = ""
    points: int | None = None
    dialog: str | None = Field(default=None, description="the step that is open afterwards; empty: none")
    why: str = ""


class Transcript(_Part):
    """A whole conversation."""

    title: str
    now: AwareDatetime
    people: dict[str, Person]
    orders: list[Bought] = []
    talk: list[Step]


@dataclass
class Player:
    """Plays transcripts; `problems` are lines that show what was expected and what came."""

    database: Database
    brand: Brand
    transcript: Transcript
    deliver_twice: bool = False
    problems: list[str] = field(default_factory=list)
    _serial: int = 0
    _seen: int = 0

    def play(self) -> list[str]:
        """The problems of the whole conversation; empty when it went as written."""
        self.now = self.transcript.now
        self._worker = Worker(self.database, lambda: self.brand, Work(), lambda: self.now, _metrics(), lambda: None)
        self._set_scene()
        for number, step in enumerate(self.transcript.talk, 1):
            rows = self._do(step)
            label = f"{self.transcript.title}, step {number} ({step.who} {step.say or step.tap or step.wait_min})"
            self.problems += [f"{label}: {problem}" for problem in self._judge(step, rows)]
        return self.problems

    def _set_scene(self) -> None:
        with self.database.transaction() as session:
            inbox.ensure_shards(session)
            sync_stock(session, self.brand.programme, self.now)
            for name, person in self.transcript.people.items():
                identity = ("external_userid", person.external_userid)
                member = customers.resolve(session, [identity], self.now)[identity]
                customers.set_name(session, member, name)
                if person.openid:
                    customers.attach(session, member, "openid", person.openid, "transcript", self.now)
                if person.rep:
                    contacts.serve(session, person.rep, person.external_userid, self.now)
                if person.points:
                    lapses_at = self.now + timedelta(days=person.lapse_in_days)
                    ledger.earn(
                        session, member, person.points, key=f"start:{member}", reason="start", ref="",
                        at=self.now, expires_at=lapses_at,
                    )  # fmt: skip
        for bought in self.transcript.orders:
            self._order(bought)

    def _order(self, bought: Bought) -> None:
        self._serial += 1
        person = self.transcript.people[bought.by]
        paid_at = self.now - timedelta(days=bought.days_ago)
        order = orders.OrderIn.model_validate(
            {
                "source": "shop", "external_id": f"o{self._serial}", "paid_at": paid_at,
                "identities": [{"kind": "external_userid", "value": person.external_userid}],
                "amount_fen": bought.amount_yuan * 100,
                "items": [{"sku": bought.sku, "name": bought.sku, "amount_fen": bought.amount_yuan * 100}],
            }
        )  # fmt: skip
        with self.database.transaction() as session:
            orders.record(session, order, self.brand.programme, self.now)

    def _do(self, step: Step) -> list[OutboxRow]:
        self.now += timedelta(minutes=step.wait_min)
        if step.order:
            self._order(step.order)
        for message in self._messages(step):
            for _ in range(2 if step.twice or self.deliver_twice else 1):
                with self.database.transaction() as session:
                    inbox.store(session, [message], self.now)
                while self._worker.step():
                    pass
        with self.database.transaction() as session:
            _, cards = sop.fire_due(session, self.brand, self.now, 100)
            outbox.add(session, cards, self.now)
        with self.database.reading() as session:
            rows = list(session.scalars(select(OutboxRow).where(OutboxRow.id > self._seen).order_by(OutboxRow.id)))
        self._seen = max((row.id for row in rows), default=self._seen)
        return rows

    def _messages(self, step: Step) -> Iterator[Incoming]:
        self._serial += 1
        key, person = f"m{self._serial}", self.transcript.people.get(step.who)
        if step.tap:
            yield Incoming(
                key=key, channel="staff", kind="tap", sender=step.who, identity="userid", is_staff=True, at=self.now,
                data={"task_id": self._last_task(step.who), "button": step.tap, "response_code": key},
            )  # fmt: skip
        elif step.staff_says is not None:
            customer = next(iter(self.transcript.people.values())).external_userid
            yield Incoming(
                key=key, channel=step.at, kind="text", sender=step.who, identity="userid", is_staff=True, at=self.now,
                chat=_chat(step.at, customer, step.who), text=step.staff_says, data={"to": customer},
            )  # fmt: skip
        elif step.say is not None and person is not None:
            is_oa = step.at == "oa"
            yield Incoming(
                key=key, channel=step.at, kind=step.kind, at=self.now, text=step.say,
                sender=person.openid if is_oa else person.external_userid,
                identity="openid" if is_oa else "external_userid",
                chat=_chat(step.at, person.external_userid, person.rep),
                staff=(person.rep,) if person.rep and step.at in {"group", "private"} else (),
            )  # fmt: skip

    def _last_task(self, userid: str) -> str:
        with self.database.reading() as session:
            payload = session.scalar(
                select(OutboxRow.payload)
                .where(OutboxRow.kind == "card", OutboxRow.recipient == f"app:{userid}")
                .order_by(OutboxRow.id.desc())
                .limit(1)
            )
        return str(msgspec.json.decode(payload or '{"task_id": "none"}')["task_id"])

    def _judge(self, step: Step, rows: list[OutboxRow]) -> Iterator[str]:
        told = "\n".join(row.payload for row in rows if row.kind in {"kf_text", "kf_menu", "oa_text"})
        cards = "\n".join(row.payload for row in rows if row.kind == "card")
        yield from (
            f"expected {text!r} in the answer, got {told or 'nothing'}" for text in step.answered if text not in told
        )
        yield from (f"{text!r} must not leave, got {told + cards}" for text in step.never if text in told + cards)
        if step.silent and told:
            yield f"expected silence, got {told}"
        if step.prompted is not None:
            yield from (
                f"expected {text!r} on a card, got {cards or 'none'}" for text in step.prompted if text not in cards
            )
            if not step.prompted and cards:
                yield f"expected no card, got {cards}"
        if step.to and not any(row.kind == "card" and row.recipient == f"app:{step.to}" for row in rows):
            yield f"expected a card to {step.to}, got {[row.recipient for row in rows]}"
        yield from self._judge_state(step)

    def _judge_state(self, step: Step) -> Iterator[str]:
        person = self.transcript.people.get(step.who)
        if person is None:
            return
        identity = ("external_userid", person.external_userid)
        with self.database.reading() as session:
            member = customers.find_many(session, [identity])[identity]
            balance = balance_of(session, member, self.now).available
            open_step = session.scalar(select(DialogRow.step).where(DialogRow.member_id == member)) or ""
            why = session.scalar(
                select(VerdictRow.why).where(VerdictRow.member_id == member).order_by(VerdictRow.id.desc()).limit(1)
            )
        if step.points is not None and balance != step.points:
            yield f"expected {step.points} points, there are {balance}"
        if step.dialog is not None and open_step != step.dialog:
            yield f"expected the dialog at {step.dialog or 'no step'}, it is at {open_step or 'no step'}"
        if step.why and step.why not in (why or ""):
            yield f"expected the reason {step.why!r}, it is {why!r}"


def _chat(channel: Channel, external_userid: str, rep: str) -> str:
    return f"{rep}|{external_userid}" if channel == "private" else CHATS[channel]


def _metrics() -> WorkMetrics:
    nobody: Callable[[str], None] = lambda _what: None  # noqa: E731
    return WorkMetrics(CollectorRegistry(), nobody)
