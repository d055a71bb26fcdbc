"""The player of transcripts: a conversation against the real worker on a database of its own, in three ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from enum import Enum
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.database import Database
from bot.played import Played, against, indented, judge, judge_cards, read_cards, read_told
from bot.rehearsal import Work, next_moment, ticks
from bot.settings import Work as WorkSettings
from bot.transcripts import Bought, Person, Step, Transcript, messages_of
from bot.work_metrics import WorkMetrics
from bot.worker import Worker
from handlers import contacts
from handlers.brand import Brand, Staff
from handlers.followup import sop, sources
from handlers.followup.tables import TouchRow
from handlers.parcels import record_shipment
from handlers.reminders import due_reminders
from handlers.talk import inbox, outbox
from handlers.talk.messages import Incoming
from handlers.talk.outbox import Leased, Outgoing
from handlers.talk.tables import DialogRow, InboxRow, OutboxRow, VerdictRow
from loyalty import customers, ledger, orders, plans, stored_value
from loyalty.balances import balance_of
from loyalty.campaign_tables import Birthday
from loyalty.expiry import expires_at
from loyalty.identities import Identifier
from loyalty.rewards import sync_stock
from loyalty.tables import Transfer
from loyalty.writing import write_rows

T = TypeVar("T")
BETWEEN: Final = timedelta(seconds=0.4)
"""The time between two messages of a burst."""
READING: Final = timedelta(seconds=2)
"""After a burst: nobody answers what they could not read yet."""
MOST_HELD: Final = 20


class Way(Enum):
    """How a conversation is played; its outcome is always the same."""

    AS_IT_IS = "as it is"
    TWICE = "every message delivered twice"
    KILLED = "killed before every commit"


class Killed(BaseException):
    """The process ends here; nothing catches it on the way."""


class MortalDatabase(Database):
    """A database whose user dies before each commit while `is_mortal`, and lives only when it is done again."""

    def __init__(self, database: Database) -> None:
        self.url, self.is_sqlite, self.engine = database.url, database.is_sqlite, database.engine
        self._is_second = False
        self.is_mortal = True

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Rolled back the first time, with everything done; committed the second."""
        with super().transaction() as session:
            yield session
            if self.is_mortal:
                self._is_second = not self._is_second
                if self._is_second:
                    raise Killed


class Player:
    """Plays one transcript; `problems` are what did not go as written, `story` the conversation to read."""

    def __init__(self, database: Database, brand: Brand, transcript: Transcript, way: Way = Way.AS_IT_IS) -> None:
        self.database = MortalDatabase(database)
        self.database.is_mortal = way is Way.KILLED
        staff = Staff(transcript.default_rep, transcript.supervisor)
        quotas = transcript.quotas.model_dump(exclude_none=True)
        rules = replace(brand.restraint, **quotas)
        self.brand = replace(brand, staff=staff, restraint=rules, identifier=Identifier("of transcripts alone"))
        self.transcript, self.way = transcript, way
        self.played: list[Played] = []
        self._serial = self._seen = self._judged = 0
        self._held: list[OutboxRow] = []
        self._tells_refusals = any(step.refused is not None for step in transcript.talk)
        self._last_keys: dict[str, str] = {}

    def play(self) -> list[str]:
        """The problems of the whole conversation; empty when it went as written."""
        self.now = self.transcript.now
        self._begin_work()
        self._again(self._set_scene)
        for bought in self.transcript.orders:
            self._order(bought)
        self._swept_on = self._today()
        if any(_moves_time(step) for step in self.transcript.talk):
            self._again(lambda session: sources.follow(session, self.brand, self.now, 1))
        for step in self.transcript.talk:
            self.database.is_mortal = step.restart or self.way is Way.KILLED
            rows = self._do(step)
            refused = self._refused(step)
            if self._held and not step.held:
                left, gone = self._let_go()
                rows, refused = [*left, *rows], [*refused, *gone]
            played = Played(step, self.now, [*read_told(rows)], [*read_cards(rows)], refused)
            played.problems += [*judge(played), *judge_cards(rows), *self._judge_state(step)]
            self.played.append(played)
        return self.problems

    @property
    def problems(self) -> list[str]:
        """What did not go as written, step by step."""
        return [
            f"{self.transcript.title}, step {place} ({played.step.describe()}): {problem}"
            for place, played in enumerate(self.played, 1)
            for problem in played.problems
        ]

    def story(self) -> str:
        """The conversation as it went up to its last problem, with what was expected (-) against what came (+)."""
        last = max((place for place, played in enumerate(self.played, 1) if played.problems), default=len(self.played))
        lines = [f"{self.transcript.title} ({self.way.value})"]
        for place, played in enumerate(self.played[:last], 1):
            mark = "✗" if played.problems else " "
            lines.append(f"{mark}{place:>3}. {played.at.astimezone(self.transcript.now.tzinfo):%m-%d %H:%M} "
                         f"{played.step.describe()}")  # fmt: skip
            lines += [indented(f"bot in {where}: {text}") for where, text in played.told]
            lines += [indented(f"card to {rep}: {text}") for rep, text in played.cards]
            lines += [indented(f"kept back: {reason}") for reason in played.refused]
            lines += ["       " + line for problem in played.problems for line in problem.splitlines()]
        return "\n".join(lines)

    def outcome(self) -> dict[str, Any]:
        """What is left of the conversation: the same whichever way it was played."""
        with self.database.reading() as session:
            dialogs = session.execute(select(DialogRow.member_id, DialogRow.step).order_by(DialogRow.member_id))
            kinds = session.execute(select(OutboxRow.kind, func.count().label("rows")).group_by(OutboxRow.kind))
            return {
                "waiting": session.scalar(select(func.count()).where(InboxRow.state != inbox.DONE)),
                "transfers": session.scalar(select(func.count()).select_from(Transfer)),
                "points": {name: balance_of(session, self._member(session, name), self.now).available
                           for name in self.transcript.people},
                "dialogs": [tuple(row) for row in dialogs],
                "sent": {row.kind: row.rows for row in kinds},
            }  # fmt: skip

    def _begin_work(self) -> None:
        self._worker = Worker(
            self.database, lambda: self.brand, WorkSettings(), lambda: self.now, _metrics(), lambda: None
        )

    def _again(self, work: Callable[[Session], T]) -> T:
        """Do it in a transaction; killed, it is done again."""
        while True:
            try:
                with self.database.transaction() as session:
                    return work(session)
            except Killed:
                pass

    def _work(self) -> None:
        """Let the worker work until nothing is left; killed, another one goes on."""
        while True:
            try:
                if not self._worker.step():
                    return
            except Killed:
                self._begin_work()

    def _set_scene(self, session: Session) -> None:
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
            self._give(session, member, person)

    def _give(self, session: Session, member: int, person: Person) -> None:
        """What a person has beside the points of now."""
        for number, moved in enumerate(person.moved):
            key = f"moved:{member}:{number}"
            if moved.points > 0:
                lapses_at = expires_at(self.brand.programme, moved.at)
                ledger.earn(session, member, moved.points, key=key, reason="order", at=moved.at, expires_at=lapses_at)
            else:
                ledger.spend(session, member, -moved.points, key=key, reason="redeem", at=moved.at)
        if person.joined:
            customers.join(session, member, self.now)
        if person.topped_up_yuan:
            fen = person.topped_up_yuan * 100
            stored_value.top_up(session, member, fen, f"start:{member}", self.brand.programme, self.now)
        if person.birthday:
            month, day = (int(part) for part in person.birthday.split("-"))
            row = {"member_id": member, "month": month, "day": day, "changed_at": self.now}
            write_rows(session, Birthday, [row])
        if person.plan:
            plans.buy(session, member, person.plan, 0, f"start:{member}", self.brand.programme, self.now)

    def _order(self, bought: Bought) -> None:
        self._serial += 1
        person = self.transcript.people[bought.by]
        paid_at = self.now - timedelta(days=bought.days_ago)
        order = orders.OrderIn.model_validate(
            {
                "source": "shop", "external_id": bought.number or f"o{self._serial}", "paid_at": paid_at,
                "identities": [{"kind": "external_userid", "value": person.external_userid}],
                "amount_fen": bought.amount_yuan * 100,
                "items": [{"sku": bought.sku, "name": bought.sku, "amount_fen": bought.amount_yuan * 100}],
            }
        )  # fmt: skip
        self._again(lambda session: orders.record(session, order, self.brand.programme, self.now))
        told = bought.parcel
        if told is not None:
            at = self.now - timedelta(hours=told.hours_ago)
            parcel = (order.source, order.external_id, told.carrier, told.number, told.state, at, told.note)
            self._again(lambda session: record_shipment(session, *parcel))

    def _do(self, step: Step) -> Sequence[OutboxRow]:
        self._pass_time(max(self.now + timedelta(minutes=step.wait_min, seconds=step.wait_s), step.until or self.now))
        if step.order:
            self._order(step.order)
        self._serial += 1
        key = f"m{self._serial}"
        last_key = self._last_keys.get(step.who, "")
        for message in messages_of(self.transcript, step, key, self._last_task(step.who), last_key):
            self._deliver(message, twice=step.twice or self.way is Way.TWICE)
            self.now += BETWEEN if step.burst else timedelta(0)
            self._last_keys[step.who] = message.key
            if not (step.burst and self.way is Way.TWICE):
                self._work()  # a burst arrives while the worker works in one way, and before it does in the other
        self._finish(_moves_time(step))
        self.now += READING if step.burst else timedelta(0)
        with self.database.reading() as session:
            rows = session.scalars(select(OutboxRow).where(OutboxRow.id > self._seen).order_by(OutboxRow.id)).all()
        self._seen = max((row.id for row in rows), default=self._seen)
        if step.held:
            self._held += rows
            return []
        return rows

    def _pass_time(self, until: datetime) -> None:
        """Push the clock and do on the way what falls due, as the ticker would."""
        while self.now < until:
            with self.database.reading() as session:
                moment = next_moment(session, self.brand, self.now)
            if moment >= until:
                break
            self.now = moment
            self._tick()
        self.now = until

    def _tick(self) -> None:
        """What the ticker does; a morning's sweeps once, and none for the morning before the conversation began."""
        for work in (*ticks(self.brand, self.now, is_new_day=self._swept_on != self._today()), self._remind):
            for _ in range(2 if self.way is Way.TWICE else 1):
                self._again(partial(self._put_out, work))
        local = self.now.astimezone(self.brand.restraint.zone)
        if local.hour >= self.brand.restraint.quiet_to_h % 24:
            self._swept_on = self._today()

    def _put_out(self, work: Work, session: Session) -> None:
        outbox.add(session, work(session), self.now)

    def _today(self) -> date:
        return self.now.astimezone(self.brand.restraint.zone).date()

    def _let_go(self) -> tuple[list[OutboxRow], list[str]]:
        """What waited leaves after one more look at consent, as delivery takes it; what does not, with the reasons."""
        held, self._held = self._held, []
        rows = [Leased(row.id, row.key, row.kind, row.recipient, msgspec.json.decode(row.payload), row.member_id,
                       row.is_follow_up, 1, row.trace, row.created_at) for row in held]  # fmt: skip
        followed = [(row.id, row.member_id) for row in rows if row.is_follow_up]

        def look(session: Session) -> dict[int, str]:
            gone = sop.prune_masses(session, rows) | sop.withdrawn(session, followed, self.now)
            for row_id, reason in gone.items():
                outbox.withdraw(session, [row_id], reason, self.now)
            return gone

        gone = self._again(look)
        return [row for row in held if row.id not in gone], [*gone.values()]

    def _refused(self, step: Step) -> list[str]:
        """Why follow-ups kept still in this step: about whom it is, else about anybody."""
        if not self._tells_refusals:
            return []
        with self.database.reading() as session:
            member = self._member(session, step.who) if step.who in self.transcript.people else None
            rows = session.execute(
                select(TouchRow.id, TouchRow.member_id, TouchRow.reason)
                .where(TouchRow.id > self._judged, TouchRow.decision != "sent").order_by(TouchRow.id)
            ).all()  # fmt: skip
        self._judged = max((row.id for row in rows), default=self._judged)
        return [row.reason for row in rows if member in (None, row.member_id)]

    def _deliver(self, message: Incoming, twice: bool) -> None:
        at = msgspec.structs.replace(message, at=self.now)
        for _ in range(2 if twice else 1):
            self._again(lambda session: inbox.store(session, [at], self.now))

    def _finish(self, moves_time: bool) -> None:
        """Let everything happen that this step has set going, also what waits for a companion that does not come."""
        self._work()
        for _ in range(MOST_HELD):
            if (due_at := self._held_until()) is None:
                break
            self.now = max(self.now, due_at)
            self._work()
        if moves_time:
            self._tick()
            return
        for _ in range(2 if self.way is Way.TWICE else 1):
            self._again(self._fire)

    def _fire(self, session: Session) -> None:
        _, cards = sop.fire_due(session, self.brand, self.now, 100)
        outbox.add(session, [*cards, *self._remind(session)], self.now)

    def _remind(self, session: Session) -> list[Outgoing]:
        return due_reminders(session, self.brand, self.now)

    def _held_until(self) -> datetime | None:
        with self.database.reading() as session:
            return session.scalar(
                select(func.min(InboxRow.due_at)).where(InboxRow.state == inbox.WAITING, InboxRow.due_at > self.now)
            )

    def _last_task(self, userid: str) -> str:
        with self.database.reading() as session:
            payload = session.scalar(
                select(OutboxRow.payload)
                .where(OutboxRow.kind == "card", OutboxRow.recipient == f"app:{userid}")
                .order_by(OutboxRow.id.desc())
                .limit(1)
            )
        return str(msgspec.json.decode(payload or '{"task_id": "none"}')["task_id"])

    def _member(self, session: Session, name: str) -> int:
        identity = ("external_userid", self.transcript.people[name].external_userid)
        return customers.find_many(session, [identity])[identity]

    def _judge_state(self, step: Step) -> Iterator[str]:
        if step.who not in self.transcript.people:
            return
        with self.database.reading() as session:
            failed = session.scalars(select(InboxRow.error).where(InboxRow.attempts > 0, InboxRow.state != inbox.DONE))
            yield from (against("no message fails", (error or "").splitlines()[-1]) for error in failed)
            member = self._member(session, step.who)
            balance = balance_of(session, member, self.now).available
            open_step = session.scalar(select(DialogRow.step).where(DialogRow.member_id == member)) or ""
            whys = session.scalars(
                select(VerdictRow.why).where(VerdictRow.member_id == member).order_by(VerdictRow.id.desc())
                .limit(max(1, len(step.burst)))
            ).all()  # fmt: skip
        if step.points is not None and balance != step.points:
            yield against(f"{step.points} points", f"{balance} points")
        if step.dialog is not None and open_step != step.dialog:
            yield against(f"the dialog at {step.dialog or 'no step'}", f"the dialog at {open_step or 'no step'}")
        if step.why and not any(step.why in why for why in whys):
            yield against(f"the reason {step.why!r}", f"the reason {'; '.join(whys)!r}")


def _moves_time(step: Step) -> bool:
    """Whether the ticker has something to hear or to fire in this step."""
    return bool(step.wait_min or step.until or step.order or step.contact or step.leaves)


def _metrics() -> WorkMetrics:
    nobody: Callable[[str], None] = lambda _what: None  # noqa: E731
    return WorkMetrics(CollectorRegistry(), nobody)
