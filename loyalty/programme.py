"""The programme a brand runs: earning, expiry, tiers, products, rewards. Pure data, checked whole."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from loyalty.errors import UnknownReward
from loyalty.parts import Part as Part
from loyalty.parts import Slug as Slug
from loyalty.parts import Text as Text
from loyalty.parts import refuse_doubles
from loyalty.reward_parts import CouponType, Lottery, PaidPlan, StoredValue, named, refuse_misfits
from loyalty.reward_parts import Reward as Reward


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
    coupons: tuple[CouponType, ...] = ()
    plans: tuple[PaidPlan, ...] = ()
    lotteries: tuple[Lottery, ...] = ()
    stored_value: StoredValue = StoredValue()

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

    def coupon(self, type_id: str) -> CouponType:
        """The coupon type with this id; raises UnknownOffer."""
        return named(self.coupons, "coupon type", type_id)

    def plan(self, plan_id: str) -> PaidPlan:
        """The paid plan with this id; raises UnknownOffer."""
        return named(self.plans, "plan", plan_id)

    def lottery(self, lottery_id: str) -> Lottery:
        """The lottery with this id; raises UnknownOffer."""
        return named(self.lotteries, "lottery", lottery_id)

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
        refuse_doubles("rewards", "id", (reward.id for reward in self.rewards))
        refuse_doubles("rewards", "name", (reward.name for reward in self.rewards))
        refuse_doubles("products", "sku", (product.sku for product in self.products))
        refuse_doubles("tiers", "id", (tier.id for tier in self.tiers))
        thresholds = [tier.from_amount_fen for tier in self.tiers]
        if thresholds != sorted(set(thresholds)):
            raise ValueError("tiers: from_amount_fen must rise from tier to tier")
        for reward in self.rewards:
            if reward.tier is not None and self.tier_rank(reward.tier) < 0:
                raise ValueError(f"rewards: {reward.id!r} asks for tier {reward.tier!r}, which is not among tiers")
        refuse_misfits(self.rewards, self.coupons, self.plans, self.lotteries)
        return self
