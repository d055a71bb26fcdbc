"""The statistics of experiments: how many people they need, and a verdict that stays honest however often one looks.

The difference of two shares is tested in `looks` equal steps with the boundaries of O'Brien and Fleming (Biometrics 35,
1979). On the scale of a Brownian motion over the time 0 … 1 they are two flat lines; their height, so that both are
crossed with probability alpha in all, and the power, come from the recursion of Armitage, McPherson and Rowe (JRSS A
132, 1969) as in Jennison and Turnbull, Group Sequential Methods (2000), ch. 2 and 19. The interval is their repeated
confidence interval (ch. 9), which holds at every look. A look judges the first so many people whose time is over, in
the order in which it was over: who asks more often sees the same looks, so asking often spends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp, pi, sqrt
from statistics import NormalDist
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

HOLD_OUT: Final = "hold_out"
"""The variant of those who get nothing."""
_NORMAL: Final = NormalDist()
_POINTS: Final = 41
_MISMATCH: Final = (10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32, 26.12)
"""Chi square that one honest split in a thousand exceeds, by degrees of freedom."""


class Experiment(BaseModel):
    """A question to the customers: variants with weights, who gets nothing, what counts and what shall be found.

    Steps ask for the fact `variant`. `base_rate` is the share expected to reach the goal anyway, `effect` the relative
    rise that shall be found with `power`, `alpha` the share of false alarms.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)] = ""
    variants: Annotated[Mapping[str, PositiveFloat], Field(min_length=1, max_length=8)]
    hold_out: Annotated[float, Field(ge=0, lt=1)] = 0.0
    goal: Literal["bought", "redeemed", "replied", "renewed"] = "bought"
    within_days: PositiveInt = 14
    base_rate: Annotated[float, Field(gt=0, lt=1)] = 0.1
    effect: Annotated[float, Field(gt=0, le=5)] = 0.2
    alpha: Annotated[float, Field(ge=0.001, le=0.2)] = 0.05
    power: Annotated[float, Field(ge=0.5, le=0.99)] = 0.8
    looks: Annotated[int, Field(ge=1, le=12)] = 5

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if HOLD_OUT in self.variants:
            raise ValueError(f"variants: {HOLD_OUT} is what those are called who get nothing; write hold_out: 0.1")
        if len(self.shares) < 2:
            raise ValueError("nothing to compare: name a second variant, or set hold_out")
        if self.base_rate * (1 + self.effect) >= 1:
            raise ValueError("base_rate and effect together say that everybody reaches the goal; lower one of them")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """The part of the people each variant gets; the first is what the others are compared with."""
        total, rest = sum(self.variants.values()), 1 - self.hold_out
        held = {HOLD_OUT: self.hold_out} if self.hold_out else {}
        return held | {name: rest * weight / total for name, weight in self.variants.items()}

    @property
    def people(self) -> int:
        """How many people it needs in all, for the variant that gets the fewest."""
        control, *others = self.shares.values()
        return required(self.base_rate, self.effect, control, min(others), self.strictness, self.power, self.looks)

    @property
    def strictness(self) -> float:
        """The share of false alarms each comparison may have, so that all together stay below `alpha`."""
        return self.alpha / (len(self.shares) - 1)


@dataclass(frozen=True, slots=True)
class Arm:
    """So many people, and how many of them reached the goal."""

    people: int = 0
    reached: int = 0

    @property
    def rate(self) -> float:
        """The share that reached it."""
        return self.reached / self.people if self.people else 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A variant against the control at one look: `early` (no look yet), `open`, `better`, `worse` or `no_difference`.

    `low` and `high` hold the difference of the shares, at whatever look one reads them.
    """

    state: str
    look: int
    control: Arm = Arm()
    arm: Arm = Arm()
    low: float = -1.0
    high: float = 1.0
    z: float = 0.0

    @property
    def difference(self) -> float:
        """Share of the variant less share of the control."""
        return self.arm.rate - self.control.rate


def judge(looks: Sequence[tuple[Arm, Arm]], alpha: float, planned: int) -> Verdict:
    """The verdict of one comparison: control and variant at each look so far; the first one that crosses decides."""
    verdict = Verdict("early", 0)
    for number, (control, arm) in enumerate(looks, 1):
        bound = boundary(alpha, planned) * sqrt(planned / number)
        z, error = z_of(control, arm)
        spread = bound * error
        difference = arm.rate - control.rate
        state = "open" if number < planned else "no_difference"
        if abs(z) >= bound:
            state = "better" if z > 0 else "worse"
        verdict = Verdict(state, number, control, arm, difference - spread, difference + spread, z)
        if state in ("better", "worse"):
            break
    return verdict


def z_of(control: Arm, arm: Arm) -> tuple[float, float]:
    """The standardised difference of two shares (pooled under no difference), and the error of the difference."""
    if not control.people or not arm.people:
        return 0.0, 1.0
    pooled = (control.reached + arm.reached) / (control.people + arm.people)
    under_none = sqrt(pooled * (1 - pooled) * (1 / control.people + 1 / arm.people))
    parts = (one.rate * (1 - one.rate) / one.people for one in (control, arm))
    return ((arm.rate - control.rate) / under_none if under_none else 0.0), sqrt(sum(parts)) or 1.0


def required(
    base_rate: float, effect: float, control: float, arm: float, alpha: float, power: float, looks: int
) -> int:
    """How many people in all find the effect with this power, where these parts of them are control and variant."""
    better = base_rate * (1 + effect)
    pooled = (control * base_rate + arm * better) / (control + arm)
    none = pooled * (1 - pooled) * (1 / control + 1 / arm)
    some = base_rate * (1 - base_rate) / control + better * (1 - better) / arm
    drift = drift_for(alpha, power, looks)
    # The drift is what a single look of the same power needs, made a little larger for looking more often.
    bound = boundary(alpha, looks)
    return ceil(((bound * sqrt(none) + (drift - bound) * sqrt(some)) / (better - base_rate)) ** 2)


def is_mismatched(counts: Mapping[str, int], shares: Mapping[str, float]) -> bool:
    """Whether the people fell to the variants so unevenly that something is wrong with the assignment itself."""
    total = sum(counts.values())
    if not total:
        return False
    chi = sum((counts.get(name, 0) - total * share) ** 2 / (total * share) for name, share in shares.items())
    return chi > _MISMATCH[len(shares) - 2]


@lru_cache(maxsize=64)
def boundary(alpha: float, looks: int) -> float:
    """The height of the flat lines that a motion without drift crosses at some look with probability alpha."""
    low, high = _NORMAL.inv_cdf(1 - alpha / 2), 6.0
    for _ in range(32):
        middle = (low + high) / 2
        low, high = (middle, high) if crossing(middle, 0.0, looks) > alpha else (low, middle)
    return high


@lru_cache(maxsize=64)
def drift_for(alpha: float, power: float, looks: int) -> float:
    """The drift (expected z at the last look) that crosses the lines with this power."""
    line, low, high = boundary(alpha, looks), 0.0, 12.0
    for _ in range(32):
        middle = (low + high) / 2
        low, high = (middle, high) if crossing(line, middle, looks) < power else (low, middle)
    return high


def crossing(line: float, drift: float, looks: int) -> float:
    """Probability that a Brownian motion with this drift is outside ±line at one of the looks 1/K, 2/K, … 1."""
    width = 2 * line / (_POINTS - 1)
    at = [-line + width * place for place in range(_POINTS)]
    weight = [width / 3 * (1 if place in (0, _POINTS - 1) else 4 if place % 2 else 2) for place in range(_POINTS)]
    step, spread = drift / looks, 1 / looks
    scale = 1 / sqrt(2 * pi * spread)
    # The step from one point to another depends only on how far apart they are.
    kernel = [scale * exp(-((width * apart - step) ** 2) / (2 * spread)) for apart in range(1 - _POINTS, _POINTS)]
    inside = [scale * exp(-((point - step) ** 2) / (2 * spread)) for point in at]
    for _ in range(looks - 1):
        weighed = [density * part for density, part in zip(inside, weight, strict=True)]
        inside = [
            sum(density * kernel[place - origin + _POINTS - 1] for origin, density in enumerate(weighed))
            for place in range(_POINTS)
        ]
    return 1 - sum(density * part for density, part in zip(inside, weight, strict=True))
