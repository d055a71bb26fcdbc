"""What tiers hang on: what members paid and what growth value they gained, in all or in a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, CompoundSelect, Select, bindparam, cast, func, select, union_all
from sqlalchemy.orm import Session, aliased

from loyalty.accounts import AVAILABLE, GROWTH, ISSUED
from loyalty.programme import Programme
from loyalty.storage import UtcDateTime, among
from loyalty.tables import Account, AccountBalance, Order, PurchaseSummary, Refund, Transfer

_PAID = select(PurchaseSummary.member_id, PurchaseSummary.amount_fen).where(
    among(PurchaseSummary.member_id, "members"))
_GROWN = (
    select(Account.owner, AccountBalance.balance).join(AccountBalance, AccountBalance.account_id == Account.id)
    .where(among(Account.owner, "members"), Account.asset == GROWTH, Account.kind == AVAILABLE)
)
_FROM, _TO = bindparam("since", type_=UtcDateTime()), bindparam("upto", type_=UtcDateTime())
_PAID_BETWEEN = (
    select(Order.member_id, cast(func.sum(Order.amount_fen), BigInteger))
    .where(among(Order.member_id, "members"), Order.paid_at > _FROM, Order.paid_at <= _TO, Order.recorded_at <= _TO)
    .group_by(Order.member_id)
)
_REFUNDED_BETWEEN = (
    select(Order.member_id, cast(func.sum(Refund.amount_fen), BigInteger)).join(Refund, Refund.order_id == Order.id)
    .where(among(Order.member_id, "members"), Order.paid_at > _FROM, Order.paid_at <= _TO, Refund.at <= _TO)
    .group_by(Order.member_id)
)


def growth_rows() -> CompoundSelect[Any]:
    """Growth gained by members (`members`) and taken back (below 0): what came from the programme or returned to it.

    Lapses and what moves between merged members are neither. Begins at the members' accounts, so that indexes serve.
    """
    mine, other = aliased(Account), aliased(Account)

    def side(my_id: Any, other_id: Any, sign: int) -> Select[int, datetime, int]:
        return (
            select(mine.owner.label("member_id"), Transfer.at.label("at"), (sign * Transfer.amount).label("amount"))
            .join(Transfer, my_id == mine.id).join(other, other.id == other_id)
            .where(among(mine.owner, "members"), mine.asset == GROWTH, mine.kind == AVAILABLE, other.kind == ISSUED)
        )

    return union_all(side(Transfer.credit_id, Transfer.debit_id, 1), side(Transfer.debit_id, Transfer.credit_id, -1))


_GAINS = growth_rows().subquery()
_GROWN_BETWEEN = (
    select(_GAINS.c.member_id, cast(func.sum(_GAINS.c.amount), BigInteger))
    .where(_GAINS.c.at > _FROM, _GAINS.c.at <= _TO).group_by(_GAINS.c.member_id)
)


class Figures(NamedTuple):
    """Fen paid and growth value gained."""

    amount_fen: int
    growth: int


def figures(session: Session, programme: Programme, member_ids: Collection[int], at: datetime) -> dict[int, Figures]:
    """What counts now for reaching a tier: all of it, or that of the policy's last days."""
    days = programme.tier_policy.counting_days
    if days is not None:
        return figures_between(session, member_ids, at - timedelta(days=days), at)
    members = {"members": sorted(member_ids)}
    paid = _by_member(session, _PAID, members)
    grown: dict[int, int] = {}
    if any(tier.from_growth is not None for tier in programme.tiers):
        grown = _by_member(session, _GROWN, members)
    return {id: Figures(paid.get(id, 0), grown.get(id, 0)) for id in member_ids}


def figures_between(session: Session, member_ids: Collection[int], since: datetime,
                    upto: datetime) -> dict[int, Figures]:
    """What members paid and gained after `since`, up to and with `upto`; refunds known by then are taken off."""
    span = {"members": sorted(member_ids), "since": since, "upto": upto}
    paid = _by_member(session, _PAID_BETWEEN, span)
    back = _by_member(session, _REFUNDED_BETWEEN, span)
    grown = _by_member(session, _GROWN_BETWEEN, span)
    return {id: Figures(paid.get(id, 0) - back.get(id, 0), grown.get(id, 0)) for id in member_ids}


def _by_member(session: Session, statement: Select[int, int], of: Mapping[str, object]) -> dict[int, int]:
    return {row[0]: row[1] for row in session.execute(statement, of).all()}
