"""Scores from 0 to 100 for what a member is worth, how attached they are and whether they stay; and their churn.

The three follow the drivers of customer equity: value, brand and relationship (Rust, Lemon and Zeithaml, "Return on
Marketing: Using Customer Equity to Focus Marketing Strategy", Journal of Marketing 68(1), 2004). How each is measured
here is told in docs/why/0016_a_model_of_buying.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, Select, delete, func, select
from sqlalchemy.orm import Session

from loyalty import rfm
from loyalty.campaign_tables import Activity
from loyalty.days import local_day
from loyalty.forecasts import FEWEST, History, Model, fit, regularity_of, usual
from loyalty.insight_parts import InsightPolicy, ScorePolicy
from loyalty.insight_tables import ForecastModel, MemberScore, PurchaseRhythm
from loyalty.programme import Programme
from loyalty.rhythms import move_mark, take_mark
from loyalty.storage import among
from loyalty.tables import Member, table_of
from loyalty.writing import insert_new, upsert_many

SAMPLE: Final = 1500
"""Histories a model is fitted to; more change its third digit."""
STAYS, REACHED, RANKED = 0.7, 0.15, 0.15
"""What the retention score is made of: the chance to stay, being open to messages, the height of the tier."""
_MODELS = table_of(ForecastModel)
_COLUMNS = [column.name for column in table_of(MemberScore).columns if column.name != "member_id"]


@dataclass(frozen=True, slots=True)
class Typical:
    """The model of a day and what is half of the way to a full value score."""

    model: Model
    value_half_fen: int


def refresh(session: Session, programme: Programme, at: datetime, limit: int = 5000) -> int:
    """Score the next page of members, everybody once a local day, with a model fitted anew each day; how many."""
    day = local_day(at, programme.zone)
    upto = take_mark(session, "scores", at)
    if upto is None:
        return 0
    typical = fitted(session, programme, at)
    begun, last = divmod(upto, 10**12)  # the day's number stands before the member's in one watermark
    last = last if begun == day.toordinal() else 0
    members = session.scalars(select(PurchaseRhythm.member_id).where(PurchaseRhythm.member_id > last)
                              .order_by(PurchaseRhythm.member_id).limit(limit)).all()
    if members:
        score(session, programme, members, at, typical)
        move_mark(session, "scores", day.toordinal() * 10**12 + members[-1], at)
    return len(members)


def score(session: Session, programme: Programme, member_ids: Collection[int], at: datetime,
          typical: Typical | None = None) -> None:
    """Write the scores of these members as of now, by the newest model; who never bought has none."""
    typical = typical or fitted(session, programme, at)
    members = sorted(member_ids)
    attached = attachment(session, programme.insights.scores, members, at)
    rows = session.execute(_people(members)).all()
    if gone := set(members) - {row.member_id for row in rows}:
        session.execute(delete(MemberScore).where(among(MemberScore.member_id, sorted(gone))))
    written = [_row(programme, typical, row, attached.get(row.member_id, 0.0), at) for row in rows]
    upsert_many(session, MemberScore, written, "member_id", {name: f'excluded."{name}"' for name in _COLUMNS})


def fitted(session: Session, programme: Programme, at: datetime) -> Typical:
    """The model of this local day; the first who asks makes it, and makes it anew when far more members are known."""
    day = local_day(at, programme.zone).isoformat()
    row = session.execute(select(_MODELS).where(_MODELS.c.day == day)).first()
    if row is None or (row.members < SAMPLE and row.members * 2 + FEWEST < min(_count(session), SAMPLE)):
        session.execute(delete(_MODELS).where(_MODELS.c.day == day))
        insert_new(session, ForecastModel, [_fit(session, programme, at) | {"day": day}], ["id"])
        row = session.execute(select(_MODELS).where(_MODELS.c.day == day)).one()
    return Typical(Model(row.regularity, row.r, row.alpha, row.a, row.b), row.value_half_fen)


def attachment(session: Session, policy: ScorePolicy, member_ids: Collection[int], at: datetime) -> dict[int, float]:
    """What members did beside buying, weighted by kind, halved every `brand_fades_in_days`."""
    rows = session.execute(
        select(Activity.member_id, Activity.kind, Activity.day, func.count())
        .where(among(Activity.member_id, list(member_ids)), Activity.state.in_(["counted", "granted"]),
               Activity.at > at - timedelta(days=8 * policy.brand_fades_in_days), Activity.at <= at)
        .group_by(Activity.member_id, Activity.kind, Activity.day))
    found: dict[int, float] = defaultdict(float)
    for member_id, kind, day, times in rows:
        age = max(0, at.date().toordinal() - day.toordinal())
        found[member_id] += policy.brand_weights.get(kind, 0) * times * 0.5 ** (age / policy.brand_fades_in_days)
    return dict(found)


def half_way(value: float, half_at: float) -> int:
    """0 for nothing, 50 at `half_at`, towards 100 for ever more: value / (value + half)."""
    return round(100 * value / (value + half_at)) if value > 0 else 0


def history_of(row: Row[*tuple[Any, ...]] | PurchaseRhythm, at: datetime) -> History:
    """A member's maintained row as the model reads it."""
    watched = max(0.0, (at - row.first_at).total_seconds() / 86_400)
    return History(row.occasions - 1, min(row.span_days, watched), watched)


def _people(members: Sequence[int]) -> Select[*tuple[Any, ...]]:
    row = PurchaseRhythm
    return (select(row.member_id, row.first_at, row.last_at, row.occasions, row.span_days, row.amount_fen, Member.tier,
                   Member.opted_out_at).join(Member, Member.id == row.member_id).where(among(row.member_id, members))
            .order_by(row.member_id))


def _row(programme: Programme, typical: Typical, row: Row[*tuple[Any, ...]], attached: float, at: datetime
         ) -> dict[str, Any]:
    policy, model, history = programme.insights, typical.model, history_of(row, at)
    alive, wait = model.alive(history), model.next_in_days(history, policy.horizon_days)
    ahead = model.purchases_within(history, policy.horizon_days)
    value = round(ahead * max(row.amount_fen, 0) / row.occasions)
    rank = (programme.tier_rank(row.tier) + 1) / len(programme.tiers) if programme.tiers else 0.0
    stays = STAYS * alive + REACHED * (row.opted_out_at is None) + RANKED * rank
    return {
        "member_id": row.member_id, "churn": 1 - alive,
        "next_at": None if wait is None else at + timedelta(days=wait), "purchases_ahead": ahead,
        "value_ahead_fen": value, "value_score": half_way(value, typical.value_half_fen),
        "brand_score": half_way(attached, policy.scores.brand_half_at), "retention_score": round(100 * stays),
        "scored_at": at,
    }


def _fit(session: Session, programme: Programme, at: datetime) -> dict[str, Any]:
    policy = programme.insights
    rows = _sample(session, _count(session))
    histories = [history_of(row, at) for row in rows]
    k = regularity_of((row.last_gap_days, row.earlier_gap_days) for row in rows if row.earlier_gap_days is not None)
    model = fit(histories, policy.rhythm_days, k) if rows else usual(policy.rhythm_days)
    return {
        "fitted_at": at, "members": len(rows), "regularity": k if rows else 1, "r": model.r, "alpha": model.alpha,
        "a": model.a, "b": model.b, "value_half_fen": _value_half(policy, model, rows, histories),
        "rfm": rfm.measure(session, policy.rfm, at).as_json(),
    }


def _count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(PurchaseRhythm)) or 0


def _sample(session: Session, count: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Members picked evenly over their numbers, scattered by a multiplicative hash: the same ones each time."""
    row = PurchaseRhythm
    wanted = select(row.member_id, row.first_at, row.occasions, row.span_days, row.amount_fen, row.last_gap_days,
                    row.earlier_gap_days).order_by(row.member_id)
    if count > SAMPLE:
        wanted = wanted.where(row.member_id * 40_503 % 65_536 < max(1, 65_536 * SAMPLE // count))
    return session.execute(wanted.limit(2 * SAMPLE)).all()


def _value_half(policy: InsightPolicy, model: Model, rows: Sequence[Row[*tuple[Any, ...]]],
                histories: Sequence[History]) -> int:
    """What stands for half of a full value score: the brand's own figure, or the median of all who bought."""
    if policy.scores.value_half_fen is not None:
        return policy.scores.value_half_fen
    values = sorted(model.purchases_within(history, policy.horizon_days) * row.amount_fen / row.occasions
                    for row, history in zip(rows, histories, strict=True))
    return max(1, round(values[len(values) // 2])) if values else 1
