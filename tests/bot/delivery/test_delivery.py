"""Rows leave in order, once as far as the platform allows, and none is lost."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from bot.delivery import hold_back
from bot.sending import KINDS
from handlers.followup.caps import Decision
from handlers.talk import effects, outbox
from loyalty import customers
from loyalty.tables import Member

pytestmark = pytest.mark.either_engine

BUSY = {"errcode": -1, "errmsg": "system busy"}
AGAIN = {"errcode": 95033, "errmsg": "msgid repeated"}


def _said(desk: Any) -> list[str]:
    return [call.body["text"]["content"] for call in desk.platform.called("kf/send_msg")]


def test_every_kind_of_the_outbox_is_carried_out() -> None:
    """Delivery knows exactly the kinds that effects may ask for."""
    assert set(KINDS) == set(re.findall(r"^  (\w+)  +\S", effects.__doc__ or "", re.MULTILINE))


def test_rows_of_one_recipient_leave_in_order(desk: Any) -> None:
    """Ten sentences to one customer arrive as written, however fast the platform answers each."""
    desk.platform.delay_s = 0.001
    desk.write(*(effects.kf_text(f"k{n}", "wm1", "wk1", f"第{n}句") for n in range(10)))
    assert desk.deliver() == 10
    assert _said(desk) == [f"第{n}句" for n in range(10)]
    assert desk.states() == [outbox.SENT] * 10


def test_recipients_do_not_wait_for_each_other(desk: Any) -> None:
    """While one customer's message is under way, another's leaves."""
    desk.platform.delay_s = 0.05
    under_way: list[int] = []

    def note(call: Any) -> dict[str, int]:
        under_way.append(len(desk.platform.called("kf/send_msg")))
        return {"errcode": 0}

    desk.platform.will_answer("kf/send_msg", note, note, note)
    desk.write(*(effects.kf_text(f"k{n}", f"wm{n}", "wk1", "在的") for n in range(3)))
    desk.deliver()
    assert under_way == [3, 3, 3]


def test_after_a_failure_the_rest_of_the_recipient_waits(desk: Any) -> None:
    """The second sentence fails: the third does not overtake it, another customer's leaves, then all comes in order."""
    desk.write(*(effects.kf_text(f"k{n}", "wm1", "wk1", f"第{n}句") for n in range(3)))
    desk.platform.will_answer("kf/send_msg", {"errcode": 0}, BUSY)
    desk.deliver()
    assert desk.states() == [outbox.SENT, outbox.WAITING, outbox.WAITING]
    assert [row.attempts for row in desk.rows()] == [1, 1, 0]
    desk.write(effects.kf_text("k9", "wm2", "wk1", "你好"))
    assert desk.deliver() == 1
    desk.clock.push(seconds=2)
    assert desk.deliver() == 2
    assert _said(desk) == ["第0句", "第1句", "你好", "第1句", "第2句"]


def test_a_failure_for_good_does_not_hold_up_the_next(desk: Any) -> None:
    """A message that will never be taken is set aside and the next one leaves at once."""
    desk.write(*(effects.kf_text(f"k{n}", "wm1", "wk1", f"第{n}句") for n in range(2)))
    desk.platform.will_answer("kf/send_msg", {"errcode": 45002, "errmsg": "content size out of limit"})
    desk.deliver()
    assert desk.states() == [outbox.FAILED, outbox.SENT]


def test_retry_then_success_sends_once(desk: Any) -> None:
    """After two failures the row is sent, with one msgid all along, and never again."""
    desk.write(effects.kf_text("k1", "wm1", "wk1", "在的"))
    desk.platform.will_answer("kf/send_msg", BUSY, 500)
    for _ in range(6):
        desk.deliver()
        desk.clock.push(seconds=5)
    calls = desk.platform.called("kf/send_msg")
    assert len(calls) == 3
    assert len({call.body["msgid"] for call in calls}) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", calls[0].body["msgid"])
    assert desk.rows()[0].platform_id == calls[0].body["msgid"]


def test_a_deliverer_that_dies_in_the_call_loses_nothing(desk: Any) -> None:
    """Its row is taken by another when the lease ends, with the same msgid; the platform's "I have it" means sent."""
    desk.write(effects.kf_text("k1", "wm1", "wk1", "在的"))

    async def die() -> None:
        await desk.gateways().wecom.check()
        desk.platform.delay_s = 30
        task = asyncio.create_task(desk.deliverer().deliver_due())
        while not desk.platform.called("kf/send_msg"):
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        desk.platform.delay_s = 0

    asyncio.run(die())
    assert desk.deliver() == 0
    desk.clock.push(seconds=61)
    desk.platform.will_answer("kf/send_msg", AGAIN)
    assert desk.deliver() == 1
    first, second = desk.platform.called("kf/send_msg")
    assert first.body == second.body
    assert desk.states() == [outbox.SENT]


def test_a_code_nobody_knows_is_no_proof_of_arrival(desk: Any) -> None:
    """When the platform refuses each try with the same unlisted code, the row fails and is not called sent."""
    desk.write(effects.kf_text("k1", "wm1", "wk1", "在的"))
    desk.platform.will_answer("kf/send_msg", *[{"errcode": 95099, "errmsg": "new refusal"}] * 9)
    for _ in range(6):
        desk.deliver()
        desk.clock.push(minutes=5)
    assert desk.states() == [outbox.FAILED]


def test_a_refusal_before_does_not_make_the_next_one_an_arrival(desk: Any) -> None:
    """After 45009 the message has surely not arrived: an unlisted code then is an error, not "had it already"."""
    desk.write(effects.kf_text("k1", "wm1", "wk1", "在的"))
    desk.platform.will_answer("kf/send_msg", {"errcode": 45009}, {"errcode": 95099})
    desk.deliver()
    desk.clock.push(seconds=70)
    desk.deliver()
    assert desk.states() == [outbox.WAITING]


def test_a_quota_holds_the_row_until_its_window(desk: Any) -> None:
    """45009: nothing leaves for a minute, then the row does."""
    desk.write(effects.kf_text("k1", "wm1", "wk1", "在的"))
    desk.platform.will_answer("kf/send_msg", {"errcode": 45009, "errmsg": "freq"})
    desk.deliver()
    desk.clock.push(seconds=59)
    assert desk.deliver() == 0
    desk.clock.push(seconds=8)
    assert desk.deliver() == 1
    assert desk.states() == [outbox.SENT]


def test_a_quota_after_an_outage_is_a_first_quota(desk: Any) -> None:
    """Ten tries without an answer, then 45009: the row waits a minute, not the hour of an eleventh breach."""
    desk.write(effects.kf_text("k1", "wm1", "wk1", "在的"))
    desk.platform.will_answer("kf/send_msg", *[TimeoutError()] * 10, {"errcode": 45009})
    for _ in range(11):
        desk.deliver()
        desk.clock.push(seconds=400)
    desk.clock.push(seconds=-400 + 67)
    assert desk.deliver() == 1
    assert desk.states() == [outbox.SENT]


def test_an_unknown_code_after_an_outage_gets_its_tries(desk: Any) -> None:
    """Ten tries without an answer do not use up the tries of a code in no list: the row is tried again, and leaves."""
    desk.write(effects.app_text("k1", "liuyang", "请看一下"))
    desk.platform.will_answer("message/send", *[TimeoutError()] * 10, {"errcode": 99999})
    for _ in range(11):
        desk.deliver()
        desk.clock.push(seconds=400)
    assert desk.states() == [outbox.WAITING]
    desk.deliver()
    assert desk.states() == [outbox.SENT]


def test_a_long_outage_loses_nothing(desk: Any) -> None:
    """Twelve hours of time-outs, 500s and broken JSON: the rows are all there and leave when the platform is back."""
    desk.write(*(effects.kf_text(f"k{n}", "wm1", "wk1", f"第{n}句") for n in range(2)))
    desk.platform.answers["kf/send_msg"] = [TimeoutError(), 500, b'{"err', BUSY, ConnectionResetError()] * 3
    for _ in range(15):
        desk.deliver()
        desk.clock.push(minutes=48)
    desk.deliver()
    assert desk.states() == [outbox.SENT] * 2
    assert _said(desk)[-2:] == ["第0句", "第1句"]


def test_an_effect_without_an_answer_is_remembered_over_other_errors(desk: Any) -> None:
    """The first try may have arrived, the second meets a quota, the third hears of a repeated msgid: it was sent."""
    desk.write(effects.kf_text("k1", "wm1", "wk1", "在的"))
    desk.platform.will_answer("kf/send_msg", 500, {"errcode": 45009}, AGAIN)
    for _ in range(3):
        desk.deliver()
        desk.clock.push(seconds=600)
    assert desk.states() == [outbox.SENT]
    assert len(desk.platform.called("kf/send_msg")) == 3


def test_a_long_text_is_split_between_characters(desk: Any) -> None:
    """2,000 Chinese characters leave as three messages of at most 2,048 bytes that together say the same."""
    text = "".join(f"第{n}条规则说明。" for n in range(250))
    desk.write(effects.kf_text("k1", "wm1", "wk1", text))
    desk.deliver()
    parts = _said(desk)
    assert "".join(parts) == text
    assert all(len(part.encode()) <= 2048 for part in parts)
    assert len({call.body["msgid"] for call in desk.platform.called("kf/send_msg")}) == len(parts) > 1


def test_a_split_text_goes_on_where_it_was_refused(desk: Any) -> None:
    """The second part meets 45009; next time the platform knows the first part already and the second one arrives."""
    desk.write(effects.kf_text("k1", "wm1", "wk1", "积" * 1000))
    desk.platform.will_answer("kf/send_msg", {"errcode": 0}, {"errcode": 45009}, AGAIN, {"errcode": 0})
    desk.deliver()
    desk.clock.push(seconds=70)
    desk.deliver()
    assert desk.states() == [outbox.SENT]
    assert len(desk.platform.called("kf/send_msg")) == 4


def test_a_menu_keeps_to_its_limits(desk: Any) -> None:
    """Twelve rewards make two menus of at most ten; a long name is shortened, an id never."""
    items = [(f"reward:{n}", f"第{n}号奖品" + "很" * (60 if n == 0 else 1)) for n in range(12)]
    desk.write(effects.kf_menu("k1", "wm1", "wk1", "想换哪个?", items, "回复数字也可以"))
    desk.deliver()
    menus = [call.body["msgmenu"] for call in desk.platform.called("kf/send_msg")]
    assert [len(menu["list"]) for menu in menus] == [10, 2]
    assert (menus[0]["head_content"], menus[1]["tail_content"]) == ("想换哪个?", "回复数字也可以")
    clicks = [item["click"] for menu in menus for item in menu["list"]]
    assert [click["id"] for click in clicks] == [item_id for item_id, _ in items]
    assert all(len(click["content"].encode()) <= 128 for click in clicks)


def test_a_menu_whose_id_is_too_long_fails(desk: Any) -> None:
    """A cut id would not be recognised when it is tapped, so such a menu never leaves."""
    desk.write(effects.kf_menu("k1", "wm1", "wk1", "?", [("x" * 129, "一")]))
    desk.deliver()
    assert desk.states() == [outbox.FAILED]
    assert not desk.platform.called("kf/send_msg")


def test_95018_is_decided_by_the_session(desk: Any) -> None:
    """The bot is silent where a person serves or the session is over, and tries again where it may speak."""
    desk.write(*(effects.kf_text(f"k{state}", f"wm{state}", "wk1", "在的") for state in range(5)))
    desk.platform.always["kf/send_msg"] = lambda call: {"errcode": 95018, "errmsg": "state"}
    desk.platform.always["kf/service_state/get"] = _state_in_name
    desk.deliver()
    assert desk.states() == [outbox.WAITING, outbox.WAITING, outbox.FAILED, outbox.FAILED, outbox.FAILED]
    told = ["95018", "95018", "a person is serving", "a person is serving", "session is over"]
    assert all(why in row.error for why, row in zip(told, desk.rows(), strict=True))


def _state_in_name(call: Any) -> dict[str, int]:
    return {"errcode": 0, "service_state": int(call.body["external_userid"][2])}


class TestTransfer:
    """Handing a session over to people."""

    def test_it_says_the_word_on_the_code(self, desk: Any) -> None:
        """The session goes to the waiting pool and the customer hears so, on the code of the change."""
        desk.write(effects.kf_transfer("k1", "wk1", "wm1", 2, "", "正在为您转接"))
        desk.platform.will_answer("kf/service_state/trans", {"errcode": 0, "msg_code": "MC1"})
        desk.deliver()
        assert desk.platform.called("kf/service_state/trans")[0].body == {
            "open_kfid": "wk1",
            "external_userid": "wm1",
            "service_state": 2,
        }
        said = desk.platform.called("kf/send_msg_on_event")[0].body
        assert (said["code"], said["text"]["content"]) == ("MC1", "正在为您转接")
        assert desk.states() == [outbox.SENT]

    def test_a_failed_word_does_not_hand_over_twice(self, desk: Any) -> None:
        """When only the word fails, the next try says it on the same code and leaves the session where it is."""
        desk.write(effects.kf_transfer("k1", "wk1", "wm1", 2, "", "正在为您转接"))
        desk.platform.will_answer("kf/service_state/trans", {"errcode": 0, "msg_code": "MC1"})
        desk.platform.will_answer("kf/send_msg_on_event", BUSY)

        async def twice() -> None:
            deliverer = desk.deliverer()
            await deliverer.deliver_due()
            desk.clock.push(seconds=2)
            await deliverer.deliver_due()

        asyncio.run(twice())
        assert len(desk.platform.called("kf/service_state/trans")) == 1
        assert [call.body["code"] for call in desk.platform.called("kf/send_msg_on_event")] == ["MC1", "MC1"]
        assert desk.states() == [outbox.SENT]

    def test_a_refused_move_is_decided_by_the_session(self, desk: Any) -> None:
        """With people already it is done, over it has failed, still with the bot it is tried again."""
        cases = [(state, errcode) for errcode in (95016, 95013) for state in (1, 2, 3, 4)]
        desk.write(
            *(effects.kf_transfer(f"k{s}{code}", "wk1", f"wm{s}:{code}", 2, "", "正在为您转接") for s, code in cases)
        )
        desk.platform.always["kf/service_state/trans"] = lambda call: {
            "errcode": int(call.body["external_userid"][4:]),
            "errmsg": "no",
        }
        desk.platform.always["kf/service_state/get"] = _state_in_name
        desk.deliver()
        assert desk.states() == [outbox.WAITING, outbox.SENT, outbox.SENT, outbox.FAILED] * 2
        assert not desk.platform.called("kf/send_msg_on_event")

    def test_a_servicer_who_has_stopped_means_the_pool(self, desk: Any) -> None:
        """The wanted colleague takes nobody now, so the customer waits in the pool instead of nowhere."""
        desk.write(effects.kf_transfer("k1", "wk1", "wm1", 3, "liuyang", ""))
        desk.platform.will_answer("kf/service_state/trans", {"errcode": 95019, "errmsg": "stopped"})
        desk.deliver()
        moves = [call.body for call in desk.platform.called("kf/service_state/trans")]
        assert [(move["service_state"], move.get("servicer_userid")) for move in moves] == [(3, "liuyang"), (2, None)]
        assert desk.states() == [outbox.SENT]


CARD = {
    "title": "阿青 快吃完了",
    "desc": "城西老客群",
    "quote": "阿青,您的燕麦快见底了吧?",
    "rows": [("说了", "快吃完了")] * 7,
    "buttons": [("已发送", 1, "sent:1"), ("不合适", 3, "no:1")],
}


class TestStaff:
    """Messages to a member of staff."""

    def test_a_card_keeps_the_code_that_greys_it(self, desk: Any) -> None:
        """A card leaves with its buttons and quote, and its response_code is kept with the row."""
        desk.write(effects.card("k1", "liuyang", "ask-1@1", **CARD))
        desk.deliver()
        body = desk.platform.called("message/send")[0].body
        card = body["template_card"]
        assert (body["touser"], body["agentid"], card["task_id"]) == ("liuyang", 1000002, "ask-1@1")
        assert card["card_type"] == "button_interaction"
        assert [button["key"] for button in card["button_list"]] == ["sent:1", "no:1"]
        assert card["quote_area"]["quote_text"] == CARD["quote"]
        assert len(card["horizontal_content_list"]) == 6
        assert desk.rows()[0].platform_id == "RC-1"

    def test_a_card_that_may_have_arrived_is_not_alarming(self, desk: Any) -> None:
        """A time-out, then 42014 on the same task_id: the rep has the card."""
        desk.write(effects.card("k1", "liuyang", "ask-1@1", **CARD))
        desk.platform.will_answer("message/send", TimeoutError(), {"errcode": 42014, "errmsg": "task_id used"})
        desk.deliver()
        desk.clock.push(seconds=2)
        desk.deliver()
        assert desk.states() == [outbox.SENT]

    def test_a_text_is_not_shown_twice(self, desk: Any) -> None:
        """App messages ask the platform to drop what it has had within longer than any lease or back-off."""
        desk.write(effects.app_text("k1", "liuyang", "有客户投诉"))
        desk.deliver()
        body = desk.platform.called("message/send")[0].body
        assert body["enable_duplicate_check"] == 1
        assert body["duplicate_check_interval"] > max(desk.settings.deliver.lease_s, desk.settings.deliver.retry_max_s)

    def test_a_recipient_named_invalid_is_a_failure(self, desk: Any) -> None:
        """errcode 0 with the only recipient in invaliduser, lower-cased, has reached nobody."""
        desk.write(effects.app_text("k1", "LiuYang", "在吗"))
        desk.platform.will_answer("message/send", {"errcode": 0, "invaliduser": "liuyang"})
        desk.deliver()
        assert desk.states() == [outbox.FAILED]

    def test_a_used_code_means_the_card_is_grey(self, desk: Any) -> None:
        """42022 on an update is done, not an error."""
        desk.write(effects.card_update("k1", "liuyang", "RC-1", "已发送"))
        desk.platform.will_answer("message/update_template_card", {"errcode": 42022, "errmsg": "used"})
        desk.deliver()
        assert desk.states() == [outbox.SENT]
        body = desk.platform.called("message/update_template_card")[0].body
        assert body["button"] == {"replace_name": "已发送"}

    def test_a_member_is_not_flooded(self, desk: Any) -> None:
        """Over 30 a minute the platform drops silently, so the 31st waits for the next minute and then leaves."""
        desk.write(*(effects.app_text(f"k{n}", "liuyang", f"提醒{n}") for n in range(32)))
        desk.deliver()
        assert desk.states().count(outbox.SENT) == 30
        assert desk.rows()[30].error_class == "quota"
        desk.clock.push(seconds=67)
        desk.deliver()
        said = [call.body["text"]["content"] for call in desk.platform.called("message/send")]
        assert said == [f"提醒{n}" for n in range(32)]


class TestOthers:
    """The 公众号 and profiles."""

    def test_the_official_account_speaks_for_itself(self, desk: Any) -> None:
        """A 公众号 text goes out over its own address with its own token."""
        desk.write(effects.oa_text("k1", "o1", "您有120积分"))
        desk.deliver()
        assert desk.platform.called("stable_token")
        body = desk.platform.called("message/custom/send")[0].body
        assert body == {"touser": "o1", "msgtype": "text", "text": {"content": "您有120积分"}}

    def test_a_part_that_was_taken_is_not_said_again(self, desk: Any) -> None:
        """The second half of a long 公众号 text fails: the next try says only that half."""
        desk.write(effects.oa_text("k1", "o1", "积" * 600 + "分" * 600))
        desk.platform.will_answer("message/custom/send", {"errcode": 0}, BUSY)
        desk.deliver()
        desk.clock.push(seconds=2)
        desk.deliver()
        said = [call.body["text"]["content"][:1] for call in desk.platform.called("message/custom/send")]
        assert said == ["积", "分", "分"]
        assert desk.states() == [outbox.SENT]

    def test_a_profile_names_the_member(self, desk: Any) -> None:
        """Name and unionid of a customer are written to the member in the transaction that marks the row."""
        with desk.database.transaction() as session:
            member_id = customers.resolve(session, [("external_userid", "wm1")], desk.clock.now)[
                "external_userid", "wm1"
            ]
        desk.write(effects.profile("k1", "wm1", "contact"), effects.profile("k2", "wm2", "kf"))
        person = {"external_userid": "wm1", "name": "阿青", "unionid": "oU1"}
        desk.platform.will_answer("externalcontact/get", {"errcode": 0, "external_contact": person})
        desk.platform.will_answer("kf/customer/batchget", {"errcode": 0, "customer_list": []})
        desk.deliver()
        assert desk.platform.called("externalcontact/get")[0].params["external_userid"] == "wm1"
        with desk.database.reading() as session:
            assert customers.find(session, "unionid", "oU1") == member_id
            assert session.scalar(select(Member.name)) == "阿青"
        assert desk.states() == [outbox.SENT, outbox.FAILED]

    def test_a_unionid_of_somebody_else_stays_there(self, desk: Any) -> None:
        """Two members turn out to be one person: the name is kept, nobody's identity moves, the row is done."""
        with desk.database.transaction() as session:
            both = [("external_userid", "wm1"), ("unionid", "oU1")]
            found = customers.resolve(session, both, desk.clock.now)
        desk.write(effects.profile("k1", "wm1", "kf"))
        person = {"external_userid": "wm1", "nickname": "阿青", "unionid": "oU1"}
        desk.platform.will_answer("kf/customer/batchget", {"errcode": 0, "customer_list": [person]})
        desk.deliver()
        with desk.database.reading() as session:
            assert customers.find(session, "unionid", "oU1") == found["unionid", "oU1"] != found[both[0]]
        assert desk.states() == [outbox.SENT]


def test_consent_is_looked_at_once_more(desk: Any) -> None:
    """A row that the hook names is taken back with the reason before any call; the others leave."""
    desk.write(effects.card("k1", "liuyang", "ask-1@1", **CARD), effects.app_text("k2", "liuyang", "早"))

    def withdrawn(session: Any, rows: Any, now: Any) -> dict[int, str]:
        return {row.id: "opted out since" for row in rows if row.is_follow_up}

    desk.deliver(withdrawn=withdrawn)
    first, second = desk.rows()
    assert (first.state, first.error, second.state) == (outbox.WITHDRAWN, "opted out since", outbox.SENT)
    assert len(desk.platform.called("message/send")) == 1


def test_what_is_put_off_leaves_later_and_lets_others_pass(desk: Any) -> None:
    """A card that an outage brought into the night stays till morning with the reason; the urgent one behind it goes.
    """
    desk.platform.will_answer("message/send", 502)
    desk.write(effects.card("card:ask-1@1", "liuyang", "ask-1@1", **CARD))
    desk.deliver()
    desk.write(effects.card("card:help-1@1", "liuyang", "help-1@1", **CARD))
    morning = desk.clock.now + timedelta(hours=10)

    def put_off(session: Any, rows: Any, now: Any) -> dict[int, Decision]:
        return {row.id: Decision("deferred", "night", morning) for row in rows if "ask" in row.key and now < morning}

    desk.clock.now += timedelta(minutes=10)
    desk.deliver(2, put_off=put_off)
    first, second = desk.rows()
    assert (first.state, first.error, first.due_at) == (outbox.WAITING, "night", morning)
    assert second.state == outbox.SENT
    desk.clock.now = morning
    desk.deliver(2, put_off=put_off)
    assert desk.states() == [outbox.SENT, outbox.SENT]


def test_a_slow_platform_does_not_eat_the_lease(desk: Any) -> None:
    """When half of the lease is over nothing more of the chain is begun; the rest leaves next time, in order."""
    desk.write(*(effects.kf_text(f"k{n}", "wm1", "wk1", f"第{n}句") for n in range(3)))

    def slowly(call: Any) -> dict[str, int]:
        desk.clock.push(seconds=35)
        return {"errcode": 0}

    desk.platform.will_answer("kf/send_msg", slowly)
    desk.deliver()
    assert desk.states() == [outbox.SENT, outbox.WAITING, outbox.WAITING]
    desk.deliver()
    assert _said(desk) == ["第0句", "第1句", "第2句"]


def test_a_row_behind_one_in_other_hands_is_let_go(desk: Any) -> None:
    """Two deliverers lease at one moment: whoever got the later row puts it back, uncounted, behind the earlier one."""
    desk.write(*(effects.kf_text(f"k{n}", "wm1", "wk1", f"第{n}句") for n in range(2)))
    with desk.database.transaction() as session:
        leased = outbox.lease(session, 10, desk.clock.now, 60)
        outbox.release(session, [leased[0].id])
        assert hold_back(session, leased[1:], desk.clock.now) == {leased[1].id}
    assert [row.attempts for row in desk.rows()] == [0, 0]
    desk.deliver()
    assert _said(desk) == ["第0句", "第1句"]


def test_a_backlog_after_a_failure_does_not_block_itself(desk: Any) -> None:
    """More rows wait behind a failed one than a batch holds: they still leave, and in order."""
    desk.write(*(effects.kf_text(f"k{n}", "wm1", "wk1", f"第{n}句") for n in range(7)))
    desk.platform.will_answer("kf/send_msg", BUSY)
    for _ in range(8):
        desk.deliver(batch=3)
        desk.clock.push(seconds=3)
    assert desk.states() == [outbox.SENT] * 7
    assert _said(desk)[1:] == [f"第{n}句" for n in range(7)]


def test_the_loop_delivers_what_is_written_and_ends_cleanly(desk: Any) -> None:
    """A running deliverer wakes for a new row; cancelled, it ends the call it is in and lets go of the rest."""

    async def go() -> None:
        task = asyncio.create_task(desk.deliverer(poll_s=30).run())
        await asyncio.sleep(0.05)
        desk.write(effects.kf_text("k1", "wm1", "wk1", "在的"))
        await desk.cache.publish("outbox")
        while desk.states() != [outbox.SENT]:
            await asyncio.sleep(0.01)
        desk.platform.delay_s = 0.1
        desk.write(*(effects.kf_text(f"k{n}", "wm1", "wk1", f"第{n}句") for n in (2, 3)))
        await desk.cache.publish("outbox")
        while len(desk.platform.called("kf/send_msg")) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(go())
    assert desk.states() == [outbox.SENT, outbox.SENT, outbox.WAITING]
    assert desk.rows()[2].leased_until is None
