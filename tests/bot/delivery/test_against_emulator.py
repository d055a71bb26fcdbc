"""Delivery and pulling over real sockets against the emulated platform, which was written from the same fact sheet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import SecretStr
from sqlalchemy import select

from bot.cache import LocalCache
from bot.clock import clock_of
from bot.database import Database
from bot.delivery import Deliverer
from bot.delivery_metrics import DeliveryMetrics
from bot.emulator.app import RunningEmulator, start_emulator
from bot.emulator.config import Receiver
from bot.emulator.control import ACTS
from bot.emulator.messages import AppLine, AppMemory
from bot.emulator.seed import AGENT_ID, APP_SECRET, ARCHIVE_SECRET, CORP_ID, default_config
from bot.pulls import Puller, readers_of
from bot.roster_rows import group_in
from bot.sending import Gateways
from bot.settings import Archive, Settings, WeChat, WeCom
from bot.wechat.gateway import wechat_gateway
from bot.wecom.contacts import get_group
from bot.wecom.errors import Unreachable
from bot.wecom.gateway import AiohttpTransport, Line, wecom_gateway
from handlers.talk import effects, outbox
from handlers.talk.messages import Incoming, decode
from handlers.talk.tables import InboxRow, OutboxRow
from loyalty import customers

pytestmark = [pytest.mark.sockets, pytest.mark.either_engine]

AQING, KF = "wmAAAA0001", "wkAAA0001"
UNUSED = Receiver("http://127.0.0.1:9/", "t", "A" * 43, CORP_ID)
KEYS = {1: rsa.generate_private_key(public_exponent=65537, key_size=2048)}
PUBLIC = {1: KEYS[1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()}
PRIVATE = KEYS[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class House:
    """The service's outgoing half and the emulated platform around one database."""

    def __init__(self, emulator: RunningEmulator, database: Database, metrics: DeliveryMetrics) -> None:
        self.emulator = emulator
        self.database = database
        url = emulator.base_url
        self.settings = Settings(
            wecom=WeCom(
                base_url=url, corp_id=CORP_ID, agent_id=AGENT_ID, secret=SecretStr(APP_SECRET), kf_accounts=[KF]
            ),
            wechat=WeChat(
                base_url=emulator.oa_base_url, app_id="wx0000000000000001", secret=SecretStr("emulator-oa-secret")
            ),
            archive=Archive(
                source="http", base_url=url, secret=SecretStr(ARCHIVE_SECRET), private_keys={"1": SecretStr(PRIVATE)}
            ),
        )
        self.clock = clock_of(emulator.clock.now)
        self.cache = LocalCache(self.clock)
        self.transport = AiohttpTransport(timeout_s=0.5)
        shared = (self.settings, self.transport, self.cache, self.clock, metrics)
        self.gateways = Gateways(wecom_gateway(*shared), wechat_gateway(*shared), AGENT_ID)
        deliver, wake = self.settings.deliver, self.cache.subscribe("outbox")
        self.deliverer = Deliverer(
            database, self.gateways, self.cache, deliver, self.clock, wake, metrics, jitter=lambda: 1.0
        )
        readers = readers_of(self.settings, self.gateways.wecom, self.transport, metrics)
        self.puller = Puller(database, readers, self.cache, deliver, self.clock, metrics)

    def act(self, name: str, **body: Any) -> dict[str, Any]:
        """Somebody does something on a phone."""
        return ACTS[name](self.emulator.state, body)

    def fault(self, endpoint: str, kind: str, **more: Any) -> None:
        """The platform misbehaves at an endpoint."""
        self.emulator.faults.add({"endpoint": endpoint, "kind": kind, **more})

    async def deliver(self, *rows: outbox.Outgoing) -> list[OutboxRow]:
        """Write rows, deliver what is due, and give the outbox as it stands."""
        with self.database.transaction() as session:
            outbox.add(session, rows, self.clock())
        await self.deliverer.deliver_due()
        with self.database.reading() as session:
            return list(session.scalars(select(OutboxRow).order_by(OutboxRow.id)))

    def inbox(self) -> list[Incoming]:
        """What was pulled."""
        with self.database.reading() as session:
            return [decode(body) for body in session.scalars(select(InboxRow.body).order_by(InboxRow.id))]

    def kf_chat(self) -> list[str]:
        """What the customer sees in the kf chat."""
        return [line.text for line in self.emulator.state.chats.get(f"kf:{KF}:{AQING}", [])]

    def phone(self, userid: str) -> list[AppLine]:
        """The app's messages on a member's phone."""
        return self.emulator.state.part(AppMemory).phones.get(userid, [])


@asynccontextmanager
async def _house(database: Database, registry: Any) -> AsyncIterator[House]:
    emulator = await start_emulator(default_config({"app": UNUSED}, PUBLIC))
    emulator.state.callbacks.settings.change(lose=1000)
    house = House(emulator, database, DeliveryMetrics(registry))
    try:
        yield house
    finally:
        await house.transport.close()
        await emulator.stop()


@pytest.fixture
def stage(database: Database, metrics_registry: Any, run: Any) -> Any:
    """Plays a scene in a house of its own."""

    def play(scene: Any) -> None:
        async def go() -> None:
            async with _house(database, metrics_registry) as house:
                await scene(house)

        run(go())

    return play


def test_a_question_in_kf_is_pulled_and_answered(stage: Any) -> None:
    """What the customer writes arrives once; text and menu reach the chat; the tap comes back with its id."""

    async def scene(house: House) -> None:
        house.act("say", **{"as": AQING, "in": "kf", "chat": KF, "text": "积分换个杯子"})
        await house.puller.pull_due()
        rows = await house.deliver(
            effects.kf_text("k1", AQING, KF, "您有 120 积分"),
            effects.kf_menu("k2", AQING, KF, "换哪个?", [("reward:1", "保温杯"), ("reward:2", "马克杯")]),
        )
        assert [row.error for row in rows] == ["", ""]
        house.act("say", **{"as": AQING, "in": "kf", "chat": KF, "text": "马克杯", "menu_id": "reward:2"})
        house.emulator.clock.push(61)
        await house.puller.pull_due()
        asked, tapped = (message for message in house.inbox() if message.channel == "kf")
        assert (asked.text, tapped.text, tapped.data) == ("积分换个杯子", "马克杯", {"menu_id": "reward:2"})
        assert "您有 120 积分" in house.kf_chat()[1]
        assert len(house.kf_chat()) == 4

    stage(scene)


def test_a_cut_after_the_effect_is_no_second_message(stage: Any) -> None:
    """The answer is lost after the platform took the message: tried again, the customer and the rep see it once."""

    async def scene(house: House) -> None:
        house.act("say", **{"as": AQING, "in": "kf", "chat": KF, "text": "在吗"})
        for endpoint in ("kf/send_msg", "message/send"):
            house.fault(endpoint, "cut_after_effect")
        sent = (effects.kf_text("k1", AQING, KF, "在的"), effects.app_text("k2", "liuyang", "有客户在等"))
        rows = await house.deliver(*sent)
        assert [row.state for row in rows] == [outbox.WAITING, outbox.WAITING]
        house.emulator.clock.push(2)
        rows = await house.deliver()
        assert [row.state for row in rows] == [outbox.SENT, outbox.SENT]
        assert house.kf_chat().count("在的") == 1
        assert len(house.phone("liuyang")) == 1

    stage(scene)


def test_every_fault_passes(stage: Any) -> None:
    """Hang-ups, 500s, broken JSON, 45009, 42001, 40014 and -1 at every endpoint: at the end all is there once."""

    async def scene(house: House) -> None:
        house.act("say", **{"as": AQING, "in": "kf", "chat": KF, "text": "在吗"})
        house.act("say", **{"as": AQING, "in": "group", "text": "快吃完了"})
        for kind in ("timeout", "http", "broken_json"):
            house.fault("*", kind, times=3, seconds=0.6)
        for errcode in (45009, 42001, -1, 40014):
            house.fault("*", "errcode", errcode=errcode, times=2)
        row = effects.kf_text("k1", AQING, KF, "在的")
        for _ in range(25):
            await house.puller.pull_due()
            rows = await house.deliver(row)
            house.emulator.clock.push(301)
        assert all(fault.hits == fault.times for fault in house.emulator.faults.faults)
        assert [row.state for row in rows] == [outbox.SENT]
        assert house.kf_chat().count("在的") == 1
        assert sorted(message.text for message in house.inbox()) == ["在吗", "快吃完了"]

    stage(scene)


def test_a_card_is_tapped_and_greyed(stage: Any) -> None:
    """The rep gets the card, taps, and the card shows what was chosen; greying it twice is no error."""

    async def scene(house: House) -> None:
        buttons = [("已发送", 1, "sent:1"), ("不合适", 3, "no:1"), ("稍后提醒", 2, "later:1")]
        quote = "阿青,燕麦快见底了吧?"
        card = effects.card(
            "k1", "liuyang", "ask-1@1", "阿青 快吃完了", "城西老客群", quote, [("说了", "快吃完了")], buttons
        )
        row = (await house.deliver(card))[0]
        assert row.platform_id.startswith("RC-")
        line = house.phone("liuyang")[0]
        assert line.content["quote_area"]["quote_text"] == quote
        house.act("tap", staff="liuyang", task_id="ask-1@1", key="sent:1")
        rows = await house.deliver(
            effects.card_update("k2", "liuyang", row.platform_id, "已发送"),
            effects.card_update("k3", "liuyang", row.platform_id, "已发送"),
        )
        assert [row.state for row in rows] == [outbox.SENT] * 3
        assert house.phone("liuyang")[0].replaced == "已发送"

    stage(scene)


def test_a_customer_who_wants_a_person_gets_one(stage: Any) -> None:
    """The session goes to the pool with a word; after that the bot is silent; a stopped servicer means the pool."""

    async def scene(house: House) -> None:
        house.act("say", **{"as": AQING, "in": "kf", "chat": KF, "text": "转人工"})
        rows = await house.deliver(effects.kf_transfer("k1", KF, AQING, 3, "wangli", "正在为您转接"))
        assert rows[0].state == outbox.SENT
        assert "正在为您转接" in house.kf_chat()
        rows = await house.deliver(effects.kf_text("k2", AQING, KF, "我是机器人"))
        assert (rows[1].state, "a person is serving" in rows[1].error) == (outbox.FAILED, True)
        rows = await house.deliver(effects.kf_transfer("k3", KF, AQING, 2, "", ""))
        assert rows[2].state == outbox.SENT

    stage(scene)


def test_the_official_account_and_profiles(stage: Any) -> None:
    """A follower who wrote is answered; a contact's name and unionid reach the member; a group tells who is in it."""

    async def scene(house: House) -> None:
        house.act("say", **{"as": AQING, "in": "oa", "text": "我的积分"})
        with house.database.transaction() as session:
            member_id = customers.resolve(session, [("external_userid", AQING)], house.clock())[
                "external_userid", AQING
            ]
        rows = await house.deliver(
            effects.oa_text("k1", "oOPENID0001", "您有 120 积分"), effects.profile("k2", AQING, "contact")
        )
        assert [row.error for row in rows] == ["", ""]
        with house.database.reading() as session:
            assert customers.find(session, "unionid", "oUNION0001") == member_id
        group = group_in(await get_group(house.gateways.wecom, "wrGROUP0001"), "wrGROUP0001")
        assert (group.owner, group.name) == ("liuyang", "城西老客群")
        assert {AQING, "liuyang", "wangli"} <= set(group.joined)

    stage(scene)


def test_the_archive_is_heard(stage: Any) -> None:
    """Group and private chat arrive opened, in order, a recall names its message, and nothing comes twice."""

    async def scene(house: House) -> None:
        said = house.act("say", **{"as": AQING, "in": "group", "text": "快吃完了"})
        house.act("say", **{"as": "liuyang", "in": "private", "with": AQING, "text": "给您留了两袋"})
        house.act("switch", staff="wangli")
        await house.puller.pull_due()
        house.emulator.clock.push(31)
        await house.puller.pull_due()
        group, private, switch = (message for message in house.inbox() if message.key.startswith("archive:"))
        assert (group.channel, group.chat, group.sender, group.text) == ("group", "wrGROUP0001", AQING, "快吃完了")
        assert group.key == f"archive:{said['msgid']}"
        assert set(group.staff) == {"liuyang", "wangli"}
        assert (private.channel, private.is_staff, private.chat) == ("private", True, f"liuyang|{AQING}")
        assert switch.channel == "other"

    stage(scene)


def test_a_dead_address_is_unreachable(run: Any, metrics_registry: Any) -> None:
    """Where nobody listens the error says so, without the address and the token that it holds."""

    async def go() -> None:
        transport = AiohttpTransport(timeout_s=0.5)
        line = Line("http://127.0.0.1:9", transport, DeliveryMetrics(metrics_registry))
        try:
            with pytest.raises(Unreachable) as caught:
                await line.ask("POST", "cgi-bin/kf/send_msg", {"access_token": "tok-secret"}, {})
            assert "tok-secret" not in str(caught.value) and "kf/send_msg" in str(caught.value)
        finally:
            await transport.close()
            await asyncio.sleep(0)

    run(go())
