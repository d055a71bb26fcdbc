"""Pulling kf and the archive: messages and cursor together, one process at a time, nothing answered too late."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from sqlalchemy import event, select

from bot.delivery_metrics import DeliveryMetrics
from bot.pulls import ArchiveReader, KfReader, LeaseLost, Puller, advance, claim
from bot.wecom.archive import Envelope, HttpArchiveSource, Undecryptable, envelope_of, read_record
from bot.wecom.gateway import Line
from handlers.talk.messages import Incoming, decode
from handlers.talk.tables import Cursor, InboxRow

pytestmark = pytest.mark.either_engine


def _inbox(desk: Any) -> list[Incoming]:
    with desk.database.reading() as session:
        return [decode(body) for body in session.scalars(select(InboxRow.body).order_by(InboxRow.id))]


def _cursor(desk: Any, source: str = "kf:wk1") -> Cursor | None:
    with desk.database.reading() as session:
        return session.get(Cursor, source)


def _signal(desk: Any, token: str = "", source: str = "kf:wk1") -> None:
    with desk.database.transaction() as session:
        session.merge(Cursor(source=source, token=token, signalled_at=desk.clock.now))


def _puller(desk: Any, *readers: Any) -> Puller:
    made = readers or (KfReader(desk.gateways().wecom, "wk1", 60),)
    return Puller(desk.database, made, desk.cache, desk.settings.deliver, desk.clock, desk.metrics)


def _pull(desk: Any, *readers: Any) -> int:
    return asyncio.run(_puller(desk, *readers).pull_due())


def _text(desk: Any, msgid: str, content: str, **more: Any) -> dict[str, Any]:
    return {
        "msgid": msgid,
        "open_kfid": "wk1",
        "external_userid": "wm1",
        "send_time": int(desk.clock.now.timestamp()),
        "origin": 3,
        "msgtype": "text",
        "text": {"content": content},
    } | more


def _page(next_cursor: str, *messages: Any, has_more: int = 0) -> dict[str, Any]:
    return {"errcode": 0, "next_cursor": next_cursor, "has_more": has_more, "msg_list": list(messages)}


class TestKf:
    """微信客服 through sync_msg."""

    def test_what_a_customer_writes_becomes_a_message(self, desk: Any) -> None:
        """A text, a tapped menu entry, a picture, a servicer's word and an event arrive with what they carry."""
        at_s = int(desk.clock.now.timestamp())
        entered = {"event_type": "enter_session", "open_kfid": "wk1", "external_userid": "wm1", "scene": "qr1"}
        desk.platform.will_answer(
            "kf/sync_msg",
            _page(
                "c1",
                _text(desk, "m1", "我有多少积分"),
                _text(desk, "m2", "保温杯", text={"content": "保温杯", "menu_id": "reward:2"}),
                _text(desk, "m3", "", msgtype="image", image={"media_id": "MEDIA1"}),
                _text(desk, "m4", "您好,我是店长", origin=5, servicer_userid="liuyang"),
                {"msgid": "m5", "send_time": at_s, "origin": 4, "msgtype": "event", "event": entered},
            ),
        )
        assert _pull(desk) == 5
        text, tap, image, servicer, event_ = _inbox(desk)
        assert (text.channel, text.chat, text.sender, text.kind, text.text) == (
            "kf",
            "kf:wk1",
            "wm1",
            "text",
            "我有多少积分",
        )
        assert (text.key, text.identity, text.is_staff, text.at) == (
            "kf:wk1:m1",
            "external_userid",
            False,
            desk.clock.now,
        )
        assert text.trace
        assert (tap.text, tap.data) == ("保温杯", {"menu_id": "reward:2"})
        assert (image.kind, image.text, image.data) == ("image", "", {"media_id": "MEDIA1"})
        assert (servicer.is_staff, servicer.sender, servicer.data["to"]) == (True, "liuyang", "wm1")
        assert (event_.kind, event_.sender, event_.data["scene"]) == ("event", "wm1", "qr1")

    def test_it_asks_on_while_there_is_more(self, desk: Any) -> None:
        """An empty page with has_more=1 is not the end; each page begins where the last one ended."""
        desk.platform.will_answer(
            "kf/sync_msg",
            _page("c1", _text(desk, "m1", "一"), has_more=1),
            _page("c2", has_more=1),
            _page("c3", _text(desk, "m2", "二")),
        )
        _signal(desk, "TOK")
        assert _pull(desk) == 2
        asked = [(call.body["cursor"], call.body["token"]) for call in desk.platform.called("kf/sync_msg")]
        assert asked == [("", "TOK"), ("c1", "TOK"), ("c2", "TOK")]
        assert [message.text for message in _inbox(desk)] == ["一", "二"]
        row = _cursor(desk)
        assert row is not None
        assert (row.position, row.leased_until, row.pulled_at) == ("c3", None, desk.clock.now)

    def test_a_source_that_gives_nothing_for_ever_is_left(self, desk: Any) -> None:
        """has_more=1 with the same cursor and no messages, page after page, ends with an alarm and a pause."""
        desk.platform.always["kf/sync_msg"] = _page("c1", has_more=1)
        assert _pull(desk) == 0
        assert len(desk.platform.called("kf/sync_msg")) < 100
        assert desk.alarms() == 1

    def test_a_refused_token_is_left_out(self, desk: Any) -> None:
        """95007: the pull goes on without the token; a token of eleven minutes is not even tried."""
        desk.platform.will_answer("kf/sync_msg", {"errcode": 95007, "errmsg": "token"}, _page("c1", has_more=1))
        _signal(desk, "OLD")
        _pull(desk)
        assert [call.body.get("token") for call in desk.platform.called("kf/sync_msg")] == ["OLD", None, None]
        _signal(desk, "TOK2")
        desk.clock.push(minutes=11)
        _pull(desk)
        assert desk.platform.calls[-1].body.get("token") is None

    def test_a_failing_store_leaves_the_cursor(self, desk: Any) -> None:
        """When messages cannot be stored the cursor stays, and the next pull brings them."""
        desk.platform.always["kf/sync_msg"] = _page("c1", _text(desk, "m1", "还有货吗"))

        def break_down(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith("UPDATE cursors SET") and "position=" in statement:
                raise OSError("disk full")

        event.listen(desk.database.engine, "before_cursor_execute", break_down)
        try:
            assert _pull(desk) == 0
        finally:
            event.remove(desk.database.engine, "before_cursor_execute", break_down)
        assert len(desk.platform.called("kf/sync_msg")) == 1
        row = _cursor(desk)
        assert row is not None
        assert (row.position, _inbox(desk)) == ("", [])
        desk.clock.push(seconds=2)
        assert _pull(desk) == 1
        assert len(_inbox(desk)) == 1

    def test_a_message_pulled_twice_is_one(self, desk: Any) -> None:
        """The platform repeats a message under its msgid: it is stored once."""
        desk.platform.always["kf/sync_msg"] = _page("c1", _text(desk, "m1", "还有货吗"))
        _pull(desk)
        _signal(desk)
        _pull(desk)
        assert len(desk.platform.called("kf/sync_msg")) == 2
        assert len(_inbox(desk)) == 1

    def test_it_looks_when_signalled_or_after_a_while(self, desk: Any) -> None:
        """Without a signal nothing is asked before the poll interval; with one it is asked at once."""
        desk.platform.always["kf/sync_msg"] = _page("c1")
        for seconds, asked in ((0, 1), (30, 1), (31, 2), (5, 2)):
            desk.clock.push(seconds=seconds)
            _pull(desk)
            assert len(desk.platform.called("kf/sync_msg")) == asked
        _signal(desk)
        _pull(desk)
        assert len(desk.platform.called("kf/sync_msg")) == 3

    def test_old_messages_of_the_first_pull_are_marked(self, desk: Any) -> None:
        """On the very first pull what is older than ten minutes is stale, over all pages; later pulls mark nothing."""
        old_s = int((desk.clock.now - timedelta(minutes=11)).timestamp())
        desk.platform.will_answer(
            "kf/sync_msg",
            _page("c1", _text(desk, "m1", "前天的", send_time=old_s), has_more=1),
            _page("c2", _text(desk, "m2", "也是", send_time=old_s), _text(desk, "m3", "刚刚")),
            _page("c3", _text(desk, "m4", "停机时写的", send_time=old_s)),
        )
        _pull(desk)
        _signal(desk)
        _pull(desk)
        assert [message.data.get("stale", "") for message in _inbox(desk)] == ["1", "1", "", ""]

    def test_errors_make_it_wait_and_lose_nothing(self, desk: Any) -> None:
        """Time-outs and 45009 make the next look later; then everything comes from where it stood."""
        desk.platform.will_answer(
            "kf/sync_msg", TimeoutError(), {"errcode": 45009, "errmsg": "freq"}, _page("c1", _text(desk, "m1", "在吗"))
        )

        async def go() -> list[int]:
            puller, counts = _puller(desk), []
            for seconds in (0, 0.5, 1, 60, 61):
                desk.clock.push(seconds=seconds)
                counts.append(await puller.pull_due())
            return counts

        assert asyncio.run(go()) == [0, 0, 0, 0, 1]
        assert len(desk.platform.called("kf/sync_msg")) == 3

    def test_what_cannot_be_read_is_kept(self, desk: Any) -> None:
        """An unknown type, a message without its fields and half an emoji are stored and stop nobody."""
        desk.platform.will_answer(
            "kf/sync_msg",
            json.dumps(
                _page(
                    "c1",
                    _text(desk, "m1", "", msgtype="hologram", hologram={"size": 3}),
                    {"msgid": "m2", "msgtype": "text"},
                    _text(desk, "m3", "好吃\ud83d\x00"),
                    _text(desk, "m4", "在吗"),
                )
            ).encode(),
        )
        assert _pull(desk) == 4
        hologram, broken, emoji, fine = _inbox(desk)
        assert (hologram.kind, hologram.data["msgtype"]) == ("unknown", "hologram")
        assert "hologram" in hologram.raw
        assert (broken.kind, broken.channel) == ("unknown", "other")
        assert "m2" in broken.raw
        assert emoji.text == "好吃?"
        assert fine.text == "在吗"


class TestLease:
    """One process per source."""

    def test_only_one_has_it(self, desk: Any) -> None:
        """While one process pulls, another gets nothing; after the lease it may, and the first can store no more."""
        now = desk.clock.now
        with desk.database.transaction() as session:
            first = claim(session, "kf:wk1", 60, now, 60)
            assert first is not None
            assert claim(session, "kf:wk1", 60, now + timedelta(seconds=59), 60) is None
        later = now + timedelta(seconds=61)
        with desk.database.transaction() as session:
            second = claim(session, "kf:wk1", 60, later, 60)
            assert second is not None
        with pytest.raises(LeaseLost), desk.database.transaction() as session:
            advance(session, first, "c1", later, None)
        with desk.database.transaction() as session:
            advance(session, second, "c2", later, later)
        row = _cursor(desk)
        assert row is not None
        assert row.position == "c2"

    def test_ten_pullers_ask_once(self, desk: Any) -> None:
        """Ten processes woken by one signal make one call."""
        desk.platform.delay_s = 0.02
        desk.platform.always["kf/sync_msg"] = _page("c1", _text(desk, "m1", "在吗"))

        async def go() -> list[int]:
            await desk.gateways().wecom.check()
            return await asyncio.gather(*(_puller(desk).pull_due() for _ in range(4)))

        assert sum(asyncio.run(go())) == 1
        assert len(desk.platform.called("kf/sync_msg")) == 1


@cache
def _key(version: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _seal(version: int, seq: int, plain: dict[str, Any] | bytes, with_version: int | None = None) -> dict[str, Any]:
    random_key = secrets.token_hex(16).encode()
    body = plain if isinstance(plain, bytes) else json.dumps(plain, ensure_ascii=False).encode()
    padder = block_padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(random_key), modes.CBC(random_key[:16])).encryptor()
    sealed = encryptor.update(padder.update(body) + padder.finalize()) + encryptor.finalize()
    locked = _key(with_version or version).public_key().encrypt(random_key, padding.PKCS1v15())
    return {
        "seq": seq,
        "msgid": f"a{seq}_external",
        "publickey_ver": version,
        "encrypt_random_key": base64.b64encode(locked).decode(),
        "encrypt_chat_msg": base64.b64encode(sealed).decode(),
    }


def _said(seq: int, sender: str, to: Sequence[str], content: str, at: datetime, roomid: str = "") -> dict[str, Any]:
    return {
        "msgid": f"a{seq}_external",
        "action": "send",
        "from": sender,
        "tolist": list(to),
        "roomid": roomid,
        "msgtime": int(at.timestamp() * 1000),
        "msgtype": "text",
        "text": {"content": content},
    }


def _archive(desk: Any, *versions: int, batch: int = 500) -> ArchiveReader:
    keys = {version: _key(version) for version in versions}
    line = Line("http://platform/", desk.platform, desk.metrics)
    source = HttpArchiveSource(line, "ww1", "archive-secret", keys)
    return ArchiveReader(source, 30, batch, desk.metrics)


def _chatdata(*records: dict[str, Any]) -> dict[str, Any]:
    return {"errcode": 0, "chatdata": list(records)}


class TestArchive:
    """The chat archive through its seam."""

    def test_a_group_message_comes_with_its_staff(self, desk: Any) -> None:
        """Sealed with two key versions in turn, both messages are opened, in order, with who can hear them."""
        now = desk.clock.now
        desk.platform.will_answer(
            "archive/pull",
            _chatdata(
                _seal(1, 196, _said(196, "wm1", ["liuyang", "wm2"], "快吃完了", now, "wr1")),
                _seal(2, 199, _said(199, "wm1", ["liuyang"], "在吗", now)),
                _seal(2, 200, _said(200, "liuyang", ["wm1"], "在的", now)),
            ),
        )
        assert _pull(desk, _archive(desk, 1, 2)) == 3
        group, private, rep = _inbox(desk)
        assert (group.channel, group.chat, group.sender, group.text) == ("group", "wr1", "wm1", "快吃完了")
        assert (group.staff, group.is_staff, group.at) == (("liuyang",), False, now)
        assert (private.channel, private.chat, private.sender) == ("private", "liuyang|wm1", "wm1")
        assert (rep.is_staff, rep.identity, rep.chat) == (True, "userid", "liuyang|wm1")
        first, second = desk.platform.called("archive/pull")
        assert first.body == {"seq": 0, "limit": 500, "corpid": "ww1", "secret": "archive-secret"}
        assert second.body["seq"] == 200
        row = _cursor(desk, "archive")
        assert row is not None
        assert row.position == "200"

    def test_a_record_that_does_not_open_holds_up_nothing(self, desk: Any) -> None:
        """A missing key, a wrong key and rubbish inside are kept sealed with an alarm; the next record is read."""
        now = desk.clock.now
        desk.platform.will_answer(
            "archive/pull",
            _chatdata(
                _seal(3, 1, _said(1, "wm1", ["liuyang"], "一", now)),
                _seal(1, 2, _said(2, "wm1", ["liuyang"], "二", now), with_version=2),
                _seal(1, 3, b"\xff\xfe no json"),
                {"seq": 4, "msgid": "a4", "publickey_ver": 1, "encrypt_random_key": "?", "encrypt_chat_msg": "?"},
                _seal(1, 5, _said(5, "wm1", ["liuyang"], "五", now)),
            ),
        )
        assert _pull(desk, _archive(desk, 1)) == 5
        *sealed, read = _inbox(desk)
        assert {message.kind for message in sealed} == {"unknown"}
        assert '"seq":1' in sealed[0].raw
        assert read.text == "五"
        assert desk.alarms() == 4

    def test_a_page_that_is_too_large_is_asked_smaller(self, desk: Any) -> None:
        """301058 halves the limit; the next pull asks for more again."""
        now = desk.clock.now
        too_large = {"errcode": 301058, "errmsg": "response too large"}
        one = _chatdata(_seal(1, 1, _said(1, "wm1", ["liuyang"], "一", now)))
        desk.platform.will_answer("archive/pull", too_large, too_large, one, _chatdata())
        _pull(desk, _archive(desk, 1, batch=100))
        assert [call.body["limit"] for call in desk.platform.called("archive/pull")] == [100, 50, 25, 50]

    def test_a_silence_longer_than_the_window_is_told(self, desk: Any) -> None:
        """After six days without a pull the platform begins at its oldest record: an alarm says that some are lost."""
        reader = _archive(desk, 1)
        desk.platform.always["archive/pull"] = _chatdata()
        _pull(desk, reader)
        desk.clock.push(days=4)
        desk.platform.will_answer(
            "archive/pull", _chatdata(_seal(1, 7, _said(7, "wm1", ["liuyang"], "一", desk.clock.now)))
        )
        _pull(desk, reader)
        assert desk.alarms() == 0
        desk.clock.push(days=6)
        desk.platform.will_answer(
            "archive/pull", _chatdata(_seal(1, 90, _said(90, "wm1", ["liuyang"], "二", desk.clock.now)))
        )
        _pull(desk, reader)
        assert desk.alarms() == 1

    def test_a_wrong_secret_calls_a_person(self, desk: Any) -> None:
        """An address that is not in the white list waits long and raises the alarm; nothing moves."""
        desk.platform.will_answer("archive/pull", {"errcode": 301042, "errmsg": "ip"})
        assert _pull(desk, _archive(desk, 1)) == 0
        row = _cursor(desk, "archive")
        assert row is not None
        assert (row.position, row.leased_until) == ("", None)
        assert desk.alarms() == 1


AT = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
ENVELOPE = Envelope(1, "a1", 1, "", "")


def _read(**changes: Any) -> Incoming:
    return read_record(_said(1, "wm1", ["liuyang"], "在吗", AT) | changes, ENVELOPE, AT)


class TestRecords:
    """What the plain records of the archive become."""

    def test_a_recall_names_what_was_taken_back(self) -> None:
        """The recall is a message of its own with the id of the first one."""
        message = _read(action="recall", msgtype="revoke", revoke={"pre_msgid": "a0"})
        assert (message.kind, message.data) == ("recall", {"pre_msgid": "a0"})

    def test_consent_is_an_event(self) -> None:
        """A yes to archiving is no chat."""
        message = _read(msgtype="agree", agree={"userid": "wm1", "agree_time": 1})
        assert (message.kind, message.data["event_type"]) == ("event", "agree")

    def test_staff_among_themselves_are_no_customers(self) -> None:
        """A conversation without anybody from outside is kept as other."""
        assert _read(**{"from": "wangli", "tolist": ["liuyang"]}).channel == "other"
        assert _read(**{"from": "wangli", "tolist": ["liuyang"], "roomid": "wrX"}).channel == "other"

    def test_a_robot_is_nobody(self) -> None:
        """What a robot says in a group is neither staff's nor a customer's."""
        message = _read(**{"from": "wb1", "tolist": ["wm1", "liuyang"], "roomid": "wr1"})
        assert (message.channel, message.is_staff, message.identity) == ("group", False, "none")

    def test_mixed_messages_say_their_texts(self) -> None:
        """Of text and picture together the text is read."""
        items = [
            {"type": "text", "content": '{"content": "看这个"}'},
            {"type": "image", "content": "{}"},
            {"type": "text", "content": '{"content": "坏了"}'},
        ]
        assert _read(msgtype="mixed", mixed={"item": items}).text == "看这个\n坏了"

    def test_a_switch_has_no_type(self) -> None:
        """A member who changes corps leaves a record of another shape."""
        plain = {"msgid": "a1", "action": "switch", "time": int(AT.timestamp() * 1000), "user": "liuyang"}
        message = read_record(plain, ENVELOPE, AT)
        assert (message.kind, message.channel, message.sender) == ("event", "other", "liuyang")

    @pytest.mark.parametrize(
        "changes", [{"msgtype": "hologram"}, {"msgtime": "soon"}, {"from": None, "tolist": 3}, {"text": ["?"]}]
    )
    def test_what_nobody_understands_is_kept(self, changes: dict[str, Any]) -> None:
        """An unlisted type or a record out of shape never raises, and unknown ones keep all they had."""
        message = _read(**changes)
        assert message.kind == "text" or "msgid" in message.raw

    def test_a_record_needs_its_seq_and_its_key(self, metrics_registry: Any, platform: Any) -> None:
        """Without seq there is no place for it; without a key the error names what to set."""
        with pytest.raises(ValueError, match="seq"):
            envelope_of({"msgid": "a1"})
        source = HttpArchiveSource(Line("http://x", platform, DeliveryMetrics(metrics_registry)), "ww1", "s", {})
        with pytest.raises(Undecryptable, match="HUITOU_ARCHIVE__PRIVATE_KEYS"):
            source.decrypt(Envelope(1, "a1", 2, "", ""))
