"""What facts settle where the classifier finds nothing: a product that is named, a visit that stands, an order."""

from __future__ import annotations

import re
from typing import Final

from handlers import appointments, knowledge, logistics
from handlers.appointment_reading import CHANGE, local_now, names_service, upcoming
from handlers.moments import read_moment
from handlers.talk.turn import Turn

_ASKS: Final = re.compile(
    r"[?？]|[吗么嘛呢]$|什么|怎么|多少|哪|几|能不能|可不可以|可以.{0,6}吗|是不是|有没有|会不会|要不要|啥|咋|[^不]不$"
)
_PARCEL: Final = re.compile(r"快递|物流|发货|包裹|单号|派送|到货|签收")
_ADDRESS: Final = re.compile(r"地址.{0,4}[改换错]|[改换]一?下?.{0,4}地址")
_ONLY_HOUR: Final = re.compile(
    r"(?:那|就|我|想|要|可以|能)*(?:今天|明天|后天|大后天|(?:这|下|本)?(?:周|星期|礼拜)[一二三四五六日天末]|\d{1,2}[月号日]|\d{1,2}月\d{1,2}[号日])?"
    r"(?:早上|上午|中午|下午|傍晚|晚上|早|晚)?(?:\d{1,2}|[一二两三四五六七八九十]{1,3})(?:点|[:：]\d{2})(?:钟|整|半|一刻|三刻|\d{1,2}分?)?"
    r"(?:左右|以后)?(?:过来|来|到|去)?(?:可以|行|方便|有位|有空|能来)?[吗么不]?"
)
_ANGRY: Final = re.compile(
    r"气人|气死(?:我|了|个)|太过分|骗子|太?差劲|垃圾(?!桶|袋|分类|食品)|忍不了|火大|态度.{0,4}(?:差|恶劣|不好|恶心)"
)
_BOOK: Final = re.compile(r"预约|(?:^|我|想|要|帮|给我|再)约(?!会|饭|等|定|好)|有位|空位|留个位")


def settle(turn: Turn, found: list[str]) -> list[str]:
    """The scenarios of a private message; what was found stays."""
    if found == ["product_question"] and _is_visit(turn):
        return ["appointment"]
    if found or not turn.is_automatic or turn.message.kind != "text" or not 2 <= len(turn.text) <= 60:
        return found
    text = turn.text
    if _ANGRY.search(text):
        return ["complaint"]
    if appointments.speaks_of_delay(text) and upcoming(turn):
        return ["appointment"]
    if turn.brand.appointments.services:
        if appointments.asks_hours(text):
            return ["appointment"]
        if turn.dialog is None and appointments.asks_facts(text) and upcoming(turn):
            return ["appointment"]
        is_timed = read_moment(text, local_now(turn)).is_said
        if is_timed and CHANGE.search(text) and upcoming(turn):
            return ["appointment"]
        if _BOOK.search(text) or (is_timed and names_service(turn) is not None) or _is_bare_wish(turn):
            return ["appointment"]
    if logistics.names_number(text):
        return ["order_logistics"]
    if _ADDRESS.search(text) and logistics.known_orders(turn):
        return ["order_logistics"]
    if _PARCEL.search(text) and _ASKS.search(text) and logistics.known_orders(turn):
        return ["order_logistics"]
    if _ASKS.search(text) and knowledge.products_named(text, turn.brand.programme):
        return ["product_question"]
    return found


def _is_visit(turn: Turn) -> bool:
    """Whether what sounds like a question about goods names a service and a moment: 周日能上手冲课吗."""
    if not turn.is_automatic or names_service(turn) is None:
        return False
    is_timed = read_moment(turn.text, local_now(turn)).is_said
    return is_timed and not knowledge.products_named(turn.text, turn.brand.programme)


def _is_bare_wish(turn: Turn) -> bool:
    """Whether a message is nothing but an hour, or the name of a service: 七点, 周六晚上七点可以吗, 手冲体验课."""
    text = turn.text.strip("吧呀啊~。!！?？ ")
    if turn.dialog is not None:
        return False
    named = names_service(turn)
    if named is not None and text in (named.name, *named.aliases):
        return not knowledge.products_named(text, turn.brand.programme)
    return bool(_ONLY_HOUR.fullmatch(text)) and read_moment(text, local_now(turn)).at is not None
