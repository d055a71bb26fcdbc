"""What the platform sends, as the fact sheet shows it, and what the inbox keeps of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.intake import Signal
from bot.wechat import parse as wechat
from bot.wecom.crypto import BadXml
from bot.wecom.parse import read
from handlers.talk.messages import Incoming

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
SENT = datetime.fromtimestamp(1700000000, UTC)


def xml(body: str, sender: str = "sys", created: str = "1700000000") -> bytes:
    """A message with the elements every one has."""
    return (
        f"<xml><ToUserName><![CDATA[ww0000000000000001]]></ToUserName><FromUserName><![CDATA[{sender}]]></FromUserName>"
        f"<CreateTime>{created}</CreateTime>{body}</xml>"
    ).encode()


def one(body: str, sender: str = "sys", receiver: str = "app") -> Incoming:
    """The one message this is read as."""
    (item,) = read(xml(body, sender), receiver, NOW, "t1")
    assert isinstance(item, Incoming)
    return item


TEXT = "<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[ 快吃完了 ]]></Content><MsgId>70{}</MsgId>"


def test_staff_text() -> None:
    """A rep's text keeps its white space, its sender and the platform's time."""
    message = one(TEXT.format(1), "liuyang")
    assert message == Incoming(
        key="wecom:app:liuyang:701:1700000000",
        channel="staff",
        kind="text",
        sender="liuyang",
        at=SENT,
        text=" 快吃完了 ",
        identity="userid",
        is_staff=True,
        trace="t1",
    )


def test_message_key_is_full() -> None:
    """The same MsgId of another sender, receiver or second is another message."""
    keys = {one(TEXT.format(1), who, where).key for who in ("liuyang", "zhang") for where in ("app", "app2")}
    keys.add(read(xml(TEXT.format(1), "liuyang", "1700000001"), "app", NOW, "")[0].key)  # type: ignore[union-attr]
    assert len(keys) == 5


def test_other_staff_messages_keep_their_fields() -> None:
    """A location is kept with its own fields; a type nobody knows is kept whole."""
    place = one(
        "<MsgType>location</MsgType><Location_X>31.2</Location_X><Label>人民广场</Label><MsgId>2</MsgId>", "liu"
    )
    assert (place.kind, place.data, place.raw) == ("location", {"Location_X": "31.2", "Label": "人民广场"}, "")
    strange = one("<MsgType>hologram</MsgType><Beam><Ray>1</Ray></Beam><MsgId>3</MsgId>", "liu")
    assert (strange.channel, strange.kind, strange.data) == ("staff", "unknown", {"Beam.Ray": "1"})
    assert "<Beam>" in strange.raw


def test_card_tap() -> None:
    """A tap on a card names task, button, response code and what was selected."""
    message = one(
        "<MsgType>event</MsgType><Event>template_card_event</Event><EventKey><![CDATA[ok:7f3]]></EventKey>"
        "<TaskId>ask-7f3@1</TaskId><CardType>vote_interaction</CardType><ResponseCode>RC-0002</ResponseCode>"
        "<AgentID>1000002</AgentID><SelectedItems><SelectedItem><QuestionKey>q1</QuestionKey><OptionIds>"
        "<OptionId>a</OptionId><OptionId>b</OptionId></OptionIds></SelectedItem></SelectedItems>",
        "liuyang",
    )
    assert (message.channel, message.kind, message.sender, message.is_staff) == ("staff", "tap", "liuyang", True)
    assert message.data == {
        "task_id": "ask-7f3@1",
        "button": "ok:7f3",
        "response_code": "RC-0002",
        "card_type": "vote_interaction",
        "selected.q1": "a,b",
    }


def test_customer_contact() -> None:
    """A new contact walks in the lane of the customer and carries state and welcome code."""
    message = one(
        "<MsgType>event</MsgType><Event>change_external_contact</Event><ChangeType>add_external_contact</ChangeType>"
        "<UserID>liuyang</UserID><ExternalUserID>wmAAAA0001</ExternalUserID><State>shop-031</State>"
        "<WelcomeCode>WC-0001</WelcomeCode>"
    )
    assert (message.channel, message.kind, message.sender) == ("contact", "event", "wmAAAA0001")
    assert (message.identity, message.is_staff, message.at) == ("external_userid", False, SENT)
    wanted = {
        "event": "change_external_contact",
        "change": "add_external_contact",
        "userid": "liuyang",
        "external_userid": "wmAAAA0001",
        "state": "shop-031",
        "welcome_code": "WC-0001",
        "source": "",
    }
    assert wanted.items() <= message.data.items()


@pytest.mark.parametrize(
    ("changed", "members"),
    [
        ("<MemChangeList><Item>wmA</Item><Item>wmB</Item></MemChangeList>", "wmA,wmB"),
        ("<MemChangeList><Item>wmA</Item></MemChangeList>", "wmA"),
        ("<MemChangeList><![CDATA[wmA,wmB]]></MemChangeList>", "wmA,wmB"),
        ("<MemChangeList></MemChangeList>", ""),
        ("", ""),
    ],
)
def test_group_change(changed: str, members: str) -> None:
    """Who joined is read from Items, from a text with commas, and may be absent."""
    message = one(
        "<MsgType>event</MsgType><Event>change_external_chat</Event><ChatId>wrGROUP0001</ChatId>"
        f"<ChangeType>update</ChangeType><UpdateDetail>add_member</UpdateDetail><JoinScene>3</JoinScene>{changed}"
    )
    assert (message.channel, message.sender, message.chat) == ("contact", "wrGROUP0001", "wrGROUP0001")
    assert message.identity == "none"
    wanted = {"change": "update", "detail": "add_member", "members": members, "join_scene": "3", "quit_scene": ""}
    assert wanted.items() <= message.data.items()


def test_events_of_one_second_stay_apart() -> None:
    """Two contacts added in the same second by the same sender are two events; white space makes no third."""
    body = "<MsgType>event</MsgType><Event>change_external_contact</Event><ExternalUserID>wm{}</ExternalUserID>"
    first, second = one(body.format(1)), one(body.format(2))
    assert first.key != second.key
    assert one(body.format(1).replace("><", ">\n <")).key == first.key


def test_signals() -> None:
    """微信客服 and the archive only say that there is something to pull."""
    kf = "<MsgType>event</MsgType><Event>kf_msg_or_event</Event><Token>ENCtok</Token>"
    assert read(xml(kf + "<OpenKfId>wkAAA0001</OpenKfId>"), "app", NOW, "") == [Signal("kf:wkAAA0001", "ENCtok")]
    assert read(xml(kf), "app", NOW, "", ["wk1", "wk2"]) == [Signal("kf:wk1", "ENCtok"), Signal("kf:wk2", "ENCtok")]
    archive = "<MsgType>event</MsgType><Event>msgaudit_notify</Event><AgentID>2000004</AgentID>"
    assert read(xml(archive), "archive", NOW, "") == [Signal("archive")]
    assert one(kf).channel == "other", "a signal for nobody is kept as it came"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("<MsgType>event</MsgType><Event>change_external_tag</Event><Id>etA</Id>", "event"),
        (
            "<MsgType>event</MsgType><Event>kf_account_auth_change</Event><AuthAddOpenKfId>wk1</AuthAddOpenKfId>",
            "event",
        ),
        ("<MsgType>event</MsgType><Event>change_external_contact</Event><ChangeType>?</ChangeType>", "event"),
        ("<MsgType>event</MsgType><Event>brand_new_2027</Event><Deep><Er>x</Er></Deep>", "unknown"),
        ("<MsgType>event</MsgType><Bare>1</Bare>", "unknown"),
    ],
)
def test_nothing_is_dropped(body: str, kind: str) -> None:
    """What has no form of its own is kept whole, with the XML as it came."""
    message = one(body)
    assert (message.channel, message.kind, message.identity) == ("other", kind, "none")
    assert message.raw.encode() == xml(body)


def test_overlong_ids_fit_their_columns_and_stay_apart() -> None:
    """No length from outside can break an insert, and two long ids do not become one."""
    first, second = one(TEXT.format(1), "x" * 5000), one(TEXT.format(1), "x" * 5001)
    assert len(first.key) <= 200 and len(first.sender) <= 128
    assert first.key != second.key and first.sender != second.sender


@pytest.mark.parametrize("created", ["", "soon", "-1", "99999999999999", "²"])
def test_senseless_time_is_now(created: str) -> None:
    """A CreateTime that is no moment is replaced by the moment of arrival."""
    (message,) = read(xml(TEXT.format(1), "liu", created), "app", NOW, "")
    assert isinstance(message, Incoming) and message.at == NOW


def test_what_is_no_callback_is_refused() -> None:
    """XML without MsgType is not stored."""
    for reader in (read, wechat.read):
        with pytest.raises(BadXml):
            reader(b"<xml><A>1</A></xml>", "app", NOW, "")


def oa(body: str) -> Incoming:
    """The one message of the 公众号 this is read as."""
    head = "<ToUserName>gh_1</ToUserName><FromUserName>oOPENID1</FromUserName><CreateTime>1700000000</CreateTime>"
    (message,) = wechat.read(f"<xml>{head}{body}</xml>".encode(), "oa", NOW, "t2")
    return message


def test_oa_text_keeps_its_white_space() -> None:
    """A customer's text in the 公众号 comes as it was written."""
    assert oa("<MsgType>text</MsgType><Content><![CDATA[ 我有多少积分 ]]></Content><MsgId>24</MsgId>") == Incoming(
        key="wechat:oa:oOPENID1:24:1700000000",
        channel="oa",
        kind="text",
        sender="oOPENID1",
        at=SENT,
        chat="oa:gh_1",
        text=" 我有多少积分 ",
        identity="openid",
        trace="t2",
    )


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ("<Event>subscribe</Event><EventKey>qrscene_7</EventKey><Ticket>T</Ticket>", {"kind": "subscribe_scan"}),
        ("<Event>subscribe</Event><EventKey></EventKey>", {"event": "subscribe", "kind": "subscribe"}),
        ("<Event>unsubscribe</Event>", {"event": "unsubscribe", "kind": "unsubscribe"}),
        ("<Event>CLICK</Event><EventKey>points</EventKey>", {"event": "click", "EventKey": "points"}),
        ("<Event>SCAN</Event><EventKey>7</EventKey><Ticket>T</Ticket>", {"event": "scan", "Ticket": "T"}),
        ("<Event>TEMPLATESENDJOBFINISH</Event><MsgID>5</MsgID><Status>success</Status>", {"Status": "success"}),
    ],
)
def test_oa_events(body: str, data: dict[str, str]) -> None:
    """Subscriptions, clicks and scans come as events with their own fields."""
    message = oa(f"<MsgType>event</MsgType>{body}")
    assert (message.channel, message.kind, message.identity) == ("oa", "event", "openid")
    assert data.items() <= message.data.items()


@pytest.mark.parametrize("body", ["<MsgType>event</MsgType><Event>new_2027</Event>", "<MsgType>hologram</MsgType>"])
def test_oa_unknown_is_kept_whole(body: str) -> None:
    """What wechatpy does not know is kept with its XML."""
    assert body in oa(body).raw


def test_oa_photo_and_what_breaks_wechatpy() -> None:
    """A photo has its media; an event with two names, at which wechatpy raises, is kept whole instead of lost."""
    message = oa("<MsgType>image</MsgType><MediaId>m1</MediaId><PicUrl>http://p</PicUrl><MsgId>9</MsgId>")
    assert (message.kind, message.data) == ("image", {"MediaId": "m1", "PicUrl": "http://p"})
    assert "<Event>" in oa("<MsgType>event</MsgType><Event>a</Event><Event>b</Event>").raw
