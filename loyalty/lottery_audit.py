"""Checks stored draws: every roll made again from its seed, and whether the prizes fell as their odds say."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from loyalty.lottery import land, roll, seed_hash
from loyalty.reward_parts import MILLION
from loyalty.reward_tables import Draw, LotterySeed, OddsTable
from loyalty.tables import Transfer
from loyalty.writing import body_hash

LEAST_EXPECTED = 5
"""Chi-square needs about five expected draws a prize; rarer prizes are counted together."""
AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Fairness:
    """How the draws of a lottery fell under one table of odds, against what the odds expect.

    `p_value`: how often honest draws would differ as much or more; below a thousandth deserves a look. It is 1 where
    there are too few draws to tell.
    """

    lottery_id: str
    odds_hash: str
    draws: int
    landed: Mapping[str, int]
    expected: Mapping[str, float]
    chi_square: float
    degrees: int
    p_value: float


def replay(session: Session, lottery_id: str | None = None) -> Iterator[str]:
    """Roll every stored draw again; a sentence for each that does not come out as it is stored."""
    tables = {row.odds_hash: row for row in session.execute(
        select(OddsTable.odds_hash, OddsTable.lottery_id, OddsTable.odds, OddsTable.consolation))}
    for hashed, table in tables.items():
        if body_hash([table.lottery_id, {"odds": table.odds, "consolation": table.consolation}]) != hashed:
            yield f"odds {hashed[:12]} of lottery {table.lottery_id}: they were changed after they were stored"
    draws = (
        select(Draw.id, Draw.key, Draw.rolled_for, Draw.lottery_id, Draw.roll, Draw.landed, Draw.prize_id, Draw.why,
               Draw.odds_hash, Draw.at, LotterySeed.seed, LotterySeed.seed_hash, LotterySeed.committed_at,
               Transfer.id.label("paid"))
        .join(LotterySeed, LotterySeed.id == Draw.seed_id)
        .outerjoin(Transfer, Transfer.key == "draw:" + Draw.key).order_by(Draw.id))
    if lottery_id is not None:
        draws = draws.where(Draw.lottery_id == lottery_id)
    last = 0
    while page := session.execute(draws.where(Draw.id > last).limit(AT_ONCE)).all():
        last = page[-1].id
        for row in page:
            yield from (f"draw {row.id} of lottery {row.lottery_id}: {wrong}" for wrong in _wrong(row, tables))


def fairness(session: Session, lottery_id: str) -> list[Fairness]:
    """Chi-square of where the rolls landed, for each table of odds the lottery ever had."""
    rows = session.execute(
        select(Draw.odds_hash, Draw.landed, func.count()).where(Draw.lottery_id == lottery_id)
        .group_by(Draw.odds_hash, Draw.landed))
    landed: dict[str, Counter[str]] = defaultdict(Counter)
    for hashed, prize_id, count in rows:
        landed[hashed][prize_id] += count
    tables = session.execute(
        select(OddsTable.odds_hash, OddsTable.odds, OddsTable.consolation)
        .where(OddsTable.lottery_id == lottery_id).order_by(OddsTable.odds_hash))
    return [_fairness(lottery_id, table.odds_hash, landed[table.odds_hash], _shares(table)) for table in tables]


def p_value_of(chi_square: float, degrees: int) -> float:
    """Upper tail of the chi-square distribution, by its closed form for whole degrees of freedom."""
    if degrees < 1 or chi_square <= 0:
        return 1.0
    half = chi_square / 2
    if degrees % 2 == 0:
        term, total, start = math.exp(-half), math.exp(-half), 1.0
    else:
        total, start = math.erfc(math.sqrt(half)), 1.5
        term = 0.0 if degrees == 1 else 2 * math.exp(-half) * math.sqrt(half / math.pi)
        total += term
    for step in range((degrees - 2 if degrees % 2 == 0 else degrees - 3) // 2):
        term *= half / (start + step)
        total += term
    return min(1.0, total)


def _wrong(row: Any, tables: Mapping[str, Any]) -> Iterator[str]:
    table = tables[row.odds_hash]
    if seed_hash(row.seed) != row.seed_hash:
        yield "its seed does not have the hash that was committed"
    if row.committed_at > row.at:
        yield f"its seed was committed at {row.committed_at}, after it"
    rolled = roll(row.seed, row.lottery_id, row.rolled_for, row.key)
    if rolled != row.roll:
        yield f"rolled {row.roll}, its seed gives {rolled}"
    fell = land(table.odds, table.consolation, rolled)
    if fell != row.landed:
        yield f"landed on {row.landed!r}, its odds give {fell!r}"
    if row.prize_id != row.landed and not (row.why and row.prize_id == table.consolation):
        yield f"gave {row.prize_id!r} instead of {row.landed!r} without a reason"
    if row.paid is None:
        yield "no chance was spent on it"


def _shares(table: Any) -> dict[str, int]:
    shares: Counter[str] = Counter({table.consolation: MILLION - sum(share for _, share in table.odds)})
    for prize_id, share in table.odds:
        shares[prize_id] += share
    return dict(shares)


def _fairness(lottery_id: str, hashed: str, landed: Counter[str], shares: Mapping[str, int]) -> Fairness:
    draws = landed.total()
    expected = {prize_id: draws * share / MILLION for prize_id, share in shares.items()}
    rare = [prize_id for prize_id, count in expected.items() if count < LEAST_EXPECTED]
    bins = [(landed[id], expected[id]) for id in expected if id not in rare]
    bins.append((sum(landed[id] for id in rare), sum(expected[id] for id in rare)))
    bins = [(seen, awaited) for seen, awaited in bins if awaited > 0]
    impossible = any(landed[id] and not shares.get(id) for id in landed)
    chi_square = math.inf if impossible else sum((seen - awaited) ** 2 / awaited for seen, awaited in bins)
    degrees = max(len(bins) - 1, 0)
    p_value = 0.0 if impossible else p_value_of(chi_square, degrees)
    return Fairness(lottery_id, hashed, draws, dict(landed), expected, chi_square, degrees, p_value)
