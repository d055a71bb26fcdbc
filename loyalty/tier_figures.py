"""What tiers hang on: what members paid and what growth value they gained, in all or in a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import BigInteger, Select, bindparam, case, cast, func, select
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
_ISSUER, _TAKER = aliased(Account), aliased(Account)
# Gained is what came from the programme, less what was taken back; lapses and merges are no gains or losses.
_GROWN_BETWEEN = (
    select(case((_ISSUER.kind == ISSUED, _TAKER.owner), else_=_ISSUER.owner).label("owner"),
           cast(func.sum(case((_ISSUER.kind == ISSUED, Transfer.amount), else_=-Transfer.amount)), BigInteger))
    .join(_ISSUER, _ISSUER.id == Transfer.debit_id).join(_TAKER, _TAKER.id == Transfer.credit_id)
    .where(Transfer.asset == GROWTH, Transfer.at > _FROM, Transfer.at <= _TO,
           (among(_TAKER.owner, "members") & (_ISSUER.kind == ISSUED))
           | (among(_ISSUER.owner, "members") & (_TAKER.kind == ISSUED)))
    .group_by("owner")
)


class Figures(NamedTuple):
    """Fen paid and growth value gained."""

    amount_fen: int
    growth: int


def figures(session: Session, programme: Programme, member_ids: Collection[int], at: datetime) -> dict[int, Figures]:
    """What counts now for reaching a tier: all of it, or that of the policy's last days."""
    days = programme.tier_policy.counts_days
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
    return {row[0]: row[1] for row in session.execute(statement, of)}
