"""The second opinion against a service on this machine that answers well, badly, slowly and not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from prometheus_client import CollectorRegistry

from bot.brands import read_scenarios
from bot.cache import LocalCache
from bot.clock import monotonic_s
from bot.second_opinion import FAILURES, SecondOpinion
from bot.settings import SecondOpinion as Section
from bot.settings import SettingsError, load_settings
from bot.work_metrics import WorkMetrics
from handlers.react import Unsettled
from handlers.talk.messages import Incoming
from intents.classifier import Scored, Verdict
from tests.conftest import CONFIG

pytestmark = pytest.mark.sockets
SCENARIOS = read_scenarios(CONFIG)
NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
UNSURE = Verdict((), True, ("points_query 0.35 不够: 分",), (Scored("points_query", 0.35),), "0001", degraded=False)


def completion(content: str) -> dict[str, Any]:
    """An answer as such services give it."""
    return {"id": "c1", "object": "chat.completion", "choices": [{"index": 0, "message": {"content": content}}]}


def opinion(*scenarios: str, why: str = "问积分") -> dict[str, Any]:
    """A good answer."""
    return completion(json.dumps({"scenarios": scenarios, "why": why}, ensure_ascii=False))


class Bench:
    """The second opinion, the service it asks, and a clock that is pushed."""

    def __init__(self, answer: Callable[[dict[str, Any]], Any], **settings: Any) -> None:
        self.answer, self.settings = answer, settings
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.now = NOON
        self.registry = CollectorRegistry()
        self.alarms: list[str] = []

    def run(self, play: Callable[[Bench], Awaitable[None]], is_there: bool = True) -> None:
        """Play with the service up, or with nobody at its address."""

        async def main() -> None:
            app = web.Application()
            app.router.add_post("/v1/chat/completions", self._answer)
            server = TestServer(app)
            await server.start_server()
            url = f"http://127.0.0.1:{server.port if is_there else unused_port()}/v1"
            section = Section(url=url, model="tiny", **self.settings)
            metrics = WorkMetrics(self.registry, self.alarms.append)
            self.second = SecondOpinion(section, LocalCache(lambda: self.now), lambda: self.now, metrics)
            try:
                await play(self)
            finally:
                await self.second.close()
                await server.close()

        asyncio.run(main())

    async def ask(self, *texts: str, names: Sequence[str] = ()) -> list[Verdict]:
        """Ask about these words of one customer each."""
        items = []
        for place, text in enumerate(texts):
            message = Incoming(key=f"m{place}", channel="kf", kind="text", sender=f"wm{place}", at=NOON, text=text)
            items.append(Unsettled(message, (), UNSURE, tuple(names)))
        found = await self.second.ask(items, SCENARIOS)
        return [found[item.message.key] for item in items]

    def count(self, outcome: str) -> float:
        """How many ended so."""
        return self.registry.get_sample_value("second_opinions_total", {"outcome": outcome}) or 0

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        self.keys.append(request.headers.get("Authorization"))
        answer = self.answer(body)
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = opinion("points_query")
        if isinstance(answer, int):
            return web.Response(status=answer, text="no")
        if isinstance(answer, str):
            return web.Response(text=answer)
        return web.json_response(answer)


def test_a_good_answer_settles_the_message() -> None:
    """The scenarios come in, the reason says from whom, and nothing is unsure any more."""

    async def play(bench: Bench) -> None:
        [verdict] = await bench.ask("那个分还有没")
        assert [one.id for one in verdict.scenarios] == ["points_query"]
        assert not verdict.unsure and verdict.near == ()
        assert verdict.reasons == (*UNSURE.reasons, "second opinion: 问积分")
        assert bench.count("settled") == 1
        assert bench.keys == ["Bearer k-1"]
        schema = bench.asked[0]["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["scenarios"]["items"]["enum"] == list(SCENARIOS)

    Bench(lambda _body: opinion("points_query"), api_key="k-1").run(play)


def test_none_is_an_answer_too() -> None:
    """An empty list means that the customer wants nothing; the question is settled."""

    async def play(bench: Bench) -> None:
        [verdict] = await bench.ask("哈哈那个")
        assert (verdict.scenarios, verdict.unsure) == ((), False)
        assert bench.count("none") == 1

    Bench(lambda _body: opinion(why="闲聊")).run(play)


def test_who_it_is_stays_here() -> None:
    """Phone, order number, address and the name we know do not leave; nor does the platform's id."""

    async def play(bench: Bench) -> None:
        await bench.ask("阿青 13812345678 订单2026112012345 寄文三路478号,那个分", names=["阿青", "wm0"])
        sent = json.dumps(bench.asked, ensure_ascii=False)
        assert not [word for word in ("阿青", "13812345678", "2026112012345", "文三路", "wm0") if word in sent]
        assert "那个分" in sent

    Bench(lambda _body: opinion("points_query")).run(play)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (opinion("weather"), "unusable"),
        (completion('{"scenario": "points_query"}'), "unusable"),
        (completion('{"scenarios": "points_query", "why": ""}'), "unusable"),
        (completion('{"scenarios": ["points_query", "opt_out", "complaint", "praise_share"], "why": ""}'), "unusable"),
        (completion("应该是问积分"), "unusable"),
        (completion(""), "unusable"),
        ({"choices": []}, "unusable"),
        ({"choices": [{"message": {"content": None}}]}, "unusable"),
        ({"error": {"message": "overloaded"}}, "unusable"),
        ([], "unusable"),
        ("<html>502</html>", "unusable"),
        ("x" * 200_000, "unusable"),
        (500, "error"),
        (401, "error"),
        (302, "error"),
    ],
)
def test_a_bad_answer_changes_nothing(answer: Any, outcome: str) -> None:
    """An unknown id, another form, no JSON, too much, an error: the classifier's own verdict stands."""

    async def play(bench: Bench) -> None:
        assert await bench.ask("那个分还有没") == [UNSURE]
        assert bench.count(outcome) == 1

    Bench(lambda _body: answer).run(play)


def test_nobody_there_changes_nothing() -> None:
    """A refused connection is an answer at once."""

    async def play(bench: Bench) -> None:
        assert await bench.ask("那个分还有没") == [UNSURE]
        assert bench.count("error") == 1

    Bench(lambda _body: 500).run(play, is_there=False)


def test_a_slow_answer_is_not_waited_for() -> None:
    """All are asked at once and the deadline is one for all; who answered in time counts."""

    async def play(bench: Bench) -> None:
        started_s = monotonic_s()
        slow, quick, other = await bench.ask("慢", "那个分", "也慢")
        assert monotonic_s() - started_s < 1.0
        assert (slow, other) == (UNSURE, UNSURE)
        assert [one.id for one in quick.scenarios] == ["points_query"]
        assert bench.count("late") == 2

    def answer(body: dict[str, Any]) -> Any:
        return 3.0 if "慢" in body["messages"][1]["content"] else opinion("points_query")

    Bench(answer, timeout_s=0.3).run(play)


def test_a_service_without_schemas_is_asked_without_one() -> None:
    """Refused once, the schema is left out from then on; a code fence around the JSON is no harm."""

    async def play(bench: Bench) -> None:
        for _ in range(2):
            [verdict] = await bench.ask("那个分")
            assert [one.id for one in verdict.scenarios] == ["points_query"]
        assert ["response_format" in body for body in bench.asked] == [True, False, False]

    fenced = completion('```json\n{"scenarios": ["points_query"], "why": "积分"}\n```')
    Bench(lambda body: 400 if "response_format" in body else fenced).run(play)


def test_the_days_budget_is_kept() -> None:
    """After so many questions nobody asks until the day is over."""

    async def play(bench: Bench) -> None:
        found = await bench.ask("一", "二", "三")
        assert sum(not verdict.unsure for verdict in found) == 2
        assert (len(bench.asked), bench.count("over_budget")) == (2, 1)
        assert not bench.second.is_ready()
        bench.now += timedelta(days=1)
        assert bench.second.is_ready()

    Bench(lambda _body: opinion("points_query"), per_day=2).run(play)


def test_a_service_that_fails_is_left_alone_for_a_while() -> None:
    """Some failures on end open the circuit with one alarm; then one round tries, and a success closes it."""

    async def play(bench: Bench) -> None:
        await bench.ask(*["那个分"] * FAILURES)
        assert not bench.second.is_ready()
        assert bench.alarms == ["second opinion"]
        bench.now += timedelta(seconds=31)
        assert bench.second.is_ready()
        await bench.ask("那个分")
        assert not bench.second.is_ready()
        bench.now += timedelta(seconds=31)
        assert not bench.second.is_ready()
        bench.now += timedelta(seconds=30)
        bench.answer = lambda _body: opinion("points_query")
        await bench.ask("那个分")
        bench.answer = lambda _body: 500
        await bench.ask("那个分")
        assert bench.second.is_ready()

    Bench(lambda _body: 500).run(play)


def test_it_is_off_until_an_address_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address, no question; an address without a model, or one that is none, is refused with what to set."""
    assert load_settings().second_opinion.url == ""
    monkeypatch.setenv("HUITOU_SECOND_OPINION__URL", "http://127.0.0.1:9/v1")
    with pytest.raises(SettingsError, match="HUITOU_SECOND_OPINION__MODEL"):
        load_settings()
    monkeypatch.setenv("HUITOU_SECOND_OPINION__URL", "ftp://127.0.0.1")
    with pytest.raises(SettingsError, match="HUITOU_SECOND_OPINION__URL"):
        load_settings()
