"""微信客服: the log and its cursor, the sending limits, the state table, codes for events."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from bot.emulator.errors import PhoneError
from bot.emulator.kf_table import MOVES, REPEATED_MSGID

Platform = Any
KF, QING = "wkAAA0001", "wmAAAA0001"


def send(platform: Platform, text: str = "您好", **more: Any) -> dict[str, Any]:
    """Send a text to 阿青 by the API."""
    found: dict[str, Any] = platform.call(
        "kf/send_msg", touser=QING, open_kfid=KF, msgtype="text", text={"content": text}, **more
    )
    return found


def ask(platform: Platform, text: str = "我有多少积分") -> None:
    """阿青 writes to the account."""
    platform.act("say", **{"as": QING, "in": "kf", "text": text})


def state_of(platform: Platform) -> int:
    """The state of 阿青's session."""
    return int(platform.call("kf/service_state/get", open_kfid=KF, external_userid=QING)["service_state"])


def move(platform: Platform, target: int) -> dict[str, Any]:
    """Move 阿青's session by the API."""
    found: dict[str, Any] = platform.call(
        "kf/service_state/trans",
        open_kfid=KF,
        external_userid=QING,
        service_state=target,
        servicer_userid="liuyang",
    )
    return found


def test_sync_pages_by_cursor(platform: Platform) -> None:
    """The log comes in order, a page at a time; the last cursor gives nothing more, then only news."""
    for text in ("一", "二", "三"):
        ask(platform, text)
    first = platform.call("kf/sync_msg", open_kfid=KF, limit=2)
    assert [item["text"]["content"] for item in first["msg_list"]] == ["一", "二"]
    assert first["has_more"] == 1
    second = platform.call("kf/sync_msg", open_kfid=KF, cursor=first["next_cursor"])
    assert [item["text"]["content"] for item in second["msg_list"]] == ["三"]
    assert (second["has_more"], second["msg_list"][0]["origin"]) == (0, 3)
    empty = platform.call("kf/sync_msg", open_kfid=KF, cursor=second["next_cursor"])
    assert (empty["msg_list"], empty["next_cursor"]) == ([], second["next_cursor"])


def test_sync_token_and_switches(platform: Platform) -> None:
    """A callback's token lives ten minutes; 95007 afterwards; an empty page may still say has_more."""
    ask(platform)
    token = platform.events("kf_msg_or_event")[0].split("<Token><![CDATA[")[1].split("]]>")[0]
    platform.act("kf_switches", empty_pages=1)
    empty = platform.call("kf/sync_msg", open_kfid=KF, token=token)
    assert (empty["msg_list"], empty["has_more"]) == ([], 1)
    assert len(platform.call("kf/sync_msg", open_kfid=KF, token=token)["msg_list"]) == 1
    platform.clock.push(601)
    assert platform.call("kf/sync_msg", open_kfid=KF, token=token)["errcode"] == 95007


def test_sync_without_token_is_limited(platform: Platform) -> None:
    """Without a token the strict limit bites."""
    platform.wait_for_the_minute()
    platform.act("limits", kf_sync_tokenless_per_min=1)
    codes = [platform.call("kf/sync_msg", open_kfid=KF)["errcode"] for _ in range(2)]
    assert codes == [0, 45009]


def test_log_is_kept_three_days(platform: Platform) -> None:
    """What is older than three days is gone from the log."""
    ask(platform)
    platform.clock.push(3 * 86400 + 1)
    assert platform.call("kf/sync_msg", open_kfid=KF)["msg_list"] == []


def test_five_messages_then_95001(platform: Platform) -> None:
    """Five messages go out, the sixth is 95001; when the customer writes again it goes on."""
    ask(platform)
    assert [send(platform, f"第{n}条")["errcode"] for n in range(6)] == [0, 0, 0, 0, 0, 95001]
    ask(platform, "还在吗")
    assert send(platform, "在的")["errcode"] == 0
    assert platform.chat(f"kf:{KF}:{QING}")[-2:] == ["还在吗", "在的"]


def test_window_of_48_hours(platform: Platform) -> None:
    """48 hours after the last word the session is over: 95018; kept open by our own messages it is 95002."""
    ask(platform)
    platform.clock.push(47 * 3600)
    assert send(platform)["errcode"] == 0
    platform.clock.push(2 * 3600)
    assert send(platform)["errcode"] == 95002
    platform.clock.push(48 * 3600)
    assert send(platform)["errcode"] == 95018
    assert state_of(platform) == 4


def test_api_messages_are_not_in_the_log(platform: Platform) -> None:
    """What was sent through the API never comes back by sync_msg."""
    ask(platform)
    send(platform)
    assert len(platform.call("kf/sync_msg", open_kfid=KF)["msg_list"]) == 1


def test_msgid_once(platform: Platform) -> None:
    """A msgid works once per account; empty or odd ones are refused; a refused send does not use it up."""
    assert send(platform, msgid="out-1")["errcode"] == 95018
    ask(platform)
    assert send(platform, msgid="out-1")["msgid"] == "out-1"
    assert send(platform, msgid="out-1")["errcode"] == REPEATED_MSGID
    assert send(platform, msgid="")["errcode"] == 40058
    assert send(platform, msgid="with space")["errcode"] == 40058
    assert len(platform.chat(f"kf:{KF}:{QING}")) == 2


def test_long_text_is_cut_at_a_character(platform: Platform) -> None:
    """A text over 2048 bytes is cut silently, never inside a character."""
    ask(platform)
    send(platform, "积" * 1000)
    assert platform.chat(f"kf:{KF}:{QING}")[-1] == "积" * 682


def test_menu_limits_and_click(platform: Platform) -> None:
    """Ten items can be clicked, eleven are 95008, a strange kind 95009; a click is a text with its id."""
    ask(platform)
    click = {"type": "click", "click": {"id": "r1", "content": "换随行杯"}}

    def menu(*items: Any) -> int:
        body = {"head_content": "可以换这些", "list": list(items)}
        answer = platform.call("kf/send_msg", touser=QING, open_kfid=KF, msgtype="msgmenu", msgmenu=body)
        return int(answer["errcode"])

    assert menu(*[click] * 11) == 95008
    assert menu({"type": "poll", "poll": {}}) == 95009
    assert menu({"type": "click", "click": {"id": "r1", "content": "杯" * 43}}) == 45002
    assert menu(*[click] * 10) == 0
    platform.act("say", **{"as": QING, "in": "kf", "text": "换随行杯", "menu_id": "r1"})
    last = platform.call("kf/sync_msg", open_kfid=KF)["msg_list"][-1]
    assert last["text"] == {"content": "换随行杯", "menu_id": "r1"}


def reach(platform: Platform, start: int) -> None:
    """Bring 阿青's session into a state."""
    ask(platform)
    if start:
        assert move(platform, start)["errcode"] == 0
    assert state_of(platform) == start


@pytest.mark.parametrize(("start", "target"), list(product(range(5), repeat=2)))
def test_state_table(platform: Platform, start: int, target: int) -> None:
    """Each of the 25 moves does what the table says: the new state, or 95016 (95013 from an ended one)."""
    reach(platform, start)
    answer = move(platform, target)
    allowed = target in MOVES[start]
    assert answer["errcode"] == (0 if allowed else 95013 if start == 4 else 95016)
    assert state_of(platform) == (target if allowed else start)
    assert send(platform)["errcode"] == (0 if state_of(platform) in (0, 1) else 95018)


def test_servicer_must_serve(platform: Platform) -> None:
    """To a person who is no servicer 95014, to one who stopped 95019."""
    ask(platform)
    body = {"open_kfid": KF, "external_userid": QING, "service_state": 3}
    assert platform.call("kf/service_state/trans", **body, servicer_userid="zhaosi")["errcode"] == 95014
    platform.act("kf_servicer", action="stop", staff="liuyang")
    assert move(platform, 3)["errcode"] == 95019


def test_codes_for_events(platform: Platform) -> None:
    """A welcome code works once within 20 s; the code of ending likewise; neither counts in the five."""
    code = platform.act("kf_enter", customer=QING, scene="qr1")["welcome_code"]
    hello = {"msgtype": "text", "text": {"content": "欢迎回来"}}
    assert platform.call("kf/send_msg_on_event", code=code, msgid="w1", **hello)["errcode"] == 0
    assert platform.call("kf/send_msg_on_event", code=code, msgid="w1", **hello)["errcode"] == REPEATED_MSGID
    assert platform.call("kf/send_msg_on_event", code=code, **hello)["errcode"] == 95002
    assert platform.act("kf_enter", customer=QING)["welcome_code"] == ""
    ask(platform)
    ending = move(platform, 4)["msg_code"]
    platform.clock.push(21)
    assert platform.call("kf/send_msg_on_event", code=ending, **hello)["errcode"] == 95002


def test_servicer_in_the_client(platform: Platform) -> None:
    """Picking from the pool and ending are events with a code; the API's own moves are none."""
    ask(platform)
    move(platform, 2)
    platform.act("kf_servicer", action="pick", staff="liuyang", customer=QING)
    platform.act("kf_servicer", action="say", staff="liuyang", customer=QING, text="我来看看")
    platform.act("kf_servicer", action="end", staff="liuyang", customer=QING)
    log = platform.call("kf/sync_msg", open_kfid=KF)["msg_list"]
    changes = [item["event"]["change_type"] for item in log if item["msgtype"] == "event"]
    assert (changes, log[2]["origin"], log[2]["servicer_userid"]) == ([1, 3], 5, "liuyang")
    with pytest.raises(PhoneError, match="state 4"):
        platform.act("kf_servicer", action="pick", staff="liuyang", customer=QING)


def test_a_photo_reaches_the_service(platform: Platform) -> None:
    """A picture of a customer is a message of its own kind, and opens the window as a text does."""
    platform.act("image", **{"as": QING, "in": "kf", "chat": KF})
    (got,) = platform.call("kf/sync_msg", open_kfid=KF)["msg_list"]
    assert (got["msgtype"], got["origin"]) == ("image", 3) and got["image"]["media_id"]
    assert (
        platform.call("kf/send_msg", touser=QING, open_kfid=KF, msgtype="text", text={"content": "收到"})["errcode"]
        == 0
    )


def test_accepted_is_not_delivered(platform: Platform) -> None:
    """On demand an accepted message fails afterwards with msg_send_fail, and the customer sees nothing."""
    ask(platform)
    platform.act("kf_switches", fail_sends=1, fail_type=4)
    sent = send(platform)
    event = platform.call("kf/sync_msg", open_kfid=KF)["msg_list"][-1]["event"]
    assert (sent["errcode"], event["event_type"]) == (0, "msg_send_fail")
    assert (event["fail_msgid"], event["fail_type"]) == (sent["msgid"], 4)
    assert platform.chat(f"kf:{KF}:{QING}") == ["我有多少积分"]


def test_customer_data_for_the_active_only(platform: Platform) -> None:
    """batchget knows those who were active in 48 hours; accounts and servicers are listed."""
    ask(platform)
    found = platform.call("kf/customer/batchget", external_userid_list=[QING, "wmAAAA0002"])
    assert found["customer_list"][0]["unionid"] == "oUNION0001"
    assert found["invalid_external_userid"] == ["wmAAAA0002"]
    assert platform.call("kf/account/list")["account_list"][0]["open_kfid"] == KF
    assert platform.get("kf/servicer/list", open_kfid=KF)["servicer_list"][0]["status"] == 0
    assert platform.call("kf/sync_msg", open_kfid="wkNONE")["errcode"] == 95004


def test_customer_blocks_pushes(platform: Platform) -> None:
    """After the customer blocked the account an accepted message fails with type 10."""
    ask(platform)
    platform.act("kf_block", customer=QING, on=True)
    assert send(platform)["errcode"] == 0
    events = [item["event"] for item in platform.call("kf/sync_msg", open_kfid=KF)["msg_list"][1:]]
    assert [item["event_type"] for item in events] == ["reject_customer_msg_switch_change", "msg_send_fail"]
    assert (events[0]["reject_switch"], events[1]["fail_type"]) == (1, 10)
    platform.act("kf_block", customer=QING, on=False)
    send(platform, "又可以了")
    assert platform.chat(f"kf:{KF}:{QING}")[-1] == "又可以了"
