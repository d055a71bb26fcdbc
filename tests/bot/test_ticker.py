"""The ticker: what is due is fired once, points lapse, depths are measured, and an outage is no end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from bot.api.writes import Write, answer_once
from bot.brands import BrandHolder
from bot.cache import TICK, LocalCache
from bot.database import Database
from bot.notices import Notices
from bot.settings import load_settings
from bot.ticker import Ticker
from bot.work_metrics import WorkMetrics
from handlers import contacts
from handlers.followup import entries
from handlers.followup.entries import Happening
from handlers.followup.sop import FollowUps, Occasion
from handlers.talk import inbox
from handlers.talk.messages import Incoming
from handlers.talk.tables import OutboxRow
from loyalty import customers, ledger
from loyalty.balances import balance_of
from loyalty.blocks import head
from loyalty.codes import import_codes
from loyalty.customers import Identity, find
from loyalty.orders import OrderIn, record
from loyalty.programme import Programme
from loyalty.redemptions import redeem

CONFIG = Path(__file__).resolve().parents[2] / "config"
NIGHT = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
MORNING = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def holder(models: Path) -> BrandHolder:
    """The sample brand."""
    return BrandHolder(load_settings(paths={"config": CONFIG, "models": models}))


class Desk:
    """A ticker with a clock that is pushed, and what it called for."""

    def __init__(self, database: Database, holder: BrandHolder) -> None:
        self.database, self.now = database, NIGHT
        self.registry, self.alarms, self.woken = CollectorRegistry(), list[str](), 0
        self.holder = holder
        self.ticker = Ticker(
            database, holder, lambda: self.now, WorkMetrics(self.registry, self.alarms.append), self.wake
        )

    def wake(self) -> None:
        """Delivery is called."""
        self.woken += 1

    def depth(self, queue: str, state: str) -> float | None:
        """A figure of /metrics."""
        return self.registry.get_sample_value("queue_depth", {"queue": queue, "state": state})

    def member(self) -> int:
        """A customer."""
        with self.database.transaction() as session:
            return customers.resolve(session, [("external_userid", "wmA")], self.now)[("external_userid", "wmA")]

    def put_off(self, count: int = 1) -> None:
        """快吃完了 at eleven at night, of so many people."""
        with self.database.transaction() as session:
            names = [("external_userid", f"wm{number}") for number in range(count)]
            members = customers.resolve(session, names, self.now)
            runs = FollowUps(session, members.values(), self.holder(), self.now)
            for (_, name), member in members.items():
                runs.start(
                    Occasion(
                        "running_out",
                        member,
                        "liuyang",
                        f"m-{name}",
                        "食用周期结束",
                        "快吃完了",
                        "客户群",
                        "听到",
                        "好的",
                    ),
                    False,
                )
            runs.flush()

    def cards(self) -> int:
        """How many cards are in the outbox."""
        with self.database.reading() as session:
            return len(session.scalars(select(OutboxRow.id)).all())


@pytest.fixture
def desk(database: Database, holder: BrandHolder) -> Desk:
    """A desk on each kind of database."""
    return Desk(database, holder)


def test_what_is_due_is_fired_once_and_delivery_is_called(desk: Desk) -> None:
    """Nothing before nine, one card a person at nine, nothing at the next tick."""
    desk.put_off(3)
    desk.now = MORNING - timedelta(seconds=1)
    desk.ticker.tick()
    assert (desk.cards(), desk.woken) == (0, 0)
    desk.now = MORNING
    desk.ticker.tick()
    desk.ticker.tick()
    assert (desk.cards(), desk.woken) == (3, 1)


def test_a_clock_that_was_set_back_fires_nothing_again(desk: Desk) -> None:
    """Nine o'clock comes twice: the cards do not."""
    desk.put_off()
    for moment in (MORNING, NIGHT, MORNING, MORNING + timedelta(days=30)):
        desk.now = moment
        desk.ticker.tick()
    assert desk.cards() == 1


def test_points_lapse_and_holds_end(desk: Desk) -> None:
    """After their moment the points are gone with a row in the ledger, and a hold that ran out gives back."""
    member = desk.member()
    with desk.database.transaction() as session:
        ledger.earn(
            session, member, 100, key="e", reason="start", ref="", at=NIGHT, expires_at=NIGHT + timedelta(days=1)
        )
    desk.now = NIGHT + timedelta(days=1, seconds=1)
    desk.ticker.tick()
    with desk.database.reading() as session:
        assert balance_of(session, member, desk.now).available == 0
        reasons = session.scalars(text("SELECT reason FROM transfers ORDER BY id")).all()
    assert len(reasons) == 2


def test_transfers_are_sealed(desk: Desk) -> None:
    """Rows of the ledger end up in the chain of blocks by themselves."""
    member = desk.member()
    with desk.database.transaction() as session:
        ledger.earn(session, member, 5, key="gift", reason="gift", at=desk.now)
    for _ in range(400):  # a block waits until whatever else runs on the server has ended
        desk.now += timedelta(minutes=2)
        desk.ticker.tick()
        with desk.database.reading() as session:
            if head(session).to_id:
                return
        sleep(0.05)
    raise AssertionError("nothing was sealed")


def test_old_answers_are_dropped(desk: Desk) -> None:
    """Whoever sends a write again within a week gets the same answer; after it the row is gone."""
    with desk.database.transaction() as session:
        answer_once(session, Write("till", "k1", "same"), lambda _: (200, {"balance": 1}), NIGHT)
    kept = []
    for days in (7, 8):
        desk.now = NIGHT + timedelta(days=days)
        desk.ticker.tick()
        with desk.database.reading() as session:
            kept.append(session.scalar(text("SELECT count(*) FROM api_answers")))
    assert kept == [1, 0]


def test_a_low_pool_and_a_used_budget_are_told_once(database: Database) -> None:
    """Empty at the start: told; filled and empty again: told again; a budget at its alert and at its end: both."""
    programme = Programme.model_validate({
        "name": "青禾", "earning": {"points_per_yuan": 1, "rules": [
            {"id": "gift", "name": "加赠", "points": 60, "campaign": "autumn"}]},
        "campaigns": [{"id": "autumn", "name": "中秋", "budget": {"points": 120, "alert_at": 0.5}}],
        "rewards": [{"id": "film", "name": "电影票", "cost_points": 5, "way": "exchange", "pool": "cinema"}],
    })  # fmt: skip
    told: list[str] = []
    notices, member = Notices(told.append), Identity("card", "C1")

    def look(*acts: Callable[[Session], object]) -> list[str]:
        told.clear()
        with database.transaction() as session:
            for act in acts:
                act(session)
            notices.look(session, programme, NIGHT)
            notices.look(session, programme, NIGHT)
        return sorted(told)

    def buy(number: int) -> Callable[[Session], object]:
        order = OrderIn(source="pos", external_id=f"{number}", identities=(member,), amount_fen=900, paid_at=NIGHT)
        return lambda session: record(session, order, programme, NIGHT)

    assert look() == ["code pool low"]
    assert look(lambda session: import_codes(session, "cinema", ["code\n", "AA\n"], "k", NIGHT, programme.zone)) == []
    assert look(buy(1)) == ["campaign budget"]
    assert look(buy(2), buy(3)) == ["campaign budget"]
    taken = look(lambda session: redeem(session, find(session, *member) or 0, "film", 1, "wish", programme, NIGHT))
    assert taken == ["code pool low"]


def test_what_waits_is_measured(desk: Desk) -> None:
    """Inbox, set aside and outbox stand in the figures."""
    with desk.database.transaction() as session:
        inbox.ensure_shards(session)
        inbox.store(
            session, [Incoming(key=f"m{n}", channel="kf", kind="text", sender="wmA", at=NIGHT) for n in range(3)], NIGHT
        )
        number = session.scalar(text("SELECT min(id) FROM inbox"))
        inbox.put_aside(session, number or 0, "boom", NIGHT)
    desk.ticker.tick()
    assert (desk.depth("inbox", "waiting"), desk.depth("inbox", "aside"), desk.depth("outbox", "waiting")) == (2, 1, 0)


def test_an_outage_raises_the_alarm_and_the_loop_goes_on(desk: Desk) -> None:
    """The table is away for a tick: the alarm is raised, the ticker lives and fires when it is back."""
    desk.put_off()
    desk.now = MORNING
    rename = "ALTER TABLE {} RENAME TO {}"

    async def go() -> None:
        with desk.database.transaction() as session:
            session.execute(text(rename.format("timers", "timers_away")))
        loop = asyncio.create_task(desk.ticker.run())
        while not desk.alarms:
            await asyncio.sleep(0.02)
        assert not loop.done()
        with desk.database.transaction() as session:
            session.execute(text(rename.format("timers_away", "timers")))
        while not desk.woken:
            await asyncio.sleep(0.02)
        loop.cancel()

    asyncio.run(go())
    assert desk.alarms[0] == "ticker" and desk.cards() == 1


def test_it_is_called_when_something_happens(database: Database, holder: BrandHolder) -> None:
    """Between two ticks it sleeps a second; a call wakes it at once, and what happened is prompted."""
    desk = Desk(database, holder)
    desk.now = MORNING
    member = desk.member()

    async def scene() -> float:
        cache = LocalCache(lambda: desk.now)
        running = asyncio.create_task(desk.ticker.run(cache.subscribe(TICK)))
        await asyncio.sleep(0.3)
        with database.transaction() as session:
            contacts.serve(session, "liuyang", "wmA", desk.now)
            entries.note(session, [Happening("api:service_due", member, "e1", desk.now)], desk.now)
        began_s = asyncio.get_running_loop().time()
        await cache.publish(TICK)
        while not desk.woken and asyncio.get_running_loop().time() - began_s < 5:
            await asyncio.sleep(0.01)
        running.cancel()
        return asyncio.get_running_loop().time() - began_s

    assert asyncio.run(scene()) < 0.6
    assert desk.woken == 1
