"""Events of other systems: what behaviours make of them, and that they set follow-ups off."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import select

from bot.api.routes import add_routes
from bot.brands import read_programme, read_replies
from bot.database import Database
from bot.rehearsal import Rehearsal
from handlers.brand import Brand, Staff
from handlers.followup.definition import Sop, Sops
from handlers.followup.tables import RunRow

CONFIG = Path(__file__).resolve().parents[3] / "config"
NOON = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
SERVICE_DUE = {
    "id": "filter_due", "title": "换滤芯", "kind": "service", "triggers": [{"event": "filter_due"}],
    "audience": "event_days <= 7",
    "steps": [{"prompt": {"text": "{{ name or '您' }}的{{ event.event_name|default('滤芯') }}该换了, "
                                  "已用 {{ event.km|default('许多') }} 公里"}}],
}  # fmt: skip


class Nobody:
    """The understanding seam, not asked here."""

    def classify(self, texts: Any, chats: Any) -> list[Any]:
        """Nothing is said here."""
        raise AssertionError("nothing is classified")

    def cut(self, label: str, chat: str) -> float:
        """Nothing is sure."""
        return 1.0


def post(database: Database, bodies: list[dict[str, Any]], calls: list[str]) -> list[tuple[int, Any]]:
    """Events sent to the API, each under a key of its own unless it names one."""
    programme = read_programme(CONFIG)

    async def go() -> list[tuple[int, Any]]:
        app = web.Application()
        add_routes(app, database, lambda: programme, {"shop": "key"}, lambda: NOON,
                   on_written=lambda: calls.append("woken"))  # fmt: skip
        found = []
        async with TestClient(TestServer(app)) as client:
            for number, body in enumerate(bodies):
                headers = {"Authorization": "Bearer key", "Idempotency-Key": body.pop("key", f"k{number}")}
                answer = await client.post("/api/v1/events", json=body, headers=headers)
                found.append((answer.status, await answer.json(content_type=None)))
        return found

    return asyncio.run(go())


def test_an_event_sets_off_the_follow_up_of_its_name(database: Database) -> None:
    """A till tells that a filter is due: the rep has a card with what the event said; the same key again does nothing,
    a friend that means nothing is refused, and who is not in the audience is told why not."""
    brand = Brand(read_programme(CONFIG), {}, read_replies(CONFIG), Nobody(), Staff("liuyang", "wangli"))
    stage = Rehearsal(database, replace(brand, sops=Sops({"filter_due": Sop.model_validate(SERVICE_DUE)})), NOON).open()
    member = stage.member("阿青")
    who, calls = {"kind": "external_userid", "value": "wm阿青"}, list[str]()
    event = {"member": who, "kind": "filter_due", "key": "e1",
             "facts": {"event_name": "前置滤芯", "km": 8000, "event_days": 3, "event_points": "many"}}  # fmt: skip
    answers = post(database, [
        dict(event), dict(event), {"member": who, "kind": "filter_due", "friend": who},
        {"member": who, "kind": "Filter due"},
    ], calls)  # fmt: skip
    assert [status for status, _ in answers] == [201, 201, 422, 422] and len(calls) == 2
    assert answers[0][1] == {"activities": []}
    (card,) = stage.tick()
    assert card.member_id == member and "前置滤芯该换了, 已用 8000 公里" in card.payload
    assert stage.tick() == []
    post(database, [{"member": who, "kind": "filter_due", "key": "e2", "facts": {"event_days": 30}}], calls)
    assert stage.tick() == [] and stage.touches()[-1][1].reason == "不在人群内: event_days <= 7"


def test_a_check_in_counts_for_both(database: Database) -> None:
    """What the programme's behaviours know is counted by them and heard by follow-ups as well."""
    brand = Brand(read_programme(CONFIG), {}, read_replies(CONFIG), Nobody(), Staff("liuyang", "wangli"))
    greets = {"id": "greets", "title": "打卡", "triggers": [{"event": "check_in"}], "steps": [{"end": "记下了"}]}
    stage = Rehearsal(database, replace(brand, sops=Sops({"greets": Sop.model_validate(greets)})), NOON).open()
    stage.member("阿青")
    who = {"kind": "external_userid", "value": "wm阿青"}
    ((status, _),) = post(database, [{"member": who, "kind": "check_in"}], [])
    assert status == 201
    stage.tick()
    with database.reading() as session:
        assert session.execute(select(RunRow.sop, RunRow.state)).all() == [("greets", "skipped")]
