"""What things cost the brand, as far as the programme file says it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from loyalty.parts import Part


class Tariff(Part):
    """`point_value_fen`: what a point costs when it is spent; without it, what the rewards give for a point.
    `margin`: the part of a sale that is left after its goods, for the return of a campaign."""

    point_value_fen: Annotated[Decimal, Field(ge=0, le=10_000)] | None = None
    margin: Annotated[Decimal, Field(gt=0, le=1)] = Decimal(1)
