"""A basket before it is paid, and what a discount takes off it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from loyalty.parts import Part, Text
from loyalty.reward_parts import CouponType


class Line(Part):
    """One product of a basket; `amount_fen` is the price of the whole line."""

    sku: Text
    amount_fen: Annotated[int, Field(ge=0, le=10**12)]
    quantity: PositiveInt = 1
    category: str = ""


class Basket(Part):
    """What a member is about to buy."""

    lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=500)]

    @property
    def amount_fen(self) -> int:
        """The price of everything."""
        return sum(line.amount_fen for line in self.lines)

    @property
    def body(self) -> list[list[object]]:
        """What makes it the same basket."""
        return [[line.sku, line.amount_fen, line.quantity, line.category] for line in self.lines]


def discount(coupon: CouponType, basket: Basket) -> tuple[int, str]:
    """Fen the coupon takes off the lines it is for, and why it takes nothing; percent are rounded down to the fen."""
    lines = [line for line in basket.lines if _is_for(coupon, line)]
    amount_fen = sum(line.amount_fen for line in lines)
    if not lines:
        return 0, "nothing in the basket is what it is for"
    if amount_fen < coupon.threshold_fen:
        return 0, f"{coupon.threshold_fen - amount_fen} fen are missing to its threshold of {coupon.threshold_fen}"
    if coupon.percent_off is not None:
        off = percent_of(amount_fen, coupon.percent_off, coupon.most_off_fen)
    else:
        off = min(coupon.amount_off_fen or 0, amount_fen)
    return (off, "") if off else (0, "it takes nothing off this basket")


def percent_of(amount_fen: int, percent: int, most_fen: int | None) -> int:
    """So many percent, rounded down to the fen, at most `most_fen`."""
    off = amount_fen * percent // 100
    return off if most_fen is None else min(off, most_fen)


def _is_for(coupon: CouponType, line: Line) -> bool:
    return not (coupon.skus or coupon.categories) or line.sku in coupon.skus or line.category in coupon.categories
