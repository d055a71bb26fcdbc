"""The 公众号: messages in, customer-service messages out within their windows."""

from __future__ import annotations

from typing import Any

import pytest

from bot.emulator.errors import PhoneError

Platform = Any
QING, OPENID = "wmAAAA0001", "oOPENID0001"


def reply(platform: Platform, text: str = "您有 100 积分") -> int:
    """Answer 阿青 by the API; the errcode."""
    body = {"touser": OPENID, "msgtype": "text", "text": {"content": text}}
    return int(platform.oa("message/custom/send", **body)["errcode"])


def test_five_answers_within_48_hours(platform: Platform) -> None:
    """Before a word 45015; then five, the sixth 45047; after 48 hours 45015 again."""
    assert reply(platform) == 45015
    platform.act("say", **{"as": QING, "in": "oa", "text": "我有多少积分"})
    assert [reply(platform) for _ in range(6)] == [0, 0, 0, 0, 0, 45047]
    platform.clock.push(48 * 3600 + 1)
    assert reply(platform) == 45015


def test_subscribing_opens_a_minute(platform: Platform) -> None:
    """A new follower may be sent three messages within a minute; one who left none at all."""
    platform.act("oa_follow", customer=QING, on=False)
    with pytest.raises(PhoneError, match="does not follow"):
        platform.act("say", **{"as": QING, "in": "oa", "text": "在吗"})
    assert reply(platform) == 45015
    platform.act("oa_follow", customer=QING, on=True)
    assert [reply(platform) for _ in range(4)] == [0, 0, 0, 45047]
    platform.clock.push(61)
    assert reply(platform) == 45015
    events = [record.kind for record in platform.state.callbacks.log]
    assert events == ["unsubscribe", "subscribe"]


def test_message_xml(platform: Platform) -> None:
    """A text has the 公众号's id, the openid and a MsgId that is not used again."""
    for text in ("营业时间", "地址"):
        platform.act("say", **{"as": OPENID, "in": "oa", "text": text})
    first, second = platform.events("text")
    assert "<ToUserName><![CDATA[gh_000000000001]]></ToUserName>" in first
    assert f"<FromUserName><![CDATA[{OPENID}]]></FromUserName>" in first
    assert first.split("<MsgId>")[1] != second.split("<MsgId>")[1]


def test_refusals(platform: Platform) -> None:
    """An unknown openid is 40003, an empty text 44004, a long one 45002."""
    platform.act("say", **{"as": QING, "in": "oa", "text": "在吗"})
    strange = platform.oa("message/custom/send", touser="oX", msgtype="text", text={"content": "a"})
    assert strange["errcode"] == 40003
    assert reply(platform, "") == 44004
    assert reply(platform, "积" * 683) == 45002
    assert reply(platform) == 0
