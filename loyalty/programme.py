"""The programme a brand runs: earning, expiry, tiers, products, rewards. Pure data, checked whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from loyalty.errors import UnknownReward

Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Text = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """A piece of the programme: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Never(Part):
    """Points that do not lapse."""

    rule: Literal["never"] = "never"


class AfterDays(Part):
    """Points that lapse at the end of the local day `days` after they were earned."""

    rule: Literal["after_days"]
    days: PositiveInt


class EndOfMonth(Part):
    """Points that lapse at the end of the month, `months` months later (0: the month they were earned in)."""

    rule: Literal["end_of_month"]
    months: NonNegativeInt = 0


class EndOfYear(Part):
    """Points that lapse at the end of the year, `years` years later (0: the year they were earned in)."""

    rule: Literal["end_of_year"]
    years: NonNegativeInt = 0


Expiry = Annotated[Never | AfterDays | EndOfMonth | EndOfYear, Field(discriminator="rule")]


class Earning(Part):
    """Points for a paid order: rate on the whole amount, rounded down, then the tier's factor, then the cap."""

    points_per_yuan: Annotated[Decimal, Field(ge=0, le=10_000)]
    from_amount_fen: NonNegativeInt = 0
    most_per_order: PositiveInt | None = None


class Product(Part):
    """Something the brand sells; `cycle_days` is how long one piece lasts one person."""

    sku: Text
    name: Text
    aliases: tuple[Text, ...] = ()
    cycle_days: PositiveInt | None = None
    bundle: str = ""


class Reward(Part):
    """Something points can be given for; `stock` is the first stock (none: no limit), later it lives in the database.

    `way` is how the member gets it: `verify` shows a code in the shop, `ship` is sent by parcel, `coupon` is used in
    the online shop; `handover` is the sentence the member reads about it.
    """

    id: Slug
    name: Text
    aliases: tuple[Text, ...] = ()
    cost_points: PositiveInt
    stock: NonNegativeInt | None = None
    per_member: PositiveInt | None = None
    way: Literal["verify", "ship", "coupon"] = "verify"
    handover: str = ""
    value_fen: NonNegativeInt = 0
    description: str = ""
    tier: Slug | None = None
    open_from: AwareDatetime | None = None
    open_to: AwareDatetime | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether it can be redeemed at this moment; `open_to` itself is over."""
        return (self.open_from is None or self.open_from <= now) and (self.open_to is None or now < self.open_to)

    @model_validator(mode="after")
    def _dates_in_order(self) -> Self:
        if self.open_from and self.open_to and self.open_from >= self.open_to:
            raise ValueError("open_to must be after open_from")
        return self


class Tier(Part):
    """A level, reached by what a member has paid in all; `factor` multiplies points earned."""

    id: Slug
    name: Text
    from_amount_fen: NonNegativeInt
    factor: Annotated[Decimal, Field(ge=1, le=100)] = Decimal(1)
    benefits: tuple[Text, ...] = ()


class Programme(Part):
    """Everything a brand decides about its loyalty programme."""

    name: Text
    points_name: Text = "积分"
    timezone: str = "Asia/Shanghai"
    earning: Earning
    expiry: Expiry = Never()
    undo_within_min: NonNegativeInt = 60
    tiers: tuple[Tier, ...] = ()
    products: tuple[Product, ...] = ()
    rewards: tuple[Reward, ...] = ()

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which days, months and years of this programme end."""
        return ZoneInfo(self.timezone)

    def reward(self, reward_id: str) -> Reward:
        """The reward with this id; raises UnknownReward."""
        for reward in self.rewards:
            if reward.id == reward_id:
                return reward
        raise UnknownReward(reward_id)

    def product(self, sku: str) -> Product | None:
        """The product with this sku, or none: orders may carry goods the programme does not know."""
        return next((product for product in self.products if product.sku == sku), None)

    def tier_rank(self, tier_id: str | None) -> int:
        """Place of a tier from 0 upwards; -1 for none or one that is gone."""
        return next((rank for rank, tier in enumerate(self.tiers) if tier.id == tier_id), -1)

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no such time zone {value!r}; write one like Asia/Shanghai") from error
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _refuse_doubles("rewards", "id", (reward.id for reward in self.rewards))
        _refuse_doubles("rewards", "name", (reward.name for reward in self.rewards))
        _refuse_doubles("products", "sku", (product.sku for product in self.products))
        _refuse_doubles("tiers", "id", (tier.id for tier in self.tiers))
        thresholds = [tier.from_amount_fen for tier in self.tiers]
        if thresholds != sorted(set(thresholds)):
            raise ValueError("tiers: from_amount_fen must rise from tier to tier")
        for reward in self.rewards:
            if reward.tier is not None and self.tier_rank(reward.tier) < 0:
                raise ValueError(f"rewards: {reward.id!r} asks for tier {reward.tier!r}, which is not among tiers")
        return self


def _refuse_doubles(place: str, field: str, values: Iterable[str]) -> None:
    doubled = [value for value, count in Counter(values).items() if count > 1]
    if doubled:
        raise ValueError(f"{place}: {field} {doubled[0]!r} stands twice; give each its own")
