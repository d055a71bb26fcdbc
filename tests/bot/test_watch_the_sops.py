"""Each ready-made follow-up in the demo, as docs/howto/watch_the_sops.md tells it: what to press, and what is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot import demo
from bot.emulator.remote import Phones

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/howto/watch_the_sops.md"
SHANGHAI = ZoneInfo("Asia/Shanghai")
AQING, XIAOMAN, HEJIE, PASSER = (f"wmAAAA000{number}" for number in range(1, 5))
GROUP = "wrGROUP0001"
DAY_S = 86_400

pytestmark = [pytest.mark.sockets, pytest.mark.faults, pytest.mark.timeout(120)]


class Watcher:
    """A newcomer before the demo's page."""

    def __init__(self, phones: Phones) -> None:
        self.phones = phones
        self._seen: set[str] = set()

    async def days(self, *numbers: int) -> None:
        """Push the clock by so many days, again and again."""
        for number in numbers:
            await self.phones.push(number * DAY_S)
            await asyncio.sleep(1.3)

    async def now(self) -> datetime:
        """The time on the page."""
        return datetime.fromtimestamp((await self.phones.view())["clock"]["now"], SHANGHAI)

    async def until(self, day: datetime) -> None:
        """The button 拨到: five past nine of that day, next year where it is over."""
        now = await self.now()
        moment = day.replace(hour=9, minute=5, second=0, microsecond=0, tzinfo=SHANGHAI)
        while moment <= now:
            moment = moment.replace(year=moment.year + 1)
        await self.phones.push((moment - now).total_seconds())
        await asyncio.sleep(1.3)

    async def card(self, staff: str, *words: str) -> dict[str, Any]:
        """A card on a phone that holds all these words and was not seen before."""

        def find(view: dict[str, Any]) -> dict[str, Any] | None:
            phone = next(one for one in view["staff"] if one["userid"] == staff)
            return next((line for line in phone["app"] if "card" in line and line["task_id"] not in self._seen
                         and all(word in str(line["card"]) for word in words)), None)  # fmt: skip

        found: dict[str, Any] = await self._see(find, f"a card for {staff} with {words}")
        self._seen.add(found["task_id"])
        return found

    async def mass(self, staff: str, *words: str) -> None:
        """A 企业群发 on a phone, confirmed by the rep."""

        def find(view: dict[str, Any]) -> dict[str, Any] | None:
            phone = next(one for one in view["staff"] if one["userid"] == staff)
            return next((task for task in phone["mass"] if not task["confirmed"]
                         and all(word in task["text"] for word in words)), None)  # fmt: skip

        task = await self._see(find, f"a 群发 for {staff} with {words}")
        await self.phones.act("mass_confirm", staff=staff, msgid=task["msgid"])

    async def text(self, chat: str, *words: str) -> None:
        """A bubble in a chat with all these words."""

        def find(view: dict[str, Any]) -> bool:
            return any(all(word in line["text"] for word in words) for line in view["chats"].get(chat, ()))

        await self._see(find, f"{words} in {chat}")

    async def tap(self, staff: str, card: dict[str, Any]) -> None:
        """已发送."""
        key = next(button["key"] for button in card["card"]["buttons"] if button["text"] == "已发送")
        await self.phones.tap(staff, card["task_id"], key)
        await asyncio.sleep(0.5)

    async def _see(self, find: Callable[[dict[str, Any]], Any], what: str) -> Any:
        try:
            return await self.phones.until(find, wait_s=8, every_s=0.1)
        except TimeoutError:
            view = await self.phones.view()
            seen = [line.get("card") or line.get("text") for one in view["staff"] for line in one["app"]]
            tasks = [task["text"] for one in view["staff"] for task in one["mass"]]
            raise AssertionError(f"expected {what}; cards {seen}; 群发 {tasks}") from None


async def running_out(page: Watcher) -> None:
    """Said in the group: the rep has the bundle."""
    await page.phones.say(AQING, "group", "快吃完了")
    await page.card("liuyang", "食用周期结束", "挂耳咖啡30包")


async def buying_for_friend(page: Watcher) -> None:
    """Said in the group: the rep is asked to introduce."""
    await page.phones.say(XIAOMAN, "group", "帮我妈也带一份")
    await page.card("liuyang", "帮亲友购买", "小满")


async def complaint(page: Watcher) -> None:
    """Said to the service: rep and supervisor at once."""
    await page.phones.say(AQING, "kf", "你们客服半天不理人 太差劲了")
    await page.card("liuyang", "太差劲了")
    await page.card("wangli", "太差劲了")


async def complaint_care(page: Watcher) -> None:
    """Three days after: the supervisor calls."""
    await complaint(page)
    await page.days(4)
    await page.card("wangli", "投诉回访", "门店负责人")


async def human_agent(page: Watcher) -> None:
    """Asked for: a person takes over."""
    await page.phones.say(XIAOMAN, "kf", "转人工")
    await page.card("liuyang", "小满", "人工")


async def new_friend(page: Watcher) -> None:
    """Added: welcomed, asked into the group, brought to the first order."""
    await page.phones.act("group", action="leave", chat=GROUP, customer=PASSER)
    await page.phones.act("contact", action="add", state="shop-031", staff="liuyang", customer=PASSER)
    await page.text(f"private:liuyang:{PASSER}", "欢迎来到青禾")
    await page.days(1, 1)
    await page.tap("liuyang", await page.card("liuyang", "新朋友旅程", "会员群"))
    await page.days(7)
    await page.card("liuyang", "新朋友旅程", "见面礼")


async def friend_invite(page: Watcher) -> None:
    """Praise becomes an invitation; the friend who scans it brings points."""
    await page.phones.say(AQING, "group", "你们家咖啡真的太好喝了, 我推荐给好多朋友了")
    await page.tap("liuyang", await page.card("liuyang", "邀请朋友", "https://"))
    (way,) = (await page.phones.view())["ways"]
    await page.phones.act("contact", action="add", state=way["state"], staff="liuyang", customer=PASSER)
    await page.card("liuyang", "邀请的朋友来啦", "100")


async def cycle_refill(page: Watcher) -> None:
    """A pack is used up."""
    await page.days(6)
    await page.card("liuyang", "周期到期未复购", "阿青", "挂耳咖啡30包×2盒")


async def points_lapsing(page: Watcher) -> None:
    """Told where a chat is open, then by the rep."""
    await page.phones.till(XIAOMAN, "送 300 积分, 10 天后到期")
    await page.phones.say(XIAOMAN, "kf", "我有多少积分")
    await page.text(f"kf:wkAAA0001:{XIAOMAN}", "300")
    await page.days(1)
    await page.text(f"kf:wkAAA0001:{XIAOMAN}", "快到期了")
    await page.days(8)
    await page.card("liuyang", "积分快到期", "就到期了")


async def birthday(page: Watcher) -> None:
    """Wished at ten, with points."""
    await page.phones.till(XIAOMAN, "记下生日: 后天")
    await page.until(await page.now() + timedelta(days=2))
    await page.phones.push(3600)
    await page.card("liuyang", "小满生日快乐", "88")


async def tier_leap(page: Watcher) -> None:
    """A big order: congratulated."""
    await page.phones.till(XIAOMAN, "买礼盒 1288 元")
    await page.card("liuyang", "恭喜小满升级", "青叶会员")


async def double_eleven(page: Watcher) -> None:
    """Three days before and on the day."""
    now = await page.now()
    await page.until(now.replace(month=11, day=8))
    await page.mass("liuyang", "双11 会员提前购", "阿青")
    await page.until((await page.now()).replace(day=11))
    await page.phones.push(3600)
    await page.mass("liuyang", "今天最后一天", "阿青")


async def inactive_recall(page: Watcher) -> None:
    """Silent for longer than their own rhythm: a coupon and a 群发."""
    for _ in range(3):
        await page.phones.till(XIAOMAN, "买挂耳咖啡30包 129 元")
        await page.days(7)
    await page.days(7, 1, 1)
    await page.mass("liuyang", "好久没见您来喝一杯了", "10 元无门槛券")


async def plan_renewal(page: Watcher) -> None:
    """A year's card that ends soon."""
    await page.phones.till(AQING, "买年卡 199 元")
    await page.until(await page.now() + timedelta(days=360))
    await page.card("liuyang", "付费会员续费", "提醒您一声")


async def stored_value_wake_up(page: Watcher) -> None:
    """Money untouched for three months."""
    await page.phones.till(AQING, "充值 100 元")
    await page.days(30, 30, 30, 1)
    await page.card("liuyang", "储值唤醒", "元没用呢")


async def service_due(page: Watcher) -> None:
    """Mileage reached: an invitation, and once more."""
    await page.phones.till(XIAOMAN, "咖啡机跑满 5000 杯")
    await page.tap("liuyang", await page.card("liuyang", "到店服务到期", "咖啡机到保养的时候了"))
    await page.days(4)
    await page.card("liuyang", "到店服务到期", "您哪天方便")


WATCHED = (running_out, buying_for_friend, complaint, complaint_care, human_agent, new_friend, friend_invite,
           cycle_refill, points_lapsing, birthday, tier_leap, double_eleven, inactive_recall, plan_renewal,
           stored_value_wake_up, service_due)  # fmt: skip


@pytest.mark.parametrize("watch", WATCHED, ids=lambda watch: watch.__name__)
def test_it_is_seen(watch: Callable[[Watcher], Awaitable[None]]) -> None:
    """Press what the page says: the card, message or 群发 is on the phone it names."""

    async def play() -> None:
        async with demo.opened(0, lambda _line: None) as (service, emulator, keys):
            await service.start()
            try:
                url = f"http://127.0.0.1:{service.settings.web.port}"
                await demo.post_orders(url, keys.api_key, service.clock())
                async with Phones(emulator.base_url) as phones:
                    await asyncio.sleep(1.2)  # the roster is read
                    await watch(Watcher(phones))
            finally:
                await service.stop()

    asyncio.run(play())


def test_the_page_names_every_follow_up() -> None:
    """No ready-made follow-up is left out, here or there."""

    def told() -> Iterator[str]:
        for line in PAGE.read_text(encoding="utf-8").splitlines():
            if line.startswith("| `"):
                yield line.split("`")[1]

    files = {path.stem for path in (ROOT / "config/followups").glob("*.yaml")}
    assert {watch.__name__ for watch in WATCHED} == files == set(told())
