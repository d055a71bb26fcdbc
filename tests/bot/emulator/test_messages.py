"""App messages: who gets them, the life of a card, floods and repetitions."""

from __future__ import annotations

from typing import Any

import pytest

from bot.emulator.config import Receiver
from bot.emulator.errors import PhoneError
from bot.emulator.view import view

Platform = Any
AGENT = 1000002


@pytest.fixture
def with_app(platform: Platform, receiver: Any) -> Platform:
    """A platform whose app has a callback URL; nothing is delivered, because every event gets lost."""
    platform.state.callbacks.configure({"app": receiver("http://127.0.0.1:9/cb")})
    platform.act("callbacks", lose=1_000_000)
    return platform


def card(task_id: str = "ask-1", **more: Any) -> dict[str, Any]:
    """A button card as the service sends it."""
    return {
        "card_type": "button_interaction",
        "task_id": task_id,
        "main_title": {"title": "阿青快吃完了", "desc": "阿青 在 城西老客群"},
        "quote_area": {"quote_text": "上次的猫粮该续上了"},
        "button_list": [{"text": "已发送", "key": "sent:1"}, {"text": "不合适", "key": "no:1"}],
        **more,
    }


def send_card(platform: Platform, content: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Send a card to 刘阳."""
    body = {"touser": "liuyang", "agentid": AGENT, "msgtype": "template_card", "template_card": content}
    found: dict[str, Any] = platform.call("message/send", **body | more)
    return found


def send_text(platform: Platform, text: str, **more: Any) -> dict[str, Any]:
    """Send a text to 刘阳."""
    body = {"touser": "liuyang", "agentid": AGENT, "msgtype": "text", "text": {"content": text}}
    found: dict[str, Any] = platform.call("message/send", **body | more)
    return found


def update(platform: Platform, code: str, **more: Any) -> dict[str, Any]:
    """Update a card on 刘阳's phone."""
    found: dict[str, Any] = platform.call(
        "message/update_template_card", userids=["liuyang"], agentid=AGENT, response_code=code, **more
    )
    return found


def phone(platform: Platform, userid: str = "liuyang") -> list[dict[str, Any]]:
    """What the app's chat shows on a member's phone."""
    found: list[dict[str, Any]] = next(p["app"] for p in view(platform.state)["staff"] if p["userid"] == userid)
    return found


def test_invalid_users_come_back_lower_cased(platform: Platform) -> None:
    """Known staff get the text whatever the case of the id; unknown ids return lower-cased."""
    answer = send_text(platform, "早上好", touser="LiuYang|NoBody")
    assert (answer["errcode"], answer["invaliduser"]) == (0, "nobody")
    assert phone(platform)[0]["text"] == "早上好"
    assert send_text(platform, "早上好", touser="NoBody")["errcode"] == 81013
    assert send_text(platform, "早上好", agentid=1)["errcode"] == 40056
    assert send_text(platform, "")["errcode"] == 44004


def test_card_life_cycle(with_app: Platform) -> None:
    """Send, tap, update once with the tap's code: the buttons are gone, the code is used up."""
    sent = send_card(with_app, card())
    with_app.act("tap", staff="liuyang", task_id="ask-1", key="sent:1")
    event = with_app.events("template_card_event")[0]
    assert "<EventKey><![CDATA[sent:1]]></EventKey>" in event
    assert "<TaskId><![CDATA[ask-1]]></TaskId>" in event
    code = event.split("<ResponseCode><![CDATA[")[1].split("]]>")[0]
    assert code != sent["response_code"]
    assert update(with_app, code, button={"replace_name": "已发送"})["errcode"] == 0
    assert phone(with_app)[0]["replaced"] == "已发送"
    assert phone(with_app)[0]["card"]["quote"] == "上次的猫粮该续上了"
    assert update(with_app, code, button={"replace_name": "再来"})["errcode"] == 42022
    with pytest.raises(PhoneError, match="replaced"):
        with_app.act("tap", staff="liuyang", task_id="ask-1", key="sent:1")


def test_card_replaced_by_another(with_app: Platform) -> None:
    """The other form of update puts a new face on the card; replace_text greys it."""
    sent = send_card(with_app, card())
    new = card("ask-1b", main_title={"title": "改为明天提醒"}, replace_text="已改期")
    assert update(with_app, sent["response_code"], template_card=new)["errcode"] == 0
    shown = phone(with_app)[0]
    assert (shown["card"]["title"], shown["replaced"], shown["task_id"]) == ("改为明天提醒", "已改期", "ask-1b")


def test_response_code_refusals(with_app: Platform) -> None:
    """Unknown or older than 72 h is 42016, another app 42015."""
    sent = send_card(with_app, card())
    assert update(with_app, "RC-none", button={"replace_name": "x"})["errcode"] == 42016
    foreign = {"userids": ["liuyang"], "agentid": 2, "button": {"replace_name": "x"}}
    answer = with_app.call("message/update_template_card", response_code=sent["response_code"], **foreign)
    assert answer["errcode"] == 42015
    with_app.clock.push(72 * 3600 + 1)
    assert update(with_app, sent["response_code"], button={"replace_name": "x"})["errcode"] == 42016


@pytest.mark.parametrize(
    ("wrong", "errcode"),
    [
        ({"task_id": ""}, 42014),
        ({"task_id": "有中文"}, 42014),
        ({"card_type": "poster"}, 42031),
        ({"main_title": {}}, 42033),
        ({"button_list": [{"text": "好", "key": ""}]}, 42039),
        ({"button_list": [{"text": "", "key": "k"}]}, 42038),
        ({"button_list": [{"text": "好", "key": "k"}] * 7}, 40058),
        ({"horizontal_content_list": [{"keyname": "k", "value": "v"}] * 7}, 42035),
        ({"jump_list": [{}] * 4}, 42042),
    ],
)
def test_card_refusals(with_app: Platform, wrong: dict[str, Any], errcode: int) -> None:
    """Each fault of a card has the code of the fact sheet, and nothing reaches the phone."""
    assert send_card(with_app, card() | wrong)["errcode"] == errcode
    assert phone(with_app) == []


def test_task_id_is_unique_in_the_app(with_app: Platform) -> None:
    """A second card with a known task_id is 42014."""
    assert send_card(with_app, card())["errcode"] == 0
    assert send_card(with_app, card(main_title={"title": "别的"}))["errcode"] == 42014


def test_card_needs_a_callback_url(platform: Platform) -> None:
    """Without the app's callback URL a button card is 43012."""
    assert send_card(platform, card())["errcode"] == 43012


def test_identical_message_inside_the_interval_is_dropped(with_app: Platform) -> None:
    """With the duplicate check the same card twice is shown once and both calls succeed."""
    for _ in range(2):
        assert send_card(with_app, card(), enable_duplicate_check=1)["errcode"] == 0
    assert len(phone(with_app)) == 1
    for _ in range(2):
        send_text(with_app, "今天两位", enable_duplicate_check=1, duplicate_check_interval=60)
    with_app.clock.push(61)
    send_text(with_app, "今天两位", enable_duplicate_check=1, duplicate_check_interval=60)
    assert len(phone(with_app)) == 3


def test_flood_to_one_member_vanishes_silently(platform: Platform) -> None:
    """Of 35 messages within a minute 30 are shown and all are accepted."""
    platform.wait_for_the_minute()
    assert {send_text(platform, f"第{n}条")["errcode"] for n in range(35)} == {0}
    assert len(phone(platform)) == 30


def test_recall_within_a_day(platform: Platform) -> None:
    """A recalled message disappears; after 24 hours it is 42052; a strange msgid 40058."""
    first = send_text(platform, "写错了")["msgid"]
    assert platform.call("message/recall", msgid=first)["errcode"] == 0
    assert phone(platform)[0]["recalled"]
    late = send_text(platform, "写对了")["msgid"]
    platform.clock.push(86401)
    assert platform.call("message/recall", msgid=late)["errcode"] == 42052
    assert platform.call("message/recall", msgid="app-x")["errcode"] == 40058


def test_tap_what_is_not_there(with_app: Platform) -> None:
    """A button or card that the phone does not show cannot be tapped."""
    send_card(with_app, card())
    with pytest.raises(PhoneError, match="no button"):
        with_app.act("tap", staff="liuyang", task_id="ask-1", key="maybe")
    with pytest.raises(PhoneError, match="no card"):
        with_app.act("tap", staff="wangli", task_id="ask-1", key="sent:1")


def test_staff_text_to_the_app(with_app: Platform) -> None:
    """What staff writes to the app is a text callback with agent and MsgId."""
    assert isinstance(with_app.state.callbacks.receiver_of("app"), Receiver)
    with_app.act("say", **{"as": "liuyang", "in": "app", "text": "今天谁要跟进"})
    event = with_app.events("text")[0]
    assert "<Content><![CDATA[今天谁要跟进]]></Content>" in event
    assert "<AgentID>1000002</AgentID>" in event
    assert "<FromUserName><![CDATA[liuyang]]></FromUserName>" in event
