"""What a programme file says about rewards, coupons, paid plans, stored value and lotteries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from string import Formatter
from typing import Annotated, Any, Literal, Protocol, Self, TypeVar

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from loyalty.errors import UnknownOffer
from loyalty.parts import Part, Slug, Text, refuse_doubles

MILLION = 1_000_000
LINK_FIELDS = frozenset({"token", "code", "member", "redemption", "reward", "quantity"})
Percent = Annotated[int, Field(ge=1, le=100)]
Way = Literal["verify", "ship", "coupon", "link", "page", "red_packet", "exchange"]
Kind = Literal["goods", "coupon", "cash", "benefit", "lottery"]


class Dated(Part):
    """Something that is open from one moment to another; without a date it is open on that side."""

    open_from: AwareDatetime | None = None
    open_to: AwareDatetime | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether it is open at this moment; `open_to` itself is over."""
        return (self.open_from is None or self.open_from <= now) and (self.open_to is None or now < self.open_to)

    @model_validator(mode="after")
    def _dates_in_order(self) -> Self:
        if self.open_from and self.open_to and self.open_from >= self.open_to:
            raise ValueError("open_to must be after open_from")
        return self


class Reward(Dated):
    """Something points can be given for; `stock` is the first stock (none: no limit), later it lives in the database.

    `kind` is what it is: `goods`; `coupon` issues a coupon of type `coupon`; `cash` is money off one order, `value_fen`
    a piece; `benefit` is a right, with `plan` the benefits of a paid plan; `lottery` gives `chances` to draw.

    `way` is how the member gets it: `verify` shows a code in the shop, `ship` is sent by parcel, `coupon` is used in
    the online shop, `link` jumps to `link`, `page` is our own member page, `red_packet` pays `value_fen` a piece,
    `exchange` hands out a code of `pool`. `handover` is the sentence the member reads about it; {link}, {code} and
    {codes} in it are filled in. A code not used within `valid_days` is over; `lapsed` says what becomes of the points.
    """

    id: Slug
    name: Text
    aliases: tuple[Text, ...] = ()
    cost_points: PositiveInt
    stock: NonNegativeInt | None = None
    per_member: PositiveInt | None = None
    per_member_month: PositiveInt | None = None
    kind: Kind = "goods"
    way: Way = "verify"
    handover: str = ""
    value_fen: NonNegativeInt = 0
    description: str = ""
    tier: Slug | None = None
    valid_days: PositiveInt | None = None
    lapsed: Literal["forfeit", "return"] = "forfeit"
    coupon: Slug | None = None
    plan: Slug | None = None
    chances: PositiveInt | None = None
    link: str | None = None
    pool: Slug | None = None
    low_pool: NonNegativeInt = 0
    from_amount_fen: NonNegativeInt = 0
    most_percent: Percent = 100

    @property
    def handed_in(self) -> bool:
        """Whether the member hands in a code for it; the other kinds and ways give something else at once."""
        return self.kind not in ("coupon", "lottery") and self.way not in ("red_packet", "exchange")

    @field_validator("link")
    @classmethod
    def _link_can_be_filled(cls, value: str | None) -> str | None:
        if value is None:
            return value
        if "://" not in value:
            raise ValueError("link must be a whole address with its scheme, as https://shop.example/claim?t={token}")
        try:
            fields = {field for _, field, _, _ in Formatter().parse(value) if field is not None}
        except ValueError as error:
            raise ValueError(f"link: {error}; write a brace that stays as {{{{ or }}}}") from error
        if fields - LINK_FIELDS:
            raise ValueError(f"link knows no {{{min(fields - LINK_FIELDS)}}}; it knows {sorted(LINK_FIELDS)}")
        return value

    @model_validator(mode="after")
    def _kind_and_way_fit(self) -> Self:
        needs = {"coupon": self.kind == "coupon", "chances": self.kind == "lottery", "link": self.way == "link",
                 "pool": self.way == "exchange"}
        for field, needed in needs.items():
            if needed and getattr(self, field) is None:
                raise ValueError(f"{field}: a reward of kind {self.kind} and way {self.way} needs it")
            if not needed and getattr(self, field) is not None:
                raise ValueError(f"{field}: means nothing with kind {self.kind} and way {self.way}; take it out")
        if self.plan is not None and self.kind != "benefit":
            raise ValueError("plan: only a reward of kind benefit opens a plan; take it out")
        if not self.value_fen and (self.kind == "cash" or self.way == "red_packet"):
            raise ValueError("value_fen: say how many fen one piece is worth")
        if self.valid_days is not None and not self.handed_in:
            raise ValueError(f"valid_days: kind {self.kind} by way {self.way} has no code to hand in; take it out")
        if self.way == "red_packet" and self.kind != "goods":
            raise ValueError(f"way: a red packet hands over money, not a {self.kind}; leave kind out")
        return self


class CouponType(Dated):
    """Money off an order: `amount_off_fen` or `percent_off` with `most_off_fen`; `threshold_fen` 0 is no threshold.

    `skus` and `categories` say what it is for, both empty: everything. Valid for `valid_days` local days from issue,
    or until `valid_to`, whichever is first. `open_from` and `open_to` are when it may be issued, `stock` how often.
    """

    id: Slug
    name: Text
    amount_off_fen: PositiveInt | None = None
    percent_off: Percent | None = None
    most_off_fen: PositiveInt | None = None
    threshold_fen: NonNegativeInt = 0
    skus: tuple[Text, ...] = ()
    categories: tuple[Text, ...] = ()
    valid_days: PositiveInt | None = None
    valid_to: AwareDatetime | None = None
    stock: NonNegativeInt | None = None
    per_member: PositiveInt | None = None
    stackable: bool = False

    @model_validator(mode="after")
    def _one_discount(self) -> Self:
        if (self.amount_off_fen is None) == (self.percent_off is None):
            raise ValueError("give either amount_off_fen or percent_off")
        if self.most_off_fen is not None and self.percent_off is None:
            raise ValueError("most_off_fen: only a discount by percent needs it; take it out")
        if self.valid_days is None and self.valid_to is None:
            raise ValueError("valid_days or valid_to: say how long it is valid")
        return self


class AddOn(Part):
    """加价购: a product a plan's member may add to an order of `from_order_fen` for `price_fen`."""

    sku: Text
    name: Text
    price_fen: NonNegativeInt
    from_order_fen: NonNegativeInt = 0
    per_order: PositiveInt = 1


class Trial(Part):
    """New products of which a plan's member may try `per_month` each local month."""

    skus: Annotated[tuple[Text, ...], Field(min_length=1)]
    per_month: PositiveInt = 1


class PaidPlan(Part):
    """A membership that is bought: its length, price, benefits, and what a cancelled one gives back."""

    id: Slug
    name: Text
    months: Annotated[int, Field(ge=1, le=60)]
    price_fen: NonNegativeInt
    percent_off: Percent | None = None
    most_off_fen: PositiveInt | None = None
    addons: tuple[AddOn, ...] = ()
    trial: Trial | None = None
    refund: Literal["pro_rata", "none"] = "pro_rata"
    whole_refund_days: NonNegativeInt = 0


class BonusStep(Part):
    """Who tops up `from_fen` or more gets `bonus_fen` on top; the highest step reached counts."""

    from_fen: PositiveInt
    bonus_fen: PositiveInt


class StoredValue(Part):
    """Money paid ahead. `spend_first` says which of principal and bonus an order takes first, or both by share.

    A refund gives back principal only and claws back its share of the bonus; `spent_bonus` says whether bonus that
    was spent already is charged against the refund or forgiven.
    """

    least_fen: PositiveInt = 100
    most_fen: PositiveInt = 500_000
    steps: tuple[BonusStep, ...] = ()
    spend_first: Literal["principal", "bonus", "share"] = "principal"
    bonus_days: PositiveInt | None = None
    spent_bonus: Literal["charge", "forgive"] = "charge"

    def bonus_for(self, amount_fen: int) -> int:
        """Bonus for a top-up of this amount."""
        return max((step.bonus_fen for step in self.steps if step.from_fen <= amount_fen), default=0)

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        for low, high in zip(self.steps, self.steps[1:], strict=False):
            if low.from_fen >= high.from_fen or low.bonus_fen >= high.bonus_fen:
                raise ValueError("stored_value.steps: from_fen and bonus_fen must rise from step to step")
        if self.least_fen > self.most_fen:
            raise ValueError("stored_value: least_fen must not be above most_fen")
        return self


class Prize(Part):
    """What a draw may give: points, a coupon, a reward or a red packet; nothing of these is a friendly word.

    `odds` are chances in a million. `stock` in all, `per_day` and `per_member` limit it; where a limit stands against
    it, the draw gives the consolation instead.
    """

    id: Slug
    name: Text
    odds: Annotated[int, Field(ge=0, le=MILLION)] = 0
    stock: NonNegativeInt | None = None
    per_day: PositiveInt | None = None
    per_member: PositiveInt | None = None
    points: PositiveInt | None = None
    coupon: Slug | None = None
    reward: Slug | None = None
    packet_fen: PositiveInt | None = None

    @property
    def limited(self) -> bool:
        """Whether anything can stand against giving it."""
        return (self.stock, self.per_day, self.per_member, self.reward, self.coupon) != (None,) * 5

    @model_validator(mode="after")
    def _gives_one_thing(self) -> Self:
        if sum(thing is not None for thing in (self.points, self.coupon, self.reward, self.packet_fen)) > 1:
            raise ValueError("points, coupon, reward, packet_fen: a prize gives one of them")
        return self


class Lottery(Dated):
    """Prizes with odds; what the odds leave of the million gives `consolation`, a prize without any limit."""

    id: Slug
    name: Text
    prizes: Annotated[tuple[Prize, ...], Field(min_length=1)]
    consolation: Slug
    per_member_day: PositiveInt | None = None

    def prize(self, prize_id: str) -> Prize:
        """The prize with this id; raises UnknownOffer."""
        return named(self.prizes, "prize", prize_id)

    @model_validator(mode="after")
    def _odds_fit(self) -> Self:
        refuse_doubles(f"lottery {self.id}", "prize", (prize.id for prize in self.prizes))
        total = sum(prize.odds for prize in self.prizes)
        if total > MILLION:
            raise ValueError(f"prizes: odds add up to {total}; keep them within a million")
        fallback = next((prize for prize in self.prizes if prize.id == self.consolation), None)
        if fallback is None:
            raise ValueError(f"consolation: {self.consolation!r} is not among the prizes")
        if fallback.limited:
            raise ValueError(f"consolation: {self.consolation!r} must be there for everybody; give it points or "
                             "nothing, and no stock, per_day or per_member")
        return self


class Named(Protocol):
    """A piece with an id of its own."""

    @property
    def id(self) -> str:
        """The id it stands under in the file."""


N = TypeVar("N", bound=Named)


def named(pieces: Iterable[N], kind: str, id: str) -> N:
    """The piece with this id; raises UnknownOffer."""
    for piece in pieces:
        if piece.id == id:
            return piece
    raise UnknownOffer(kind, id)


def refuse_misfits(rewards: Sequence[Reward], coupons: Sequence[CouponType], plans: Sequence[PaidPlan],
                   lotteries: Sequence[Lottery]) -> None:
    """Raise ValueError where one of them names another that is not there."""
    pieces: tuple[tuple[str, Sequence[Any]], ...] = (
        ("coupons", coupons), ("plans", plans), ("lotteries", lotteries))
    known = {place: {piece.id for piece in found} for place, found in (*pieces, ("rewards", rewards))}
    for place, found in pieces:
        refuse_doubles(place, "id", (piece.id for piece in found))
    wanted = [(f"rewards: {reward.id!r}", place, id) for reward in rewards
              for place, id in (("coupons", reward.coupon), ("plans", reward.plan))]
    wanted += [(f"lotteries: {lottery.id!r}: prize {prize.id!r}", place, id) for lottery in lotteries
               for prize in lottery.prizes for place, id in (("coupons", prize.coupon), ("rewards", prize.reward))]
    for who, place, id in wanted:
        if id is not None and id not in known[place]:
            raise ValueError(f"{who} names {id!r}, which is not among {place}")
    if not lotteries and any(reward.kind == "lottery" for reward in rewards):
        raise ValueError("rewards: chances to draw need a lottery; add one under lotteries")
