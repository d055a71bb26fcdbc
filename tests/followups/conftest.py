"""A stage for follow-ups: the sample brand, an empty database, a clock that is pushed, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from bot.brands import read_programme, read_replies, read_scenarios, read_sops
from bot.database import Database
from bot.rehearsal import Rehearsal
from handlers.brand import Brand, Staff
from handlers.followup import sop
from handlers.followup.definition import Sop, Sops
from handlers.followup.tables import RunRow
from handlers.talk import outbox
from handlers.talk.tables import OutboxRow, VerdictRow
from intents.classifier import Verdict
from loyalty.balances import balance_of
from loyalty.writing import write_rows

CONFIG = Path(__file__).resolve().parents[2] / "config"
NOON = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)  # a Wednesday, twelve o'clock in Shanghai


class Deaf:
    """The understanding seam: nothing is understood here."""

    def classify(self, texts: Sequence[str], chats: Sequence[str]) -> list[Verdict]:
        """No scenario in anything."""
        return [Verdict((), False, (), (), "", degraded=False) for _ in texts]


@dataclass
class Stage(Rehearsal):
    """A rehearsal whose outbox can be read as a person would."""

    def words(self, rows: Sequence[OutboxRow]) -> list[tuple[str, str]]:
        """Kind and words of each row."""
        bodies = [(row.kind, msgspec.json.decode(row.payload)) for row in rows]
        return [(kind, str(body.get("content") or body.get("quote") or "")) for kind, body in bodies]

    def tap(self, row: OutboxRow, button: str, by: str = "liuyang") -> list[OutboxRow]:
        """A rep's thumb on a card; gives what came of it beside the card's new look."""
        task = msgspec.json.decode(row.payload)["task_id"]
        with self.database.transaction() as session:
            _, outgoing, _ = sop.tap(session, task, button, by, f"code{self.serial}", self.brand, self.now)
            outbox.add(session, outgoing, self.now)
        return [one for one in self.take_out() if one.kind != "card_update"]

    def talks(self, name: str, member: int, channel: str = "kf") -> None:
        """The customer writes in a channel, so that it is open for two days."""
        self.serial += 1
        row = {"message_key": f"talk{self.serial}", "member_id": member, "channel": channel, "chat": f"{channel}:wkA",
               "text": "在吗", "scenarios": "{}", "reasons": "[]", "decision": "silent", "why": "", "at": self.now}
        with self.database.transaction() as session:
            write_rows(session, VerdictRow, [row])

    def states(self, member: int) -> list[tuple[str, str]]:
        """Every run of a member with its state."""
        with self.database.reading() as session:
            rows = session.execute(
                select(RunRow.sop, RunRow.state).where(RunRow.member_id == member).order_by(RunRow.id)
            )
            return [(row.sop, row.state) for row in rows]

    def points(self, member: int) -> int:
        """What the member can spend."""
        with self.database.reading() as session:
            return balance_of(session, member, self.now).available

    def reasons(self, member: int) -> list[tuple[str, str]]:
        """Decision and reason of everything about a member, in order."""
        return [(line.decision, line.reason) for one, line in self.touches() if one == member]


@pytest.fixture(scope="session")
def shop_brand() -> Brand:
    """The brand of config/ without a model; 刘阳 is the default rep, 王莉 the supervisor."""
    programme, scenarios = read_programme(CONFIG), read_scenarios(CONFIG)
    sops = read_sops(CONFIG, programme, frozenset(scenarios), frozenset({"sms"}))
    return Brand(programme, scenarios, read_replies(CONFIG), Deaf(), Staff("liuyang", "wangli"), sops=sops)


@pytest.fixture
def play(database: Database, shop_brand: Brand) -> Iterator[Callable[..., Stage]]:
    """A stage with the named follow-ups of config/ and others written in the test; all of config/ without names."""
    def open_stage(*names: str, also: Sequence[dict[str, Any]] = (), now: datetime = NOON, **restraint: Any) -> Stage:
        known = shop_brand.sops.by_id
        files = {name: known[name] for name in (names or (() if also else known))}
        files |= {raw["id"]: Sop.model_validate({"title": raw["id"]} | raw) for raw in also}
        rules = replace(shop_brand.restraint, **restraint)
        stage = Stage(database, replace(shop_brand, sops=Sops(files), restraint=rules), now)
        stage.open()
        return stage

    yield open_stage
