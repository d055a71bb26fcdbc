"""Requests as the platform sends them, through the whole HTTP server, down to the inbox and back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

Run = Callable[[Any], Any]
OpenDesk = Callable[..., Any]

TEXT = (
    "<xml><ToUserName><![CDATA[ww0000000000000001]]></ToUserName><FromUserName><![CDATA[liuyang]]></FromUserName>"
    "<CreateTime>1763625600</CreateTime><MsgType><![CDATA[text]]></MsgType>"
    "<Content><![CDATA[客户张三的电话13800138000]]></Content><MsgId>7001</MsgId><AgentID>1000002</AgentID></xml>"
)
KF = (
    "<xml><ToUserName>ww0000000000000001</ToUserName><CreateTime>1763625600</CreateTime><MsgType>event</MsgType>"
    "<Event>kf_msg_or_event</Event><Token>ENCtokAAA</Token>{}</xml>"
)
NOTIFY = "<xml><CreateTime>1</CreateTime><MsgType>event</MsgType><Event>msgaudit_notify</Event></xml>"
OA_TEXT = (
    "<xml><ToUserName>gh_1</ToUserName><FromUserName>oOPENID1</FromUserName><CreateTime>1763625600</CreateTime>"
    "<MsgType>text</MsgType><Content>我有多少积分</Content><MsgId>24</MsgId></xml>"
)
OA_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
APP_ID = "wx0000000000000009"


def test_address_is_verified(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """The echo is answered bare, also where a proxy turned + into a space; a forged one is refused."""

    async def story() -> None:
        async with open_desk() as desk:
            for receiver in ("app", "archive"):
                for spaced in (False, True):
                    for turn in range(8):
                        path = platform.verification(f"821364719283746{turn}", receiver, spaced=spaced)
                        answer = await desk.send("GET", path)
                        assert (answer.status, answer.body) == (200, b"821364719283746%d" % turn)
                        assert "content-type: text/plain" in answer.head.lower()
            assert (await desk.send("GET", path.replace("/archive", "/app"))).status == 403
            assert (await desk.send("GET", re.sub("signature=.", "signature=0z", path))).status == 403
            assert (await desk.send("GET", "/wecom/app")).status == 400
            assert (await desk.send("GET", "/wecom/nobody?" + path.partition("?")[2])).status == 404
            old = platform.verification("1", at=desk.now - timedelta(seconds=601))
            assert (await desk.send("GET", old)).status == 403
            assert desk.counted("verified") == 16

    run(story())


def test_echo_is_no_oracle(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """A message caught on the way is not decrypted for whoever sends it back as an echo."""

    async def story() -> None:
        async with open_desk() as desk:
            answer = await desk.send("GET", platform.verification(TEXT))
            assert answer.status == 400
            assert b"Content" not in answer.body

    run(story())


def test_message_is_stored_before_success(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """When `success` is read the message is in the inbox, with a trace of its own."""

    async def story() -> None:
        async with open_desk() as desk:
            answer = await desk.post(*platform.deliver(TEXT))
            assert (answer.status, answer.body) == (200, b"success")
            (message,) = desk.inbox()
            assert (message.sender, message.text) == ("liuyang", "客户张三的电话13800138000")
            assert message.trace
            assert desk.stored == [(1, frozenset())]
            assert desk.counted("accepted") == 1
            assert desk.registry.get_sample_value("callback_seconds_count") == 1
            assert desk.registry.get_sample_value("intake_batch_size_bucket", {"le": "1.0"}) == 1

    run(story())


def test_repeated_delivery_is_one_message(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """The platform's second and third try carry a new nonce: each is answered success, one row is kept."""

    async def story() -> None:
        async with open_desk() as desk:
            tries = [platform.deliver(TEXT) for _ in range(3)]
            answers = await asyncio.gather(*(desk.post(*each) for each in tries))
            assert [answer.body for answer in answers] == [b"success"] * 3
            assert len(desk.inbox()) == 1

    run(story())


def test_replayed_request_is_refused(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """The very same request again is refused, also where its parameters stand in another order."""

    async def story() -> None:
        async with open_desk() as desk:
            path, body = platform.deliver(TEXT)
            assert (await desk.post(path, body)).status == 200
            place, _, query = path.partition("?")
            turned = place + "?" + "&".join(reversed(query.split("&")))
            for again in (path, turned, path + "&x=1"):
                assert (await desk.post(again, body)).status == 403
            assert desk.counted("replayed") == 3
            assert len(desk.inbox()) == 1

    run(story())


def test_receivers_do_not_mix(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """Each receiver opens with its own token and key only; an unknown one is not found and counted under no name."""

    async def story() -> None:
        async with open_desk() as desk:
            path, body = platform.deliver(NOTIFY, "archive")
            assert (await desk.post(path.replace("/archive", "/app"), body)).status == 403
            assert (await desk.post(path.replace("/archive", "/x"), body)).status == 404
            assert (await desk.post(path, body)).status == 200
            assert desk.cursors() == {"archive": ""}
            assert (desk.counted("signature"), desk.counted("unknown_receiver", "unknown")) == (1, 1)

    run(story())


def test_signals_of_kf(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """A kf signal wakes its account; one that names no account wakes all that are in the settings."""

    async def story() -> None:
        async with open_desk() as desk:
            await desk.post(*platform.deliver(KF.format("<OpenKfId>wkBBB0009</OpenKfId>")))
            assert desk.cursors() == {"kf:wkBBB0009": "ENCtokAAA"}
            assert desk.stored == [(0, frozenset({"kf:wkBBB0009"}))]
            await desk.post(*platform.deliver(KF.format("")))
            assert desk.cursors().keys() == {"kf:wkBBB0009", "kf:wkAAA0001", "kf:wkAAA0002"}
            assert desk.inbox() == []

    run(story())


@pytest.mark.parametrize(
    ("inner", "status", "label"),
    [("<xml><A>1</A></xml>", 400, "xml"), ("", 400, "xml"), ("<!DOCTYPE x><xml/>", 400, "xml")],
)
def test_sealed_nonsense_is_refused(
    open_desk: OpenDesk, platform: Any, run: Run, inner: str, status: int, label: str
) -> None:
    """What is well sealed and yet no message is refused by name."""

    async def story() -> None:
        async with open_desk() as desk:
            assert (await desk.post(*platform.deliver(inner))).status == status
            assert desk.counted(label) == 1

    run(story())


def test_refusals_have_names(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """Each kind of refusal has its status, its label in the counter, one log line, and leaves no row."""

    async def story() -> None:
        async with open_desk() as desk:
            path, body = platform.deliver(TEXT)
            other, foreign = platform.deliver(TEXT, receive_id="ww0000000000000666")
            late, old = platform.deliver(TEXT, at=desk.now - timedelta(seconds=601))
            early, new = platform.deliver(TEXT, at=desk.now + timedelta(seconds=601))
            cases = [
                (path.replace("nonce=n", "nonce=m"), body, 403, "signature"),
                (path, body.replace(b"<Encrypt>", b"<Encrypt2>"), 400, "envelope"),
                (path, body.replace(b"</xml>", b"<Encrypt>AAAA</Encrypt></xml>"), 400, "envelope"),
                (path, b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + body, 400, "xml"),
                (path, b"", 400, "envelope"),
                (path, b"x" * 70_000, 413, "too_large"),
                (path.replace("timestamp", "time"), body, 400, "query"),
                (other, foreign, 403, "receiver"),
                (late, old, 403, "stale"),
                (early, new, 403, "stale"),
            ]
            for place, what, status, label in cases:
                before = desk.counted(label)
                with capture_logs() as lines:
                    assert (await desk.post(place, what)).status == status, label
                assert desk.counted(label) == before + 1
                assert [line["reason"] for line in lines] == [label]
            assert desk.inbox() == []
            assert (await desk.post(path, body)).status == 200, "none of the refusals used up the true one"

    run(story())


def test_log_lines_hold_no_personal_data(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """Neither an accepted nor a refused callback writes names, numbers or words of it to the log."""

    async def story() -> None:
        async with open_desk() as desk:
            with capture_logs() as lines:
                await desk.post(*platform.deliver(TEXT))
                await desk.post(*platform.deliver(TEXT.replace("text", "!")))
                await desk.post(*platform.deliver(TEXT, receive_id="other"))
                await desk.post(*platform.deliver(TEXT[:-9]))
            assert len(lines) == 4
            assert desk.inbox()[0].trace in {line.get("trace") for line in lines}
            for secret in ("liuyang", "13800138000", "张三", "7001"):
                assert secret not in repr(lines)

    run(story())


def test_without_trusted_clock_nothing_is_stale(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """With stale_after_s 0 an old signature counts, once."""

    async def story() -> None:
        async with open_desk(stale_after_s=0) as desk:
            path, body = platform.deliver(TEXT, at=desk.now - timedelta(days=400))
            assert [(await desk.post(path, body)).status for _ in range(2)] == [200, 403]

    run(story())


def test_database_away_is_503_and_the_repeat_succeeds(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """While the database takes nothing the answer is 503, and then the very same request is welcome."""

    async def story() -> None:
        async with open_desk(wait_s=0.3) as desk:
            path, body = platform.deliver(TEXT)
            with desk.database.engine.connect() as holder, holder.begin():
                if not desk.database.is_sqlite:
                    holder.exec_driver_sql("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
                assert (await desk.post(path, body)).status == 503
            for _ in range(20):
                answer = await desk.post(path, body)
                if answer.status == 200:
                    break
            assert answer.body == b"success"
            assert desk.counted("unavailable") >= 1
            assert len(desk.inbox()) == 1

    run(story())


def test_unknown_event_is_stored_and_acknowledged(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """An event type of next year is kept whole."""

    async def story() -> None:
        async with open_desk() as desk:
            event = "<xml><CreateTime>1</CreateTime><MsgType>event</MsgType><Event>y2027</Event><N><M>1</M></N></xml>"
            assert (await desk.post(*platform.deliver(event))).body == b"success"
            (message,) = desk.inbox()
            assert (message.channel, message.kind, message.raw) == ("other", "unknown", event)

    run(story())


def test_oa_plain_mode(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """In plain mode the address is verified by its echo and a signed message in clear is stored."""

    async def story() -> None:
        async with open_desk() as desk:
            answer = await desk.send("GET", platform.clear(extra="&echostr=5838479218127813673"))
            assert (answer.status, answer.body) == (200, b"5838479218127813673")
            markup = await desk.send("GET", platform.clear(extra="&echostr=%3Cscript%3E"))
            assert markup.status == 400
            path = platform.clear(extra="&openid=oOPENID1")
            assert (await desk.post(path, OA_TEXT.encode())).body == b"success"
            assert (await desk.post(path, OA_TEXT.replace("24", "25").encode())).status == 403, "used up"
            assert (await desk.post(platform.clear("wrong"), OA_TEXT.encode())).status == 403
            assert (await desk.post(platform.clear(), b"<!DOCTYPE x>" + OA_TEXT.encode())).status == 400
            (message,) = desk.inbox()
            assert (message.channel, message.sender, message.chat) == ("oa", "oOPENID1", "oa:gh_1")

    run(story())


def test_oa_safe_mode(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """In safe mode msg_signature counts, the receive id is the app id, and clear text is refused."""

    async def story() -> None:
        async with open_desk() as desk:
            path, body = platform.deliver(OA_TEXT, "app", receive_id=APP_ID, prefix="/wechat/")
            path = path.replace("/wechat/app", "/wechat/oa") + "&encrypt_type=aes&signature=" + "0" * 40
            assert (await desk.post(path, body)).body == b"success"
            wrong, foreign = platform.deliver(OA_TEXT, "app", prefix="/wechat/")
            assert (await desk.post(wrong.replace("/wechat/app", "/wechat/oa"), foreign)).status == 403
            clear = platform.clear("appToken01").replace("/clear", "/oa")
            assert (await desk.post(clear, OA_TEXT.encode())).status == 400
            assert [message.text for message in desk.inbox()] == ["我有多少积分"]

    run(story())


def test_body_that_never_comes_whole(open_desk: OpenDesk, platform: Any, run: Run) -> None:
    """An announced size beyond the limit is refused before a byte of it is read."""

    async def story() -> None:
        async with open_desk() as desk:
            path, body = platform.deliver(TEXT)
            answer = await desk.send("POST", path, body, length=10_000_000)
            assert answer.status == 413

    run(story())
