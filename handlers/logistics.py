"""Orders and parcels: what is known is told, in private; address and invoice become a case for the rep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from zlib import crc32

from handlers import cases, knowledge
from handlers.parcels import KnownOrder, orders_of
from handlers.talk.answers import Answer, is_courtesy, read_answer, read_number
from handlers.talk.turn import Ask, Close, Prompt, Say, Scene, Turn, Write

ORDERS: Final = "orders"
STALE: Final = timedelta(days=3)
OLD: Final = timedelta(days=45)
MOST_SHOWN: Final = 3
_ADDRESS: Final = re.compile(
    r"地址|改到.{0,12}(?:栋|号楼|单元|室)|收件人|收货人|(?:电话|手机|号码).{0,8}(?:改|换|错|旧)|(?:改|换).{0,4}(?:电话|手机|收件)"
)
_INVOICE: Final = re.compile(r"发票|开票|专票|普票|抬头|税号|電子發票|發票")
_TROUBLE: Final = re.compile(
    r"没动|不动|没更新|没有更新|不更新|没收到|没拿到|丢|少了|只到了|卡在|卡着|停了|退回|签收了?但|显示签收|显示已签收|没给我|弄丢|还没收|没到货"
)
_WISH: Final = re.compile(
    r"顺丰|周末派|送货上门|驿站|别打电话|合并|拆|海外|新疆|乡镇|自提|加急|催|晚点发|先别发|拦截|取消订单|不要了"
)
_ORDER_NUMBER: Final = re.compile(
    r"(?:订单号?|单号)[是为:： ]*([A-Za-z]{0,6}-?\d{4,24})|^\s*([A-Za-z]{2,6}-?\d{5,24})\s*$", re.IGNORECASE
)
_TAIL: Final = re.compile(r"(?<!\d)(\d{4,})(?!\d)")
_NEW_ADDRESS: Final = re.compile(
    r"[一-龥\d]{2,}(?:省|市|区|县|路|街|道|镇|村|小区|单元|室|弄|苑|园|城|花园|大厦|广场)|[一二三四五六七八九十\d]+(?:栋|幢|号楼|楼|座)|"
    r"1\d{10}"
)
_TITLE: Final = re.compile(r"公司|个人|抬头|税号|企业|工作室|[0-9A-Za-z]{15,20}")


def tell(turn: Turn) -> Scene:
    """什么时候发货 / 到哪了: carrier, number and state of the order that is meant."""
    orders = known_orders(turn)
    order = meant(turn.text, orders, turn) if orders else None
    if not turn.is_automatic:
        yield from _prepare(turn, orders, order)
    elif _INVOICE.search(turn.text):
        yield from _collect(turn, "invoice", order or (orders[0] if orders else None))
    elif _ADDRESS.search(turn.text):
        yield from _collect(turn, "address", order or (orders[0] if orders else None))
    elif not orders:
        yield from _tell_unknown(turn)
    else:
        yield from _tell_known(turn, orders, order)


def names_number(text: str) -> bool:
    """Whether a message is an order's number, with little beside it."""
    return bool(_ORDER_NUMBER.search(text)) and len(text) <= 40


def _tell_unknown(turn: Turn) -> Scene:
    """No order is known: the number is asked for, and once it is there a person looks it up."""
    number = _ORDER_NUMBER.search(turn.text)
    if number is None:
        yield Say(turn.reply("order_none"))
        yield Prompt("order_logistics", "客户问订单物流, 名下没有查到订单", turn.reply("rep_order"), private=True)
        return
    said = number[1] or number[2]
    yield Say(turn.reply("order_number_taken", number=said))
    why = "客户发来订单号, 名下没有这一单, 请核对"
    task = f"order_number:{crc32(said.encode()):08x}"
    yield Prompt(task, why, turn.reply("rep_order"), (("订单号", said),), private=True, title="订单物流")


def collect(turn: Turn) -> Scene:
    """The new address or the title of the invoice, in the customer's own words."""
    assert turn.dialog is not None
    state = turn.dialog.state
    if read_answer(turn.text) is Answer.NO:
        yield Close()
        yield Say(turn.reply("case_never_mind"))
    elif _is_filled(state["kind"], turn.text) or (state.get("again") and len(turn.text) >= 2):
        yield from _hand_in(turn, state["kind"], state["order"], f"{state['said']} {turn.text}".strip())
    else:
        yield Ask("order_case", state | {"again": True})
        yield Say(turn.reply(f"{state['kind']}_ask", order=state["order"]["title"] if state["order"] else ""))


def is_about(turn: Turn) -> bool:
    """Whether a message gives what was asked for, or declines."""
    assert turn.dialog is not None
    return _is_filled(turn.dialog.state["kind"], turn.text) or read_answer(turn.text) is Answer.NO


def known_orders(turn: Turn) -> tuple[KnownOrder, ...]:
    """The member's last orders, newest first."""
    found: dict[int, tuple[KnownOrder, ...]] = turn.facts.look_up(ORDERS, orders_of)
    return found.get(turn.member_id, ())


def meant(text: str, orders: Sequence[KnownOrder], turn: Turn, shown: Sequence[int] = ()) -> KnownOrder | None:
    """The order a text names by its number, its end, a product in it or the place in a list; the only one there is."""
    number = read_number(text)
    if shown and number is not None and len(text) <= 6:
        by_id = {order.id: order for order in orders}
        return by_id.get(shown[number - 1]) if 1 <= number <= len(shown) else None
    lowered = text.lower()
    named = [order for order in orders if len(order.number) >= 4 and order.number.lower() in lowered]
    tails = _TAIL.findall(text)
    named = named or [order for order in orders if any(order.number.endswith(tail) for tail in tails)]
    skus = {product.sku for product in knowledge.products_named(text, turn.brand.programme)}
    named = named or [order for order in orders if any(item.sku in skus for item in order.items)]
    if named:
        return named[0]
    return orders[0] if len(orders) == 1 or re.search(r"最近|刚买|刚下|最新|上一单|昨天买", text) else None


def title_of(order: KnownOrder, turn: Turn) -> str:
    """An order as a customer would call it: the day and what was in it."""
    day = order.paid_at.astimezone(turn.brand.programme.zone)
    names = [_name(item.sku, item.name, turn) for item in order.items]
    more = "等" if len(names) > 2 else ""
    return f"{day.month}月{day.day}日的{'、'.join(names[:2])}{more}" if names else f"{day.month}月{day.day}日的订单"


def rows_of(order: KnownOrder | None, turn: Turn) -> tuple[tuple[str, str], ...]:
    """What the rep needs to know of an order."""
    if order is None:
        return (("订单", "没有查到, 请核对"),)
    rows = [("订单", f"{order.number} ({title_of(order, turn)})")]
    rows += [("物流", f"{p.carrier} {p.number} {p.words}") for p in order.parcels[:2]] or [("物流", "还没有发货记录")]
    return tuple(rows)


def _name(sku: str, name: str, turn: Turn) -> str:
    product = turn.brand.programme.product(sku)
    return product.name if product else name


def _tell_known(turn: Turn, orders: Sequence[KnownOrder], order: KnownOrder | None) -> Scene:
    asked = [order] if order else _under_way(orders, turn.now)
    lines = [_line(one, turn) for one in asked[:MOST_SHOWN]]
    yield Say(turn.reply("order_lines", lines=lines))
    why = _why_a_person(turn, asked)
    if why:
        yield Say(turn.reply("order_to_person"))
        yield Prompt("order_logistics", why, turn.reply("rep_order"), rows_of(asked[0], turn), private=True)


def _under_way(orders: Sequence[KnownOrder], now: datetime) -> list[KnownOrder]:
    """Those that have not arrived; else the newest one."""
    waiting = [order for order in orders if not order.is_delivered and now - order.paid_at < OLD]
    return waiting or [orders[0]]


def _line(order: KnownOrder, turn: Turn) -> dict[str, Any]:
    zone = turn.brand.programme.zone
    parcels = [
        {"carrier": p.carrier, "number": p.number, "words": p.words, "note": p.note,
         "at": f"{p.told_at.astimezone(zone):%-m月%-d日 %H:%M}"}
        for p in order.parcels[:2]
    ]  # fmt: skip
    return {"title": title_of(order, turn), "parcels": parcels}


def _why_a_person(turn: Turn, asked: Sequence[KnownOrder]) -> str:
    """Why the answer is not the end of it, or nothing."""
    newest = asked[0]
    if _TROUBLE.search(turn.text):
        return "客户说物流有问题, 请核对并联系快递"
    if _WISH.search(turn.text):
        return "客户对发货或派送有要求, 请安排"
    if not newest.parcels:
        return "客户问发货, 系统里还没有物流记录"
    parcel = newest.parcels[0]
    if parcel.state in {"problem", "returned"}:
        return f"物流{parcel.words}, 请联系快递"
    if parcel.state != "delivered" and turn.now - parcel.told_at > STALE:
        return f"物流超过 {STALE.days} 天没有更新, 请催一下"
    return ""


def _prepare(turn: Turn, orders: Sequence[KnownOrder], order: KnownOrder | None) -> Scene:
    """In groups nothing of an order is said: the rep gets the answer laid ready for the private chat."""
    about = order or (_under_way(orders, turn.now)[0] if orders else None)
    text = turn.reply("order_lines", lines=[_line(about, turn)]) if about else turn.reply("rep_order")
    why = "客户问订单物流"
    if _INVOICE.search(turn.text) or _ADDRESS.search(turn.text):
        why = "客户要开发票" if _INVOICE.search(turn.text) else "客户要改收货信息"
    yield Prompt("order_logistics", f"{why}, 只可私聊回复", text, rows_of(about, turn), private=True)


def _collect(turn: Turn, kind: str, order: KnownOrder | None) -> Scene:
    known = {"title": title_of(order, turn), "rows": [list(row) for row in rows_of(order, turn)]} if order else None
    if kind == "address" and order is not None and order.is_delivered:
        yield Say(turn.reply("address_too_late", order=title_of(order, turn)))
        why = "客户要改地址, 但已签收"
        yield Prompt("order_logistics", why, turn.reply("rep_order"), rows_of(order, turn), private=True)
    elif _is_filled(kind, turn.text):
        yield from _hand_in(turn, kind, known, turn.text)
    else:
        yield Ask("order_case", {"kind": kind, "order": known, "said": turn.text[:200]})
        yield Say(turn.reply(f"{kind}_ask", order=known["title"] if known else ""))


def _is_filled(kind: str, text: str) -> bool:
    if is_courtesy(text) or text.endswith(("?", "？", "吗")):
        return False
    return bool((_NEW_ADDRESS if kind == "address" else _TITLE).search(text))


def _hand_in(turn: Turn, kind: str, order: dict[str, Any] | None, said: str) -> Scene:
    yield Close()
    facts = {"order": order, "said": said[:500]}
    opened = partial(_open, kind=kind, member_id=turn.member_id, chat=turn.message.chat, facts=facts, now=turn.now)
    case: cases.Case = yield Write(f"{kind} case opened", opened)
    turn.facts.forget(cases.FACTS)
    yield Say(turn.reply(f"{kind}_taken", order=order["title"] if order else "", number=case.id))
    title = {"address": "改收货信息", "invoice": "开发票"}[kind]
    known = order["rows"] if order else rows_of(None, turn)
    rows = (*((str(name), str(value)) for name, value in known), ("客户说", said[:120]))
    quote = turn.reply("rep_case", kind=title)
    yield Prompt(f"case:{case.id}", f"客户要{title}, 请处理", quote, rows, private=True, title=title)


def _open(session: Any, key: str, **values: Any) -> cases.Case:
    return cases.put(session, f"{values['kind']}:{key}", values["kind"], values["member_id"], values["chat"], "open",
                     values["facts"], values["now"])  # fmt: skip
