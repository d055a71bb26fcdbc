"""Unsure messages of private chats wait for a second opinion; nobody else does, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from bot.cache import Sleeper
from bot.work_metrics import WorkMetrics
from bot.worker import Worker
from handlers.react import Unsettled
from handlers.talk.tables import InboxRow
from intents.classifier import Classifier, Scored, Verdict

pytestmark = pytest.mark.either_engine

VAGUE, LATER = "那个分还有没有啊上次说的", "在吗在吗,刚才那个也帮我看一下吧谢谢"


@dataclass
class Friend:
    """Somebody to ask: knows one scenario, is told when to answer."""

    scenarios: tuple[str, ...] = ("points_query",)
    patience: timedelta = timedelta(seconds=1.5)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[Unsettled] = field(default_factory=list)
    is_there: bool = True
    fails: bool = False

    def is_ready(self) -> bool:
        """Whether asking makes sense."""
        return self.is_there

    async def ask(self, items: Sequence[Unsettled], _scenarios: Mapping[str, Any]) -> dict[str, Verdict]:
        """One verdict a message."""
        self.asked += items
        await self.may_answer.wait()
        if self.fails:
            raise RuntimeError("nobody expected this")
        scored = tuple(Scored(name, 0.75) for name in self.scenarios)
        new = {"scenarios": scored, "near": (), "unsure": False, "reasons": ("second opinion",)}
        return {item.message.key: replace(item.verdict, **new) for item in items}


@pytest.fixture
def shop(counter: Any) -> Any:
    """A counter whose listener is unsure of one sentence and knows another."""
    counter.listener.near[VAGUE] = ("points_query", "points_rules")
    counter.listener.hears["我有多少积分"] = ("points_query",)
    return counter


def play(shop: Any, friend: Friend, story: Callable[[], Awaitable[None]]) -> None:
    """Play a story while a worker with this friend runs."""
    worker = Worker(
        shop.database, lambda: shop.brand, shop.work.model_copy(update={"poll_s": 0.02}), lambda: shop.now,
        WorkMetrics(CollectorRegistry(), shop.alarms.append), lambda: None, friend,
    )  # fmt: skip

    async def main() -> None:
        task = asyncio.create_task(worker.run(Sleeper()))
        try:
            async with asyncio.timeout(10):
                await story()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(main())


async def until(happened: Callable[[], bool]) -> None:
    """Wait until something is so."""
    while not happened():
        await asyncio.sleep(0.01)


def heard(shop: Any) -> list[str]:
    """The texts that were handled, in order."""
    return [row.text for row in shop.verdicts()]


def test_the_second_opinion_is_acted_on(shop: Any) -> None:
    """The customer gets the points instead of a question back; the reason is stored."""
    shop.member("wmA", points=100, name="阿青")
    shop.store(shop.message("wmA", VAGUE))
    friend = Friend()

    async def story() -> None:
        friend.may_answer.set()
        await until(lambda: bool(shop.verdicts()))

    play(shop, friend, story)
    assert "points_query" in shop.verdicts()[0].scenarios
    assert "second opinion" in shop.verdicts()[0].reasons
    assert "100" in shop.outbox()[0].payload
    assert friend.asked[0].names == ("阿青", "wmA")


def test_nobody_else_waits(shop: Any) -> None:
    """While the friend thinks, others are answered; the same customer's next words keep their place."""
    for name in ("wmA", "wmB", "wmC"):
        shop.member(name, points=100)
    shop.store(shop.message("wmA", VAGUE), shop.message("wmA", "我有多少积分"), shop.message("wmB", "我有多少积分"))
    friend = Friend()

    async def story() -> None:
        await until(lambda: heard(shop) == ["我有多少积分"])
        shop.store(shop.message("wmC", "我有多少积分", channel="oa"), shop.message("wmA", LATER))
        await until(lambda: len(heard(shop)) == 2)
        assert len(friend.asked) == 1
        friend.may_answer.set()
        await until(lambda: len(heard(shop)) == 5)

    play(shop, friend, story)
    assert heard(shop)[2:] == [VAGUE, "我有多少积分", LATER]


def test_a_group_is_never_asked_about(shop: Any) -> None:
    """What is vague in a group stays in the house, and so does what somebody answers to a question of ours."""
    shop.store(shop.message("wmA", VAGUE, channel="group"), shop.message("wmB", "好的"))
    friend = Friend()

    async def story() -> None:
        shop.listener.near["好的"] = ("points_query",)
        await until(lambda: len(heard(shop)) == 2)

    play(shop, friend, story)
    assert friend.asked == []


def test_who_cannot_be_asked_is_not_waited_for(shop: Any) -> None:
    """With the circuit open or the budget spent the message is handled as it was understood: one short question."""
    shop.store(shop.message("wmA", VAGUE))
    friend = Friend(is_there=False)

    async def story() -> None:
        await until(lambda: len(heard(shop)) == 1)

    play(shop, friend, story)
    assert [row.kind for row in shop.outbox() if row.recipient] and shop.verdicts()[0].decision == "acted"


@pytest.mark.parametrize("goes", ["fails", "dies"])
def test_a_lost_question_is_no_lost_message(shop: Any, goes: str) -> None:
    """The friend breaks down, or the worker dies meanwhile: after the lease the message is handled without asking."""
    shop.store(shop.message("wmA", VAGUE))
    friend = Friend(fails=True)

    async def asked() -> None:
        await until(lambda: len(friend.asked) == 1)
        if goes == "fails":
            friend.may_answer.set()
            await until(lambda: "worker" in shop.alarms)

    play(shop, friend, asked)
    assert shop.worker.step() == 0
    shop.push(seconds=7)
    again = Friend()

    async def handled() -> None:
        await until(lambda: len(heard(shop)) == 1)

    play(shop, again, handled)
    assert again.asked == []
    with shop.database.reading() as session:
        assert session.scalars(select(InboxRow.state)).all() == [1]


def test_a_message_judged_by_keywords_rings_an_alarm(counter: Any) -> None:
    """Without a model the customer is answered all the same, it is counted, and somebody is called."""
    counter.brand = replace(counter.brand, understanding=Classifier.fallback())
    counter.member("wmA", points=100)
    counter.handle(counter.message("wmA", "我有多少积分"))
    assert "100" in counter.outbox()[0].payload
    assert counter.alarms == ["no model"]
    assert counter.registry.get_sample_value("messages_degraded_total") == 1
