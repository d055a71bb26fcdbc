"""The tour: a story played through the phones without a browser; every step says what each party sees."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp

from bot.clock import monotonic_s
from bot.demo_story import Stage, Unexpected, check
from bot.emulator.errors import EmulatorError
from bot.emulator.remote import Phones

Say = Callable[[str], None]
Step = Callable[[Stage], Awaitable[None]]
BEGIN_BEFORE_H: Final = 14
"""The story pushes the clock by some three hours before its night, and must not run into the quiet hours."""
BEGIN_H: Final = 10
RECEIVERS: Final = ("app", "contact", "kf", "archive", "oa")
WAIT_S: Final = 10.0
"""How long a step waits for what it expects; only a step that goes wrong takes so long."""
ASK: Final = "我有多少积分"


async def play(platform_url: str, service_url: str, api_key: str, say: Say, wait_s: float = WAIT_S) -> int:
    """Play the story to its end and say what each party sees; 0 only if every step went as it should."""
    started, failed = monotonic_s(), 0
    async with Phones(platform_url) as phones, aiohttp.ClientSession() as http:
        stage = Stage(phones, http, service_url, api_key, wait_s)
        await stage.meet()
        if (await stage.now()).hour >= BEGIN_BEFORE_H:
            await stage.push_to(BEGIN_H)
        for number, (title, step) in enumerate(STORY, 1):
            failed += not await _play_step(stage, number, title, step, say)
    say("")
    say(f"{len(STORY)} 步, {failed} 步不对, 用时 {monotonic_s() - started:.1f} 秒")
    return 1 if failed else 0


async def _play_step(stage: Stage, number: int, title: str, step: Step, say: Say) -> bool:
    started, wrong = monotonic_s(), ""
    stage.told.clear()
    try:
        await step(stage)
        await stage.no_strays()
    except Unexpected as error:
        wrong = f"✗ 应当: {error.expected}\n     ✗ 看到: {error.seen}"
    except (EmulatorError, aiohttp.ClientError, TimeoutError, LookupError, ValueError) as error:
        wrong = f"✗ {type(error).__name__}: {error}"
    await stage.tell()
    say("")
    say(f"{number:2}. {title}")
    for line in stage.told:
        say(f"     {line}")
    say(f"     {wrong or '✓'} ({monotonic_s() - started:.1f} 秒)")
    return not wrong


async def verify_addresses(stage: Stage) -> None:
    """The platform asks every callback address for its echo."""
    for receiver in RECEIVERS:
        found = await stage.phones.call("POST", "verify", {"receiver": receiver})
        check(found["ok"] is True, f"{receiver} 回显正确", found)
        await stage.note(f"平台 | 回调地址 {receiver}: 回显正确")


async def read_roster(stage: Stage) -> None:
    """The service has read on its own whom it serves: contacts and groups that were there before it."""
    for endpoint, what in (("batch/get_by_user", "谁由哪位导购接待"), ("groupchat/get", "有哪些客户群")):
        await stage.until_called(f"externalcontact/{endpoint}")
        await stage.note(f"平台 | 服务读了{what}")


async def run_out(stage: Stage) -> None:
    """Nothing is said in the group; the rep who serves 阿青 gets name, words, reason and text."""
    check(await stage.write("阿青", "group", "快吃完了") == "acted", "提醒导购", "没有行动")
    card = await stage.card(
        "刘阳", "城西老客群", "“快吃完了”", "听到“", "天前买过 挂耳咖啡30包", "挂耳咖啡30包×2盒", "已发送", "稍后提醒"
    )
    stage.kept["card"] = card
    await stage.tell()
    rows = {row["keyname"]: row["value"] for row in card["card"]["horizontal"]}
    check(rows.get("客户") == "阿青", "卡片写着客户的名字 阿青", rows.get("客户"))


async def send_and_close(stage: Stage) -> None:
    """The rep sends the suggested text with one tap, then marks the card."""
    card = stage.kept["card"]
    await stage.send_prepared("刘阳", card["card"]["quote"])
    await stage.tap("刘阳", card, "done", "已发送")


async def keep_still(stage: Stage) -> None:
    """The same scenario within the week brings no second card."""
    await stage.silent("阿青", "group", "又快吃完了")


async def overhear(stage: Stage) -> None:
    """Chatter, also such as sounds like the trade, brings nothing."""
    await stage.silent("小满", "group", "外卖快吃完了等我")
    await stage.silent("小满", "group", "周末去哪玩")


async def correct(stage: Stage) -> None:
    """A friend wants it too; the rep says that it does not fit."""
    await stage.write("小满", "group", "同事过来问这是什么牌子")
    card = await stage.card("刘阳", "同事过来问这是什么牌子", "小满")
    await stage.tell()
    await stage.tap("刘阳", card, "no", "不合适")


async def ask_points(stage: Stage) -> None:
    """The balance and what lapses when, in private."""
    await stage.write("阿青", "kf", ASK)
    await stage.answer("阿青", "kf", f"{await stage.points('阿青')} 积分", "12月31日到期")


async def ask_in_group(stage: Stage) -> None:
    """No number in the group: who can be reached alone is answered there, for others the rep gets the answer."""
    await stage.write("阿青", "group", ASK)
    await stage.answer("阿青", "kf", "您在群里问到的", f"{await stage.points('阿青')} 积分")
    await stage.write("小满", "group", ASK)
    await stage.card("刘阳", "小满", "只可私聊", f"{await stage.points('小满')} 积分")


async def redeem(stage: Stage) -> None:
    """From a list to a code; a question in between is answered and the prompt stays."""
    before = await stage.points("阿青")
    await stage.write("阿青", "kf", "积分换个杯子")
    await stage.answer("阿青", "kf", "1. 随行杯", "2. 保温杯")
    await stage.write("阿青", "kf", "第一个")
    await stage.answer("阿青", "kf", "随行杯", "500", "确认兑换吗")
    await stage.write("阿青", "kf", ASK)
    await stage.answer("阿青", "kf", f"{before} 积分", "随行杯", "还等您确认")
    check(await stage.points("阿青") == before, f"确认之前一分不动, 还是 {before}", await stage.points("阿青"))
    await stage.write("阿青", "kf", "确认")
    stage.kept["code"] = _code(await stage.answer("阿青", "kf", "换好啦", "随行杯", f"还剩 {before - 500}", "兑换码"))
    check(await stage.points("阿青") == before - 500, f"余额 {before - 500}", await stage.points("阿青"))


async def verify_code(stage: Stage) -> None:
    """The shop uses the code up once; another till's try is refused and the same till's retry is not."""
    path = f"/api/v1/redemptions/{stage.kept['code']}/verify"
    status, body = await stage.api("POST", path, "till-1-0001")
    check(status == 200 and body["name"] == "随行杯", "200, 随行杯", f"{status} {body}")
    await stage.note(f"门店接口 | 核销 {stage.kept['code']}: {status}, 可以交付 {body['name']} × {body['quantity']}")
    again, same = await stage.api("POST", path, "till-1-0001")
    check((again, same) == (status, body), "同一个键重发, 同一个回答", f"{again} {same}")
    status, body = await stage.api("POST", path, "till-2-0001")
    check(status == 409, "409 已经核销过", f"{status} {body}")
    await stage.note(f"门店接口 | 另一台再核销: {status}, {body['detail']}")


async def undo(stage: Stage) -> None:
    """What was verified stays; what was not is undone in its window, after a prompt of its own."""
    await stage.write("阿青", "kf", "撤销兑换")
    await stage.answer("阿青", "kf", "撤不了")
    before = await stage.points("阿青")
    await stage.write("阿青", "kf", "积分换贴纸包")
    await stage.answer("阿青", "kf", "贴纸包", "20", "确认兑换吗")
    await stage.write("阿青", "kf", "确认")
    await stage.answer("阿青", "kf", "换好啦", f"还剩 {before - 20}")
    await stage.write("阿青", "kf", "撤销兑换")
    await stage.answer("阿青", "kf", "要撤销", "贴纸包")
    check(await stage.points("阿青") == before - 20, "问过才退", await stage.points("阿青"))
    await stage.write("阿青", "kf", "确认")
    await stage.answer("阿青", "kf", "已撤销", f"现在有 {before}")
    check(await stage.points("阿青") == before, f"积分回到 {before}", await stage.points("阿青"))


async def let_lapse(stage: Stage) -> None:
    """A prompt left for 31 minutes redeems nothing, and this is said once."""
    before = await stage.points("阿青")
    await stage.write("阿青", "kf", "积分换一杯拿铁")
    await stage.answer("阿青", "kf", "拿铁", "60", "确认兑换吗")
    await stage.push(minutes=31)
    await stage.write("阿青", "kf", "确认")
    await stage.answer("阿青", "kf", "已经过时", never=("换好啦",))
    if await stage.write("阿青", "kf", "确认") != "silent":
        await stage.answer("阿青", "kf", never=("换好啦", "已经过时"))
    check(await stage.points("阿青") == before, f"余额还是 {before}", await stage.points("阿青"))


async def post_order(stage: Stage) -> None:
    """A paid order earns by the member's tier; posted again it changes nothing."""
    before = await stage.points("阿青")
    order = {
        "source": "shop", "external_id": "tour-1", "amount_fen": 10000, "paid_at": (await stage.now()).isoformat(),
        "identities": [["external_userid", stage.ids["阿青"]]],
        "items": [{"sku": "QH-OAT-1L", "name": "燕麦奶1升", "amount_fen": 10000}],
    }  # fmt: skip
    status, body = await stage.api("POST", "/api/v1/orders", "tour-order-1", order)
    check(status == 201 and body["earned"] == 120, "201, 青叶会员 100 元得 120 分", f"{status} {body}")
    check(await stage.points("阿青") == before + 120, f"余额 {before + 120}", await stage.points("阿青"))
    await stage.note(f"商城接口 | 订单 tour-1 100 元: {status}, 得 {body['earned']} 分, 余额 {body['balance']}")
    same_key, _ = await stage.api("POST", "/api/v1/orders", "tour-order-1", order)
    new_key, again = await stage.api("POST", "/api/v1/orders", "tour-order-2", order)
    check(same_key == 201 and new_key == 200 and not again["new"], "重发不再入账", f"{same_key} {new_key} {again}")
    check(await stage.points("阿青") == before + 120, f"余额还是 {before + 120}", await stage.points("阿青"))
    await stage.note("商城接口 | 同一订单再发两次: 余额不变")


async def offer_bundle(stage: Stage) -> None:
    """In 微信客服 the bot itself offers the bundle of what was bought last."""
    await stage.write("小满", "kf", "快喝完了")
    await stage.answer("小满", "kf", "小满", "冷萃咖啡液10颗×3盒")


async def ask_in_oa(stage: Stage) -> None:
    """The 公众号 answers the same person with the same balance."""
    await stage.write("阿青", "oa", ASK)
    await stage.answer("阿青", "oa", f"{await stage.points('阿青')} 积分")


async def survive_failures(stage: Stage) -> None:
    """Errors, a quota and an answer cut off after its effect: the customer still hears each answer once."""
    faults: tuple[tuple[str, dict[str, Any], float], ...] = (
        ("http", {"errcode": 500, "times": 2}, 5), ("cut_after_effect", {}, 5), ("errcode", {"errcode": 45009}, 70),
    )  # fmt: skip
    for kind, numbers, wait_s in faults:
        await stage.phones.fault("kf/send_msg", kind, **numbers)
        waiting, sent = await stage.tries("waiting"), await stage.tries("sent")
        await stage.write("阿青", "kf", ASK)
        for count in range(1, numbers.get("times", 1) + 1):
            await stage.until_tries("waiting", waiting + count)
            await stage.push(seconds=wait_s)
        await stage.until_tries("sent", sent + 1)
        await stage.answer("阿青", "kf", f"{await stage.points('阿青')} 积分")
        await stage.phones.clear_faults()
        await stage.note(f"平台 | 故障 {kind} {numbers.get('errcode', '')}: 之后照样答到, 只一次")


async def lose_token(stage: Stage) -> None:
    """A token the platform no longer takes is renewed, and the answer arrives."""
    for revoke in (False, True):
        await stage.phones.act("expire_token", revoke=revoke)
        await stage.note(f"平台 | access_token {'作废' if revoke else '过期'}")
        await stage.write("小满", "kf", ASK)
        await stage.answer("小满", "kf", f"{await stage.points('小满')} 积分")


async def remind_later(stage: Stage) -> None:
    """稍后提醒: the card comes again after two hours, and not before."""
    await stage.write("小满", "group", "冷萃快喝完了")
    card = await stage.card("刘阳", "小满", "冷萃快喝完了", "天前买过 冷萃咖啡液10颗")
    await stage.tell()
    await stage.tap("刘阳", card, "later", "稍后提醒")
    await stage.push(hours=2, minutes=1)
    again = await stage.card("刘阳", "小满", "冷萃快喝完了")
    check(again["task_id"] != card["task_id"], "一张新卡片", again["task_id"])
    await stage.tap("刘阳", again, "done", "已发送")


async def wait_for_morning(stage: Stage) -> None:
    """At night nobody is prompted; in the morning the card is there."""
    await stage.push_to(22)
    await stage.silent("何姐", "group", "快用完了", decision="deferred")
    await stage.push_to(9, 1)
    await stage.card("王莉", "何姐", "快用完了", "天前买过 茉莉冷泡茶20包")


async def hear_in_private(stage: Stage) -> None:
    """In a private chat the rep is prompted and speaks; the bot says nothing there."""
    await stage.write("何姐", "private", "朋友喝了也想买,问我这是什么牌子")
    await stage.card("王莉", "何姐", "私聊", "朋友喝了也想买", "介绍发您")


async def call_person(stage: Stage) -> None:
    """转人工: said, prompted, handed over, and then the bot keeps still."""
    await stage.write("小满", "kf", "转人工")
    await stage.answer("小满", "kf", "请同事来接待您")
    await stage.card("刘阳", "小满", "人工")
    await stage.servicer_of("小满", "刘阳")
    await stage.note("平台 | 这个微信客服会话现在由刘阳接待")
    await stage.silent("小满", "kf", ASK)


async def complain(stage: Stage) -> None:
    """An apology, and at once a card for the rep and the supervisor."""
    await stage.write("阿青", "kf", "你们客服半天不理人 太差劲了")
    await stage.answer("阿青", "kf", "抱歉")
    for person in ("刘阳", "王莉"):
        await stage.card(person, "阿青", "太差劲了", "请尽快亲自处理")


async def opt_out(stage: Stage) -> None:
    """No follow-up after 别再给我发消息了; the same words bring a card once the customer wants it again."""
    await stage.write("路人", "kf", "别再给我发消息了")
    await stage.answer("路人", "kf", "不再主动打扰")
    await stage.silent("路人", "group", "快吃完了")
    await stage.write("路人", "kf", "恢复提醒")
    await stage.answer("路人", "kf", "已恢复提醒")
    await stage.write("路人", "group", "快吃完了")
    # He has no rep of his own, so the one in the group hears of it. A phone keeps order: nothing is behind this card.
    await stage.card("刘阳", "快吃完了", "路人")


async def look_at_health(stage: Stage) -> None:
    """The service is ready, has counted, and has put nothing aside."""
    status, text = await stage.page("/readyz")
    check(status == 200 and '"ready": true' in text, "/readyz 200", f"{status} {text}")
    await stage.note(f"运维 | /readyz {status}: {text}")
    status, text = await stage.page("/metrics")
    check(status == 200 and "callbacks_total" in text, "/metrics 200", status)
    counts = dict(re.findall(r'^queue_depth\{queue="(\w+)",state="(?:aside|failed)"\} (\S+)$', text, re.MULTILINE))
    check(counts == {"inbox": "0.0", "outbox": "0.0"}, "没有搁置的消息和发不出的回答", counts)
    await stage.note("运维 | /metrics: 没有搁置的消息, 没有发不出的回答")


def _code(text: str) -> str:
    found = re.search(r"(?:兑换码|核销码)[^:\n]*: (\S+)", text)
    check(found is not None, "兑换码", text)
    assert found is not None
    return found[1]


STORY: Final[tuple[tuple[str, Step], ...]] = (
    ("平台核对每个回调地址", verify_addresses),
    ("服务自己读入已有的客户和客户群", read_roster),
    ("阿青在群里说快吃完了: 群里不出声, 刘阳的手机上有提醒", run_out),
    ("刘阳一键发出建议的话, 再点“已发送”", send_and_close),
    ("一周内又说一次: 不再打扰", keep_still),
    ("小满闲聊: 不出声", overhear),
    ("小满的同事想买: 提醒刘阳, 刘阳点“不合适”, 成为训练用的纠正", correct),
    ("阿青在微信客服查积分", ask_points),
    ("阿青在群里查积分: 群里没有数字", ask_in_group),
    ("积分换杯子: 列表, 选择, 插问, 确认, 兑换码", redeem),
    ("门店核销兑换码, 第二次被拒", verify_code),
    ("核销过的撤不了, 没核销的撤得了", undo),
    ("放了 31 分钟的确认作废, 只说一次", let_lapse),
    ("商城发来订单: 积分增加, 重发不变", post_order),
    ("小满在微信客服说快喝完了: 直接给出套餐", offer_bundle),
    ("公众号里查积分", ask_in_oa),
    ("平台出故障一阵子: 回答照样到, 只一次", survive_failures),
    ("access_token 失效: 回答照样到", lose_token),
    ("稍后提醒: 两小时后再来一次", remind_later),
    ("夜里 22:00 不打扰, 早上再提醒", wait_for_morning),
    ("何姐私聊里说朋友也想买: 提醒王莉", hear_in_private),
    ("转人工: 交给刘阳, 之后不插嘴", call_person),
    ("投诉: 道歉, 导购和店长都收到", complain),
    ("勿扰: 立刻生效, 想恢复就恢复", opt_out),
    ("健康检查和指标", look_at_health),
)
