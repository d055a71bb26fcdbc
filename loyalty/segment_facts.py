"""The facts of a member that a segment may name: where each lies in the maintained rows, and what stands for nothing.

A fact is a column that may be empty, because the row is joined from the left; `empty` is its value then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from math import ceil, floor
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Float,
    Select,
    case,
    cast,
    exists,
    extract,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Session

from loyalty import lifecycle, rfm, tags
from loyalty.accounts import AVAILABLE, POINTS, STORED_VALUE
from loyalty.campaign_tables import Birthday
from loyalty.insight_tables import MemberScore, ProductRhythm, PurchaseRhythm
from loyalty.people_tables import Acquisition, MemberTag, Merge
from loyalty.programme import Programme
from loyalty.reward_tables import PlanTerm
from loyalty.segment_parts import FACTS
from loyalty.storage import among
from loyalty.tables import Account, AccountBalance, Member, table_of

RHYTHM, SCORE, BIRTHDAY = "rhythm", "score", "birthday"
_ROWS: Final[Mapping[str, Any]] = {RHYTHM: PurchaseRhythm, SCORE: MemberScore, BIRTHDAY: Birthday}


def _held(asset: str) -> Any:
    """What members have of an asset, a row a member."""
    return (select(Account.owner.label("member_id"), AccountBalance.balance)
            .join(AccountBalance, AccountBalance.account_id == Account.id)
            .where(Account.asset == asset, Account.kind == AVAILABLE).subquery(f"held_{asset}"))


_HELD: Final = {POINTS: _held(POINTS), STORED_VALUE: _held(STORED_VALUE)}


@dataclass(frozen=True, slots=True)
class Fact:
    """A number, text or yes-no in SQL; `table` is what must be joined, `moment` what it counts whole days from."""

    column: ColumnElement[Any]
    table: str = ""
    moment: ColumnElement[datetime] | None = None


class Facts:
    """Where each fact lies, for one programme and one moment."""

    def __init__(self, session: Session, programme: Programme, now: datetime) -> None:
        self._session, self._programme, self._now = session, programme, now

    @cached_property
    def _cuts(self) -> rfm.Cuts:
        return rfm.cuts_in_force(self._session, self._programme.insights.rfm, self._now)

    def fact(self, name: str) -> Fact:
        """The fact of this name; lists are asked by `has`."""
        row, policy, now = PurchaseRhythm, self._programme.insights, self._now
        match name:
            case "tier":
                return Fact(table_of(Member).c.tier)
            case "stage":
                return Fact(lifecycle.stage(policy, now), RHYTHM)
            case "channel":
                return Fact(self._channel())
            case "orders":
                return Fact(table_of(row).c.orders, RHYTHM)
            case "spent_yuan":
                return Fact(cast(row.amount_fen, Float) / 100, RHYTHM)
            case "average_yuan":
                return Fact(cast(row.amount_fen, Float) / 100 / row.orders, RHYTHM)
            case "points" | "stored_value_yuan":
                asset = POINTS if name == "points" else STORED_VALUE
                held = _HELD[asset].c.balance
                return Fact(held if name == "points" else cast(held, Float) / 100, asset)
            case "own_cycle_days":
                return Fact(case((row.occasions > 1, row.rhythm_days), else_=literal(0.0)), RHYTHM)
            case "rfm_recency":
                return Fact(rfm.recency(self._cuts, now), RHYTHM)
            case "rfm_frequency":
                return Fact(rfm.frequency(self._cuts), RHYTHM)
            case "rfm_amount":
                return Fact(rfm.amount(self._cuts), RHYTHM)
            case "churn" | "value_score" | "brand_score" | "retention_score":
                return Fact(table_of(MemberScore).c[name], SCORE)
            case "value_ahead_yuan":
                return Fact(cast(MemberScore.value_ahead_fen, Float) / 100, SCORE)
            case "birthday_month":
                return Fact(table_of(Birthday).c.month, BIRTHDAY)
            case "joined":
                return Fact(Member.joined_at.is_not(None))
            case "opted_out":
                return Fact(Member.opted_out_at.is_not(None))
            case "paid_plan":
                return Fact(exists().where(PlanTerm.member_id == Member.id, PlanTerm.starts_at <= now,
                                           PlanTerm.ends_at > now, PlanTerm.cancelled_at.is_(None)))
        return self._days(name)

    def has(self, name: str, value: str) -> ColumnElement[bool]:
        """Whether a list of the member holds this value."""
        if name == "tags":
            alive = or_(MemberTag.expires_at.is_(None), MemberTag.expires_at > self._now)
            return exists().where(MemberTag.member_id == Member.id, MemberTag.tag == value, alive)
        return exists().where(ProductRhythm.member_id == Member.id, ProductRhythm.sku == value)

    def compare_days(self, name: str, sign: str, days: float) -> ColumnElement[bool]:
        """Whole days compared with a number, as a comparison of the moment itself, so that its index serves."""
        moment = self.fact(name).moment
        if moment is None:
            raise KeyError(name)
        if name == "days_overdue":  # may be below 0; whole days are rounded down
            at_least = self._now - timedelta(days=_bounded(ceil(days)))
            above = self._now - timedelta(days=_bounded(floor(days) + 1))
        else:
            if days < 0 or (days == 0 and sign in ("ge", "lt")):  # a moment ahead counts as today
                return _present(moment, sign in ("ge", "gt", "ne"))
            at_least = self._now - timedelta(days=_bounded(ceil(days)))
            above = self._now - timedelta(days=_bounded(floor(days) + 1))
        whole = days == floor(days)
        match sign:
            case "ge":
                return moment <= at_least
            case "gt":
                return moment <= above
            case "lt":
                return moment > at_least
            case "le":
                return moment > above
            case "eq":
                return (moment <= at_least) & (moment > above) if whole else _present(moment, False)
        return (moment > at_least) | (moment <= above) if whole else _present(moment, True)

    def joined(self, statement: Select[*tuple[Any, ...]], used: Collection[str]) -> Select[*tuple[Any, ...]]:
        """The statement with what these facts need; members that live on as somebody else are left out."""
        for table in sorted({self.fact(name).table for name in used if not isinstance(FACTS[name], tuple)} - {""}):
            rows = table_of(_ROWS[table]) if table in _ROWS else _HELD[table]
            statement = statement.outerjoin(rows, rows.c.member_id == Member.id)
        gone = select(Merge.other_id).where(Merge.undone_at.is_(None))
        return statement.where(Member.id.not_in(gone))

    def _days(self, name: str) -> Fact:
        row = table_of(PurchaseRhythm).c
        moment = {"days_since_order": row.last_at, "days_overdue": row.due_at, "days_since_first_order": row.first_at,
                  "days_since_joined": table_of(Member).c.joined_at}[name]
        days: ColumnElement[Any] = func.floor((self._now.timestamp() - extract("epoch", moment)) / 86_400.0)
        # SQLite's floor is SQLAlchemy's own and knows no null.
        days = case((moment.is_(None), None), *([] if name == "days_overdue" else [(days < 0, 0)]), else_=days)
        return Fact(days, "" if name == "days_since_joined" else RHYTHM, moment)

    def _channel(self) -> ColumnElement[Any]:
        return (select(Acquisition.channel_code).where(Acquisition.member_id == Member.id)
                .order_by(Acquisition.at, Acquisition.id).limit(1).scalar_subquery())


def facts_of(session: Session, members: Sequence[int], now: datetime, programme: Programme, names: Collection[str]
             ) -> dict[int, dict[str, Any]]:
    """These facts of each of these members, for conditions that SQL cannot say and for showing why."""
    facts = Facts(session, programme, now)
    plain = sorted(name for name in names if not isinstance(FACTS[name], tuple))
    columns = [facts.fact(name).column.label(name) for name in plain]
    statement = facts.joined(select(Member.id.label("member"), *columns), plain).where(among(Member.id, members))
    found = {row.member: {name: FACTS[name] if row[place] is None else type(FACTS[name])(row[place])
                          for place, name in enumerate(plain, 1)} for row in session.execute(statement)}
    if "tags" in names:
        held = tags.tags_of(session, found, now)
        for member, known in found.items():
            known["tags"] = tuple(sorted({tag.tag for tag in held.get(member, ())}))
    if "skus" in names:
        bought: dict[int, list[str]] = {}
        for member, sku in session.execute(select(ProductRhythm.member_id, ProductRhythm.sku).where(
                among(ProductRhythm.member_id, list(found))).order_by(ProductRhythm.sku)):
            bought.setdefault(member, []).append(sku)
        for member, known in found.items():
            known["skus"] = tuple(bought.get(member, ()))
    return found


def _present(column: ColumnElement[Any], answer: bool) -> ColumnElement[bool]:
    return column.is_not(None) if answer else column.is_not(None) & column.is_(None)


def _bounded(days: int) -> int:
    return max(-100_000, min(100_000, days))


