"""What a programme says about orders that are given back."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from loyalty.parts import Part


class RefundPolicy(Part):
    """What happens where points of a refunded order have been spent already.

    `negative`: the member owes them, later points repay first. `zero`: what is there is taken, the rest waived.
    `stored_value`: the rest is taken from stored value at `fen_per_point` (without it `costs.point_value_fen`), and
    waived where that does not reach.
    """

    spent_points: Literal["negative", "zero", "stored_value"] = "negative"
    fen_per_point: Annotated[Decimal, Field(gt=0, le=10_000)] | None = None
