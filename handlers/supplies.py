"""How far a customer should be through what they bought: the facts that settle whether 差不多了 means running out."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Final

from handlers.brand import Understanding
from handlers.facts import Facts
from intents import supply
from intents.classifier import PRIVATE_CHATS, Verdict
from intents.supply import Supply
from loyalty.orders import Purchase
from loyalty.programme import Product, Programme

FEWEST_FOR_RHYTHM: Final = 3
DAY_S: Final = 86_400


def is_open(verdict: Verdict, text: str, chat: str) -> bool:
    """Whether the order history could change what was understood."""
    return supply.heard_in(verdict, _weighed(text, chat)) is not None


def settle(
    verdict: Verdict, understanding: Understanding, facts: Facts, programme: Programme, member_id: int, text: str,
    chat: str, now: datetime,
) -> Verdict:  # fmt: skip
    """The verdict with the member's orders taken into account; unchanged where there are none or nothing is open."""
    if not is_open(verdict, text, chat):
        return verdict
    return supply.settle(verdict, supply_of(facts.purchases(member_id), programme, text, now),
                         understanding.cut(supply.SCENARIO, chat), _weighed(text, chat))  # fmt: skip


def _weighed(text: str, chat: str) -> str:
    # 快了 with nothing around it is taken for a supply only where the customer talks to the brand.
    return text if chat in PRIVATE_CHATS else ""


def supply_of(purchases: tuple[Purchase, ...], programme: Programme, text: str, now: datetime) -> Supply | None:
    """What the newest purchase should still hold; a product named in the message goes first.

    The quantity bought stretches the product's cycle; the own rhythm is the middle of the gaps between at least
    three purchases of the same product.
    """
    bought = newest(purchases, programme, text)
    if bought is None:
        return None
    purchase, product, quantity = bought
    moments = sorted(one.at for one in purchases if any(item.sku == product.sku for item in one.items))
    gaps = [(later - earlier).total_seconds() / DAY_S for earlier, later in pairwise(moments)]
    rhythm = median(gaps) if len(moments) >= FEWEST_FOR_RHYTHM and min(gaps) > 0 else None
    cycle = product.cycle_days * quantity if product.cycle_days else None
    return Supply(max(0.0, (now - purchase.at).total_seconds() / DAY_S), cycle, rhythm)


def newest(
    purchases: tuple[Purchase, ...], programme: Programme, text: str
) -> tuple[Purchase, Product, int] | None:
    """The newest purchase of something the programme knows, with its quantity; what the text names goes first."""
    found = [
        (purchase, product, item.quantity)
        for purchase in purchases
        for item in purchase.items
        if (product := programme.product(item.sku)) is not None
    ]
    named = [one for one in found if any(word in text for word in (one[1].name, *one[1].aliases))]
    return next(iter(named or found), None)
