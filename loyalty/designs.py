"""Designs that load but do not work well for a brand: warnings, each with its place and what to do."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from loyalty.behaviours import Behaviour
from loyalty.programme import Programme
from loyalty.rules import Rule

MOST_TIERS = 7
HARD_ENTRY_FEN = 50_000
UNREACHABLE_TIMES = 100
"""A top tier this many times above the one below it is reached by nobody."""


class Finding(NamedTuple):
    """A design to think about: where it stands, and what is better."""

    place: str
    mend: str

    def __str__(self) -> str:
        return f"{self.place}: {self.mend}"


def lint(programme: Programme) -> list[Finding]:
    """Everything about this programme that is likely to disappoint; an empty list is a sound design."""
    return [*_tiers(programme), *_steps(programme), *_rules(programme), *_behaviours(programme), *_campaigns(programme)]


def _tiers(programme: Programme) -> list[Finding]:
    tiers, found = programme.tiers, []
    if tiers and len(tiers) % 2 == 0:
        found.append(Finding("tiers", f"{len(tiers)} tiers, an even number has no middle to feel at home in; "
                                      f"make it {len(tiers) - 1} or {len(tiers) + 1}"))
    if len(tiers) > MOST_TIERS:
        found.append(Finding("tiers", f"{len(tiers)} tiers, nobody remembers more than {MOST_TIERS}; join some"))
    for tier in tiers:
        if not tier.benefits:
            found.append(Finding(f"tiers.{tier.id}.benefits", "empty; a tier that gives nothing is not worth reaching"))
    for low, high in pairwise(tiers):
        if high.benefits and high.benefits == low.benefits and high.factor == low.factor:
            found.append(Finding(f"tiers.{high.id}", f"gives what {low.id} gives; add a benefit or a higher factor"))
    return found


def _steps(programme: Programme) -> list[Finding]:
    tiers, found = programme.tiers, []
    if tiers and tiers[0].from_amount_fen > HARD_ENTRY_FEN and not tiers[0].from_growth:
        found.append(Finding(f"tiers.{tiers[0].id}.from_amount_fen",
                             f"¥{tiers[0].from_amount_fen // 100} to enter; let the first tier begin at 0"))
    if len(tiers) > 1:
        top, below = tiers[-1], max(tiers[-2].from_amount_fen, 10_000)
        if top.from_amount_fen > below * UNREACHABLE_TIMES and top.from_growth is None:
            found.append(Finding(f"tiers.{top.id}.from_amount_fen",
                                 f"more than {UNREACHABLE_TIMES} times {tiers[-2].id}; lower it or give from_growth"))
    grows = programme.earning.growth_per_yuan or any(b.gain.growth for b in programme.behaviours) or any(
        rule.asset == "growth" for rule in programme.earning.rules)
    for tier in tiers:
        if tier.from_growth is not None and not grows:
            found.append(Finding(f"tiers.{tier.id}.from_growth",
                                 "nothing gives growth value; set earning.growth_per_yuan or some gain.growth"))
    policy = programme.tier_policy
    if policy.grace_days and policy.valid_days is None:
        found.append(Finding("tier_policy.grace_days", "tiers never end, so there is no grace; set valid_days"))
    return found


def _rules(programme: Programme) -> list[Finding]:
    found = []
    for rule in programme.earning.rules:
        place = f"earning.rules.{rule.id}"
        if rule.birthday and not rule.caps.any and rule.birthday != "day":
            found.append(Finding(f"{place}.caps", f"the whole birthday {rule.birthday} without a limit; "
                                                  "set caps.times_per_member or caps.times_per_day"))
        if _open_ended(programme, rule):
            found.append(Finding(f"{place}.campaign", "no budget and no limit; put it into a campaign with a budget, "
                                                      "or set most_per_order or caps"))
    return found


def _behaviours(programme: Programme) -> list[Finding]:
    found = []
    for behaviour in programme.behaviours:
        place = f"behaviours.{behaviour.id}"
        gives = behaviour.gain.amounts() or behaviour.friend.amounts() or behaviour.streaks
        if not gives:
            found.append(Finding(f"{place}.gain", "gives nothing; set points, growth or chances"))
        if gives and _open_ended(programme, behaviour):
            found.append(Finding(f"{place}.campaign", "no budget and no limit; put it into a campaign with a budget, "
                                                      "or set caps"))
        if behaviour.kind == "ugc" and not behaviour.approval:
            found.append(Finding(f"{place}.approval", "pays for whatever is published; set approval: true"))
    if any(b.gain.chances or any(s.gain.chances for s in b.streaks) for b in programme.behaviours) and not (
            programme.lotteries):
        found.append(Finding("lotteries", "chances are given and nothing can be drawn with them; add a lottery"))
    return found


def _campaigns(programme: Programme) -> list[Finding]:
    used = {rule.campaign for rule in programme.earning.rules} | {each.campaign for each in programme.behaviours}
    return [Finding(f"campaigns.{campaign.id}", "no rule and no behaviour belongs to it; name it in one or remove it")
            for campaign in programme.campaigns if campaign.id not in used]


def _open_ended(programme: Programme, part: Rule | Behaviour) -> bool:
    """Whether one member can take without end: no budget, no caps, and for rules no limit by what is paid."""
    campaign = programme.campaign(part.campaign)
    if campaign is not None and (campaign.budget or campaign.caps.any):
        return False
    if isinstance(part, Rule):
        by_payment = part.points is None or part.from_amount_fen > 0 or part.first_order
        return not (part.caps.any or part.most_per_order or by_payment or programme.earning.most_per_order)
    return not part.limits.any and part.once_per is None and part.kind != "referral"
