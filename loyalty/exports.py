"""All that is kept of a person, as plain JSON: for them to take along, or to see before they are forgotten."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, or_, select
from sqlalchemy.orm import Session, aliased

from loyalty.balances import balance_of
from loyalty.errors import UnknownMember
from loyalty.followers import member_columns
from loyalty.merging import follow
from loyalty.storage import among
from loyalty.tables import Account, Lot, Member, Transfer, table_of

_MEMBERS = table_of(Member)


def export(session: Session, member_id: int, now: datetime) -> dict[str, Any]:
    """Everything of a member and of those who live on in them: rows by table, transfers, lots and balance."""
    alive = follow(session, [member_id])[member_id]
    person = session.execute(select(_MEMBERS).where(_MEMBERS.c.id == alive)).first()
    if person is None:
        raise UnknownMember(member_id)
    found: dict[str, Any] = {"exported_at": now.isoformat(), "member": _plain(person)}
    for table, column in member_columns():
        rows = session.execute(select(table).where(column == alive).order_by(*table.primary_key.columns)).all()
        if rows:
            # A table may name two members, such as who referred whom: each row is told once.
            known = found.setdefault(table.name, [])
            known += [plain for row in rows if (plain := _plain(row)) not in known]
    found["transfers"] = _transfers(session, [alive, *_merged_into(found, alive)])
    found["lots"] = [_plain(row) for row in session.execute(
        select(Account.asset, Lot.amount, Lot.remaining, Lot.expires_at).join(Account, Account.id == Lot.account_id)
        .where(Account.owner == alive).order_by(Lot.id))]
    balance = balance_of(session, alive, now)
    return found | {"points": {"available": balance.available, "held": balance.held}}


def _merged_into(found: dict[str, Any], member_id: int) -> list[int]:
    return [row["other_id"] for row in found.get("merges", [])
            if row["keep_id"] == member_id and row["undone_at"] is None]


def _transfers(session: Session, member_ids: Collection[int]) -> list[dict[str, Any]]:
    """Every movement of what they had, oldest first, above 0 where it came."""
    debit, credit = aliased(Account), aliased(Account)
    theirs = (among(debit.owner, member_ids), among(credit.owner, member_ids))
    rows = session.execute(
        select(Transfer.at, Transfer.asset, Transfer.amount, Transfer.reason, Transfer.ref, debit.owner, debit.kind,
               credit.owner, credit.kind)
        .join(debit, debit.id == Transfer.debit_id).join(credit, credit.id == Transfer.credit_id)
        .where(or_(*theirs)).order_by(Transfer.id))
    return [
        {"at": at.isoformat(), "asset": asset, "delta": amount if taker in member_ids else -amount, "reason": reason,
         "ref": ref, "from": source, "to": target}
        for at, asset, amount, reason, ref, _, source, taker, target in rows
    ]


def _plain(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    return {name: _json(value) for name, value in row._mapping.items()}


def _json(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
