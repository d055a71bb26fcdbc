"""Reaching customers through staff: each kind once, results fetched, links given back, requests signed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import select

from bot.adapters import Adapters, sign
from handlers.followup.tables import HappeningRow, InviteRow, TouchRow
from handlers.talk import effects

PEOPLE = {"wmA": 1, "wmB": 2}


def test_a_mass_task_is_made_once_and_its_result_comes_back(desk: Any) -> None:
    """The rep confirms for one; a day later each person's row says what became of it."""
    desk.write(effects.mass_task("m", "recall", "liuyang", PEOPLE, "好久不见", {}, 24))
    desk.platform.will_answer("externalcontact/add_msg_template", {"errcode": 0, "msgid": "G1", "fail_list": []})
    desk.platform.will_answer(
        "externalcontact/get_groupmsg_send_result",
        {"errcode": 0, "send_list": [{"external_userid": "wmA", "status": 1}, {"external_userid": "wmB", "status": 3}]},
    )
    desk.deliver()
    (call,) = desk.platform.called("externalcontact/add_msg_template")
    assert call.body["external_userid"] == ["wmA", "wmB"] and call.body["sender"] == "liuyang"
    desk.deliver()
    assert desk.platform.called("externalcontact/get_groupmsg_send_result") == []
    desk.clock.push(hours=24)
    desk.deliver()
    with desk.database.reading() as session:
        rows = session.execute(select(TouchRow.member_id, TouchRow.decision, TouchRow.sop).order_by(TouchRow.member_id))
        assert [tuple(row) for row in rows] == [(1, "delivered", "recall"), (2, "undelivered", "recall")]


def test_a_mass_task_without_an_answer_is_not_made_again(desk: Any) -> None:
    """The line breaks: it may stand in the rep's list, so a person looks instead of the customer hearing it twice."""
    desk.write(effects.mass_task("m", "recall", "liuyang", PEOPLE, "好久不见", {}, 24))
    desk.platform.will_answer("externalcontact/add_msg_template", TimeoutError())
    desk.deliver()
    desk.clock.push(hours=1)
    desk.deliver()
    assert len(desk.platform.called("externalcontact/add_msg_template")) == 1
    assert desk.states() == [2] and "may have been made" in desk.rows()[0].error


def test_a_link_is_given_back_to_who_waits_for_it(desk: Any) -> None:
    """The contact way is made for the rep with the code, and its address becomes a happening of the inviter."""
    row = {"code": "i1", "member_id": 7, "task": "t", "rep": "liuyang", "made_at": desk.clock.now}
    with desk.database.transaction() as session:
        session.add(InviteRow(**row))
    desk.write(effects.contact_way("way:i1", "liuyang", "i1"))
    desk.platform.will_answer("externalcontact/add_contact_way", {"errcode": 0, "config_id": "c", "qr_code": "https://q"})
    desk.deliver()
    (call,) = desk.platform.called("externalcontact/add_contact_way")
    assert (call.body["state"], call.body["user"]) == ("i1", ["liuyang"])
    with desk.database.reading() as session:
        (happened,) = session.scalars(select(HappeningRow)).all()
        assert (happened.kind, happened.member_id) == ("invite_ready", 7) and "https://q" in happened.data


def test_tags_go_by_name_and_a_missing_one_is_said(desk: Any) -> None:
    """Names become the corp's ids; a name the corp does not have fails with what to do."""
    group = {"tag_group": [{"tag": [{"id": "et1", "name": "新朋友", "deleted": False}]}]}
    desk.platform.always["externalcontact/get_corp_tag_list"] = {"errcode": 0} | group
    desk.write(effects.mark_tag("a", "liuyang", "wmA", ["新朋友"], []))
    desk.write(effects.mark_tag("b", "liuyang", "wmB", ["老客"], []))
    desk.deliver()
    (call,) = desk.platform.called("externalcontact/mark_tag")
    assert call.body["add_tag"] == ["et1"] and desk.states() == [1, 2]


def test_a_welcome_that_is_too_late_fails_for_good(desk: Any) -> None:
    """41050: the seconds are over; nobody tries again."""
    desk.write(effects.welcome("w", "WC", "您好", 1))
    desk.platform.will_answer("externalcontact/send_welcome_msg", {"errcode": 41050, "errmsg": "expired"})
    desk.deliver()
    assert desk.states() == [2]


def test_an_adapter_is_asked_with_a_signature_and_again_under_the_same_key(desk: Any, run: Any) -> None:
    """The brand's system can check who asks, and a second try is the same request; 503 is tried again, 400 is not."""
    adapters = Adapters({"sms": ("http://sms/send", "hush")}, desk.platform, desk.clock)
    gateways = desk.gateways
    desk.gateways = lambda: replace(gateways(), adapters=adapters)
    desk.write(effects.adapter("k1", "sms", {"text": "您好"}, 1))
    desk.platform.will_answer("send", 503)
    desk.deliver()
    desk.clock.push(minutes=10)
    desk.deliver()
    first, second = desk.platform.called("send")
    assert first.params["key"] == second.params["key"] == "k1" and desk.states() == [1]
    body = msgspec.json.encode({"text": "您好"})
    assert second.params["signature"] == sign("hush", second.params["timestamp"], "k1", body)
