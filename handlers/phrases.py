"""What is settled by plain words in a private chat, where the classifier finds nothing or something near."""

from __future__ import annotations

import re
from typing import Final

from handlers import allusions, history, joining, knowledge, membership, points, reward_words, shipping
from handlers.talk.answers import Answer, read_answer
from handlers.talk.turn import Turn

_NEAR: Final = frozenset(
    {"switch_product", "purchase_intent", "product_question", "order_logistics", "promotion_query"}
)
"""What words about a reward are easily taken for."""
_RIVALS: Final = frozenset({"return_exchange", "buying_for_friend", "points_rules"})
"""What may be heard beside a wish for a reward that is named, and is not answered as well."""
_PLAIN: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("points_query", re.compile(
        r"^.{0,6}(?:有|剩|查|看|攒了?).{0,3}(?:多少|几|好多)?(?:积|机|级|鸡|计|几)?[分份粉](?:了|啊|呀|啦|呢|吗|"
        r"来着)?[?？]?$|"
        r"^(?:积|机|级|鸡|计|几)分(?:查询|余额|多少|呢)?[?？]?$|"
        r"(?:这个?月|上个?月|今年|去年|本月|上周|这周|最近).{0,6}(?:一共|总共)?(?:赚|挣|攒|花|用|得)了?(?:多少|"
        r"几)(?:分|积分)?[?？]?$")),
    ("membership", re.compile(r"^(?:帮我)?(?:绑定?|登记|换绑)(?:一下)?(?:手机|电话|号码)")),
    ("check_in", re.compile(r"连续?(?:签到|打卡)|(?:签到|打卡)了?(?:几|多少)天")),
)  # fmt: skip

_WISH: Final = re.compile(
    r"(?:哎|唉|等等|那|就|还是|我|又|[ ,，])*(?:想|要|想要)?(?:换|兑)"
    r"(?!货|尺|码|颜色|地址|个?号|人|手机|绑|成|药|退|季|购|班|句话|你)"
)
_PLANS: Final = re.compile(r"[年月季周]卡(?!路里|片|顿)")
_WHAT_FOR_POINTS: Final = re.compile(
    r"(?:什么|啥|哪些|哪个|咩|乜|边个)(?:东西|礼品|嘢)?(?:是)?(?:能|可以|够)(?:换|兑)|"
    r"(?:能|可以|够)(?:换|兑)(?:点|些)?(?:什么|啥|哪些|咩|乜)"
)
FAINT: Final = 0.8
_PROMOTION: Final = re.compile(r"(?:有|什么|啥|没|搞|做|参加).{0,4}(?:优惠|活动|折扣)(?!券|卷)")
_COST: Final = re.compile(r"^(?!.*(?:剩|我有|我还有|攒|送|得|赚)).*(?:多少|几)(?:个)?(?:积分|分)")
_ALSO_WISH: Final = re.compile(r"(?:顺便|顺带|另外|然后|还想|再)(?:帮我|给我|我|想|要|用积分)*[换兑](?!货|成)")
_BIRTHDAY: Final = re.compile(r"生日.{0,6}(?:优惠|福利|活动|折扣|积分|双倍|好处|有什么|有啥)")
_OF_BIRTHDAY: Final = frozenset({"membership", "promotion_query", "points_rules", "purchase_intent"})
_HOW_TO_HAVE: Final = re.compile(r"(?:怎么|如何|咋|怎样)(?:才能|能|可以)?[换兑](?!货)")
_NO_WISH: Final = re.compile(r"货|退|坏|碎|破|错|漏|新的|收到|买|约|时间|[点号天周]")
_GRAVE: Final = frozenset({"opt_out", "complaint", "human_agent"})
"""What no plain yes or no means, whatever it sounds like."""
_STOPS: Final = re.compile(r"停|stop|退订|td|拒收", re.IGNORECASE)


def settle(turn: Turn, found: list[str]) -> list[str]:
    """The scenarios a message has, with its plain words taken into account; those that were sure stay."""
    if not turn.is_automatic or turn.message.kind != "text":
        return found
    if _is_plain_answer(turn):
        found = [scenario for scenario in found if scenario not in _GRAVE]
    if points.asks_lapse(turn) and not {"points_query", "points_rules"} & set(found):
        found = [*(one for one in found if one != "points_redeem"), "points_query"]
    if _asks_cost(turn, found):
        return ["points_redeem"]
    if found and "points_redeem" not in found and _ALSO_WISH.search(turn.text) and reward_words.names_reward(turn):
        found = [*found, "points_redeem"]
    if set(found) <= _OF_BIRTHDAY and _BIRTHDAY.search(turn.text) and points.has_birthday_rule(turn):
        return ["points_rules"]
    if set(found) <= {"points_redeem"} and turn.dialog is None and allusions.is_said_again(turn):
        return []
    if set(found) <= _NEAR | {"points_redeem"} and turn.dialog is None and allusions.asked_after(turn) is not None:
        return ["points_redeem"]
    found = found or _plainly(turn)
    if (
        "points_redeem" in found
        and set(found) <= {"points_redeem", "points_rules"}
        and points.asks_worth(turn.text)
        and not reward_words.names_reward(turn)
    ):
        return ["points_rules"]
    if found == ["promotion_query"] and turn.brand.programme.plans and _PLANS.search(turn.text):
        return ["membership"]
    goods = "product_question" in found and knowledge.products_named(turn.text, turn.brand.programme)
    if goods and not re.search(r"换|兑|积分", turn.text):
        return found  # something the brand sells may be a reward as well; a question about the goods is about these
    if set(found) <= _NEAR | {"appointment"} and turn.dialog is None and shipping.speaks_of(turn):
        return ["points_redeem"]
    if "points_redeem" in found[:1] and set(found[1:]) <= _NEAR | _RIVALS and reward_words.speaks_of_reward(turn):
        return ["points_redeem"]
    is_faint = found in (["return_exchange"], ["appointment"]) and (
        turn.verdict.scenarios[0].score < FAINT or bool(_HOW_TO_HAVE.search(turn.text))
    )
    if is_faint and turn.dialog is None and not _NO_WISH.search(turn.text) and reward_words.speaks_of_reward(turn):
        return ["points_redeem"]
    if history.asks(turn.text) and set(found) <= _NEAR:
        return ["points_redeem"]
    if set(found) <= _NEAR and turn.dialog is None and allusions.asks_again(turn.text):
        return ["points_redeem"] if turn.facts.redemptions(turn.member_id) else found
    asks_price = found == ["promotion_query"] and bool(_PROMOTION.search(turn.text))
    if set(found) <= _NEAR and not asks_price and turn.dialog is None and reward_words.speaks_of_reward(turn):
        return ["points_redeem"]
    return found


def _plainly(turn: Turn) -> list[str]:
    """What words say that the classifier makes nothing of."""
    text = turn.text
    plain = [scenario for scenario, words in _PLAIN if words.search(text)][:1]
    if plain:
        return plain
    if points.asks_movement(turn):
        return ["points_query"]
    is_phone = bool(joining.read_phone(text)) and len(text) <= 25
    is_plan = bool(turn.brand.programme.plans) and bool(_PLANS.search(text))
    if membership.speaks_of_tier(turn) or is_phone or is_plan:
        return ["membership"]
    return ["points_redeem"] if _WHAT_FOR_POINTS.search(text) or history.asks(text) or _WISH.match(text) else []


def _asks_cost(turn: Turn, found: list[str]) -> bool:
    """Whether a message asks what a reward costs: 随行杯多少积分. 换完还剩多少积分 is about the balance."""
    is_near = set(found) <= _NEAR | {"points_query", "points_rules", "points_redeem"}
    return is_near and bool(_COST.search(turn.text)) and reward_words.names_reward(turn) and turn.dialog is None


def _is_plain_answer(turn: Turn) -> bool:
    """A short yes or no belongs to what is open, and 取消 alone takes nobody off any list."""
    if read_answer(turn.text) is Answer.NEITHER:
        return False
    return turn.dialog is not None or not _STOPS.search(turn.text)
