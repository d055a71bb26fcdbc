"""Selling: somebody is running out, or a friend wants it too. In kf an answer, elsewhere a prompt for the rep."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from handlers import complaints
from handlers.supplies import newest
from handlers.talk.turn import Prompt, Say, Scene, Turn
from loyalty.orders import Purchase
from loyalty.programme import Product

MAX_WORDS: Final = 4


def refill(turn: Turn) -> Scene:
    """快吃完了: offer the bundle of what was bought last."""
    bought = last_bought(turn)
    product = bought[1] if bought else None
    variables = {"product": product.name if product else "", "bundle": product.bundle if product else ""}
    if turn.is_automatic:
        calm = product is not None and not complaints.is_angry(turn)
        yield Say(turn.reply("bundle" if calm else "bundle_unknown", **variables))
        return
    why = "; ".join(filter(None, (explain_words(turn, "running_out"), explain_order(turn, bought))))
    yield Prompt("running_out", why, turn.reply("rep_running_out", **variables))


def bring_friend(turn: Turn) -> Scene:
    """同事问这是什么牌子: help the customer to pass it on."""
    bought = last_bought(turn)
    product = bought[1].name if bought else ""
    if turn.is_automatic:
        yield Say(turn.reply("friend", product=product))
        return
    why = "; ".join(filter(None, (explain_words(turn, "buying_for_friend"), explain_order(turn, bought))))
    yield Prompt("buying_for_friend", why, turn.reply("rep_buying_for_friend", product=product))


def last_bought(turn: Turn) -> tuple[Purchase, Product] | None:
    """The newest purchase of something the programme knows; a product named in the message goes first."""
    bought = newest(turn.facts.purchases(turn.member_id), turn.brand.programme, turn.text)
    return bought and bought[:2]


def explain_words(turn: Turn, scenario_id: str) -> str:
    """Which words and how sure: the part of the reason that stands in the message."""
    score = next((scored.score for scored in turn.verdict.scenarios if scored.id == scenario_id), 0.0)
    own = next((reason for reason in turn.verdict.reasons if reason.startswith(scenario_id)), "")
    words = "、".join(own.partition(": ")[2].split()[:MAX_WORDS])
    return f"听到“{words}” (把握 {score:.0%})" if words else f"把握 {score:.0%}"


def explain_order(turn: Turn, bought: tuple[Purchase, Product] | None) -> str:
    """What the order history says: the part of the reason that stands in facts."""
    if bought is None:
        return "没有查到订单"
    purchase, product = bought
    days = _days_between(purchase.at, turn.now)
    cycle = f", 一般 {product.cycle_days} 天用完" if product.cycle_days else ""
    return f"{days} 天前买过 {product.name}{cycle}"


def _days_between(earlier: datetime, later: datetime) -> int:
    return max(0, (later - earlier).days)
