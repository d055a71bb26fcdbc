"""Delivery to a service: echo, retries with fresh packets, duplicates, losses, passive replies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from bot.emulator.app import EmulatorConfig, Receiver, RunningEmulator, start_emulator
from bot.emulator.config import OfficialAccount
from bot.emulator.crypto import PacketCrypto, sign
from bot.emulator.markup import document, read_flat
from bot.emulator.remote import Phones
from bot.emulator.seed import CORP_ID, default_config

pytestmark = pytest.mark.sockets

TOKEN, KEY, APPID = "testToken01", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "wx0000000000000001"
QING = "wmAAAA0001"
Answer = Callable[[int], Awaitable[web.Response]]


async def say_success(number: int) -> web.Response:
    """Answer like a healthy service."""
    return web.Response(text="success")


@dataclass
class Service:
    """A small service that opens what it gets and answers as told."""

    answer: Answer = say_success
    queries: list[dict[str, str]] = field(default_factory=list)
    packets: list[str] = field(default_factory=list)
    inner: list[str] = field(default_factory=list)
    url: str = ""

    def crypto(self, path: str) -> PacketCrypto:
        """The crypto of a receiver's path."""
        return PacketCrypto(TOKEN, KEY, APPID if path == "oa" else CORP_ID)

    async def echo(self, request: web.Request) -> web.Response:
        """The GET verification."""
        query, path = request.query, request.match_info["path"]
        if path == "oa":
            good = query["signature"] == sign(TOKEN, query["timestamp"], query["nonce"])
            return web.Response(text=query["echostr"] if good else "bad")
        crypto = self.crypto(path)
        stamp = query["timestamp"], query["nonce"], query["echostr"]
        if not crypto.matches(query["msg_signature"], *stamp):
            return web.Response(status=403)
        return web.Response(text=crypto.decrypt(query["echostr"]))

    async def take(self, request: web.Request) -> web.Response:
        """The POST delivery."""
        query, text = dict(request.query), await request.text()
        self.queries.append(query)
        packet = read_flat(text).get("Encrypt", "")
        self.packets.append(packet)
        if packet:
            crypto = self.crypto(request.match_info["path"])
            assert crypto.matches(query["msg_signature"], query["timestamp"], query["nonce"], packet)
            text = crypto.decrypt(packet)
        self.inner.append(text)
        return await self.answer(len(self.inner))


def run(
    play: Callable[[RunningEmulator, Phones, Service], Awaitable[None]],
    answer: Answer = say_success,
    mode: str = "plain",
) -> None:
    """Start a service and an emulator that knows it, play, stop both."""

    async def whole() -> None:
        service = Service(answer)
        app = web.Application()
        app.router.add_get("/{path}", service.echo)
        app.router.add_post("/{path}", service.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        emulator = await start_emulator(config_for(service.url, mode))
        try:
            async with Phones(emulator.base_url) as phones:
                await phones.act("callbacks", retry_wait_s=0.01, timeout_s=5)
                await play(emulator, phones, service)
        finally:
            await emulator.stop()
            await runner.cleanup()

    asyncio.run(whole())


def config_for(url: str, mode: str) -> EmulatorConfig:
    """The seed corp whose callbacks go to a URL."""
    receivers = {name: Receiver(f"{url}/{name}", TOKEN, KEY, CORP_ID) for name in ("app", "kf", "contact")}
    config = default_config(receivers | {"oa": Receiver(f"{url}/oa", TOKEN, KEY, APPID)})
    config.oa = OfficialAccount(APPID, "secret", "gh_000000000001", "城西店", mode)
    return config


def outcome(emulator: RunningEmulator) -> tuple[str, list[str]]:
    """Outcome and verdicts of the last event."""
    record = emulator.state.callbacks.log[-1]
    return record.outcome, [attempt.verdict for attempt in record.attempts]


def test_echo_of_every_receiver() -> None:
    """URL verification passes for each receiver and fails for one that echoes nothing."""

    async def play(emulator: RunningEmulator, phones: Phones, service: Service) -> None:
        for name in ("app", "kf", "contact", "oa"):
            assert (await phones.act("verify", receiver=name))["ok"]
        wrong = {"url": f"{service.url}/app", "token": "otherToken", "aes_key": KEY, "receive_id": CORP_ID}
        await phones.act("receivers", app=wrong)
        assert not (await phones.act("verify", receiver="app"))["ok"]
        assert not (await phones.act("verify", receiver="archive"))["ok"]

    run(play)


def test_one_delivery_when_all_is_well() -> None:
    """A kf message makes one encrypted callback with the account's id."""

    async def play(emulator: RunningEmulator, phones: Phones, service: Service) -> None:
        await phones.say(QING, "kf", "我有多少积分")
        await phones.settle()
        assert len(service.inner) == 1
        assert "<OpenKfId><![CDATA[wkAAA0001]]></OpenKfId>" in service.inner[0]
        assert outcome(emulator) == ("ok", ["ok"])

    run(play)


def test_three_deliveries_with_fresh_packets() -> None:
    """A failing service gets three deliveries: same inner XML, other nonce, packet and signature."""

    async def fail(number: int) -> web.Response:
        return web.Response(status=500)

    async def play(emulator: RunningEmulator, phones: Phones, service: Service) -> None:
        await phones.say("liuyang", "app", "今天谁要跟进")
        await phones.settle()
        assert len(service.inner) == 3
        assert len(set(service.inner)) == 1
        for name in ("nonce", "msg_signature"):
            assert len({query[name] for query in service.queries}) == 3
        assert len(set(service.packets)) == 3
        assert outcome(emulator) == ("failed", ["http 500"] * 3)

    run(play, fail)


def test_resend_policy_timeout_only() -> None:
    """With the stricter policy a 500 is not repeated, a time-out is."""

    async def fail_then_sleep(number: int) -> web.Response:
        if number > 1:
            await asyncio.sleep(1)
        return web.Response(status=500)

    async def play(emulator: RunningEmulator, phones: Phones, service: Service) -> None:
        await phones.act("callbacks", resend_on="timeout", timeout_s=0.3)
        await phones.say(QING, "kf", "一")
        await phones.settle()
        assert outcome(emulator) == ("failed", ["http 500"])
        await phones.say(QING, "kf", "二")
        await phones.settle()
        assert outcome(emulator) == ("failed", ["timeout"] * 3)

    run(play, fail_then_sleep)


def test_recovers_on_the_second_try() -> None:
    """A service that fails once is reached by the second delivery, and there is no third."""

    async def fail_once(number: int) -> web.Response:
        return web.Response(status=503 if number == 1 else 200)

    async def play(emulator: RunningEmulator, phones: Phones, service: Service) -> None:
        await phones.say(QING, "kf", "一")
        await phones.settle()
        assert outcome(emulator) == ("ok", ["http 503", "ok"])

    run(play, fail_once)


def test_duplicate_lose_and_reorder() -> None:
    """On demand an event comes three times at once, not at all, or after a later one."""

    async def play(emulator: RunningEmulator, phones: Phones, service: Service) -> None:
        await phones.act("callbacks", duplicate=3)
        await phones.say("liuyang", "app", "三份")
        await phones.settle()
        assert len(service.inner) == 3
        await phones.act("callbacks", duplicate=1, lose=1)
        await phones.say("liuyang", "app", "丢了")
        await phones.settle()
        assert outcome(emulator) == ("lost", [])
        await phones.act("callbacks", reorder=1)
        for text in ("先说的", "后说的"):
            await phones.say("liuyang", "app", text)
        await phones.settle()
        texts = [read_flat(xml)["Content"] for xml in service.inner[3:]]
        assert texts == ["后说的", "先说的"]

    run(play)


def test_odd_answers_are_marked() -> None:
    """An answer that is neither empty, success nor a packet is logged as odd and not repeated."""

    async def chat(number: int) -> web.Response:
        return web.Response(text="ok, thanks")

    async def play(emulator: RunningEmulator, phones: Phones, service: Service) -> None:
        await phones.say(QING, "kf", "一")
        await phones.settle()
        assert outcome(emulator) == ("odd", ["odd"])

    run(play, chat)


def _passive(text: str) -> str:
    return document([("ToUserName", "oOPENID0001"), ("MsgType", "text"), ("Content", text)])


def test_oa_passive_reply_plain_and_failure() -> None:
    """In plain mode a passive reply is shown; after three failures the user reads the platform's line."""

    async def reply_then_fail(number: int) -> web.Response:
        return web.Response(text=_passive("九点开门")) if number == 1 else web.Response(status=500)

    async def play(emulator: RunningEmulator, phones: Phones, service: Service) -> None:
        for text in ("营业时间", "地址"):
            await phones.say(QING, "oa", text)
            await phones.settle()
        lines = [line["text"] for line in await phones.chat("oa:oOPENID0001")]
        assert lines[:3] == ["营业时间", "九点开门", "地址"]
        assert "服务出现故障" in lines[3]
        assert service.queries[0]["signature"] == sign(
            TOKEN, service.queries[0]["timestamp"], service.queries[0]["nonce"]
        )
        assert service.queries[0]["openid"] == "oOPENID0001"
        assert service.packets[0] == ""

    run(play, reply_then_fail)


def test_oa_safe_mode_both_ways() -> None:
    """In safe mode message and reply are packets; the reply's signature is checked."""
    crypto = PacketCrypto(TOKEN, KEY, APPID)
    packet = crypto.encrypt(_passive("您有 100 积分"))

    async def reply(number: int) -> web.Response:
        signature = crypto.signature("1700000001", "n1", packet) if number == 1 else "0" * 40
        fields: Any = [("Encrypt", packet), ("MsgSignature", signature), ("TimeStamp", 1700000001), ("Nonce", "n1")]
        return web.Response(text=document(fields))

    async def play(emulator: RunningEmulator, phones: Phones, service: Service) -> None:
        for _ in range(2):
            await phones.say(QING, "oa", "我有多少积分")
            await phones.settle()
        lines = [line["text"] for line in await phones.chat("oa:oOPENID0001")]
        assert lines[1] == "您有 100 积分"
        assert "服务出现故障" in lines[3]
        assert service.queries[0]["encrypt_type"] == "aes"
        assert read_flat(service.inner[0])["Content"] == "我有多少积分"

    run(play, reply, "safe")
