"""Behaviours that earn without an order, as a brand writes them."""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import NonNegativeInt, PositiveInt, field_validator, model_validator

from loyalty.campaigns import Caps
from loyalty.conditions import ACTIVITY_FACTS, check
from loyalty.parts import Part, Slug, Text

Kind = Literal["join", "check_in", "group_topic", "ugc", "form", "survey", "radar_click", "referral", "share", "quiz",
               "blind_box", "red_packet"]
KINDS: tuple[str, ...] = get_args(Kind)
ONCE_A_DAY, ONCE_EVER = Caps(times_per_day=1), Caps(times_per_member=1)
_CAPS = {"check_in": ONCE_A_DAY, "join": ONCE_EVER}


class Gain(Part):
    """What somebody gets: points, growth value, chances in a lottery."""

    points: NonNegativeInt = 0
    growth: NonNegativeInt = 0
    chances: NonNegativeInt = 0

    def amounts(self) -> list[tuple[str, int]]:
        """What is above 0, by asset."""
        return [(asset, amount) for asset, amount in
                (("points", self.points), ("growth", self.growth), ("chances", self.chances)) if amount]


class StreakBonus(Part):
    """What comes on top on the `days`th day in a row; with `again` on every further multiple of it."""

    days: PositiveInt
    gain: Gain
    again: bool = False

    def due(self, streak_days: int) -> bool:
        """Whether a streak of this length has just earned it."""
        return streak_days == self.days or (self.again and streak_days % self.days == 0)


class Behaviour(Part):
    """Something a member does and what it gives.

    `every: 3` gives at the third, sixth, ... time. `once_per` names a fact (link, form, topic, quiz): the same value
    counts once a member. `approval` makes it wait for somebody to decide. `friend` is what the referred person gets.
    """

    id: Slug
    kind: Kind
    name: Text
    campaign: Slug | None = None
    gain: Gain = Gain()
    friend: Gain = Gain()
    every: PositiveInt = 1
    streaks: tuple[StreakBonus, ...] = ()
    once_per: Literal["link", "form", "topic", "quiz"] | None = None
    approval: bool = False
    when: str | None = None
    caps: Caps = Caps()
    cost_fen: NonNegativeInt = 0

    @property
    def limits(self) -> Caps:
        """Its caps; a check-in counts once a day and joining once ever where the file says nothing."""
        return self.caps if self.caps.any else _CAPS.get(self.kind, self.caps)

    @field_validator("when")
    @classmethod
    def _condition(cls, value: str | None) -> str | None:
        return None if value is None else check(value, ACTIVITY_FACTS)

    @model_validator(mode="before")
    @classmethod
    def _approve_ugc(cls, data: object) -> object:
        """What customers publish is looked at before it earns, unless the file says otherwise."""
        return {"approval": True} | data if isinstance(data, dict) and data.get("kind") == "ugc" else data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.streaks and self.kind != "check_in":
            raise ValueError(f"{self.id!r}: only a check_in has streaks; use every for the rest")
        if self.friend.amounts() and self.kind != "referral":
            raise ValueError(f"{self.id!r}: only a referral has a friend")
        return self
