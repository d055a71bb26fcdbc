"""How good forecasts of buying are, on simulated customers whose future is known; no database.

    python benchmarks/bench_forecast.py [--members 4000] [--seed 7]

Four worlds. In `random`, `regular` and `ticking` a customer's gaps are Erlang with k = 1, 3 and 6 (the model's own
assumption), rates are gamma over customers, and after each purchase a customer leaves with a probability of their own.
`seasons` is none of the model's: log-normal gaps, one break of months in some lives, leaving at a random day. Each life
is watched for up to 400 days (customers join over a year) and then for 90 more, which nobody may look at. Printed:
calibration in ten classes of the probability of a purchase within 30 days (predicted and seen), its Brier score, that
of a constant and of a naive rhythm (buys in 30 days if the mean gap says so, is lost after three of them), and the mean
error of the next purchase's day and of the number of purchases, beside the naive rhythm's.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from loyalty.forecasts import History, Model, fit, regularity_of

WATCHED, AHEAD, SOON, PRIOR_DAYS = 400.0, 90.0, 30.0, 30.0


class Life(NamedTuple):
    """A customer: days of purchase since the first one, and the day on which the watching ends."""

    days: list[float]
    now: float

    @property
    def past(self) -> list[float]:
        return [day for day in self.days if day <= self.now]

    @property
    def history(self) -> History:
        past = self.past
        return History(len(past) - 1, past[-1], self.now)

    def bought(self, days: float) -> int:
        return sum(self.now < day <= self.now + days for day in self.days)


def erlang(rng: random.Random, k: int) -> Life:
    """A life as the model thinks of it: mean gap around 30 days, one in eight leaves after a purchase."""
    rate, leaves = rng.gammavariate(2.0, 1 / 45) * k, rng.betavariate(1.0, 7.0)
    now = rng.uniform(35, WATCHED)
    days = [0.0]
    while days[-1] < now + AHEAD and rng.random() >= leaves:
        days.append(days[-1] + max(0.05, rng.gammavariate(k, 1 / rate)))
    return Life(days, now)


def seasons(rng: random.Random) -> Life:
    """A life as it may be: log-normal gaps around an own median, a break now and then, an end on some day."""
    median, spread = rng.lognormvariate(3.2, 0.6), rng.uniform(0.2, 0.7)
    now, end = rng.uniform(35, WATCHED), rng.expovariate(1 / 300)
    pause = rng.uniform(0, 400) if rng.random() < 0.15 else 1e9
    days = [0.0]
    while days[-1] < now + AHEAD:
        gap = median * rng.lognormvariate(0, spread)
        if days[-1] < pause < days[-1] + gap:
            gap += rng.uniform(60, 150)
        if days[-1] + gap > end:
            break
        days.append(days[-1] + max(0.05, gap))
    return Life(days, now)


WORLDS: dict[str, Callable[[random.Random], Life]] = {
    "random (k=1)": lambda rng: erlang(rng, 1), "regular (k=3)": lambda rng: erlang(rng, 3),
    "ticking (k=6)": lambda rng: erlang(rng, 6), "seasons (not of the model)": seasons,
}


def gaps(life: Life) -> list[float]:
    return [later - day for day, later in pairwise(life.past)]


def naive_gap(life: Life) -> float:
    return statistics.fmean(gaps(life) or [PRIOR_DAYS])


def naive_soon(life: Life) -> float:
    """1 where the mean gap brings the next purchase into the time ahead and the silence is below three gaps."""
    silent = life.now - life.past[-1]
    gap = naive_gap(life)
    return float(silent < 3 * gap and max(gap - silent, 0) <= SOON)


def naive_count(life: Life) -> float:
    gap = naive_gap(life)
    return AHEAD / gap if life.now - life.past[-1] < 3 * gap else 0.0


def next_gap_errors(model: Model, lives: list[Life]) -> tuple[float, float, int]:
    """Mean error in days of the next purchase as told at the last one, for those who did buy again."""
    mine, naive = [], []
    for life in lives:
        told = life.past[:-1]  # told the day of the last purchase but one, judged by the last
        if len(told) < 2:
            continue
        real = life.past[-1] - told[-1]
        expected = model.next_in_days(History(len(told) - 1, told[-1], told[-1]))
        seen = [later - day for day, later in pairwise(told)]
        mine.append(abs((expected if expected is not None else 365.0) - real))
        naive.append(abs(statistics.fmean(seen) - real))
    return statistics.fmean(mine), statistics.fmean(naive), len(mine)


def judge(name: str, born: Callable[[random.Random], Life], members: int, seed: int) -> None:
    rng = random.Random(seed)
    learnt, judged = [born(rng) for _ in range(members)], [born(rng) for _ in range(members)]
    started = time.perf_counter()
    k = regularity_of((each[-1], each[-2]) for life in learnt if len(each := gaps(life)) > 1)
    model = fit([life.history for life in learnt[:1500]], PRIOR_DAYS, k)
    took = time.perf_counter() - started
    print(f"\n{name}: k={k} r={model.r:.2f} alpha={model.alpha:.1f} a={model.a:.2f} b={model.b:.2f}, "
          f"fitted on {min(members, 1500)} in {took:.1f} s, judged on {members} others")
    started = time.perf_counter()
    said = [model.buys_within(life.history, SOON) for life in judged]
    took = (time.perf_counter() - started) / members
    real = [float(life.bought(SOON) > 0) for life in judged]
    base = statistics.fmean(float(life.bought(SOON) > 0) for life in learnt)
    brier = statistics.fmean((p - y) ** 2 for p, y in zip(said, real, strict=True))
    constant = statistics.fmean((base - y) ** 2 for y in real)
    naive = statistics.fmean((naive_soon(life) - y) ** 2 for life, y in zip(judged, real, strict=True))
    pairs = sorted(zip(said, real, strict=True))
    tenths = [pairs[len(pairs) * i // 10:len(pairs) * (i + 1) // 10] for i in range(10)]
    told = [(statistics.fmean(p for p, _ in tenth), statistics.fmean(y for _, y in tenth)) for tenth in tenths]
    error = statistics.fmean(abs(p - y) for p, y in told)
    print("  calibration, predicted/seen: " + "  ".join(f"{p:.2f}/{y:.2f}" for p, y in told))
    print(f"  mean calibration error {error:.3f}; {took * 1e6:.0f} us a member")
    print(f"  Brier of a purchase within 30 days: {brier:.3f}, constant {constant:.3f}, naive rhythm {naive:.3f}")
    counts = [(model.purchases_within(life.history, AHEAD), naive_count(life), life.bought(AHEAD)) for life in judged]
    print(f"  purchases within 90 days, mean error: {statistics.fmean(abs(m - y) for m, _, y in counts):.2f}, "
          f"naive rhythm {statistics.fmean(abs(n - y) for _, n, y in counts):.2f}; "
          f"all together {sum(m for m, _, _ in counts):.0f}, naive {sum(n for _, n, _ in counts):.0f}, "
          f"seen {sum(y for _, _, y in counts)}")
    mine, theirs, judged_on = next_gap_errors(model, judged)
    print(f"  day of the next purchase, mean error: {mine:.1f} days, naive rhythm {theirs:.1f} ({judged_on} members)",
          flush=True)


def main() -> None:
    """Every world, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    for name, born in WORLDS.items():
        judge(name, born, options.members, options.seed)


if __name__ == "__main__":
    main()
