"""The earning rules of a programme made ready: filters and rates as plain Python, looked at once an order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from loyalty.campaigns import Campaign
from loyalty.conditions import ORDER_FACTS, Condition
from loyalty.rules import BASE, Earning, Rule


class Line(Protocol):
    """A line of an order."""

    @property
    def sku(self) -> str: ...  # noqa: D102
    @property
    def quantity(self) -> int: ...  # noqa: D102
    @property
    def amount_fen(self) -> int: ...  # noqa: D102
    @property
    def category(self) -> str: ...  # noqa: D102


@dataclass(slots=True)
class OrderFacts:
    """What is known of an order and its buyer before it counts."""

    amount_fen: int
    paid_at: datetime
    source: str = ""
    shop: str = ""
    items: Sequence[Line] = ()
    tier: str | None = None
    orders_before: int = 0
    paid_before_fen: int = 0
    birthday: tuple[int, int] | None = None
    local: datetime | None = field(default=None)


class Share(NamedTuple):
    """What one rule gives of one asset."""

    rule_id: str
    campaign_id: str | None
    asset: str
    amount: int


_EVER = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
Check = Callable[[OrderFacts], bool]
Amount = Callable[[OrderFacts], int]


class _Ready(NamedTuple):
    rule: Rule
    checks: tuple[Check, ...]
    amount: Amount


class RuleBook:
    """What an order earns, rule by rule; asks no database."""

    def __init__(self, earning: Earning, factors: Mapping[str, Decimal], campaigns: Mapping[str, Campaign],
                 categories: Mapping[str, str], zone: ZoneInfo) -> None:
        self.zone, self.earning, self._categories = zone, earning, categories
        self._rate = earning.points_per_yuan
        self._factors = dict(factors)
        self._base = {tier: _ratio(self._rate * factor / 100) for tier, factor in self._factors.items()}
        self._plain = _ratio(self._rate / 100)
        self._growth = _ratio(earning.growth_per_yuan / 100)
        self._campaigns = campaigns
        ordered = sorted(earning.rules, key=lambda rule: -rule.priority)
        self._before = tuple(self._ready(rule) for rule in ordered if rule.priority > 0)
        self._after = tuple(self._ready(rule) for rule in ordered if rule.priority <= 0)
        self.by_id = {rule.id: rule for rule in earning.rules}
        theirs = {rule.campaign: campaigns[rule.campaign] for rule in earning.rules if rule.campaign is not None}
        self.capped = any(caps.any for caps in [r.caps for r in earning.rules] + [c.caps for c in theirs.values()])
        self.budgeted = sorted(id for id, campaign in theirs.items() if campaign.budget)
        self.needs_lock = bool(self.capped or self.budgeted or any(
            rule.first_order or (rule.when and ("before" in rule.when or "first" in rule.when))
            for rule in earning.rules))

    def shares(self, order: OrderFacts) -> list[Share]:
        """What each rule gives for this order, highest priority first, cut to the most an order gives."""
        found: list[Share] = []
        if not self._before or not self._run(self._before, order, found, set()):
            base = self.base_points(order.amount_fen, order.tier)
            if base:
                found.append(Share(BASE, None, "points", base))
            if self._growth[0] and order.amount_fen >= self.earning.from_amount_fen:
                growth = order.amount_fen * self._growth[0] // self._growth[1]
                if growth:
                    found.append(Share(BASE, None, "growth", growth))
            if self._after:
                groups = {self.by_id[share.rule_id].group for share in found if share.rule_id != BASE}
                self._run(self._after, order, found, groups - {None} if groups else groups)
        most = self.earning.most_per_order
        return found if most is None else _cut(found, most)

    def base_points(self, amount_fen: int, tier: str | None) -> int:
        """What the base rate with the tier's factor gives, rounded down once."""
        if amount_fen < self.earning.from_amount_fen:
            return 0
        over, under = self._base.get(tier or "", self._plain)
        return amount_fen * over // under

    def _run(self, rules: Sequence[_Ready], order: OrderFacts, found: list[Share], groups: set[Any]) -> bool:
        """Let these rules add what they give; whether one of them was the last to count."""
        for rule, checks, amount in rules:
            if rule.group in groups:
                continue
            for check in checks:
                if not check(order):
                    break
            else:
                if self._give(rule, amount(order), found, groups):
                    return True
        return False

    def _give(self, rule: Rule, gives: int, found: list[Share], groups: set[Any]) -> bool:
        """Add what a rule gives; whether it was the last to count."""
        if rule.most_per_order is not None:
            gives = min(gives, rule.most_per_order)
        if not gives:
            return False
        found.append(Share(rule.id, rule.campaign, rule.asset, gives))
        if rule.group is not None:
            groups.add(rule.group)
        return rule.last

    def _ready(self, rule: Rule) -> _Ready:
        return _Ready(rule, tuple(self._checks(rule)), self._amount(rule))

    def _checks(self, rule: Rule) -> list[Check]:
        """Cheap filters first; what is not asked for costs nothing."""
        checks: list[Check] = []
        campaign = self._campaigns.get(rule.campaign) if rule.campaign else None
        if campaign is not None and (campaign.open_from or campaign.open_to):
            opens, closes = campaign.open_from or _EVER[0], campaign.open_to or _EVER[1]
            checks.append(lambda order: opens <= order.paid_at < closes)
        if rule.first_order:
            checks.append(lambda order: order.orders_before == 0)
        if rule.sources:
            sources = frozenset(rule.sources)
            checks.append(lambda order: order.source in sources)
        if rule.shops:
            shops = frozenset(rule.shops)
            checks.append(lambda order: order.shop in shops)
        if rule.tiers:
            tiers = frozenset(rule.tiers)
            checks.append(lambda order: order.tier in tiers)
        matching = self._matching(rule)
        if rule.from_amount_fen:
            checks.append(lambda order: matching(order)[0] >= rule.from_amount_fen)
        elif rule.skus or rule.categories:
            checks.append(lambda order: matching(order)[1] > 0)
        if rule.birthday:
            span = rule.birthday
            checks.append(lambda order: order.birthday is not None
                          and in_birthday(order.birthday, self.day_of(order), span))
        if rule.when is not None:
            condition = Condition(rule.when, ORDER_FACTS)
            checks.append(lambda order: condition.holds(self._facts(order)))
        return checks

    def _matching(self, rule: Rule) -> Callable[[OrderFacts], tuple[int, int]]:
        """Fen and pieces a rule counts: of the whole order, or of the lines it names."""
        if not rule.skus and not rule.categories:
            return lambda order: (order.amount_fen, sum(item.quantity for item in order.items))
        skus, categories, known = frozenset(rule.skus), frozenset(rule.categories), self._categories

        def matching(order: OrderFacts) -> tuple[int, int]:
            fen = pieces = 0
            for item in order.items:
                if item.sku in skus or (categories and (item.category or known.get(item.sku, "")) in categories):
                    fen, pieces = fen + item.amount_fen, pieces + item.quantity
            # A discount on the whole order can leave less paid than its lines say.
            return min(fen, order.amount_fen), pieces
        return matching

    def _amount(self, rule: Rule) -> Amount:
        """Points by whole numbers: `over` / `under` times fen, pieces or 1, rounded down once."""
        matching = self._matching(rule)
        if rule.times is not None:
            gives, count = self._rate * (rule.times - 1) / 100, 0
        elif rule.points_per_yuan is not None:
            gives, count = rule.points_per_yuan / 100, 0
        else:
            gives, count = Decimal(rule.points_per_piece or rule.points or 0), 1 if rule.points_per_piece else 2
        with_factor = rule.with_tier_factor or rule.times is not None
        rates = {tier: _ratio(gives * factor) for tier, factor in self._factors.items()} if with_factor else {}
        plain = _ratio(gives)

        def amount(order: OrderFacts) -> int:
            over, under = rates.get(order.tier or "", plain)
            return (1 if count == 2 else matching(order)[count]) * over // under
        return amount

    def day_of(self, order: OrderFacts) -> date:
        """The local day of the order."""
        if order.local is None:
            order.local = order.paid_at.astimezone(self.zone)
        return order.local.date()

    def _facts(self, order: OrderFacts) -> dict[str, Any]:
        day = self.day_of(order)
        local = order.local or order.paid_at
        return {
            "amount_fen": order.amount_fen, "amount_yuan": Decimal(order.amount_fen) / 100,
            "pieces": sum(item.quantity for item in order.items),
            "skus": tuple(item.sku for item in order.items),
            "categories": tuple({item.category or self._categories.get(item.sku, "") for item in order.items} - {""}),
            "shop": order.shop, "source": order.source, "tier": order.tier or "",
            "orders_before": order.orders_before, "paid_before_fen": order.paid_before_fen,
            "first_order": order.orders_before == 0, "birthday": in_birthday(order.birthday, day, "day"),
        } | calendar_facts(local)


def calendar_facts(local: datetime) -> dict[str, int]:
    """What conditions may ask about a local moment."""
    return {"month": local.month, "day": local.day, "weekday": local.isoweekday(), "hour": local.hour}


def in_birthday(birthday: tuple[int, int] | None, day: date, span: str) -> bool:
    """Whether a day is the birthday, lies in its week (Monday to Sunday) or in its month.

    Who was born on 29 February celebrates on the 28th in the other years.
    """
    if birthday is None:
        return False
    if span == "month":
        return day.month == birthday[0]
    days = [_birthday_in(year, *birthday) for year in (day.year - 1, day.year, day.year + 1)]
    if span == "day":
        return day in days
    monday = day - timedelta(days=day.weekday())
    return any(monday <= each <= monday + timedelta(days=6) for each in days)


def _birthday_in(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        return date(year, 2, 28)


def _ratio(value: Decimal) -> tuple[int, int]:
    exact = Fraction(value)
    return exact.numerator, exact.denominator


def _cut(shares: list[Share], most: int) -> list[Share]:
    """The shares with their points cut to a sum; what comes last loses first."""
    if len(shares) == 1 and shares[0].amount <= most:
        return shares
    if sum([share.amount for share in shares if share.asset == "points"]) <= most:
        return shares
    kept = []
    for share in shares:
        if share.asset == "points":
            share = share._replace(amount=min(share.amount, most))
            most -= share.amount
        if share.amount:
            kept.append(share)
    return kept
