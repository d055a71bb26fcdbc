"""Pulling what the platform keeps for us: 微信客服 messages and the chat archive, each source by one process at a time.

PullError
├── LeaseLost      another process has taken the source over; nothing of this page was stored
└── NoProgress     the source says that there is more and gives nothing
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec
import structlog
from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bot.cache import INBOX, Cache, Wake
from bot.clock import Clock
from bot.database import Database
from bot.delivery_metrics import DeliveryMetrics
from bot.settings import Deliver, Settings
from bot.wecom import kf
from bot.wecom.archive import ArchiveSource, Envelope, Undecryptable, http_archive, read_record, sealed_message
from bot.wecom.errors import ARCHIVE_TOO_LARGE, SYNC_TOKEN_REFUSED, ApiRefused, ErrorClass, PlatformError
from bot.wecom.gateway import Gateway, Line, Transport
from handlers.talk.inbox import store
from handlers.talk.messages import Incoming
from handlers.talk.tables import Cursor
from loyalty.writing import insert_into

ARCHIVE: Final = "archive"
STALE_AFTER: Final = timedelta(minutes=10)
"""On the first pull ever, what is older than this is kept and marked stale, because nobody waits for an answer."""
SYNC_TOKEN_LIVES: Final = timedelta(minutes=10)
ARCHIVE_WINDOW: Final = timedelta(days=5)
EMPTY_PAGES: Final = 50
LOOK_S: Final = 1.0
QUOTA_WAIT_S: Final = 60.0

log = structlog.get_logger("bot.pulls")


class PullError(Exception):
    """A source could not be pulled."""


class LeaseLost(PullError):
    """Another process has taken the source over; nothing of this page was stored."""


class NoProgress(PullError):
    """The source says that there is more and gives nothing, page after page."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a source was read when it was claimed; `caught_up_at` is None until the first pull has ended."""

    source: str
    position: str
    token: str
    signalled_at: datetime | None
    caught_up_at: datetime | None
    leased_until: datetime


@dataclass(frozen=True, slots=True)
class Read:
    """One page: its messages, the position behind it, whether to ask on, and the token if it is still good."""

    messages: Sequence[Incoming]
    position: str
    has_more: bool
    token: str = ""


class Reader(Protocol):
    """One source: its name in the cursors, how often it is looked at without a signal, and how a page is read."""

    @property
    def source(self) -> str:
        """Its name in the table of cursors."""
        ...

    @property
    def poll_s(self) -> float:
        """How long it may go without a look."""
        ...

    async def read(self, place: Place, now: datetime) -> Read:
        """The page behind the place; raises PlatformError."""
        ...


class KfReader:
    """One 微信客服 account."""

    def __init__(self, gateway: Gateway, open_kfid: str, poll_s: float) -> None:
        self._gateway = gateway
        self._open_kfid = open_kfid
        self.source = f"kf:{open_kfid}"
        self.poll_s = poll_s

    async def read(self, place: Place, now: datetime) -> Read:
        """A page of sync_msg; a token that is too old or refused is left out."""
        is_young = place.signalled_at is not None and now - place.signalled_at < SYNC_TOKEN_LIVES
        token = place.token if is_young else ""
        try:
            page = await kf.sync(self._gateway, self._open_kfid, place.position, token)
        except ApiRefused as error:
            if error.errcode != SYNC_TOKEN_REFUSED or not token:
                raise
            token = ""
            page = await kf.sync(self._gateway, self._open_kfid, place.position, token)
        messages = [kf.read_message(raw, self._open_kfid, now) for raw in page.messages]
        return Read(messages, page.next_cursor, page.has_more, token)


class ArchiveReader:
    """The chat archive of the corp."""

    def __init__(self, archive: ArchiveSource, poll_s: float, batch: int, metrics: DeliveryMetrics) -> None:
        self._archive = archive
        self._batch = self._limit = batch
        self._metrics = metrics
        self._gap_told: datetime | None = None
        self.source = ARCHIVE
        self.poll_s = poll_s

    async def read(self, place: Place, now: datetime) -> Read:
        """A page of records, opened; one that does not open is kept sealed and holds up nothing."""
        after_seq = int(place.position or 0)
        envelopes = await self._pull(after_seq)
        messages = await asyncio.to_thread(lambda: [self._open(envelope, now) for envelope in envelopes])
        self._warn_of_gap(place, messages, now)
        seq = max((envelope.seq for envelope in envelopes), default=after_seq)
        return Read(messages, str(seq), bool(envelopes))

    async def _pull(self, after_seq: int) -> Sequence[Envelope]:
        while True:
            try:
                envelopes = await self._archive.pull(after_seq, self._limit)
            except ApiRefused as error:
                if error.errcode != ARCHIVE_TOO_LARGE or self._limit == 1:
                    raise
                self._limit = max(1, self._limit // 2)
            else:
                self._limit = min(self._batch, self._limit * 2)
                return envelopes

    def _open(self, envelope: Envelope, now: datetime) -> Incoming:
        try:
            return read_record(self._archive.decrypt(envelope), envelope, now)
        except Undecryptable as error:
            self._metrics.alarm("archive record does not open")
            log.error("archive record does not open", seq=envelope.seq, error=str(error))
            return sealed_message(envelope, now)

    def _warn_of_gap(self, place: Place, messages: Sequence[Incoming], now: datetime) -> None:
        # Beyond the window the platform begins silently at the oldest record it still has.
        last = place.caught_up_at
        if last is None or now - last <= ARCHIVE_WINDOW or self._gap_told == last or not messages:
            return
        self._gap_told = last
        self._metrics.alarm("archive gap")
        log.error(
            "messages between two pulls are lost", caught_up_at=last.isoformat(), oldest=messages[0].at.isoformat()
        )


def readers_of(settings: Settings, gateway: Gateway, transport: Transport, metrics: DeliveryMetrics) -> list[Reader]:
    """A reader for each 微信客服 account and, unless it is off, for the archive; raises ValueError for a bad key."""
    readers: list[Reader] = [
        KfReader(gateway, open_kfid, settings.deliver.kf_poll_s) for open_kfid in settings.wecom.kf_accounts
    ]
    archive = settings.archive
    if archive.source == "http":
        source = http_archive(settings, Line(archive.base_url, transport, metrics))
        readers.append(ArchiveReader(source, archive.poll_s, archive.batch, metrics))
    return readers


class Puller:
    """Pulls every source that has signalled or was not looked at for a while; messages and cursor commit together."""

    def __init__(
        self,
        database: Database,
        readers: Iterable[Reader],
        cache: Cache,
        settings: Deliver,
        clock: Clock,
        metrics: DeliveryMetrics,
    ) -> None:
        self._database = database
        self._readers = {reader.source: reader for reader in readers}
        self._cache = cache
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._failures: Counter[str] = Counter()
        # Kept here and not in the database: who mends a secret and starts anew must not wait.
        self._resting: dict[str, datetime] = {}

    async def run(self, wake: Wake) -> None:
        """Pull whenever called or due, until cancelled; what goes wrong is logged and tried again."""
        while True:
            try:
                await self.pull_due()
            except SQLAlchemyError as error:
                log.warning("cannot look for what to pull", error=type(error).__name__)
            except Exception:
                self._metrics.alarm("pull failed")
                log.exception("pulling broke off")
            await wake.wait(LOOK_S)

    async def pull_due(self) -> int:
        """Pull the sources that are due now; gives how many messages were offered to the inbox."""
        due = await asyncio.to_thread(self._due)
        return sum(await asyncio.gather(*(self._pull_safely(self._readers[source]) for source in due)))

    def _due(self) -> list[str]:
        now = self._clock()
        with self._database.reading() as session:
            rows = {
                row.source: row for row in session.scalars(select(Cursor).where(Cursor.source.in_(list(self._readers))))
            }
        awake = {source: reader for source, reader in self._readers.items() if self._resting.get(source, now) <= now}
        return [source for source, reader in awake.items() if _is_due(rows.get(source), reader.poll_s, now)]

    async def _pull_safely(self, reader: Reader) -> int:
        place = await asyncio.to_thread(self._claim, reader)
        if place is None:
            return 0
        try:
            count = await self._pull(reader, place)
        except LeaseLost:
            log.info("another process pulls now", source=reader.source)
            return 0
        except Exception as error:
            await self._hold_off(reader.source, place, error)
            return 0
        self._failures.pop(reader.source, None)
        return count

    async def _pull(self, reader: Reader, place: Place) -> int:
        started_at, count, empty = self._clock(), 0, 0
        while True:
            page = await reader.read(place, self._clock())
            empty = 0 if page.messages or page.position != place.position else empty + 1
            if empty > EMPTY_PAGES:
                raise NoProgress(f"{reader.source}: {EMPTY_PAGES} empty pages at position {place.position!r}")
            caught_up_at = None if page.has_more else started_at
            place = await asyncio.to_thread(self._keep, place, page, caught_up_at)
            count += len(page.messages)
            if page.messages:
                self._metrics.count_pulled(reader.source.partition(":")[0], len(page.messages))
                await self._cache.publish(INBOX)
            if not page.has_more:
                return count

    def _claim(self, reader: Reader) -> Place | None:
        with self._database.transaction() as session:
            return claim(session, reader.source, reader.poll_s, self._clock(), self._settings.lease_s)

    def _keep(self, place: Place, page: Read, caught_up_at: datetime | None) -> Place:
        now = self._clock()
        messages = _mark_stale(page.messages, now) if place.caught_up_at is None else page.messages
        with self._database.transaction() as session:
            store(session, messages, now)
            until = now + timedelta(seconds=self._settings.lease_s)
            advance(session, place, page.position, until, caught_up_at)
        return replace(place, position=page.position, token=page.token, leased_until=until)

    async def _hold_off(self, source: str, place: Place, error: Exception) -> None:
        self._failures[source] += 1
        group = error.group if isinstance(error, PlatformError) else ErrorClass.RETRY
        wait_s = self._wait_s(source, group)
        log.warning("pull failed", source=source, group=group, wait_s=wait_s, error=f"{type(error).__name__}: {error}")
        if group is ErrorClass.CONFIG or not isinstance(error, PlatformError | SQLAlchemyError):
            self._metrics.alarm("pull failed")
        self._resting[source] = self._clock() + timedelta(seconds=wait_s)
        try:
            await asyncio.to_thread(self._give_back, source)
        except SQLAlchemyError:
            log.warning("cannot note the failed pull; its lease will end", source=source)

    def _wait_s(self, source: str, group: ErrorClass) -> float:
        settings = self._settings
        if group in (ErrorClass.CONFIG, ErrorClass.PERMANENT):
            return settings.retry_max_s
        first_s = QUOTA_WAIT_S if group is ErrorClass.QUOTA else settings.retry_first_s
        return min(first_s * 2.0 ** min(self._failures[source] - 1, 16), max(first_s, settings.retry_max_s))

    def _give_back(self, source: str) -> None:
        with self._database.transaction() as session:
            session.execute(update(Cursor).where(Cursor.source == source).values(leased_until=None))


def claim(session: Session, source: str, poll_s: float, now: datetime, lease_s: float) -> Place | None:
    """Take a source that is due for `lease_s`; None where it is not due or in other hands."""
    session.execute(
        insert_into(session, Cursor).on_conflict_do_nothing(index_elements=["source"]), [{"source": source}]
    )
    until = now + timedelta(seconds=lease_s)
    row = session.execute(
        update(Cursor)
        .where(Cursor.source == source, _is_free(now), _wants_pull(poll_s, now))
        .values(leased_until=until)
        .returning(Cursor.position, Cursor.token, Cursor.signalled_at, Cursor.pulled_at)
    ).one_or_none()
    return None if row is None else Place(source, row.position, row.token, row.signalled_at, row.pulled_at, until)


def advance(session: Session, place: Place, position: str, until: datetime, caught_up_at: datetime | None) -> None:
    """Move the cursor and keep or, when caught up, end the lease; raises LeaseLost when it was lost meanwhile."""
    values = {"position": position, "leased_until": until}
    if caught_up_at is not None:
        values |= {"pulled_at": caught_up_at, "leased_until": None}
    moved = session.execute(
        update(Cursor)
        .where(Cursor.source == place.source, Cursor.leased_until == place.leased_until)
        .values(**values)
        .returning(Cursor.source)
    )
    if moved.one_or_none() is None:
        raise LeaseLost(place.source)


def _is_free(now: datetime) -> ColumnElement[bool]:
    return or_(Cursor.leased_until.is_(None), Cursor.leased_until <= now)


def _wants_pull(poll_s: float, now: datetime) -> ColumnElement[bool]:
    return or_(
        Cursor.pulled_at.is_(None),
        Cursor.pulled_at <= now - timedelta(seconds=poll_s),
        Cursor.signalled_at >= Cursor.pulled_at,
    )


def _is_due(row: Cursor | None, poll_s: float, now: datetime) -> bool:
    if row is None:
        return True
    if row.leased_until is not None and row.leased_until > now:
        return False
    if row.pulled_at is None or row.pulled_at <= now - timedelta(seconds=poll_s):
        return True
    return row.signalled_at is not None and row.signalled_at >= row.pulled_at


def _mark_stale(messages: Sequence[Incoming], now: datetime) -> list[Incoming]:
    return [
        msgspec.structs.replace(item, data={**item.data, "stale": "1"}) if item.at < now - STALE_AFTER else item
        for item in messages
    ]
