"""What the order history says of 差不多了: how far the customer is through what was bought, as odds on a score."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import exp, log
from typing import Final

from intents.classifier import Scored, Verdict
from intents.text import normalise

SCENARIO: Final = "running_out"
_BOUNDS: Final = (0.2, 0.4, 0.6, 0.8, 1.3, 1.8, 3.0)
_ODDS: Final = (0.06, 0.11, 0.23, 1.0, 8.38, 1.01, 1.25, 0.74)
"""Odds ratio by the share of the supply that is used, one more than bounds: learnt by `learn_odds` from half of the
pairs in config/heldout/histories and judged on the other half, both by benchmarks/bench_facts.py."""
_PRIOR_SPREAD: Final = 1.0
_STEPS, _LONGEST_STEP = 60, 1.0
_OPEN_SCORE: Final = 0.35
"""What 快了 is worth by itself: below every threshold, and above it with a supply that should be at its end."""
_OPEN_WORDS: Final = (
    "差不?多|差8多|差不离儿?|差唔多|cha ?bu ?duo|kuai ?le|快[了啦咯喽]|(?:就|快|要|应该)没(?=[了啦的咯])|该没|见着?底|"
    "没(?:多少|剩?啥|剩多少|几[个包袋片条粒天])|冇几多|莫得(?:好多|几)|不剩啥|不剩多少|(?<!差)不多(?=[了啦咯]|$)|剩[的得]不多|"
    "越来越少|(?<=看着)就少|少得可怜|有点少|不太够|有点不够|够呛|还?[剩有](?:一?点儿?|一些些|一丢丢|一点点)|就?那(?:么|点)点?儿?|"
    "[该要得](?:再?买|补|续上?|囤|来点|备)|该(?=[了啦])|是时候|到(?:时候|日子|点)|一个周期|又一轮|撑不了几天|也就这几天|还能几天|"
    "还能对付几天|用不了多久|没啥声|有点轻|轻了不少|almost|not much left"
)
_SMALL_WORDS: Final = (
    "应该|大概|估计|好像|可能|感觉|看样子|算算|日子|估摸|是不是|今[早天]|一[眼下晃]|瞅瞅|等下|反正|姑娘|跟你讲|孩子|老[公婆]|我[妈爸]|"
    r"几天|这[几两]天|这阵子|下周|月底|事|样|子|大|掂|晃|能|着|到|眼|\[[^\[\]]{1,4}\]|"
    "[嗯哦噢啊对是的得呢吧啦了哈诶欸呀嘛么咯喽啰喇哎唉我你这那又也都就还再说按看瞧快剩有没数过 ,.!?~…、。:;]"
)
_LONGEST_OPEN: Final = 24
_CORE: Final = re.compile(_OPEN_WORDS)
_NOTHING_ELSE: Final = re.compile(f"(?:{_OPEN_WORDS}|{_SMALL_WORDS})++")
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


def heard_in(verdict: Verdict, text: str) -> Scored | None:
    """What text alone says of running out: the model's score, or that of words that name nothing (快了); else None."""
    heard = next((one for one in (*verdict.scenarios, *verdict.near) if one.id == SCENARIO), None)
    if heard is not None and heard.score >= _OPEN_SCORE:
        return heard
    return Scored(SCENARIO, _OPEN_SCORE) if open_words(text) else heard


def open_words(text: str) -> str:
    """The words of a message that may mean a supply and name nothing else (快了, 差不多啦); empty otherwise."""
    if not text or len(text) > _LONGEST_OPEN:
        return ""
    line = normalise(text)
    found = _CORE.search(line)
    return found.group() if found and _NOTHING_ELSE.fullmatch(line) else ""


def settle(verdict: Verdict, supply: Supply | None, cut: float, text: str = "") -> Verdict:
    """The verdict with the supply taken into account: `running_out` may come in above `cut`, or go.

    Only what the text leaves open is touched: a score that stands far from even odds hardly moves. The reason tells it.
    """
    used = supply.used if supply else None
    heard = heard_in(verdict, text)
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
    odds = _odds(score) * _ODDS[bisect_right(_BOUNDS, used)]
    return odds / (1 + odds)


def learn_odds(examples: Iterable[tuple[float, float, bool]]) -> tuple[float, ...]:
    """An odds ratio for each share of the supply, from (score of the text, share used, whether it was running out).

    The ratio under which the labels are likeliest given the scores, drawn towards 1: few examples say little.
    """
    groups: list[list[tuple[float, bool]]] = [[] for _ in _ODDS]
    for score, used, is_out in examples:
        groups[bisect_right(_BOUNDS, used)].append((log(_odds(score)), is_out))
    return tuple(round(exp(_likeliest(group)), 2) for group in groups)


def _likeliest(group: list[tuple[float, bool]]) -> float:
    """The logarithm of the ratio, by Newton's steps on a likelihood with a single peak."""
    ratio = 0.0
    for _ in range(_STEPS):
        told = [1 / (1 + exp(-(even + ratio))) for even, _ in group]
        slope = sum(is_out - share for share, (_, is_out) in zip(told, group, strict=True)) - ratio / _PRIOR_SPREAD**2
        bend = sum(share * (1 - share) for share in told) + 1 / _PRIOR_SPREAD**2
        ratio += min(max(slope / bend, -_LONGEST_STEP), _LONGEST_STEP)
    return ratio


def _odds(score: float) -> float:
    least, most = _SCORES
    bounded = min(max(score, least), most)
    return bounded / (1 - bounded)
