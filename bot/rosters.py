"""The roster: contacts and groups the corp had before us, read once a day into our tables (wecom.md §4.1, §4.4).

Events stay the quick way (handlers.contacts); this fills what happened before them and mends what they missed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import structlog
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bot.clock import Clock
from bot.database import Database, is_transient
from bot.delivery_metrics import DeliveryMetrics
from bot.pulls import LeaseLost, NoProgress, Place, advance, claim
from bot.roster_rows import (
    SKEW,
    contacts_in,
    end_servings,
    group_in,
    id_of,
    note_contacts,
    note_group,
    note_reps,
    servings_of,
    servings_of_others,
)
from bot.settings import Deliver
from bot.wecom.errors import ApiRefused, ErrorClass, PlatformError
from bot.wecom.gateway import Gateway, Json, text_of
from handlers.talk.tables import Cursor

CONTACTS: Final = "roster"
GROUPS: Final = "roster:groups"
"""Each has its own row of `cursors`, so that a missing right for one does not have the other read every hour."""
EVERY_S: Final = 86_400.0
LOOK_S: Final = 180.0
LEASE_S: Final = 600.0
"""Longer than one call with all its tries; every page written begins it anew."""
PAUSE_S: Final = 0.15
"""Between two pages: under the older 30,000 calls an hour of one API (wecom.md §2.2), whatever the corp's size."""
TRIES: Final = 4
QUOTA_WAIT_S: Final = 60.0
REST_FIRST_S: Final = 60.0
REST_S: Final = 3600.0
REPS_AT_ONCE, CONTACTS_A_PAGE, GROUPS_A_PAGE = 100, 100, 1000
NO_CONTACT: Final = 84061
ONE_BY_ONE: Final = frozenset({NO_CONTACT, 40003, 40031, 60111})
"""Refusals that may be about one member of the list asked for: none of its contacts, or nobody of that name."""
NO_GROUP: Final = 40050
TOO_MANY_OWNERS: Final = 81017

T = TypeVar("T")
log = structlog.get_logger("bot.rosters")


class NobodyListed(PlatformError):
    """No member has the customer-contact right: give it in 客户联系 → 权限配置, to members in the app's range."""

    group = ErrorClass.CONFIG


class Rosters:
    """Reads contacts and groups at the first start and once a day after, in exactly one process."""

    def __init__(
        self,
        database: Database,
        gateway: Gateway,
        settings: Deliver,
        clock: Clock,
        metrics: DeliveryMetrics,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._sleep = sleep
        self._failures: Counter[str] = Counter()
        self._told: dict[str, tuple[str, int]] = {}
        # Kept here and not in the database: who mends a right or a secret and starts anew must not wait.
        self._resting: dict[str, datetime] = {}

    async def run(self) -> None:
        """Look every few minutes whether a reading is due, until cancelled; what goes wrong is tried again."""
        while True:
            try:
                await self.sync_due()
            except SQLAlchemyError as error:
                log.warning("cannot look whether the roster is due", error=type(error).__name__)
            except Exception:
                self._metrics.alarm("roster sync failed")
                log.exception("reading the roster broke off")
            await self._sleep(LOOK_S)

    async def sync_due(self) -> int:
        """Read what is due now; gives how many contacts and groups were read, 0 where nothing is due."""
        return sum([await self._sync_safely(source, read) for source, read in PASSES.items()])

    async def _sync_safely(self, source: str, read: Callable[[Pass], Awaitable[int]]) -> int:
        started_at = self._clock()
        if self._resting.get(source, started_at) > started_at:
            return 0
        place = await asyncio.to_thread(self._claim, source, started_at)
        if place is None:
            return 0
        under_way = Pass(self._database, self._gateway, self._settings, self._clock, self._sleep, place, started_at)
        try:
            count = await read(under_way)
        except LeaseLost:
            log.info("another process reads the roster now", source=source)
            return 0
        except asyncio.CancelledError:
            await asyncio.to_thread(self._give_back, under_way.place)
            raise
        except Exception as error:
            await self._hold_off(under_way.place, error)
            return 0
        self._failures.pop(source, None)
        self._told.pop(source, None)
        log.info("roster read", source=source, count=count, changed=under_way.changed)
        return count

    def _claim(self, source: str, now: datetime) -> Place | None:
        with self._database.transaction() as session:
            return claim(session, source, EVERY_S, now, LEASE_S)

    async def _hold_off(self, place: Place, error: Exception) -> None:
        group = error.group if isinstance(error, PlatformError) else ErrorClass.RETRY
        needs_person = group in (ErrorClass.CONFIG, ErrorClass.PERMANENT)
        self._failures[place.source] += 1
        wait_s = REST_S if needs_person else min(REST_FIRST_S * 2.0 ** min(self._failures[place.source] - 1, 9), REST_S)
        self._tell(place.source, error, group, wait_s, needs_person)
        self._resting[place.source] = self._clock() + timedelta(seconds=wait_s)
        try:
            await asyncio.to_thread(self._give_back, place)
        except SQLAlchemyError:
            log.warning("cannot note the failed reading; its lease will end", source=place.source)

    def _tell(self, source: str, error: Exception, group: ErrorClass, wait_s: float, needs_person: bool) -> None:
        seen = {"source": source, "group": group, "wait_s": wait_s, "error": f"{type(error).__name__}: {error}"}
        if not needs_person and isinstance(error, PlatformError | SQLAlchemyError):
            log.warning("roster not read", **seen)
            return
        # A right that the corp has not given is no news every hour: one call for a person, one line.
        trouble = (type(error).__name__, getattr(error, "errcode", 0))
        if self._told.get(source) == trouble:
            log.debug("roster still not read", **seen)
            return
        self._told[source] = trouble
        self._metrics.alarm("roster needs a change of configuration" if needs_person else "roster sync failed")
        log.error("roster not read; see that the app may read customer contact", **seen)

    def _give_back(self, place: Place) -> None:
        ours = (Cursor.source == place.source, Cursor.leased_until == place.leased_until)
        with self._database.transaction() as session:
            session.execute(update(Cursor).where(*ours).values(leased_until=None))


class Pass:
    """One reading under its lease: every write begins the lease anew and is refused once the lease is lost."""

    def __init__(
        self,
        database: Database,
        gateway: Gateway,
        settings: Deliver,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
        place: Place,
        started_at: datetime,
    ) -> None:
        self._database = database
        self._gateway = gateway
        self._settings = settings
        self._sleep = sleep
        self.clock = clock
        self.place = place
        self.started_at = started_at
        self.changed = 0

    async def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """One call; a busy platform or a full window is waited for, a few times. Raises PlatformError."""
        for attempt in range(1, TRIES):
            try:
                return await self._gateway.call(method, path, body)
            except PlatformError as error:
                if error.group not in (ErrorClass.RETRY, ErrorClass.QUOTA):
                    raise
                first_s = QUOTA_WAIT_S if error.group is ErrorClass.QUOTA else self._settings.retry_first_s
                await self._sleep(min(error.wait_s or first_s * 2.0 ** (attempt - 1), QUOTA_WAIT_S))
        return await self._gateway.call(method, path, body)

    async def pages(self, path: str, body: Json) -> AsyncIterator[Json]:
        """Every page of a list, in order; raises NoProgress when the platform goes in circles."""
        cursor, seen = "", {""}
        while True:
            answer = await self.ask("POST", path, body | ({"cursor": cursor} if cursor else {}))
            yield answer
            cursor = text_of(answer.get("next_cursor"))
            if not cursor:
                return
            if cursor in seen:
                raise NoProgress(f"{path} gives the cursor {cursor!r} twice")
            seen.add(cursor)
            await self.pause()

    async def pause(self) -> None:
        """Leave the platform's window to those who are waiting for an answer."""
        await self._sleep(PAUSE_S)

    async def look(self, read: Callable[[Session], T]) -> T:
        """Read our tables."""

        def go() -> T:
            with self._database.reading() as session:
                return read(session)

        return await asyncio.to_thread(go)

    async def keep(self, write: Callable[[Session], int], is_last: bool = False) -> None:
        """Write a page in one transaction with the lease; raises LeaseLost with nothing written."""
        await asyncio.to_thread(self._keep, write, self.started_at if is_last else None)

    def _keep(self, write: Callable[[Session], int], caught_up_at: datetime | None) -> None:
        for attempt in range(1, TRIES + 1):
            until = self.clock() + timedelta(seconds=LEASE_S)
            try:
                with self._database.transaction() as session:
                    advance(session, self.place, "", until, caught_up_at)
                    changed = write(session)
            except SQLAlchemyError as error:
                if attempt == TRIES or not is_transient(error):
                    raise
            else:
                self.place = replace(self.place, leased_until=until)
                self.changed += changed
                return


async def _sync_contacts(under_way: Pass) -> int:
    reps = await _follow_users(under_way)
    await under_way.keep(partial(note_reps, userids=reps, at=under_way.started_at))
    count, gone = 0, list[tuple[str, str]]()
    for first in range(0, len(reps), REPS_AT_ONCE):
        count += await _sync_reps(under_way, reps[first : first + REPS_AT_ONCE], gone)
        await under_way.pause()
    gone += await under_way.look(partial(servings_of_others, userids=reps))
    end = partial(end_servings, pairs=gone, at=under_way.started_at, before=under_way.started_at - SKEW)
    await under_way.keep(end, is_last=True)
    return count


async def _sync_reps(under_way: Pass, reps: list[str], gone: list[tuple[str, str]]) -> int:
    """Write the contacts of these reps; adds to `gone` the pairs that we have and a whole list did not name."""
    missing = await under_way.look(partial(servings_of, userids=reps))
    unsure, count, is_first = set[str](), 0, True
    try:
        body = {"userid_list": reps, "limit": CONTACTS_A_PAGE}
        async for page in under_way.pages("externalcontact/batch/get_by_user", body):
            is_first = False
            unsure |= _left_out(page, reps)
            contacts = contacts_in(page)
            missing -= {(contact.userid, contact.external_userid) for contact in contacts}
            await under_way.keep(partial(note_contacts, contacts=contacts, at=under_way.clock()))
            count += len(contacts)
    except ApiRefused as error:
        if error.errcode not in ONE_BY_ONE or not is_first:
            raise
        if len(reps) > 1:
            return sum([await _sync_reps(under_way, [userid], gone) for userid in reps])
        if error.errcode != NO_CONTACT:
            log.warning("a member's contacts cannot be read", userid=reps[0], errcode=error.errcode)
            return 0
    gone += sorted(pair for pair in missing if pair[0] not in unsure)
    return count


async def _sync_groups(under_way: Pass) -> int:
    chats, count = await _group_ids(under_way), 0
    for chat in chats:
        asked_at = under_way.clock()
        try:
            answer = await under_way.ask("POST", "externalcontact/groupchat/get", {"chat_id": chat, "need_name": 1})
        except ApiRefused as error:
            if error.errcode != NO_GROUP:
                raise
            log.info("a listed group is no more", errcode=error.errcode)
            continue
        await under_way.keep(partial(note_group, group=group_in(answer, chat), asked_at=asked_at))
        count += 1
        await under_way.pause()
    await under_way.keep(lambda _session: 0, is_last=True)
    return count


async def _follow_users(under_way: Pass) -> list[str]:
    path = "externalcontact/get_follow_user_list"
    answer = await under_way.ask("GET", path)
    reps = sorted({userid for item in answer.get("follow_user") or () if (userid := id_of(item))})
    if not reps:
        # More likely a setting than a corp without staff: nobody's contacts are ended for it.
        raise NobodyListed(f"{path} names nobody; give members the customer-contact right (客户联系 → 权限配置)")
    return reps


async def _group_ids(under_way: Pass) -> list[str]:
    body: Json = {"status_filter": 0, "limit": GROUPS_A_PAGE}
    try:
        return await _group_ids_of(under_way, body)
    except ApiRefused as error:
        if error.errcode != TOO_MANY_OWNERS:
            raise
    reps, chats = await _follow_users(under_way), list[str]()
    for first in range(0, len(reps), REPS_AT_ONCE):
        owners = {"userid_list": reps[first : first + REPS_AT_ONCE]}
        chats += await _group_ids_of(under_way, body | {"owner_filter": owners})
    return chats


async def _group_ids_of(under_way: Pass, body: Json) -> list[str]:
    pages = under_way.pages("externalcontact/groupchat/list", body)
    items = [item async for page in pages for item in page.get("group_chat_list") or ()]
    return [chat for item in items if (chat := id_of(item.get("chat_id")))]


PASSES: Final[Mapping[str, Callable[[Pass], Awaitable[int]]]] = {CONTACTS: _sync_contacts, GROUPS: _sync_groups}


def _left_out(page: Json, reps: Sequence[str]) -> set[str]:
    """Whose contacts this page does not tell: members without a licence, or all where there is no list in it."""
    if not isinstance(page.get("external_contact_list"), list):
        return set(reps)
    return set((page.get("fail_info") or {}).get("unlicensed_userid_list") or ())
