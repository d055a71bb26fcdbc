"""Transcripts played on the phones against real processes, the worker killed in every round of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import select

from bot.clock import system_clock
from bot.database import Database
from bot.played import Played, judge, read_cards
from bot.player import Player
from bot.transcripts import Step, Transcript
from bot.yaml_files import read
from handlers.brand import Brand
from handlers.talk.tables import OutboxRow
from loyalty import audit
from tests.acceptance.books import Books
from tests.acceptance.crowd import KF
from tests.acceptance.fleet import ROOT, Fleet

pytestmark = [pytest.mark.faults, pytest.mark.sockets]
DIALOGS: Final = (
    "redeem_changes", "redeem_and_undo", "yes_twice", "return_one_order",
    "visit_next_week", "check_in_and_a_question", "join_then_come_back",
)  # fmt: skip
"""Played in 微信客服 alone, with no clock pushed and no day named, so that they go the same at any moment."""
READY_S: Final = 30.0


class Talk(Player):
    """One transcript on the phones of people of its own; judged by what they and the staff were shown."""

    def __init__(self, fleet: Fleet, database: Database, brand: Brand, name: str, number: int) -> None:
        transcript = read(ROOT / "tests" / "conversations" / f"{name}.yaml", Transcript)
        people = {
            who: person.model_copy(update={"external_userid": f"wmTALK{number:02}{place:02}"})
            for place, (who, person) in enumerate(transcript.people.items())
        }
        super().__init__(database, brand, transcript.model_copy(update={"people": people, "now": system_clock()}))
        self.fleet, self.name = fleet, name
        self.now = self.transcript.now
        self._heard = 0

    def settle_in(self) -> None:
        """Put people and orders into the database, as the transcript begins."""
        self._again(self._set_scene)
        for bought in self.transcript.orders:
            self._order(bought)

    async def say(self, step: Step) -> str:
        """The customer writes; gives the inbox key of it."""
        assert step.channel == "kf" and step.kind == "text" and step.say, f"{self.name} is not for the phones: {step}"
        done = await self.fleet.phones.say(self._external(step.who), "kf", step.say, KF)
        return f"kf:{KF}:{done['msgid']}"

    def hear(self, step: Step, view: dict[str, Any]) -> None:
        """Judge what came of a step by what is on the phones and in the books by now."""
        lines = view["chats"].get(f"kf:{KF}:{self._external(step.who)}", [])
        told = [("kf", line["text"]) for line in lines if line["from"] == KF and line["number"] > self._heard]
        self._heard = max((int(line["number"]) for line in lines), default=self._heard)
        with self.database.reading() as session:
            member = self._member(session, step.who)
            rows = session.scalars(
                select(OutboxRow).where(OutboxRow.id > self._seen, OutboxRow.member_id == member).order_by(OutboxRow.id)
            ).all()
        self._seen = max((row.id for row in rows), default=self._seen)
        self.now = system_clock()
        played = Played(step, self.now, told, [*read_cards(rows)])
        played.problems += [*judge(played), *self._judge_state(step)]
        self.played.append(played)

    def _external(self, who: str) -> str:
        return self.transcript.people[who].external_userid


def _rounds(talks: list[Talk]) -> Iterator[list[tuple[Talk, Step]]]:
    """Everybody's first sentences, everybody's second ones, and so on."""
    for place in range(max(len(talk.transcript.talk) for talk in talks)):
        yield [(talk, talk.transcript.talk[place]) for talk in talks if place < len(talk.transcript.talk)]


async def _meet(fleet: Fleet, talks: list[Talk]) -> None:
    """Make everybody known to the platform and to the database."""
    everybody = [(name, person) for talk in talks for name, person in talk.transcript.people.items()]
    await fleet.phones.act("limits", kf_sync_tokenless_per_min=10_000, app_per_member_per_min=10_000)
    await fleet.phones.act(
        "people",
        customers=[
            {"external_userid": one.external_userid, "name": name, "unionid": f"u{one.external_userid}"}
            for name, one in everybody
        ],
        follows=[{"userid": one.rep, "external_userid": one.external_userid} for _, one in everybody],
    )
    for talk in talks:
        await asyncio.to_thread(talk.settle_in)


@pytest.mark.timeout(240)
def test_dialogs_outlive_their_worker(fleet_database: str, models: Path, tmp_path: Path, brand: Brand) -> None:
    """Whenever the worker is killed, prompts, changes, cases, visits and balances are those of the transcript."""
    seed = random.randrange(10**6)

    async def story() -> None:
        choice = random.Random(seed)
        async with Fleet(tmp_path, models, fleet_database) as fleet:
            talks = [Talk(fleet, fleet.database, brand, name, number) for number, name in enumerate(DIALOGS)]
            await _meet(fleet, talks)
            books = Books(fleet)
            for number, steps in enumerate(_rounds(talks), 1):
                said = asyncio.gather(*(talk.say(step) for talk, step in steps))
                await asyncio.sleep(choice.uniform(0.0, 0.5))
                await fleet.restart("work1")
                await books.wait_quiet(await said, READY_S)
                await fleet.phones.settle()
                view = await fleet.phones.view(lines=100)
                for talk, step in steps:
                    await asyncio.to_thread(talk.hear, step, view)
                print(f"  round {number}: {len(steps)} said something")
            fleet.assert_alive()
            stories = [talk.story() for talk in talks if talk.problems]
            assert not stories, "\n\n".join(stories)
            with fleet.database.reading() as session:
                assert audit.findings(session) == []

    print(f"\nseed {seed}, {fleet_database.partition(':')[0]}")
    asyncio.run(story())
