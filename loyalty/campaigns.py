"""Campaigns: dates, a budget that stops by itself, and caps; rules and behaviours hang on one by its id."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt, model_validator

from loyalty.parts import Part, Slug, Text


class Caps(Part):
    """The most one member gets, by times and by points, in a day and in all; none means without limit."""

    times_per_day: PositiveInt | None = None
    times_per_member: PositiveInt | None = None
    points_per_day: PositiveInt | None = None
    points_per_member: PositiveInt | None = None

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return self != _NO_CAPS


_NO_CAPS = Caps()


class Budget(Part):
    """The most a campaign gives to everybody; `alert_at` is the part used at which an event is written."""

    points: PositiveInt | None = None
    money_fen: PositiveInt | None = None
    grants: PositiveInt | None = None
    alert_at: Annotated[Decimal, Field(gt=0, le=1)] = Decimal("0.8")

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.points is None and self.money_fen is None and self.grants is None:
            raise ValueError("a budget limits something; give points, money_fen or grants")
        return self


class Campaign(Part):
    """A time in which rules and behaviours count; `cost_fen` is what it costs beside points (posters, prizes)."""

    id: Slug
    name: Text
    open_from: AwareDatetime | None = None
    open_to: AwareDatetime | None = None
    budget: Budget | None = None
    caps: Caps = Caps()
    cost_fen: NonNegativeInt = 0

    def is_open(self, at: datetime) -> bool:
        """Whether it counts at this moment; `open_to` itself is over."""
        return (self.open_from is None or self.open_from <= at) and (self.open_to is None or at < self.open_to)

    @model_validator(mode="after")
    def _dates_in_order(self) -> Self:
        if self.open_from and self.open_to and self.open_from >= self.open_to:
            raise ValueError("open_to must be after open_from")
        return self
