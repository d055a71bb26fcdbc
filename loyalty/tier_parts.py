"""Tiers as a brand writes them: what reaches them, what keeps them, what they give."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from loyalty.parts import Part, Slug, Text


class Tier(Part):
    """A level, reached by what a member has paid or, where given, by growth value; `factor` multiplies points earned.

    `keep_amount_fen` and `keep_growth` are what keeps it for another period; without them the same as reaching it.
    """

    id: Slug
    name: Text
    from_amount_fen: NonNegativeInt
    from_growth: PositiveInt | None = None
    keep_amount_fen: NonNegativeInt | None = None
    keep_growth: PositiveInt | None = None
    factor: Annotated[Decimal, Field(ge=1, le=100)] = Decimal(1)
    benefits: tuple[Text, ...] = ()

    def reached_by(self, amount_fen: int, growth: int) -> bool:
        """Whether this much paid, or this much growth value, reaches it."""
        return amount_fen >= self.from_amount_fen or (self.from_growth is not None and growth >= self.from_growth)

    def kept_by(self, amount_fen: int, growth: int) -> bool:
        """Whether this much in the last period keeps it."""
        enough_fen = self.from_amount_fen if self.keep_amount_fen is None else self.keep_amount_fen
        enough_growth = self.from_growth if self.keep_growth is None else self.keep_growth
        return amount_fen >= enough_fen or (enough_growth is not None and growth >= enough_growth)


class TierPolicy(Part):
    """How long tiers last. Reaching counts the last `counts_days` (none: as long as a tier is valid). A tier holds
    `valid_days` (none: for ever); then it is kept by what came meanwhile, or after `grace_days` more lost: one step
    down, or down to what is still reached."""

    counts_days: PositiveInt | None = None
    valid_days: PositiveInt | None = None
    grace_days: NonNegativeInt = 0
    drop: Literal["one", "reached"] = "one"

    @property
    def counting_days(self) -> int | None:
        """How many days count for reaching: a tier that was lost is not reached again by what is older."""
        return self.counts_days or self.valid_days


def refuse_flat(tiers: Sequence[Tier]) -> None:
    """Raise ValueError where a tier is not harder to reach than the one below it."""
    for field in ("from_amount_fen", "from_growth"):
        thresholds = [value for tier in tiers if (value := getattr(tier, field)) is not None]
        if thresholds != sorted(set(thresholds)):
            raise ValueError(f"tiers: {field} must rise from tier to tier")
