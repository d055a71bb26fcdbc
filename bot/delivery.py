"""Delivery: takes due rows of the outbox, sends them in order per recipient, and notes what became of each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bot.cache import Cache, Wake
from bot.clock import Clock
from bot.commits import Commits
from bot.database import Database
from bot.delivery_metrics import DeliveryMetrics
from bot.roster_rows import note_group
from bot.sending import Gateways, Job, Sender, Sent
from bot.settings import Deliver
from bot.wecom.contacts import Contact
from bot.wecom.errors import DAY_QUOTAS, ApiRefused, ErrorClass, PlatformError
from handlers import elsewhere
from handlers.followup import results
from handlers.followup.caps import Decision
from handlers.talk import outbox
from handlers.talk.outbox import Leased
from handlers.talk.tables import OutboxRow
from loyalty import customers
from loyalty.errors import IdentityTaken, UnknownMember

AT_ONCE: Final = 64
"""How many recipients are written to at the same time."""
NEVER_BEFORE: Final = timedelta(hours=24)
"""A row that may yet succeed is never given up younger than this, so that an outage of a day loses nothing."""
UNKNOWN_TRIES: Final = 5
QUOTA_FIRST_S: Final = 60.0
QUOTA_MAX_S: Final = 3600.0
LEASE_RESERVE: Final = 0.5
"""The part of a lease after which no further row of it is begun."""
STOP_S: Final = 12.0
BEIJING: Final = ZoneInfo("Asia/Shanghai")

Withdrawn = Callable[[Session, Sequence[Leased], datetime], Mapping[int, str]]
"""Looks at consent once more: which of these rows shall not leave, and why."""

log = structlog.get_logger("bot.delivery")


PutOff = Callable[[Session, Sequence[Leased], datetime], Mapping[int, Decision]]
"""Looks at the clock once more: which of these rows shall leave later, when, and why."""


def nothing_put_off(session: Session, rows: Sequence[Leased], now: datetime) -> Mapping[int, Decision]:
    """Let every row leave now."""
    return {}


def nothing_withdrawn(session: Session, rows: Sequence[Leased], now: datetime) -> Mapping[int, str]:
    """Let every row leave."""
    return {}


@dataclass(frozen=True, slots=True)
class Chain:
    """Rows of one recipient, in order, and until when they are in our hands."""

    jobs: Sequence[Job]
    begin_until: datetime


class _Taken:
    """What one lease brought; written anew when its transaction is tried again."""

    jobs: Sequence[Job] = ()
    withdrawn: Sequence[tuple[Leased, str]] = ()
    begin_until: datetime


class Deliverer:
    """Sends what is due until it is cancelled; killed at any point, its rows are sent again when their lease ends."""

    def __init__(
        self,
        database: Database,
        gateways: Gateways,
        cache: Cache,
        settings: Deliver,
        clock: Clock,
        wake: Wake,
        metrics: DeliveryMetrics,
        withdrawn: Withdrawn = nothing_withdrawn,
        jitter: Callable[[], float] = random.random,
        put_off: PutOff = nothing_put_off,
    ) -> None:
        self._database = database
        self._sender = Sender(gateways, cache, settings.member_app_per_min)
        self._settings = settings
        self._clock = clock
        self._wake = wake
        self._metrics = metrics
        self._withdrawn = withdrawn
        self._jitter = jitter
        self._put_off = put_off
        self._commits = Commits(database)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._in_hand = 0
        self._stopping = False

    async def run(self) -> None:
        """Deliver until cancelled; what is under way is ended then, what was not begun is let go."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                chains = await self._take_safely()
                for chain in chains:
                    task = asyncio.create_task(self._send_chain(chain))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                if self._in_hand >= self._settings.batch:
                    await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                elif not chains:
                    await self._wake.wait(self._settings.poll_s)
        finally:
            self._stopping = True
            if under_way:
                _, late = await asyncio.wait(under_way, timeout=STOP_S)
                for task in late:
                    task.cancel()

    async def deliver_due(self) -> int:
        """One round: take what is due, send it, note what became of it; gives how many rows were in hand."""
        chains = await self._take()
        await asyncio.gather(*(self._send_chain(chain) for chain in chains))
        return sum(len(chain.jobs) for chain in chains)

    async def _take_safely(self) -> list[Chain]:
        try:
            return await self._take()
        except SQLAlchemyError as error:
            log.warning("cannot take rows from the outbox", error=type(error).__name__)
        except Exception:
            self._metrics.alarm("delivery broke off")
            log.exception("taking rows from the outbox broke off")
        return []

    async def _take(self) -> list[Chain]:
        free = self._settings.batch - self._in_hand
        if free <= 0:
            return []
        if not await asyncio.to_thread(self._is_due):
            return []
        taken = _Taken()
        # In one transaction with the notes that wait: two writers of one process would only queue on each other.
        await self._commits.do(lambda session: self._lease(session, free, taken))
        self._in_hand += len(taken.jobs)
        for row, why in taken.withdrawn:
            self._metrics.count_row(row.kind, "withdrawn")
            log.info("withdrawn", row=row.id, kind=row.kind, why=why, trace=row.trace)
        by_recipient: dict[str, list[Job]] = {}
        for job in taken.jobs:
            by_recipient.setdefault(job.row.recipient, []).append(job)
        return [Chain(chain, taken.begin_until) for chain in by_recipient.values()]

    def _is_due(self) -> bool:
        with self._database.reading() as session:
            due_at = outbox.next_due_at(session)
        return due_at is not None and due_at <= self._clock()

    def _lease(self, session: Session, limit: int, taken: _Taken) -> None:
        now = self._clock()
        leased = outbox.lease(session, limit, now, self._settings.lease_s)
        held = hold_back(session, leased, now)
        rows = [row for row in leased if row.id not in held]
        why = self._withdrawn(session, rows, now) if rows else {}
        for row_id, reason in why.items():
            outbox.withdraw(session, [row_id], reason, now)
        staying = [row for row in rows if row.id not in why]
        later = self._put_off(session, staying, now) if staying else {}
        for row_id, decision in later.items():
            outbox.put_off(session, row_id, decision.reason, decision.until or now)
        taken.jobs = with_last_try(session, [row for row in staying if row.id not in later])
        taken.withdrawn = [(row, why[row.id]) for row in rows if row.id in why]
        taken.begin_until = now + timedelta(seconds=self._settings.lease_s * LEASE_RESERVE)

    async def _send_chain(self, chain: Chain) -> None:
        done = 0
        try:
            async with self._room:
                for job in chain.jobs:
                    if self._stopping or self._clock() > chain.begin_until:
                        break
                    done += 1
                    if not await self._deliver(job):
                        break
            rest = [job.row.id for job in chain.jobs[done:]]
            if rest:
                await self._commits.do(lambda session: outbox.release(session, rest))
        except Exception:
            log.exception("cannot note what became of a row; it is sent again when its lease ends")
        finally:
            self._in_hand -= len(chain.jobs)

    async def _deliver(self, job: Job) -> bool:
        """Send one row and note what became of it; False when the later ones of its recipient must wait."""
        row = job.row
        try:
            sent = await self._sender.send(job)
        except PlatformError as error:
            return await self._note_error(job, error)
        except Exception as error:
            log.exception("a row that breaks its sender", row=row.id, kind=row.kind, trace=row.trace)
            return await self._note_error(job, _Unreadable(f"{type(error).__name__}: {error}"))
        now = self._clock()
        await self._commits.do(partial(note_sent, row=row, sent=sent, now=now))
        self._metrics.count_row(row.kind, "sent")
        self._metrics.observe_delay((now - row.created_at).total_seconds())
        log.info("sent", row=row.id, kind=row.kind, attempts=row.attempts, trace=row.trace)
        return True

    async def _note_error(self, job: Job, error: PlatformError) -> bool:
        row, now = job.row, self._clock()
        wait_s = wait_after(error, _tries_so_far(job, error), now - row.created_at, self._settings, self._jitter())
        if _counts_by_day(error):
            wait_s = until_midnight_s(now) + self._jitter() * QUOTA_FIRST_S
        outcome = "failed" if wait_s is None else "waiting"
        self._metrics.count_row(row.kind, outcome, error.group)
        log.warning(
            "not sent", row=row.id, kind=row.kind, group=error.group, outcome=outcome, wait_s=wait_s,
            attempts=row.attempts, error=str(error), trace=row.trace,
        )  # fmt: skip
        if error.group is ErrorClass.CONFIG:
            self._metrics.alarm("delivery needs a change of configuration")
            log.error("delivery needs a change of configuration", kind=row.kind, error=str(error))
        if wait_s is None:
            await self._commits.do(partial(note_refused, row=row, error=error, now=now))
            return True
        due_at = now + timedelta(seconds=wait_s)
        await self._commits.do(lambda session: outbox.mark_waiting(session, row.id, error.group, str(error), due_at))
        return False


class _Unreadable(PlatformError):
    """The row itself is at fault."""

    group = ErrorClass.UNKNOWN


def wait_after(error: PlatformError, attempts: int, age: timedelta, settings: Deliver, jitter: float) -> float | None:
    """Seconds until the next try, None when there is none; `attempts` counts this one, `jitter` is from 0 to 1."""
    group = error.group
    if group is ErrorClass.PERMANENT or (group is ErrorClass.UNKNOWN and attempts >= UNKNOWN_TRIES):
        return None
    if group in (ErrorClass.CONFIG, ErrorClass.REFRESH):
        return settings.retry_max_s
    if group is ErrorClass.QUOTA:
        window_s = error.wait_s or min(QUOTA_FIRST_S * 2.0 ** min(attempts - 1, 16), QUOTA_MAX_S)
        return window_s * (1 + jitter / 10)
    if group is ErrorClass.RETRY and attempts >= settings.attempts and age >= NEVER_BEFORE:
        return None
    wait_s = min(settings.retry_first_s * 2.0 ** min(attempts - 1, 16), settings.retry_max_s)
    return wait_s * (0.5 + jitter / 2)


def _tries_so_far(job: Job, error: PlatformError) -> int:
    # An outage behind us says nothing about a quota or an unknown code that is met for the first time now.
    is_first = error.group in (ErrorClass.QUOTA, ErrorClass.UNKNOWN) and job.last_class != error.group
    return 1 if is_first else job.row.attempts


def until_midnight_s(now: datetime) -> float:
    """Seconds until the next natural day in Beijing begins, when daily quotas open again."""
    local = now.astimezone(BEIJING)
    midnight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - local).total_seconds()


def hold_back(session: Session, leased: Sequence[Leased], now: datetime) -> set[int]:
    """Let go of leased rows behind an earlier one of their recipient that is not in our hands; gives their ids.

    Two deliverers that lease at the same moment do not see each other's leases yet, and a batch may end between two
    rows; the earlier row goes first in both cases.
    """
    if not leased:
        return set()
    ids = [row.id for row in leased]
    blocking = session.execute(
        select(OutboxRow.recipient, func.min(OutboxRow.id).label("first_id"))
        .where(
            OutboxRow.recipient.in_({row.recipient for row in leased}),
            OutboxRow.state == outbox.WAITING,
            OutboxRow.id.not_in(ids),
            or_(OutboxRow.due_at <= now, OutboxRow.attempts > 0, OutboxRow.leased_until > now),
        )
        .group_by(OutboxRow.recipient)
    )
    first = {row.recipient: row.first_id for row in blocking}
    held = {row.id for row in leased if row.id > first.get(row.recipient, row.id)}
    if held:
        outbox.release(session, sorted(held))
        # Due by the old moment they would fill the next batch again, before the row they wait for.
        session.execute(update(OutboxRow).where(OutboxRow.id.in_(held)).values(due_at=now))
    return held


def with_last_try(session: Session, rows: Sequence[Leased]) -> list[Job]:
    """The rows together with how their last try ended."""
    again = [row.id for row in rows if row.attempts > 1]
    ended = select(OutboxRow.id, OutboxRow.error, OutboxRow.error_class).where(OutboxRow.id.in_(again))
    last = {row.id: (row.error, row.error_class) for row in session.execute(ended)} if again else {}
    return [Job(row, *last.get(row.id, ("", ""))) for row in rows]


def note_sent(session: Session, row: Leased, sent: Sent, now: datetime) -> None:
    """Mark a row sent and write down what the platform told."""
    outbox.mark_sent(session, row.id, sent.platform_id, now)
    if sent.contact is not None:
        note_profile(session, sent.contact, row.payload["channel"], now)
    if sent.group is not None:
        note_group(session, sent.group, row.created_at)
    if sent.link:
        results.note_link(session, row.payload["code"], sent.link, sent.platform_id, now)
    if row.kind == "mass_task":
        results.ask_for_result(session, row, sent.platform_id, now)
    if sent.results is not None:
        results.note_mass(session, row.payload, sent.results, now)


def note_refused(session: Session, row: Leased, error: PlatformError, now: datetime) -> None:
    """Mark a row failed for good; what a group was to be answered in private goes to a rep."""
    outbox.mark_failed(session, row.id, error.group, str(error), now)
    elsewhere.note_refused(session, row, now)


def note_profile(session: Session, contact: Contact, channel: str, now: datetime) -> None:
    """Write a customer's name and unionid; a unionid that another member has stays there, with a proposal to merge."""
    member_id = customers.find(session, "external_userid", contact.external_userid)
    if member_id is None:
        return
    try:
        if contact.name:
            customers.set_name(session, member_id, contact.name)
        if contact.unionid:
            customers.attach(session, member_id, "unionid", contact.unionid, f"profile from {channel}", now)
    except IdentityTaken as error:
        log.info("two members are one person, a merge was proposed", member_id=member_id, error=type(error).__name__)
    except UnknownMember:
        log.warning("a profile for a member who is gone", member_id=member_id)


def _counts_by_day(error: PlatformError) -> bool:
    return isinstance(error, ApiRefused) and error.group is ErrorClass.QUOTA and error.endpoint in DAY_QUOTAS
