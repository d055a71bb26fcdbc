"""客户联系: relations and their events, groups, tags, welcome codes, mass messages."""

from __future__ import annotations

from typing import Any

import pytest

from bot.emulator.errors import PhoneError

Platform = Any
GROUP, QING, STRANGER = "wrGROUP0001", "wmAAAA0001", "wmAAAA0004"


def test_get_a_customer(platform: Platform) -> None:
    """get shows name, unionid and followers; nobody's customer is 84061, an unknown id 40096."""
    found = platform.get("externalcontact/get", external_userid=QING)
    assert found["external_contact"]["unionid"] == "oUNION0001"
    assert [item["userid"] for item in found["follow_user"]] == ["liuyang"]
    assert platform.get("externalcontact/get", external_userid=STRANGER)["errcode"] == 84061
    assert platform.get("externalcontact/get", external_userid="wmX")["errcode"] == 40096


def test_lists(platform: Platform) -> None:
    """Customers by member, in pages, and the staff who may follow."""
    assert platform.get("externalcontact/list", userid="LIUYANG")["external_userid"] == [QING, "wmAAAA0002"]
    users = {"userid_list": ["liuyang", "wangli"]}
    first = platform.call("externalcontact/batch/get_by_user", limit=2, **users)
    rest = platform.call("externalcontact/batch/get_by_user", limit=2, cursor=first["next_cursor"], **users)
    rows = first["external_contact_list"] + rest["external_contact_list"]
    assert [row["external_contact"]["name"] for row in rows] == ["阿青", "小满", "何姐"]
    assert rest["next_cursor"] == ""
    assert platform.get("externalcontact/list", userid="nobody")["errcode"] == 60111


def test_add_contact_and_welcome_once(platform: Platform) -> None:
    """Adding makes one event with state and code; the welcome goes once, and not after 20 s."""
    done = platform.act("contact", action="add", staff="wangli", customer=QING, state="s31.c7")
    event = platform.events("change_external_contact")[0]
    assert "<ChangeType><![CDATA[add_external_contact]]></ChangeType>" in event
    assert "<State><![CDATA[s31.c7]]></State>" in event
    assert "<FromUserName><![CDATA[sys]]></FromUserName>" in event
    hello = {"welcome_code": done["welcome_code"], "text": {"content": "你好呀"}}
    assert platform.call("externalcontact/send_welcome_msg", **hello)["errcode"] == 0
    assert platform.call("externalcontact/send_welcome_msg", **hello)["errcode"] == 41051
    late = platform.act("contact", action="add", staff="wangli", customer="wmAAAA0002")["welcome_code"]
    platform.clock.push(21)
    hello["welcome_code"] = late
    assert platform.call("externalcontact/send_welcome_msg", **hello)["errcode"] == 41050
    assert platform.chat(f"private:wangli:{QING}") == ["已成为联系人", "你好呀"]


def test_both_ways_to_delete(platform: Platform) -> None:
    """Deleted by the customer the relation stays readable; deleted by staff it is gone."""
    platform.act("contact", action="delete_by_customer", staff="liuyang", customer=QING)
    assert platform.get("externalcontact/get", external_userid=QING)["errcode"] == 0
    with pytest.raises(PhoneError, match="not contacts"):
        platform.act("say", **{"as": QING, "in": "private", "with": "liuyang", "text": "在吗"})
    platform.act("contact", action="delete_by_staff", staff="liuyang", customer=QING)
    assert platform.get("externalcontact/get", external_userid=QING)["errcode"] == 84061
    kinds = [record.kind for record in platform.state.callbacks.log]
    assert kinds == ["change_external_contact.del_follow_user", "change_external_contact.del_external_contact"]


def test_tags_and_remarks_make_no_event(platform: Platform) -> None:
    """What the API changes shows up in get and calls nobody back; an unknown tag is 40068."""
    pair = {"userid": "liuyang", "external_userid": QING}
    assert platform.call("externalcontact/mark_tag", **pair, add_tag=["etTAG01"])["errcode"] == 0
    assert platform.call("externalcontact/mark_tag", **pair, add_tag=["etNO"])["errcode"] == 40068
    assert platform.call("externalcontact/remark", **pair, remark="猫粮大户")["errcode"] == 0
    follow = platform.get("externalcontact/get", external_userid=QING)["follow_user"][0]
    assert (follow["remark"], follow["tags"][0]["tag_name"]) == ("猫粮大户", "银卡")
    assert len(platform.call("externalcontact/get_corp_tag_list")["tag_group"]) == 2
    assert list(platform.state.callbacks.log) == []


def test_contact_way(platform: Platform) -> None:
    """A contact way comes back as it was made; a state over 30 characters is refused."""
    way = {"type": 1, "scene": 2, "user": ["liuyang"], "state": "s31.c7"}
    made = platform.call("externalcontact/add_contact_way", **way)
    found = platform.call("externalcontact/get_contact_way", config_id=made["config_id"])
    assert found["contact_way"]["state"] == "s31.c7"
    assert platform.call("externalcontact/add_contact_way", **way | {"state": "x" * 31})["errcode"] == 40058
    assert platform.call("externalcontact/get_contact_way", config_id="no")["errcode"] == 41044


@pytest.mark.parametrize(
    ("shape", "piece"),
    [
        ("items", f"<MemChangeList><Item><![CDATA[{STRANGER}]]></Item></MemChangeList>"),
        ("cdata", f"<MemChangeList><![CDATA[{STRANGER}]]></MemChangeList>"),
        ("none", "<MemChangeCnt>1</MemChangeCnt><LastMemVer>"),
    ],
)
def test_group_join_and_leave(platform: Platform, shape: str, piece: str) -> None:
    """Leaving and joining change versions that link up, with the list in each shape seen in the field."""
    platform.act("group", action="leave", chat=GROUP, customer=STRANGER, list_shape=shape)
    platform.act("group", action="join", chat=GROUP, customer=STRANGER, list_shape=shape)
    left, joined = platform.events("change_external_chat")
    assert piece in left
    assert "<QuitScene>0</QuitScene>" in left
    assert "<JoinScene>3</JoinScene>" in joined
    version = left.split("<CurMemVer>")[1].split("</CurMemVer>")[0]
    assert f"<LastMemVer>{version}</LastMemVer>" in joined
    with pytest.raises(PhoneError, match="can join"):
        platform.act("group", action="join", chat=GROUP, customer=STRANGER)


def test_group_detail(platform: Platform) -> None:
    """A group's members carry their kind and unionid, names on demand; the list needs a limit."""
    group = platform.call("externalcontact/groupchat/get", chat_id=GROUP, need_name=1)["group_chat"]
    kinds = {item["name"]: item["type"] for item in group["member_list"]}
    assert kinds == {"刘阳": 1, "王莉": 1, "阿青": 2, "小满": 2, "何姐": 2, "路人": 2}
    assert platform.call("externalcontact/groupchat/list")["errcode"] == 40058
    assert platform.call("externalcontact/groupchat/list", limit=10)["group_chat_list"][0]["chat_id"] == GROUP
    assert platform.call("externalcontact/groupchat/get", chat_id="wrX")["errcode"] == 40050


def test_mass_message_waits_for_the_rep(platform: Platform) -> None:
    """Nothing is delivered until the rep confirms; results follow; strangers are in fail_list."""
    made = platform.call(
        "externalcontact/add_msg_template", external_userid=[QING, STRANGER], text={"content": "周五到店有新品"}
    )
    assert made["fail_list"] == [STRANGER]
    asked = {"msgid": made["msgid"], "userid": "liuyang"}
    assert platform.call("externalcontact/get_groupmsg_task", **asked)["errcode"] == 41063
    platform.clock.push(61)
    assert platform.call("externalcontact/get_groupmsg_send_result", **asked)["send_list"][0]["status"] == 0
    assert platform.chat(f"private:liuyang:{QING}") == []
    assert platform.act("mass_confirm", staff="liuyang", msgid=made["msgid"]) == {"sent": 1}
    assert platform.call("externalcontact/get_groupmsg_send_result", **asked)["send_list"][0]["status"] == 1
    assert platform.call("externalcontact/get_groupmsg_task", **asked)["task_list"][0]["status"] == 2
    assert platform.chat(f"private:liuyang:{QING}") == ["周五到店有新品"]


def test_mass_message_over_the_quota(platform: Platform) -> None:
    """Over the monthly quota the message is not delivered and has status 3."""
    platform.act("limits", mass_per_month=0)
    made = platform.call("externalcontact/add_msg_template", external_userid=[QING], text={"content": "新品"})
    platform.act("mass_confirm", staff="liuyang", msgid=made["msgid"])
    platform.clock.push(61)
    asked = {"msgid": made["msgid"], "userid": "liuyang"}
    assert platform.call("externalcontact/get_groupmsg_send_result", **asked)["send_list"][0]["status"] == 3
    nobody = platform.call("externalcontact/add_msg_template", external_userid=[STRANGER], text={"content": "新"})
    assert nobody["errcode"] == 41048


def test_people_can_be_changed(platform: Platform) -> None:
    """New people can act at once; removed ones leave their groups; a misspelt field is named."""
    platform.act("people", customers=[{"external_userid": "wmNEW", "name": "新客"}])
    platform.act("people", follows=[{"userid": "liuyang", "external_userid": "wmNEW"}])
    platform.act("say", **{"as": "wmNEW", "in": "private", "with": "liuyang", "text": "你好"})
    assert platform.chat("private:liuyang:wmNEW") == ["你好"]
    left = platform.act("people_remove", customers=[STRANGER])
    assert STRANGER not in left["groups"][0]["members"]
    with pytest.raises(PhoneError, match="nickname"):
        platform.act("people", customers=[{"external_userid": "wmB", "nickname": "乙"}])


def test_reset_goes_back_to_the_seed(platform: Platform) -> None:
    """After a reset the chats are empty and the people as at the start, but numbers go on."""
    before = platform.state.next_number()
    platform.act("say", **{"as": QING, "in": "group", "text": "快吃完了"})
    platform.act("people_remove", customers=[QING])
    platform.state.reset()
    assert platform.chat(f"group:{GROUP}") == []
    assert QING in platform.state.customers
    assert platform.state.next_number() > before


def test_half_add_then_full_add(platform: Platform) -> None:
    """Both events carry a code, and only one welcome goes out; talking voids a code."""
    half = platform.act("contact", action="half", staff="wangli", customer=QING)["welcome_code"]
    full = platform.act("contact", action="add", staff="wangli", customer=QING)["welcome_code"]
    hello = {"text": {"content": "你好呀"}}
    assert platform.call("externalcontact/send_welcome_msg", welcome_code=half, **hello)["errcode"] == 0
    assert platform.call("externalcontact/send_welcome_msg", welcome_code=full, **hello)["errcode"] == 41051
    other = platform.act("contact", action="add", staff="wangli", customer="wmAAAA0002")["welcome_code"]
    platform.act("say", **{"as": "wmAAAA0002", "in": "private", "with": "wangli", "text": "你好"})
    assert platform.call("externalcontact/send_welcome_msg", welcome_code=other, **hello)["errcode"] == 41051


def test_strange_settings_are_refused(platform: Platform) -> None:
    """A limit, a switch or a field that does not exist is named, and nothing is changed."""
    for name, body in (
        ("limits", {"kf_message": 3}),
        ("limits", {"kf_messages": "three"}),
        ("callbacks", {"resend_on": "never"}),
        ("callbacks", {"retries": 3}),
    ):
        with pytest.raises(ValueError, match=r"kf_message|resend_on|retries"):
            platform.act(name, **body)
    with pytest.raises(PhoneError, match="fail_sends"):
        platform.act("kf_switches", fail=1)
    assert platform.state.limits.kf_messages == 5
