"""Many earnings in one go: the ledger's way for files and batches, where nothing but new points comes to members."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from loyalty.accounts import AVAILABLE, ISSUED, OWED, AccountName, lock_accounts, open_accounts
from loyalty.bulk import BULK, cell_of_moments, load, next_ids, on_sqlite
from loyalty.movements import earning, earning_body
from loyalty.posting import post
from loyalty.storage import among
from loyalty.tables import PROGRAMME_OWNER, Account, AccountBalance, Lot, Transfer, table_of
from loyalty.writing import change_many

_ACCOUNTS = table_of(Account)
_THEIRS = (select(_ACCOUNTS.c.owner, _ACCOUNTS.c.id, _ACCOUNTS.c.kind)
           .where(among(_ACCOUNTS.c.owner, "owners"), _ACCOUNTS.c.asset == bindparam("asset"),
                  _ACCOUNTS.c.kind.in_([AVAILABLE, OWED])))
_KNOWN = select(table_of(Transfer).c.key).where(among(table_of(Transfer).c.key, "keys"))
_TRANSFER = ("id", "key", "body_hash", "debit_id", "credit_id", "amount", "asset", "reason", "ref", "at")
_LOT = ("account_id", "transfer_id", "amount", "remaining", "expires_at", "available_from")


class Gain(NamedTuple):
    """New points of a member, once under `key`; pending before `available_from`."""

    member_id: int
    amount: int
    key: str
    ref: str
    asset: str
    expires_at: datetime | None
    available_from: datetime | None


def earn_many(session: Session, gains: Sequence[Gain], reason: str, at: datetime) -> None:
    """Post what members gained, one transfer and one lot each; a key that is known moves nothing.

    Raises KeyReused where a key is known with another body, UnknownMember; from BULK gains on IntegrityError too, where
    another transaction takes a key meanwhile: roll back and do it again.
    """
    rest = gains if len(gains) < BULK else _load(session, gains, reason, at)
    if not rest:
        return
    movements = [earning(gain.member_id, gain.amount, gain.key, reason, gain.ref, expires_at=gain.expires_at,
                         available_from=gain.available_from, asset=gain.asset) for gain in rest]
    for posted in post(session, movements, at):
        if posted.error is not None:
            raise posted.error


def _load(session: Session, gains: Sequence[Gain], reason: str, at: datetime) -> list[Gain]:
    """Write what needs no decision; left are known keys and the gains of members who may owe."""
    available: dict[tuple[str, int], int] = {}
    owing: set[tuple[str, int]] = set()
    owners: dict[str, set[int]] = defaultdict(set)
    for gain in gains:
        owners[gain.asset].add(gain.member_id)
    for asset, theirs in sorted(owners.items()):
        _find(session, asset, theirs, available, owing)
    if not on_sqlite(session):
        # Who owes is read under the lock of what they have.
        lock_accounts(session, available.values())
        for asset, theirs in sorted(owners.items()):
            _find(session, asset, theirs, available, owing)
    issued = open_accounts(session, [AccountName(PROGRAMME_OWNER, asset, ISSUED) for asset in owners])
    debits = {name.asset: id for name, id in issued.items()}
    known = set(session.scalars(_KNOWN, {"keys": [gain.key for gain in gains]}))
    left = [gain for gain in gains if gain.key in known or (gain.asset, gain.member_id) in owing]
    waiting = {gain.key for gain in left}
    easy = [gain for gain in gains if gain.key not in waiting] if left else gains
    ids, cell = next_ids(session, Transfer, len(easy)), cell_of_moments(session)
    transfers, lots, added, now = [], [], defaultdict[int, int](int), cell(at)
    for id, gain in zip(ids, easy, strict=True):
        member_id, amount, key, ref, asset, lapse, free = gain
        account = available[asset, member_id]
        transfers.append((id, key, earning_body(member_id, amount, reason, ref, asset), debits[asset], account, amount,
                          asset, reason, ref, now))
        lots.append((account, id, amount, amount, cell(lapse) if lapse else None, cell(free) if free else None))
        added[account] += amount
    load(session, Transfer, _TRANSFER, transfers)
    load(session, Lot, _LOT, lots)
    change_many(session, AccountBalance, "balance", added, adding=True)
    return left


def _find(session: Session, asset: str, owners: Collection[int], available: dict[tuple[str, int], int],
          owing: set[tuple[str, int]]) -> None:
    """The accounts of these owners, opened where they are not, and who of them may owe."""
    seen = 0
    for owner, id, kind in session.execute(_THEIRS, {"owners": sorted(owners), "asset": asset}).all():
        if kind == AVAILABLE:
            available[asset, owner] = id
            seen += 1
        else:
            owing.add((asset, owner))
    if seen == len(owners):
        return
    missing = [owner for owner in sorted(owners) if (asset, owner) not in available]
    opened = open_accounts(session, [AccountName(owner, asset, AVAILABLE) for owner in missing])
    available.update({(asset, name.owner): id for name, id in opened.items()})
