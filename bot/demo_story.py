"""What a story is told with: people who write and tap, a look at every phone, and expectations that can fail.

Unexpected   a step went otherwise than the story says; carries what was expected and what was seen
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import aiohttp

from bot.emulator.remote import Phones

Json = dict[str, Any]
SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
LOOK_S: Final = 0.05
LINES: Final = 1000
COUNTED: Final = re.compile(r'^messages_total\{channel="(\w+)",decision="(\w+)"\} ([\d.e+]+)$', re.MULTILINE)
TRIES: Final = re.compile(r'^outbox_rows_total\{.*kind="kf_text",outcome="(\w+)"\} ([\d.e+]+)$', re.MULTILINE)
PLACES: Final = {"group": "客户群", "private": "私聊", "kf": "微信客服", "oa": "公众号"}


class Unexpected(Exception):
    """A step went otherwise than the story says: what was expected, and what was seen."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; seen {seen}")
        self.expected, self.seen = expected, seen


class Stage:
    """All phones and the service's own addresses; remembers what was told, so that a stray message is noticed."""

    def __init__(
        self, phones: Phones, http: aiohttp.ClientSession, service_url: str, api_key: str, wait_s: float
    ) -> None:
        self.phones, self._http, self._wait_s = phones, http, wait_s
        self._service_url, self._api_key = service_url.rstrip("/"), api_key
        self.told: list[str] = []
        self.kept: dict[str, Any] = {}
        """What one step leaves for a later one: a card, a code."""
        self.ids: dict[str, str] = {}
        self._openids: dict[str, str] = {}
        self._people: set[str] = set()
        self._taken: set[int] = set()
        self._printed: set[int] = set()
        self._kf = self._group = ""

    async def meet(self) -> None:
        """Learn who there is."""
        view = await self.view()
        self.ids = {one["name"]: one["external_userid"] for one in view["customers"]}
        self.ids |= {one["name"]: one["userid"] for one in view["staff"]}
        self._openids = {one["name"]: one["openid"] for one in view["customers"]}
        self._people = {*self.ids.values(), *self._openids.values()}
        self._kf, self._group = view["kf"][0]["open_kfid"], view["groups"][0]["chat_id"]

    async def view(self) -> Json:
        """What everybody sees now."""
        return await self.phones.view(LINES)

    # what people do

    async def write(self, name: str, place: str, text: str) -> str:
        """Somebody writes; gives what the service decided of it (acted, deferred, silent) once it has handled it."""
        before = await self._decisions(place)
        await self.phones.say(self.ids[name], place, text, chat=self._group if place == "group" else "")
        return await self._handled(place, before, {"acted", "deferred", "silent"})

    async def send_prepared(self, name: str, text: str) -> None:
        """A rep sends a suggested text into the group with one tap."""
        before = await self._decisions("group")
        await self.phones.sidebar_send(self.ids[name], "group", self._group, text)
        await self._handled("group", before, {"noted"})

    async def tap(self, name: str, card: Json, key: str, face: str) -> None:
        """A rep taps a button; the card must then show `face` in place of its buttons."""
        await self.phones.tap(self.ids[name], card["task_id"], key)

        def updated(view: Json) -> Any:
            now = next(item for item in _phone(view, self.ids[name]) if item.get("task_id") == card["task_id"])
            return now["replaced"] == face

        if not await self._until(updated):
            now = next(i for i in await self.phones.cards(self.ids[name]) if i["task_id"] == card["task_id"])
            raise Unexpected(f"卡片变为“{face}”", f"“{now['replaced']}”")
        await self.note(f"{name}的手机 | 卡片变为“{face}”")

    async def push(self, **span: float) -> None:
        """Push the one clock of platform and service, when nothing is on its way."""
        await self.phones.settle()
        now = await self.phones.push(timedelta(**span).total_seconds())
        await self.note(f"时钟拨到 {datetime.fromtimestamp(now, UTC).astimezone(SHANGHAI):%m-%d %H:%M}")

    async def push_to(self, hour: int, minute: int = 0) -> None:
        """Push the clock to the next such time of day."""
        now = await self.now()
        then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        await self.push(seconds=((then if then > now else then + timedelta(days=1)) - now).total_seconds())

    async def now(self) -> datetime:
        """The present moment of the story, in Shanghai."""
        seconds = (await self.view())["clock"]["now"]
        return datetime.fromtimestamp(seconds, UTC).astimezone(SHANGHAI)

    async def api(self, method: str, path: str, key: str = "", body: Json | None = None) -> tuple[int, Json]:
        """A call of the brand's own system; gives status and body."""
        headers = {"Authorization": f"Bearer {self._api_key}"} | ({"Idempotency-Key": key} if key else {})
        url = f"{self._service_url}{path}"
        async with self._http.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def page(self, path: str) -> tuple[int, str]:
        """A page of the service without a key, such as /metrics."""
        async with self._http.get(f"{self._service_url}{path}") as answer:
            return answer.status, await answer.text()

    async def points(self, name: str) -> int:
        """A customer's balance, as the brand's own system reads it."""
        status, body = await self.api("GET", f"/api/v1/members/external_userid/{self.ids[name]}")
        check(status == 200, "余额 200", f"{status} {body}")
        return int(body["points"]["available"])

    async def tries(self, outcome: str) -> int:
        """How many tries to answer in 微信客服 ended so: sent, or waiting because the platform failed."""
        counts = TRIES.findall((await self.page("/metrics"))[1])
        return sum(int(float(count)) for found, count in counts if found == outcome)

    async def until_tries(self, outcome: str, count: int) -> None:
        """Wait until so many tries ended so; raises Unexpected."""

        async def is_reached() -> bool:
            return await self.tries(outcome) >= count

        await self._waiting(is_reached, f"第 {count} 次发送的结果是 {outcome}")

    async def until_called(self, endpoint: str) -> None:
        """Wait until the platform has answered such a call of the service well; raises Unexpected."""
        words = f'platform_calls_total{{endpoint="{endpoint}",errcode="0"}}'

        async def is_called() -> bool:
            return words in (await self.page("/metrics"))[1]

        await self._waiting(is_called, f"服务调用 {endpoint}")

    async def servicer_of(self, name: str, servicer: str) -> None:
        """Wait until this rep serves the customer's 微信客服 chat; raises Unexpected."""
        wanted = self.ids[servicer]
        found = await self._until(lambda view: view["kf"][0]["sessions"][self.ids[name]]["servicer"] == wanted)
        check(bool(found), f"会话转给{servicer}", (await self.view())["kf"][0]["sessions"][self.ids[name]])

    # what must be seen

    async def answer(self, name: str, place: str, *words: str, never: Iterable[str] = ()) -> str:
        """The next answer of the bot in this chat; raises Unexpected where it misses a word or says a forbidden one."""
        key = f"kf:{self._kf}:{self.ids[name]}" if place == "kf" else f"oa:{self._openids[name]}"
        line = await self._until(lambda view: self._first_new(view["chats"].get(key, [])))
        if not line:
            raise Unexpected(f"{PLACES[place]}里回答{name}: {'、'.join(words)}", "没有回答")
        self._taken.add(line["number"])
        text = str(line["text"])
        _compare(f"回答{name}", text, words, never)
        return text

    async def card(self, rep: str, *words: str, never: Iterable[str] = ()) -> Json:
        """The next card on a rep's phone; raises Unexpected where it misses a word or says a forbidden one."""
        item = await self._until(lambda view: self._first_new(_phone(view, self.ids[rep])))
        if not item:
            raise Unexpected(f"{rep}的手机出现卡片: {'、'.join(words)}", "没有卡片")
        self._taken.add(item["number"])
        _compare(f"{rep}的卡片", _card_text(item), words, never)
        found: Json = item
        return found

    async def silent(self, name: str, place: str, text: str, decision: str = "silent") -> None:
        """Somebody writes and nobody is told: the service has decided so, and no phone shows anything new.

        What would come later still is found by `no_strays`, at the end of this step or of a later one.
        """
        seen = await self.write(name, place, text)
        check(seen == decision, f"“{text}” 判为 {decision}", seen)
        await self.no_strays()
        await self.note("(没有人被打扰)" if decision == "silent" else "(现在不打扰, 推迟)")

    async def no_strays(self) -> None:
        """Raises Unexpected where a phone shows a message of the bot that the story did not expect."""
        shown = self._everything(await self.view())
        strays = {number: text for number, text, is_bots in shown if is_bots and number not in self._taken}
        self._taken |= strays.keys()
        if strays:
            raise Unexpected("没有别的消息", "; ".join(strays.values()))

    # telling

    async def note(self, line: str) -> None:
        """Tell what came onto the phones, and then something that is not seen there."""
        await self.tell()
        self.told.append(line)

    async def tell(self) -> None:
        """Tell everything that came onto the phones since the last time, in the order it came."""
        for number, shown, _ in sorted(self._everything(await self.view())):
            if number not in self._printed:
                self._printed.add(number)
                self.told.append(shown)

    def _everything(self, view: Json) -> list[tuple[int, str, bool]]:
        """Number, how it is told, and whether the bot said it, of all that stands on any phone."""
        found = []
        for key, lines in view["chats"].items():
            place = PLACES.get(key.partition(":")[0], key)
            for line in lines:
                is_bots = line["kind"] != "note" and line["from"] not in self._people
                shown = f"{place} | {line['name']}: {_indented(str(line['text']))}"
                found.append((line["number"], shown, is_bots))
        for person in view["staff"]:
            for item in person["app"]:
                shown = f"{person['name']}的手机 | {_indented(_card_text(item))}"
                found.append((item["number"], shown, item["from"] != person["userid"]))
        return found

    def _first_new(self, items: list[Json]) -> Json | None:
        """The oldest message of the bot here that no expectation has taken yet."""
        for item in items:
            is_bots = item.get("kind") != "note" and item["from"] not in self._people
            if is_bots and item["number"] not in self._taken:
                return item
        return None

    async def _until(self, holds: Callable[[Json], Any]) -> Any:
        try:
            return await self.phones.until(holds, self._wait_s, LOOK_S)
        except TimeoutError:
            return None

    async def _decisions(self, channel: str) -> Counter[str]:
        found = COUNTED.findall((await self.page("/metrics"))[1])
        return Counter({decision: int(float(count)) for place, decision, count in found if place == channel})

    async def _handled(self, channel: str, before: Counter[str], among: set[str]) -> str:
        """The decision that was counted in a channel since `before`, waited for."""
        decided: list[str] = []

        async def is_handled() -> bool:
            more = await self._decisions(channel) - before
            decided[:] = [decision for decision in more.elements() if decision in among]
            return bool(decided)

        await self._waiting(is_handled, "处理这条消息")
        return "+".join(decided)

    async def _waiting(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                while not await holds():
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise Unexpected(f"{self._wait_s:g} 秒内{what}", "没有") from None


def check(holds: bool, expected: str, seen: object) -> None:
    """Raise Unexpected unless it holds."""
    if not holds:
        raise Unexpected(expected, str(seen))


def _compare(where: str, text: str, words: Iterable[str], never: Iterable[str]) -> None:
    missing = [word for word in words if word not in text]
    forbidden = [word for word in never if word in text]
    if missing or forbidden:
        rules = [f"有“{word}”" for word in missing] + [f"没有“{word}”" for word in forbidden]
        raise Unexpected(f"{where}: {'、'.join(rules)}", text)


def _phone(view: Json, userid: str) -> list[Json]:
    return next((person["app"] for person in view["staff"] if person["userid"] == userid), [])


def _card_text(item: Json) -> str:
    """Everything a rep reads on a card, a row a line; of another app message its text."""
    card = item.get("card")
    if card is None:
        return str(item.get("text", ""))
    rows = [f"{row['keyname']}: {row['value']}" for row in card["horizontal"]]
    buttons = " ".join(f"[{button['text']}]" for button in card["buttons"])
    return "\n".join(filter(None, (f"{card['title']} {card['desc']}", *rows, f"建议: {card['quote']}", buttons)))


def _indented(text: str) -> str:
    return text.replace("\n", "\n" + " " * 10)
