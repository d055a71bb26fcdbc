"""Who still is a customer, and when they buy next: the model MBG/CNBD-k, in closed forms and plain Python.

Platzer and Reutterer, "Ticking Away the Moments: Timing Regularity Helps to Better Predict Customer Activity",
Marketing Science 35(5), 2016. Gaps between purchases are Erlang-k with a rate of each member's own (gamma over
members, `r` and `alpha`); after each purchase, the first too, a member leaves for good with a probability of their own
(beta over members, `a` and `b`). With k = 1 it is MBG/NBD, with k above 1 people buy more regularly than by chance.
Days are the unit. See docs/why/0016_a_model_of_buying.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import exp, inf, lgamma, log, log1p
from typing import Final, NamedTuple

MOST_REGULAR: Final = 6
"""Highest k looked at; beyond it forecasts hardly change."""
FEWEST: Final = 50
"""Below so many members with a second purchase the model starts from what is usual and does not learn."""


class History(NamedTuple):
    """All the model needs of a member: purchases after the first, day of the last one, days watched."""

    repeats: int
    last_day: float
    watched_days: float


@dataclass(frozen=True, slots=True)
class Model:
    """The fitted parameters; `regularity` is k."""

    regularity: int
    r: float
    alpha: float
    a: float
    b: float

    def alive(self, member: History) -> float:
        """Probability that the member has not left for good."""
        silent, left = self._weights(member)
        return 1 / (1 + exp(min(left - silent, 700)))

    def buys_within(self, member: History, days: float) -> float:
        """Probability of at least one purchase within so many days from now."""
        later = member._replace(watched_days=member.watched_days + days)
        waits = exp(self._silence(later) - self._silence(member))
        return self.alive(member) * (1 - min(waits, 1.0))

    def next_in_days(self, member: History, most: float = 3650.0) -> float | None:
        """Days until the member, if still a customer, has bought again with even odds; none: not within `most`."""
        begin = self._silence(member)

        def bought_by(days: float) -> float:
            return 1 - exp(self._silence(member._replace(watched_days=member.watched_days + days)) - begin)

        if bought_by(most) < 0.5:
            return None
        low, high = 0.0, most
        while high - low > 0.05:
            middle = (low + high) / 2
            low, high = (low, middle) if bought_by(middle) >= 0.5 else (middle, high)
        return high

    def purchases_within(self, member: History, days: float) -> float:
        """Purchases expected within so many days, those who leave on the way taken into account.

        The rate is the posterior mean; each further purchase is reached only by who stayed after the one before, with
        the posterior of the member's own probability to leave. The sum over purchases is in closed form.
        """
        k, b = self.regularity, self.b + member.repeats + 1
        rate = (self.r + k * member.repeats) / (self.alpha + member.watched_days)
        n = days * rate / k
        a = self.a if abs(self.a - 1) > 1e-6 else 1 + 1e-6
        stays = exp(_log_beta(a, b + n) - _log_beta(a, b))
        return self.alive(member) * max(0.0, ((a + b - 1) - (a + b + n - 1) * stays) / (a - 1))

    def _silence(self, member: History) -> float:
        """Log weight of no purchase between the last one and now, for somebody who stays."""
        base, waited = self.r + self.regularity * member.repeats, member.watched_days - member.last_day
        total = log(self.alpha + member.watched_days)
        terms = [lgamma(base) - base * total]
        if waited > 0:
            terms += [lgamma(base + j) - (base + j) * total + j * log(waited) - lgamma(j + 1)
                      for j in range(1, self.regularity)]
        return _log_sum(terms)

    def _weights(self, member: History) -> tuple[float, float]:
        """Log weights of the two stories: still there and silent, or left after the last purchase."""
        base = self.r + self.regularity * member.repeats
        left = log(self.a / (self.b + member.repeats)) + lgamma(base) - base * log(self.alpha + member.last_day)
        return self._silence(member), left

    def log_likelihood(self, member: History) -> float:
        """Log probability of a history, up to what does not hang on the parameters."""
        silent, left = self._weights(member)
        stays = _log_beta(self.a, self.b + member.repeats + 1) - _log_beta(self.a, self.b)
        return stays + _log_sum([silent, left]) + self.r * log(self.alpha) - lgamma(self.r)


def usual(rhythm_days: float, regularity: int = 1) -> Model:
    """What is assumed before there is a history: this rhythm, and one in five leaves after a purchase."""
    return Model(regularity, 1.5, 1.5 * rhythm_days / regularity, 1.0, 4.0)


def regularity_of(pairs: Iterable[tuple[float, float]]) -> int:
    """k from the last two gaps of each member: where purchases tick, the two are alike.

    Wheat and Morrison, "Estimating Purchase Regularity with Two Interpurchase Times", Journal of Marketing Research
    27(1), 1990: of M = t1 / (t1 + t2) the variance is 1 / (4 (2k + 1)).
    """
    shares = [one / (one + other) for one, other in pairs if one + other > 0]
    if len(shares) < FEWEST:
        return 1
    mean = sum(shares) / len(shares)
    variance = sum((share - mean) ** 2 for share in shares) / len(shares)
    k = (1 - 4 * variance) / (8 * variance) if variance > 0 else MOST_REGULAR
    return min(MOST_REGULAR, max(1, round(k)))


def fit(members: Sequence[History], rhythm_days: float, regularity: int = 1) -> Model:
    """The likeliest model for these histories; a few hundred to a few thousand of them, drawn at random, are enough.

    A weak pull of each parameter towards what is usual keeps the search on the ground where nobody has left yet.
    """
    start = usual(rhythm_days, regularity)
    if sum(member.repeats > 0 for member in members) < FEWEST:
        return start
    alike = Counter(_rounded(member) for member in members)
    origin = (start.r, start.alpha, start.a, start.b)

    def cost(logs: Sequence[float]) -> float:
        if max(abs(each) for each in logs) > 12:
            return inf
        model = Model(regularity, *(base * exp(each) for base, each in zip(origin, logs, strict=True)))
        likely = sum(times * model.log_likelihood(member) for member, times in alike.items())
        return 0.05 * sum(each * each for each in logs) - likely

    best = _lowest(cost, [0.0] * len(origin))
    return Model(regularity, *(base * exp(each) for base, each in zip(origin, best, strict=True)))


def _rounded(member: History) -> History:
    """To the day (a twentieth of what was watched where that is more), so that likes are counted and not repeated."""
    grain = max(1.0, member.watched_days / 200)
    last, watched = round(member.last_day / grain) * grain, round(member.watched_days / grain) * grain
    return History(member.repeats, last, max(watched, last))


def _lowest(cost: Callable[[Sequence[float]], float], start: list[float], rounds: int = 160) -> list[float]:
    """Where a smooth function is lowest, by the simplex of Nelder and Mead (The Computer Journal 7, 1965)."""
    corners = [start] + [[each + (0.5 if place == i else 0.0) for place, each in enumerate(start)]
                         for i in range(len(start))]
    known = sorted((cost(corner), corner) for corner in corners)
    for _ in range(rounds):
        (best, _), (worst, last) = known[0], known[-1]
        if worst - best < 1e-6 * (1 + abs(best)):
            break
        middle = [sum(column) / len(start) for column in zip(*(corner for _, corner in known[:-1]), strict=True)]

        def at(step: float, middle: list[float] = middle, last: list[float] = last) -> tuple[float, list[float]]:
            point = [m + step * (m - w) for m, w in zip(middle, last, strict=True)]
            return cost(point), point

        tried = at(1.0)
        if tried[0] < best:
            tried = min(tried, at(2.0))
        elif tried[0] >= known[-2][0]:
            tried = at(0.5) if tried[0] < worst else at(-0.5)
        if tried[0] < worst:
            known[-1] = tried
        else:
            low = known[0][1]
            shrunk = [[(x + y) / 2 for x, y in zip(corner, low, strict=True)] for _, corner in known[1:]]
            known = [known[0], *((cost(corner), corner) for corner in shrunk)]
        known.sort(key=lambda each: each[0])
    return known[0][1]


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _log_sum(terms: Sequence[float]) -> float:
    if len(terms) == 1:
        return terms[0]
    if len(terms) == 2:
        high, low = (terms[0], terms[1]) if terms[0] > terms[1] else (terms[1], terms[0])
        return high + log1p(exp(low - high))
    high = max(terms)
    return high + log(sum(exp(term - high) for term in terms))
