"""Earning rules as a brand writes them: what an order must be like, and what it gives then."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from loyalty.campaigns import Caps
from loyalty.conditions import ORDER_FACTS, check
from loyalty.parts import Part, Slug, Text

Asset = Literal["points", "growth", "chances"]
Rate = Annotated[Decimal, Field(ge=0, le=10_000)]

BASE = "base"
"""Id of the rule that `points_per_yuan` is; it has priority 0 and comes first among its equals."""


class Rule(Part):
    """One earning rule: all filters given must hold; it gives exactly one of `points`, `points_per_piece`,
    `points_per_yuan` and `times`.

    Where `skus` or `categories` are given, pieces and yuan are those of the matching lines alone. `times: 2` adds once
    more what the base rate gives. Rules are looked at from the highest priority down, then in the order of the file,
    and add up; of one `group` only the first that gives something counts, and after a rule with `last` none does.
    """

    id: Slug
    name: Text
    campaign: Slug | None = None
    asset: Asset = "points"
    points: PositiveInt | None = None
    points_per_piece: PositiveInt | None = None
    points_per_yuan: Rate | None = None
    times: Annotated[Decimal, Field(gt=1, le=100)] | None = None
    sources: tuple[Text, ...] = ()
    shops: tuple[Text, ...] = ()
    skus: tuple[Text, ...] = ()
    categories: tuple[Text, ...] = ()
    tiers: tuple[Slug, ...] = ()
    from_amount_fen: NonNegativeInt = 0
    first_order: bool = False
    birthday: Literal["day", "week", "month"] | None = None
    when: str | None = None
    with_tier_factor: bool = False
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    group: Slug | None = None
    last: bool = False
    most_per_order: PositiveInt | None = None
    caps: Caps = Caps()

    @field_validator("when")
    @classmethod
    def _condition(cls, value: str | None) -> str | None:
        return None if value is None else check(value, ORDER_FACTS)

    @field_validator("id")
    @classmethod
    def _not_base(cls, value: str) -> str:
        if value == BASE:
            raise ValueError("base is the rule that points_per_yuan makes; choose another id")
        return value

    @model_validator(mode="after")
    def _gives_one_thing(self) -> Self:
        given = [name for name in ("points", "points_per_piece", "points_per_yuan", "times")
                 if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"{self.id!r} gives {' and '.join(given) or 'nothing'}; "
                             "write exactly one of points, points_per_piece, points_per_yuan, times")
        if self.times is not None and self.asset != "points":
            raise ValueError(f"{self.id!r}: times multiplies points; take asset out or give points_per_yuan")
        return self


class Earning(Part):
    """Points for a paid order: the base rate on the whole amount times the tier's factor, rounded down, plus the
    rules; `most_per_order` limits the points of all of them together. They can be spent after `pending_days`."""

    points_per_yuan: Rate
    growth_per_yuan: Rate = Decimal(0)
    from_amount_fen: NonNegativeInt = 0
    most_per_order: PositiveInt | None = None
    pending_days: Annotated[int, Field(ge=0, le=365)] = 0
    rules: tuple[Rule, ...] = ()
