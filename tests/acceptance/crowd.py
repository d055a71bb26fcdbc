"""A crowd of customers who write in a group, in 微信客服 and in the 公众号, ask for points and redeem."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from tests.acceptance.fleet import Fleet
from tests.acceptance.posting import Poster

KF: Final = "wkAAA0001"
GROUP: Final = "wrLOAD0001"
ORDER_FEN: Final = 600_000
PATIENCE_S: Final = 300.0
SMALL_TALK: Final = ("哈哈哈", "今天下雨了", "快吃完了", "周末去哪玩", "收到", "挂耳快喝完了", "早上好")
CUP, STICKER = 500, 20
"""What 随行杯 and 青禾贴纸包 cost, in points (config/programme.yaml)."""


@dataclass(frozen=True, slots=True)
class Customer:
    """One of the crowd, as the platform knows them."""

    external_userid: str
    openid: str
    rep: str

    @property
    def kf_chat(self) -> str:
        """The emulator's name of the 微信客服 chat."""
        return f"kf:{KF}:{self.external_userid}"

    @property
    def oa_chat(self) -> str:
        """The emulator's name of the 公众号 chat."""
        return f"oa:{self.openid}"


@dataclass(slots=True)
class Record:
    """What the crowd did: inbox keys by sender in the order they wrote, redemptions confirmed, answers heard.

    A key of the 公众号 is known up to its CreateTime, which ends it.
    """

    by_sender: dict[str, list[str]] = field(default_factory=dict)
    spent: dict[str, list[int]] = field(default_factory=dict)
    replied: int = 0

    def note(self, channel: str, sender: str, msgid: str) -> None:
        """A message was written in group, private, kf or oa."""
        assert msgid, f"the platform kept nothing of what {sender} wrote in {channel}"
        heads = {"kf": f"kf:{KF}:", "oa": f"wechat:oa:{sender}:"}
        self.by_sender.setdefault(f"{channel}:{sender}", []).append(heads.get(channel, "archive:") + msgid)

    @property
    def messages(self) -> int:
        """How many messages were written in all."""
        return sum(len(keys) for keys in self.by_sender.values())

    @property
    def confirmed(self) -> int:
        """How many prompts were answered 确认."""
        return sum(len(costs) for costs in self.spent.values())


class Crowd:
    """`await crowd.settle_in()`, then `start()` and later `stop()`: everybody ends the sentence they are in.

    Each customer waits for the answer before going on, as people do; an answer that does not come within
    PATIENCE_S raises from `stop`.
    """

    def __init__(self, fleet: Fleet, size: int, seed: int, rest_s: float = 0.2, flood_per_s: float = 0.0) -> None:
        self.fleet, self.record, self.poster = fleet, Record(), Poster(fleet.keys)
        self.customers = [
            Customer(f"wmLOAD{number:04}", f"oLOAD{number:04}", ("liuyang", "wangli")[number % 2])
            for number in range(1, size + 1)
        ]
        self.earned = 0
        self._random = random.Random(seed)
        self._rest_s, self._flood_per_s = rest_s, flood_per_s
        self._stopping = False
        self._view: dict[str, Any] = {"chats": {}}
        self._tasks: list[asyncio.Task[None]] = []
        self._watcher: asyncio.Task[None] | None = None

    async def settle_in(self) -> None:
        """Put the people on the platform and post an order for each, by the API."""
        people = self.customers
        call = self.fleet.phones.act
        await call("limits", kf_sync_tokenless_per_min=10_000, app_per_member_per_min=10_000)
        # As patient as a start of the web part may take on a busy machine; the real platform tries three times.
        await call("callbacks", deliveries=90)
        await call(
            "people",
            customers=[
                {"external_userid": one.external_userid, "name": f"客户{one.external_userid[-4:]}",
                 "unionid": f"u{one.openid}", "openid": one.openid}
                for one in people
            ],
            groups=[
                {"chat_id": GROUP, "name": "压测群", "owner": "liuyang",
                 "members": ["liuyang", "wangli", *(one.external_userid for one in people)]}
            ],
            follows=[{"userid": one.rep, "external_userid": one.external_userid} for one in people],
        )  # fmt: skip
        for one in people:
            await self._order(one)
        self.earned = await self._points(people[0])

    async def _points(self, customer: Customer) -> int:
        url = f"{self.fleet.web_urls[0]}/api/v1/members/external_userid/{customer.external_userid}"
        headers = {"Authorization": f"Bearer {self.fleet.keys.api_key}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
            return int((await answer.json())["points"]["available"])

    async def _order(self, customer: Customer) -> None:
        order = {
            "source": "shop", "external_id": f"load-{customer.openid}", "amount_fen": ORDER_FEN,
            "paid_at": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 27 * 86400)),
            "identities": [["external_userid", customer.external_userid], ["openid", customer.openid]],
            "items": [{"sku": "QH-DRIP-30", "name": "挂耳咖啡30包", "amount_fen": ORDER_FEN}],
        }  # fmt: skip
        url = f"{self.fleet.web_urls[0]}/api/v1/orders"
        headers = {"Authorization": f"Bearer {self.fleet.keys.api_key}", "Idempotency-Key": customer.openid}
        async with aiohttp.ClientSession(headers=headers) as session, session.post(url, json=order) as answer:
            assert answer.status == 201, await answer.text()

    def start(self) -> None:
        """Everybody begins to write."""
        self._watcher = asyncio.create_task(self._watch())
        for customer in self.customers:
            chatter = random.Random(self._random.random())
            self._go(self._in_kf(customer, random.Random(self._random.random())))
            self._go(self._in_oa(customer, random.Random(self._random.random())))
            self._go(self._in_chats(customer, chatter))
        if self._flood_per_s:
            self._go(self._flood())

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def stop(self) -> None:
        """Let everybody hear the answer to what they said last; raises what went wrong with anybody."""
        self._stopping = True
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await self.poster.close()
        wrong = [result for result in results if isinstance(result, BaseException)]
        assert not wrong, f"{len(wrong)} went away unhappy, the first: {wrong[0]!r}\n" + self.fleet.tails(
            self.fleet.programs
        )
        await self.fleet.phones.settle()

    async def _watch(self) -> None:
        while True:
            self._view = await self.fleet.phones.view(lines=40)
            await asyncio.sleep(0.25)

    async def _flood(self) -> None:
        """Strangers thank the 公众号, each signed and posted by ourselves, tried again until acknowledged."""
        pause_s = 1 / self._flood_per_s
        waiting: set[asyncio.Task[bool]] = set()
        for number in itertools.count():
            if self._stopping:
                break
            sending = self.poster.oa_text_until_taken(self.fleet.web_urls, f"oSTRANGER{number % 50:03}", "谢谢")
            waiting.add(asyncio.create_task(sending))
            await asyncio.sleep(pause_s)
        await asyncio.gather(*waiting)

    async def _in_kf(self, customer: Customer, choice: random.Random) -> None:
        """Asks, redeems twice a cup by list, number and yes, later stickers; each time only after the prompt."""
        cups = 0
        while not self._stopping:
            await self._rest(choice)
            await self._ask(customer, "kf", "我有多少积分", "积分")
            if cups < 2:
                cups += 1
                await self._ask(customer, "kf", "积分换个杯子", "1. 随行杯")
                await self._ask(customer, "kf", "第一个", "确认兑换吗")
                await self._confirm(customer, "kf", CUP)
            else:
                await self._ask(customer, "kf", "积分换贴纸", "确认兑换吗")
                await self._confirm(customer, "kf", STICKER)

    async def _in_oa(self, customer: Customer, choice: random.Random) -> None:
        while not self._stopping:
            await self._rest(choice)
            await self._ask(customer, "oa", "我有多少积分", "积分")
            if choice.random() < 0.5:
                await self._ask(customer, "oa", "积分换贴纸", "确认兑换吗")
                await self._confirm(customer, "oa", STICKER)

    async def _in_chats(self, customer: Customer, choice: random.Random) -> None:
        while not self._stopping:
            await asyncio.sleep(choice.uniform(0.3, 1.2))
            text = choice.choice(SMALL_TALK)
            place, chat = choice.choice((("group", GROUP), ("group", GROUP), ("private", customer.rep)))
            done = await self.fleet.phones.say(customer.external_userid, place, text, chat)
            self.record.note(place, customer.external_userid, done["msgid"])

    async def _rest(self, choice: random.Random) -> None:
        await asyncio.sleep(self._rest_s * (0.5 + choice.random()))

    async def _confirm(self, customer: Customer, place: str, cost: int) -> None:
        self.record.spent.setdefault(customer.external_userid, []).append(cost)
        await self._ask(customer, place, "确认", "换好啦")

    async def _ask(self, customer: Customer, place: str, text: str, word: str) -> None:
        """Write and wait for an answer with the word in it."""
        chat = customer.kf_chat if place == "kf" else customer.oa_chat
        heard = self._last_number(chat)
        done = await self.fleet.phones.say(customer.external_userid, place, text, KF if place == "kf" else "")
        self.record.note(place, customer.external_userid if place == "kf" else customer.openid, done["msgid"])
        deadline = time.monotonic() + PATIENCE_S
        while True:
            lines = [line for line in self._view["chats"].get(chat, ()) if line["number"] > heard]
            if any(line["from"] != customer.external_userid and word in line["text"] for line in lines):
                self.record.replied += 1
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{chat}: {text!r} was not answered with {word!r}, but {[x['text'] for x in lines]}")
            await asyncio.sleep(0.05)

    def _last_number(self, chat: str) -> int:
        return max((int(line["number"]) for line in self._view["chats"].get(chat, ())), default=0)
