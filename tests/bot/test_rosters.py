"""The roster: what the corp had before us is in our tables, and no older answer undoes what an event said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select
from structlog.testing import capture_logs

from bot.cache import LocalCache
from bot.database import Database
from bot.delivery_metrics import DeliveryMetrics
from bot.rosters import EVERY_S, LEASE_S, REST_S, Rosters
from bot.settings import Deliver, Settings
from bot.wecom.gateway import wecom_gateway
from handlers.contacts import note_event
from handlers.talk.messages import Incoming
from handlers.talk.tables import ChatMemberRow, ChatRow, Cursor, RepRow, ServingRow
from loyalty import customers
from loyalty.tables import Member, MergeProposal

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
BEGAN = datetime(2025, 6, 1, 4, 0, tzinfo=UTC)
FOLLOW_USERS = "externalcontact/get_follow_user_list"
BY_USER = "externalcontact/batch/get_by_user"
GROUP_LIST, GROUP = "externalcontact/groupchat/list", "externalcontact/groupchat/get"


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


@dataclass
class Corp:
    """The other end of the transport seam: a corp with reps, contacts and groups, three contacts a page.

    `refuses` holds the answers an endpoint gives first; `before` is called with each endpoint before it answers.
    """

    reps: list[str] = field(default_factory=lambda: ["liuyang", "wangli"])
    contacts: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuses: dict[str, list[Any]] = field(default_factory=dict)
    always_refuses: dict[str, int] = field(default_factory=dict)
    before: Callable[[str, dict[str, Any]], None] = lambda _endpoint, _body: None
    after: Callable[[str, dict[str, Any]], None] = lambda _endpoint, _body: None
    unlicensed: list[str] = field(default_factory=list)
    page: int = 3
    delay_s: float = 0.0
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def befriend(self, userid: str, person: str, name: str = "", since: datetime = BEGAN, **more: str) -> None:
        """This rep serves this customer."""
        self.contacts[userid, person] = {"name": name or person, "since": since} | more

    def gather(self, chat: str, name: str, **members: datetime) -> None:
        """A group of 刘阳's with these members."""
        self.groups[chat] = {"name": name, "owner": "liuyang", "members": members}

    def called(self, endpoint: str) -> list[dict[str, Any]]:
        """The bodies an endpoint was asked with, in order."""
        return [body for path, body in self.calls if path == endpoint]

    async def __call__(
        self, method: str, url: str, params: Mapping[str, str], body: object | None
    ) -> tuple[int, bytes]:
        """Note the call and answer it."""
        endpoint, asked = url.partition("/cgi-bin/")[2], json.loads(json.dumps(body or {}))
        self.calls.append((endpoint, asked))
        await asyncio.sleep(self.delay_s)
        self.before(endpoint, asked)
        told = self.refuses.get(endpoint)
        answer = told.pop(0) if told else {"errcode": self.always_refuses.get(endpoint, 0), "errmsg": "as told"}
        if isinstance(answer, BaseException):
            raise answer
        if not answer.get("errcode") and "as_is" not in answer:
            answer = {"errcode": 0} | self._answer(endpoint, asked)
        self.after(endpoint, asked)
        return 200, json.dumps(answer).encode()

    def _answer(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        if endpoint == "gettoken":
            return {"access_token": "tok", "expires_in": 7200}
        if endpoint == FOLLOW_USERS:
            return {"follow_user": self.reps}
        if endpoint == BY_USER:
            return self._contacts(body)
        if endpoint == GROUP_LIST:
            return {"group_chat_list": [{"chat_id": chat, "status": 0} for chat in self.groups]}
        return {"group_chat": self._group(body["chat_id"])}

    def _contacts(self, body: dict[str, Any]) -> dict[str, Any]:
        assert len(body["userid_list"]) <= 100
        pairs = sorted(
            pair for pair in self.contacts if pair[0] in body["userid_list"] and pair[0] not in self.unlicensed
        )
        if not pairs and not self.unlicensed:
            return {"errcode": 84061, "errmsg": "no relation"}
        first = int(body.get("cursor") or 0)
        rows = [self._contact(*pair) for pair in pairs[first : first + self.page]]
        rest = {"next_cursor": str(first + self.page)} if first + self.page < len(pairs) else {"next_cursor": ""}
        return {"external_contact_list": rows, "fail_info": {"unlicensed_userid_list": self.unlicensed}} | rest

    def _contact(self, userid: str, person: str) -> dict[str, Any]:
        kept = self.contacts[userid, person]
        unionid = {"unionid": kept["unionid"]} if "unionid" in kept else {}
        state = {"state": kept["state"]} if "state" in kept else {}
        return {
            "external_contact": {"external_userid": person, "name": kept["name"], "type": 1} | unionid,
            "follow_info": {"userid": userid, "createtime": _seconds(kept["since"]), "tag_id": []} | state,
        }

    def _group(self, chat: str) -> dict[str, Any]:
        group = self.groups[chat]
        members = [
            {
                "userid": person,
                "type": 1 if person in self.reps else 2,
                "join_time": _seconds(at),
                "name": f"{person} 在群里",
            }
            for person, at in group["members"].items()
        ]
        return {"chat_id": chat, "name": group["name"], "owner": group["owner"], "member_list": members}


@dataclass
class Shop:
    """Our side: a database, a clock that stands, and readers over the corp."""

    database: Database
    corp: Corp
    now: datetime = NOW
    slept: list[float] = field(default_factory=list)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.metrics = DeliveryMetrics(self.registry)
        self.cache = LocalCache(lambda: self.now)

    def reader(self) -> Rosters:
        """A process's own reader."""
        wecom = {"base_url": "http://platform", "corp_id": "ww1", "secret": "app-secret"}
        settings = Settings(wecom=wecom, deliver=Deliver())
        gateway = wecom_gateway(settings, self.corp, self.cache, lambda: self.now, self.metrics)
        return Rosters(self.database, gateway, settings.deliver, lambda: self.now, self.metrics, self._sleep)

    async def _sleep(self, wait_s: float) -> None:
        self.slept.append(wait_s)
        await asyncio.sleep(0)

    def read(self, readers: int = 1) -> int:
        """So many processes look at once; gives what they read together."""

        async def go() -> int:
            return sum(await asyncio.gather(*(self.reader().sync_due() for _ in range(readers))))

        return asyncio.run(go())

    def next_day(self) -> None:
        """A day and a minute pass."""
        self.now += timedelta(seconds=EVERY_S + 60)

    def event(self, change: str, at: datetime, userid: str = "liuyang", person: str = "wm1", **more: str) -> None:
        """A contact event is worked off."""
        data = {"event": "change_external_contact", "change": change, "userid": userid, "external_userid": person}
        self._note(
            Incoming(
                key=f"{change}:{at}", channel="contact", chat="", sender=person, kind="event", at=at, data=data | more
            )
        )

    def group_event(self, detail: str, at: datetime, *people: str, chat: str = "wr1") -> None:
        """A group event is worked off."""
        data = {"event": "change_external_chat", "change": "update", "detail": detail, "members": ",".join(people)}
        self._note(
            Incoming(key=f"{detail}:{at}", channel="contact", chat=chat, sender="sys", kind="event", at=at, data=data)
        )

    def _note(self, message: Incoming) -> None:
        with self.database.transaction() as session:
            note_event(session, message, self.now)

    def serving(self, person: str = "wm1", userid: str = "liuyang") -> ServingRow:
        """One serving as it is kept."""
        with self.database.reading() as session:
            row = session.get(ServingRow, (userid, person))
            assert row is not None
            return row

    def left(self) -> set[str]:
        """The reps who have left."""
        with self.database.reading() as session:
            return set(session.scalars(select(RepRow.userid).where(RepRow.left_at.is_not(None))))

    def in_group(self, chat: str = "wr1") -> dict[str, bool]:
        """Who is known of a group, and whether they sit in it."""
        with self.database.reading() as session:
            rows = session.scalars(select(ChatMemberRow).where(ChatMemberRow.chat == chat))
            return {row.person: row.left_at is None for row in rows}

    def name_of(self, person: str) -> str:
        """The name a customer goes by."""
        with self.database.reading() as session:
            member_id = customers.find(session, "external_userid", person)
            assert member_id is not None
            return customers.profiles(session, [member_id])[member_id].name

    def everything(self) -> list[list[Any]]:
        """Every row the roster may touch."""
        with self.database.reading() as session:
            tables = [
                entity.__table__ for entity in (Member, ServingRow, ChatRow, ChatMemberRow, RepRow, MergeProposal)
            ]
            return [sorted(map(repr, session.execute(select(table)))) for table in tables]

    def alarms(self) -> float:
        """How often a person was called."""
        metrics = [metric for metric in self.registry.collect() if metric.name == "alarms"]
        return sum(s.value for metric in metrics for s in metric.samples if s.name == "alarms_total")


@pytest.fixture
def corp() -> Corp:
    """A corp with two reps, five contacts, four customers and one group."""
    corp = Corp()
    corp.befriend("liuyang", "wm1", "阿青", unionid="oU1", state="shop-031")
    corp.befriend("liuyang", "wm2", "小满")
    corp.befriend("liuyang", "wm3", "老周")
    corp.befriend("liuyang", "wm4", "半夏")
    corp.befriend("wangli", "wm1", "阿青", BEGAN + timedelta(days=30), unionid="oU1")
    corp.gather("wr1", "城西老客群", liuyang=BEGAN, wm1=BEGAN, wm9=BEGAN + timedelta(days=1))
    return corp


@pytest.fixture
def shop(database: Database, corp: Corp) -> Shop:
    """A shop on each kind of database."""
    return Shop(database, corp)


class TestFirstReading:
    """Installed at a corp that has customers."""

    def test_contacts_and_groups_are_known_at_once(self, shop: Shop) -> None:
        """Members with names and unionids, reps, servings since when and by which channel, groups and their people."""
        assert shop.read() == 6
        assert [shop.name_of(person) for person in ("wm1", "wm2", "wm3", "wm4")] == ["阿青", "小满", "老周", "半夏"]
        first, second = shop.serving("wm1"), shop.serving("wm1", "wangli")
        assert (first.since, first.channel_code, first.ended_at) == (BEGAN, "shop-031", None)
        assert (second.since, second.channel_code) == (BEGAN + timedelta(days=30), "")
        assert shop.in_group() == {"liuyang": True, "wm1": True, "wm9": True}
        with shop.database.reading() as session:
            assert customers.find(session, "unionid", "oU1") == customers.find(session, "external_userid", "wm1")
            assert session.scalar(select(func.count()).select_from(Member)) == 4
            assert sorted(session.scalars(select(RepRow.userid))) == ["liuyang", "wangli"]
            chat = session.get(ChatRow, "wr1")
            assert chat is not None
            assert (chat.name, chat.owner) == ("城西老客群", "liuyang")
            member = session.get(ChatMemberRow, ("wr1", "wm9"))
            assert member is not None
            assert member.joined_at == BEGAN + timedelta(days=1)

    def test_a_second_reading_changes_nothing(self, shop: Shop) -> None:
        """The same answers a day later leave every row as it was; before that day nobody is asked."""
        shop.read()
        before, asked = shop.everything(), len(shop.corp.calls)
        shop.now += timedelta(hours=23)
        assert shop.read() == 0
        assert len(shop.corp.calls) == asked
        shop.next_day()
        assert shop.read() == 6
        assert shop.everything() == before

    def test_names_follow_the_platform(self, shop: Shop) -> None:
        """A customer who was renamed goes by the new name; one without a name keeps the one we know."""
        shop.read()
        shop.corp.contacts["liuyang", "wm2"]["name"] = "满满"
        shop.corp.contacts["liuyang", "wm3"]["name"] = ""
        shop.next_day()
        shop.read()
        assert (shop.name_of("wm2"), shop.name_of("wm3")) == ("满满", "老周")

    def test_a_group_gives_a_name_only_to_the_nameless(self, shop: Shop) -> None:
        """Who wrote in a group and is nobody's contact gets the name the group tells; a contact keeps theirs."""
        with shop.database.transaction() as session:
            customers.resolve(session, [("external_userid", "wm9")], NOW)
        shop.read()
        assert (shop.name_of("wm9"), shop.name_of("wm1")) == ("wm9 在群里", "阿青")

    def test_a_unionid_of_somebody_else_is_proposed(self, shop: Shop) -> None:
        """The unionid stays with its member, one proposal to merge is kept, and the rest of the page is written."""
        with shop.database.transaction() as session:
            owner = customers.resolve(session, [("unionid", "oU1")], NOW)["unionid", "oU1"]
        shop.read()
        shop.next_day()
        shop.read()
        with shop.database.reading() as session:
            assert customers.find(session, "unionid", "oU1") == owner
            proposal = session.scalars(select(MergeProposal)).one()
            assert (proposal.kind, proposal.value, proposal.other_id) == ("unionid", "oU1", owner)
        assert shop.name_of("wm4") == "半夏"

    def test_more_than_a_hundred_reps_are_asked_in_parts(self, shop: Shop) -> None:
        """A call takes a hundred members; nobody is left out and nobody without contacts is in the way."""
        shop.corp.reps += [f"rep{number:03}" for number in range(100)]
        shop.corp.befriend("rep099", "wm5", "冬至")
        shop.corp.page = 100
        shop.read()
        assert {len(body["userid_list"]) for body in shop.corp.called(BY_USER)} == {100, 2}
        assert shop.name_of("wm5") == "冬至"

    def test_a_corp_of_many_owners_is_asked_by_owner(self, shop: Shop) -> None:
        """81017 for all groups at once: they are asked for by their owners."""
        shop.corp.refuses[GROUP_LIST] = [{"errcode": 81017, "errmsg": "too many"}]
        shop.read()
        assert shop.corp.called(GROUP_LIST)[1]["owner_filter"] == {"userid_list": ["liuyang", "wangli"]}
        assert shop.in_group()["wm9"]


class TestEndings:
    """What the platform lists no more."""

    def test_a_rep_who_is_listed_no_more_has_left(self, shop: Shop) -> None:
        """Who lost the customer-contact right is no rep any more, who has it again is; a rep of this minute stays."""
        shop.read()
        shop.corp.reps.remove("wangli")
        shop.next_day()
        shop.event("add_external_contact", shop.now, "chenjie")
        shop.read()
        assert shop.left() == {"wangli"}
        shop.corp.reps += ["wangli", "chenjie"]
        shop.next_day()
        shop.read()
        assert shop.left() == set()

    def test_a_removed_contact_is_ended(self, shop: Shop) -> None:
        """A contact that was missed going is ended by the roster; listed again, the same contact stands again."""
        shop.read()
        kept = shop.corp.contacts.pop(("liuyang", "wm2"))
        shop.next_day()
        shop.read()
        ended = shop.serving("wm2")
        assert (ended.ended_at, ended.ended_by) == (shop.now, "roster")
        assert shop.serving("wm3").ended_at is None
        shop.corp.contacts["liuyang", "wm2"] = kept
        shop.next_day()
        shop.read()
        assert (shop.serving("wm2").ended_at, shop.serving("wm2").ended_by) == (None, "")

    def test_the_contacts_of_a_rep_without_the_right_end(self, shop: Shop) -> None:
        """A rep who is in the list no more serves nobody; one whose last contact went neither (84061)."""
        shop.read()
        shop.corp.reps.remove("wangli")
        shop.corp.contacts = {}
        shop.next_day()
        shop.read()
        assert {shop.serving("wm1").ended_by, shop.serving("wm1", "wangli").ended_by} == {"roster"}

    def test_a_broken_reading_ends_nothing(self, shop: Shop) -> None:
        """The second page never comes: what was on it is not taken for gone, and a later look reads all of it."""
        shop.read()
        del shop.corp.contacts["liuyang", "wm1"]
        shop.next_day()
        shop.corp.before = _failing_after(BY_USER, 1)
        shop.read()
        assert [shop.serving(person).ended_at for person in ("wm1", "wm4")] == [None, None]
        shop.corp.before = lambda _endpoint, _body: None
        shop.now += timedelta(minutes=2)
        shop.read()
        assert (shop.serving("wm1").ended_by, shop.serving("wm4").ended_at) == ("roster", None)

    def test_who_has_no_licence_is_left_alone(self, shop: Shop) -> None:
        """A member in `unlicensed_userid_list` is not told about: their contacts stay."""
        shop.read()
        shop.corp.unlicensed = ["liuyang"]
        shop.next_day()
        shop.read()
        assert shop.serving("wm2").ended_at is None

    def test_an_empty_list_of_reps_is_a_setting(self, shop: Shop) -> None:
        """When nobody has the right a person is called, and no contact of the corp is ended for it."""
        shop.read()
        shop.corp.reps = []
        shop.next_day()
        shop.read()
        assert shop.serving("wm2").ended_at is None
        assert shop.alarms() == 1

    def test_who_left_a_group_has_left(self, shop: Shop) -> None:
        """A member the group does not name any more has left; who comes back sits in it again; the name follows."""
        shop.read()
        del shop.corp.groups["wr1"]["members"]["wm9"]
        shop.corp.groups["wr1"]["name"] = "城西新客群"
        shop.next_day()
        shop.read()
        assert shop.in_group() == {"liuyang": True, "wm1": True, "wm9": False}
        shop.next_day()
        shop.corp.groups["wr1"]["members"]["wm9"] = shop.now
        shop.read()
        assert shop.in_group()["wm9"]
        with shop.database.reading() as session:
            assert session.scalars(select(ChatRow.name)).all() == ["城西新客群"]


class TestEvents:
    """An older answer undoes no newer event."""

    @pytest.mark.parametrize("change", ["del_external_contact", "del_follow_user"])
    def test_a_contact_ended_during_the_reading_stays_ended(self, shop: Shop, change: str) -> None:
        """The answer still names the contact, the event came in between: the event counts, today and tomorrow."""
        shop.read()
        shop.next_day()
        went_at = shop.now + timedelta(seconds=1)
        shop.corp.after = _once(BY_USER, lambda: shop.event(change, went_at))
        shop.read()
        assert shop.serving("wm1").ended_at == went_at
        shop.next_day()
        shop.read()
        assert shop.serving("wm1").ended_at == went_at
        assert shop.serving("wm1").ended_by in ("rep", "customer")

    def test_a_contact_begun_during_the_reading_stands(self, shop: Shop) -> None:
        """Not in the answer, added by event a second after the start: it is not ended."""
        shop.read()
        shop.next_day()
        shop.corp.before = _once(
            FOLLOW_USERS, lambda: shop.event("add_external_contact", shop.now + timedelta(seconds=1), person="wm7")
        )
        shop.read()
        assert shop.serving("wm7").ended_at is None

    def test_an_ended_contact_begins_anew_with_a_newer_one(self, shop: Shop) -> None:
        """Deleted and added again, the second event lost: the newer createtime tells, with its channel."""
        shop.read()
        shop.event("del_external_contact", NOW + timedelta(hours=1))
        again = NOW + timedelta(hours=2)
        shop.corp.befriend("liuyang", "wm1", "阿青", again, state="shop-007")
        shop.next_day()
        shop.read()
        row = shop.serving("wm1")
        assert (row.since, row.ended_at, row.ended_by, row.channel_code) == (again, None, "", "shop-007")

    def test_a_newer_beginning_is_kept(self, shop: Shop) -> None:
        """The event that a contact was added anew is newer than the answer: its moment and channel stay."""
        shop.read()
        again = NOW + timedelta(minutes=3)
        shop.event("add_external_contact", again, state="shop-009")
        shop.next_day()
        shop.read()
        assert (shop.serving("wm1").since, shop.serving("wm1").channel_code) == (again, "shop-009")

    def test_group_events_during_the_reading_count(self, shop: Shop) -> None:
        """Who leaves while the group is asked about has left, who joins has joined, whatever the answer says."""
        shop.read()
        shop.next_day()
        at = shop.now + timedelta(seconds=1)

        def happen() -> None:
            shop.group_event("del_member", at, "wm9")
            shop.group_event("add_member", at, "wm8")

        shop.corp.after = _once(GROUP, happen)
        shop.read()
        assert shop.in_group() == {"liuyang": True, "wm1": True, "wm9": False, "wm8": True}


class TestTrouble:
    """A platform that refuses, a process that dies, two that meet."""

    def test_a_corp_without_the_right_is_told_once_and_rests(self, shop: Shop) -> None:
        """48002: one alarm and one line a list; nothing is asked for an hour, and the line is not said again."""
        for endpoint in (FOLLOW_USERS, GROUP_LIST):
            shop.corp.always_refuses[endpoint] = 48002

        async def go() -> list[int]:
            reader, asked = shop.reader(), []
            for wait_s in (0.0, 180.0, REST_S):
                shop.now += timedelta(seconds=wait_s)
                assert await reader.sync_due() == 0
                asked.append(len(shop.corp.called(FOLLOW_USERS)))
            shop.corp.always_refuses.clear()
            shop.now += timedelta(seconds=REST_S)
            asked.append(await reader.sync_due())
            return asked

        with capture_logs() as lines:
            assert asyncio.run(go()) == [1, 1, 2, 6]
        assert shop.alarms() == 2
        assert len([line for line in lines if line["log_level"] == "error"]) == 2

    def test_groups_refused_leave_the_contacts(self, shop: Shop) -> None:
        """The right for groups alone is missing: contacts are read, once a day and not every hour."""
        shop.corp.always_refuses[GROUP_LIST] = 48002
        assert shop.read() == 5
        shop.now += timedelta(seconds=REST_S)
        assert shop.read() == 0
        assert len(shop.corp.called(FOLLOW_USERS)) == 1
        assert len(shop.corp.called(GROUP_LIST)) == 2

    def test_a_busy_platform_is_waited_for(self, shop: Shop) -> None:
        """A time-out, -1 and 45009 in the middle: the page is asked again, and a full window is given its minute."""
        shop.corp.refuses[BY_USER] = [TimeoutError(), {"errcode": -1}, {"errcode": 45009}]
        assert shop.read() == 6
        assert 60.0 in shop.slept
        assert shop.alarms() == 0

    def test_one_member_nobody_knows_stops_no_other(self, shop: Shop) -> None:
        """60111 for a list: its members are asked one by one, and the contacts of the unknown one stay."""
        shop.read()
        shop.next_day()
        shop.corp.refuses[BY_USER] = [{"errcode": 60111}, {"errcode": 60111}]
        shop.corp.befriend("wangli", "wm6", "立夏")
        shop.read()
        assert shop.name_of("wm6") == "立夏"
        assert shop.serving("wm2").ended_at is None

    def test_a_list_that_goes_in_circles_is_left(self, shop: Shop) -> None:
        """The same cursor again and again: an alarm and a pause, no endless asking, nothing ended."""
        page = {"as_is": True, "external_contact_list": [], "next_cursor": "1"}
        shop.corp.refuses[BY_USER] = [page] * 5
        shop.read()
        assert len(shop.corp.called(BY_USER)) == 2
        assert shop.alarms() == 1

    def test_two_processes_make_one_pass(self, shop: Shop) -> None:
        """Both look at the same moment: each list is asked for once."""
        shop.corp.delay_s = 0.01
        assert shop.read(readers=2) == 6
        assert len(shop.corp.called(FOLLOW_USERS)) == 1
        assert len(shop.corp.called(GROUP_LIST)) == 1

    def test_a_lost_lease_writes_no_more(self, shop: Shop) -> None:
        """A process that slept through its lease leaves the tables to the one that took over."""

        def take_over() -> None:
            shop.now += timedelta(seconds=LEASE_S + 1)
            with shop.database.transaction() as session:
                row = session.get(Cursor, "roster")
                assert row is not None
                row.leased_until = shop.now + timedelta(seconds=LEASE_S)

        shop.corp.after = _once(BY_USER, take_over)
        shop.read()
        with shop.database.reading() as session:
            assert session.scalars(select(ServingRow)).all() == []

    def test_a_stopped_service_gives_its_lease_back(self, shop: Shop) -> None:
        """Stopped in the middle of a reading, the next start reads at once and not when the lease ends."""
        shop.corp.delay_s = 0.05

        async def go() -> None:
            running = asyncio.create_task(shop.reader().run())
            while not shop.corp.called(BY_USER):
                await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        asyncio.run(go())
        shop.corp.delay_s = 0.0
        assert shop.read() == 6


def _once(endpoint: str, act: Callable[[], None]) -> Callable[[str, dict[str, Any]], None]:
    waiting = [act]

    def go(asked: str, _body: dict[str, Any]) -> None:
        if asked == endpoint and waiting:
            waiting.pop()()

    return go


def _failing_after(endpoint: str, calls: int) -> Callable[[str, dict[str, Any]], None]:
    seen = []

    def go(asked: str, _body: dict[str, Any]) -> None:
        if asked == endpoint:
            seen.append(asked)
            if len(seen) > calls:
                raise ConnectionError

    return go
