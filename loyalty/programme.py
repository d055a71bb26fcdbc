"""The programme a brand runs: earning, expiry, tiers, products, rewards. Pure data, checked whole."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from loyalty.behaviours import Behaviour
from loyalty.campaigns import Campaign
from loyalty.errors import UnknownReward
from loyalty.fraud_parts import FraudPolicy
from loyalty.identities import Matching
from loyalty.insight_parts import InsightPolicy
from loyalty.parts import Part as Part
from loyalty.parts import Slug as Slug
from loyalty.parts import Text as Text
from loyalty.parts import refuse_doubles
from loyalty.refund_parts import RefundPolicy
from loyalty.reward_parts import CouponType, Lottery, PaidPlan, StoredValue, named, refuse_misfits
from loyalty.reward_parts import Reward as Reward
from loyalty.rulebook import RuleBook
from loyalty.rules import Earning, Rule
from loyalty.segment_parts import Segment
from loyalty.tariff import Tariff
from loyalty.tier_parts import Tier as Tier
from loyalty.tier_parts import TierPolicy, refuse_flat


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


class Product(Part):
    """Something the brand sells; `cycle_days` is how long one piece lasts one person."""

    sku: Text
    name: Text
    aliases: tuple[Text, ...] = ()
    cycle_days: PositiveInt | None = None
    bundle: str = ""
    category: str = ""


class Programme(Part):
    """Everything a brand decides about its loyalty programme."""

    name: Text
    points_name: Text = "积分"
    timezone: str = "Asia/Shanghai"
    earning: Earning
    expiry: Expiry = Never()
    undo_within_min: NonNegativeInt = 60
    tiers: tuple[Tier, ...] = ()
    tier_policy: TierPolicy = TierPolicy()
    campaigns: tuple[Campaign, ...] = ()
    behaviours: tuple[Behaviour, ...] = ()
    costs: Tariff = Tariff()
    products: tuple[Product, ...] = ()
    rewards: tuple[Reward, ...] = ()
    coupons: tuple[CouponType, ...] = ()
    plans: tuple[PaidPlan, ...] = ()
    lotteries: tuple[Lottery, ...] = ()
    stored_value: StoredValue = StoredValue()
    refunds: RefundPolicy = RefundPolicy()
    matching: Matching = Matching()
    insights: InsightPolicy = InsightPolicy()
    fraud: FraudPolicy = FraudPolicy()
    segments: tuple[Segment, ...] = ()

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

    @cached_property
    def rulebook(self) -> RuleBook:
        """The earning rules made ready; made once, as the programme never changes."""
        factors = {tier.id: tier.factor for tier in self.tiers}
        categories = {product.sku: product.category for product in self.products if product.category}
        return RuleBook(self.earning, factors, {each.id: each for each in self.campaigns}, categories, self.zone)

    def campaign(self, campaign_id: str | None) -> Campaign | None:
        """The campaign with this id, or none."""
        return next((each for each in self.campaigns if each.id == campaign_id), None)

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
        refuse_doubles("segments", "id", (segment.id for segment in self.segments))
        refuse_flat(self.tiers)
        self._refuse_strays()
        for reward in self.rewards:
            if reward.tier is not None and self.tier_rank(reward.tier) < 0:
                raise ValueError(f"rewards: {reward.id!r} asks for tier {reward.tier!r}, which is not among tiers")
        refuse_misfits(self.rewards, self.coupons, self.plans, self.lotteries)
        return self

    def _refuse_strays(self) -> None:
        """What rules and behaviours name must be there."""
        parts: list[tuple[str, Rule | Behaviour]] = [
            *(("earning.rules", rule) for rule in self.earning.rules),
            *(("behaviours", behaviour) for behaviour in self.behaviours),
        ]
        refuse_doubles("campaigns", "id", (campaign.id for campaign in self.campaigns))
        refuse_doubles("earning.rules and behaviours", "id", (part.id for _, part in parts))
        for place, part in parts:
            if part.campaign is not None and self.campaign(part.campaign) is None:
                raise ValueError(f"{place}: {part.id!r} belongs to campaign {part.campaign!r}, "
                                 "which is not among campaigns; add it or take the key out")
        for rule in self.earning.rules:
            for tier in rule.tiers:
                if self.tier_rank(tier) < 0:
                    raise ValueError(f"earning.rules: {rule.id!r} asks for tier {tier!r}, which is not among tiers")
