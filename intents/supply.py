"""What the order history says of 差不多了: how far the customer is through what was bought, as odds on a score."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from math import exp, log
from typing import Final

from intents.classifier import Scored, Verdict

SCENARIO: Final = "running_out"
_BOUNDS: Final = (0.2, 0.4, 0.6, 0.8, 1.3, 1.8, 3.0)
_ODDS: Final = (0.08, 0.15, 0.4, 1.0, 5.0, 3.0, 1.5, 1.0)
"""Odds ratio by the share of the supply that is used, one more than bounds: learnt from half of the pairs in
config/heldout/histories, judged on the other half by benchmarks/bench_facts.py; after three cycles it says nothing."""
_OWN_RHYTHM_WEIGHT: Final = 0.7
_SCORES: Final = (0.01, 0.99)


@dataclass(frozen=True, slots=True)
class Supply:
    """The newest purchase of something that is used up; days, whole or not.

    `cycle_days` is how long the quantity bought lasts by the product's own cycle, `rhythm_days` the customer's own
    usual time between purchases; either may be unknown.
    """

    days_since: float
    cycle_days: float | None = None
    rhythm_days: float | None = None

    @property
    def used(self) -> float | None:
        """Share of the supply that should be used by now; the own rhythm counts for more than the product's cycle."""
        if self.cycle_days and self.rhythm_days:
            rhythm, cycle = log(self.rhythm_days), log(self.cycle_days)
            return self.days_since / exp(_OWN_RHYTHM_WEIGHT * rhythm + (1 - _OWN_RHYTHM_WEIGHT) * cycle)
        lasts = self.rhythm_days or self.cycle_days
        return self.days_since / lasts if lasts else None


def settle(verdict: Verdict, supply: Supply | None, cut: float) -> Verdict:
    """The verdict with the supply taken into account: `running_out` may come in above `cut`, or go.

    Only what the text leaves open is touched: a score that stands far from even odds hardly moves. The reason tells it.
    """
    used = supply.used if supply else None
    heard = next((one for one in (*verdict.scenarios, *verdict.near) if one.id == SCENARIO), None)
    if supply is None or used is None or heard is None or verdict.degraded:
        return verdict
    score = settled(heard.score, used)
    was_loud, is_loud = heard in verdict.scenarios, score >= cut
    reason = f"{SCENARIO} {heard.score:.2f} → {score:.2f}: 购买 {supply.days_since:.0f} 天, 约用了 {used:.0%}"
    now = Scored(SCENARIO, round(score, 4))
    others = tuple(one for one in verdict.scenarios if one.id != SCENARIO)
    near = tuple(one for one in verdict.near if one.id != SCENARIO)
    return replace(
        verdict,
        scenarios=tuple(sorted((*others, now) if is_loud else others, key=lambda one: -one.score)),
        near=near if is_loud or not was_loud else (now, *near)[:2],
        unsure=verdict.unsure and not is_loud and bool(others or near),
        reasons=(*verdict.reasons, reason),
    )


def settled(score: float, used: float) -> float:
    """A score with the odds of the used share multiplied in."""
    least, most = _SCORES
    bounded = min(max(score, least), most)
    odds = bounded / (1 - bounded) * _ODDS[bisect_right(_BOUNDS, used)]
    return odds / (1 + odds)
