"""The emulator over HTTP: faults, the control API, the view and the page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from bot.emulator.app import RunningEmulator, start_emulator
from bot.emulator.errors import PhoneError
from bot.emulator.remote import Phones
from bot.emulator.seed import APP_SECRET, ARCHIVE_SECRET, CORP_ID, default_config

pytestmark = pytest.mark.sockets

QING = "wmAAAA0001"


class Caller:
    """Calls the emulator as the service does."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self.session = session
        self.token = ""

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        """One POST; raises what aiohttp raises."""
        if not self.token:
            query = {"corpid": CORP_ID, "corpsecret": APP_SECRET}
            async with self.session.get(f"{self.base_url}/cgi-bin/gettoken", params=query) as answer:
                self.token = (await answer.json())["access_token"]
        url = f"{self.base_url}/cgi-bin/{path}"
        async with self.session.post(url, params={"access_token": self.token}, json=body) as answer:
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found

    async def answer(self, text: str, msgid: str) -> dict[str, Any]:
        """Answer 阿青 in kf."""
        body = {"msgtype": "text", "text": {"content": text}, "msgid": msgid}
        return await self.post("kf/send_msg", touser=QING, open_kfid="wkAAA0001", **body)


def run(play: Callable[[RunningEmulator, Phones, Caller], Awaitable[None]]) -> None:
    """Start an emulator, play, stop it."""

    async def whole() -> None:
        emulator = await start_emulator(default_config())
        try:
            async with Phones(emulator.base_url) as phones, aiohttp.ClientSession() as session:
                await play(emulator, phones, Caller(emulator.base_url, session))
        finally:
            await emulator.stop()

    asyncio.run(whole())


def test_faults_strike_as_often_as_told() -> None:
    """An errcode twice, an HTTP status once, then all is well; the effect of those never happened."""

    async def play(emulator: RunningEmulator, phones: Phones, caller: Caller) -> None:
        await phones.say(QING, "kf", "我有多少积分")
        await phones.fault("kf/send_msg", "errcode", errcode=45009, times=2)
        await phones.fault("kf/send_msg", "http", errcode=502)
        codes = [(await caller.answer("一", "m1"))["errcode"] for _ in range(2)]
        assert codes == [45009, 45009]
        with pytest.raises(aiohttp.ClientResponseError, match="502"):
            await caller.answer("一", "m1")
        assert (await caller.answer("一", "m1"))["errcode"] == 0
        assert [line["text"] for line in await phones.chat(f"kf:wkAAA0001:{QING}")] == ["我有多少积分", "一"]

    run(play)


@pytest.mark.parametrize("kind", ["cut_after_effect", "broken_json"])
def test_spoiled_answer_after_the_effect(kind: str) -> None:
    """The caller learns nothing, the customer has the message, and the repeated msgid is refused."""

    async def play(emulator: RunningEmulator, phones: Phones, caller: Caller) -> None:
        await phones.say(QING, "kf", "我有多少积分")
        await phones.fault("kf/send_msg", kind)
        with pytest.raises((aiohttp.ClientError, ValueError)):
            await caller.answer("您有 100 积分", "m1")
        assert (await caller.answer("您有 100 积分", "m1"))["errcode"] == 95033
        lines = await phones.chat(f"kf:wkAAA0001:{QING}")
        assert [line["text"] for line in lines] == ["我有多少积分", "您有 100 积分"]

    run(play)


def test_timeout_has_no_effect_and_slow_has() -> None:
    """A timed-out call did nothing; a slow one did; faults can be read and cleared; bad ones are refused."""

    async def play(emulator: RunningEmulator, phones: Phones, caller: Caller) -> None:
        await phones.say(QING, "kf", "在吗")
        await phones.fault("/cgi-bin/kf/send_msg", "timeout", seconds=0.05)
        with pytest.raises(aiohttp.ClientError):
            await caller.answer("一", "m1")
        await phones.fault("kf/send_msg", "slow", seconds=0.05)
        assert (await caller.answer("二", "m1"))["errcode"] == 0
        hits = [fault["hits"] for fault in (await phones.call("GET", "faults"))["faults"]]
        assert hits == [1, 1]
        await phones.clear_faults()
        assert (await phones.call("GET", "faults"))["faults"] == []
        with pytest.raises(PhoneError, match="a fault has"):
            await phones.fault("kf/send_msg", "explode")
        texts = [line["text"] for line in await phones.chat(f"kf:wkAAA0001:{QING}")]
        assert texts == ["在吗", "二"]

    run(play)


def test_errors_are_http_200_with_a_hint() -> None:
    """An API error is HTTP 200 with errcode and a long errmsg; nothing of a secret is in the log."""

    async def play(emulator: RunningEmulator, phones: Phones, caller: Caller) -> None:
        answer = await caller.post("kf/sync_msg", open_kfid="wkNONE")
        assert (answer["errcode"], "hint: [" in answer["errmsg"]) == (95004, True)
        url = f"{emulator.base_url}/archive/pull"
        pull = {"seq": 0, "limit": 10, "corpid": CORP_ID, "secret": ARCHIVE_SECRET}
        async with caller.session.post(url, json=pull) as pulled:
            assert await pulled.json() == {"errcode": 0, "errmsg": "ok", "chatdata": []}
        log = str(await phones.log())
        assert "archive/pull" in log
        assert ARCHIVE_SECRET not in log
        assert APP_SECRET not in log
        assert caller.token not in log

    run(play)


def test_view_is_cheap_when_nothing_changed() -> None:
    """The view has an ETag; asked with it the answer is 304 until somebody does something."""

    async def play(emulator: RunningEmulator, phones: Phones, caller: Caller) -> None:
        url = f"{emulator.base_url}/_emulator/view"
        async with caller.session.get(url) as first:
            tag = {"If-None-Match": first.headers["ETag"]}
        async with caller.session.get(url, headers=tag) as second:
            assert second.status == 304
        await phones.say(QING, "group", "快吃完了")
        async with caller.session.get(url, headers=tag) as third:
            body = await third.json()
        assert body["chats"]["group:wrGROUP0001"][0]["name"] == "阿青"

    run(play)


def test_people_refusals_and_clock() -> None:
    """What a phone does not allow is a PhoneError with the reason; the clock goes forward only."""

    async def play(emulator: RunningEmulator, phones: Phones, caller: Caller) -> None:
        with pytest.raises(PhoneError, match="no customer 'wmX'"):
            await phones.say("wmX", "group", "在吗", "wrGROUP0001")
        with pytest.raises(PhoneError, match="not contacts"):
            await phones.say("wmAAAA0004", "private", "在吗", "liuyang")
        before = emulator.clock.now()
        assert await phones.push(86400) - before >= 86400
        with pytest.raises(PhoneError, match="forward only"):
            await phones.push(-1)
        with pytest.raises(TimeoutError):
            await phones.until(lambda view: view["chats"], wait_s=0.05, every_s=0.01)

    run(play)


@pytest.mark.parametrize("is_clock_shared", [True, False])
def test_page_pushes_a_shared_clock_only(is_clock_shared: bool) -> None:
    """A service in another process would take callbacks of a pushed clock for stale: the page offers no push there."""

    async def play() -> str:
        config = default_config()
        config.is_clock_shared = is_clock_shared
        emulator = await start_emulator(config)
        try:
            async with aiohttp.ClientSession() as http, http.get(emulator.base_url) as page:
                return await page.text()
        finally:
            await emulator.stop()

    text = asyncio.run(play())
    assert ("data-push=" in text, 'id="push-until">' in text) == (is_clock_shared, is_clock_shared)


def test_page_needs_nothing_from_elsewhere() -> None:
    """The page, its script and its style come from the emulator and name no other host."""

    async def play(emulator: RunningEmulator, phones: Phones, caller: Caller) -> None:
        pieces = {"/": "平台日志", "/_emulator/page/phones.js": "客户群", "/_emulator/page/phones.css": ".card"}
        for path, piece in pieces.items():
            async with caller.session.get(emulator.base_url + path) as answer:
                text = await answer.text()
            assert answer.status == 200
            assert piece in text
            assert "http" not in text
        async with caller.session.get(f"{emulator.base_url}/_emulator/page/secrets.txt") as answer:
            assert answer.status == 404

    run(play)
