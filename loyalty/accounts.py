"""Accounts: found or opened in one go, and locked in id order before anything about them is read."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from loyalty.bulk import BULK, load, next_ids, on_sqlite
from loyalty.errors import UnknownMember
from loyalty.storage import among
from loyalty.tables import PROGRAMME_OWNER, Account, AccountBalance, Member, table_of
from loyalty.writing import insert_new

_ACCOUNTS, _MEMBERS = table_of(Account), table_of(Member)
_BY_NAME = select(_ACCOUNTS.c.id, _ACCOUNTS.c.owner, _ACCOUNTS.c.asset, _ACCOUNTS.c.kind).where(
    among(_ACCOUNTS.c.owner, "owners"), among(_ACCOUNTS.c.asset, "assets"), among(_ACCOUNTS.c.kind, "kinds"))
_LOCKED = (
    select(AccountBalance.account_id, AccountBalance.balance)
    .where(among(AccountBalance.account_id, "ids"))
    .order_by(AccountBalance.account_id)
    .with_for_update()
)

POINTS, GROWTH, CHANCES = "points", "growth", "chances"
STORED_VALUE, STORED_BONUS = "stored_value", "stored_bonus"
ASSETS = (POINTS, GROWTH, CHANCES, STORED_VALUE, STORED_BONUS)
"""What a member can have, all by the same rules; stored value and its bonus are in fen."""

_HAS, _OWES = aliased(Account), aliased(Account)
_OWED = (
    select(_HAS.id, AccountBalance.balance)
    .join(_OWES, (_OWES.owner == _HAS.owner) & (_OWES.asset == _HAS.asset) & (_OWES.kind == "owed"))
    .join(AccountBalance, AccountBalance.account_id == _OWES.id)
    .where(among(_HAS.id, "ids"), AccountBalance.balance < 0)
)

AVAILABLE, HELD, OWED = "available", "held", "owed"
ISSUED, BURNED, LAPSED = "issued", "burned", "lapsed"


class AccountName(NamedTuple):
    """Which account: owner (a member id, or 0 for the programme), asset, kind."""

    owner: int
    asset: str
    kind: str

    @property
    def of_member(self) -> bool:
        """Whether a member owns it, so that it keeps a balance row."""
        return self.owner != PROGRAMME_OWNER


def find_accounts(session: Session, names: Collection[AccountName]) -> dict[AccountName, int]:
    """Ids of the accounts that are open."""
    if not names:
        return {}
    wanted = set(names)
    sides = {
        "owners": sorted({name.owner for name in wanted}),
        "assets": sorted({name.asset for name in wanted}),
        "kinds": sorted({name.kind for name in wanted}),
    }
    found = {AccountName(owner, asset, kind): id for id, owner, asset, kind in session.execute(_BY_NAME, sides).all()}
    return {name: found[name] for name in wanted if name in found}


def open_accounts(session: Session, names: Collection[AccountName]) -> dict[AccountName, int]:
    """Ids of all these accounts, opening the missing ones; raises UnknownMember."""
    known = find_accounts(session, names)
    missing = sorted(set(names) - known.keys())
    if not missing:
        return known
    _refuse_unknown(session, {name.owner for name in missing if name.of_member})
    if len(missing) >= BULK and on_sqlite(session):
        # Nobody else writes now: nothing can be in the way.
        made = dict(zip(missing, next_ids(session, Account, len(missing)), strict=True))
        load(session, Account, ("id", *AccountName._fields), [(id, *name) for name, id in made.items()])
        of_members = [(id, 0) for name, id in made.items() if name.of_member]
        load(session, AccountBalance, ("account_id", "balance"), of_members)
        return known | made
    insert_new(session, Account, [name._asdict() for name in missing], ["id"])
    known |= find_accounts(session, missing)
    fresh = sorted(known[name] for name in missing if name.of_member)
    insert_new(session, AccountBalance, [{"account_id": id, "balance": 0} for id in fresh], ["account_id"])
    return known


def lock_accounts(session: Session, account_ids: Collection[int]) -> dict[int, int]:
    """Balance of each member account, its row locked until the transaction ends; always in id order."""
    rows = session.execute(_LOCKED, {"ids": sorted(account_ids)})
    return {row[0]: row[1] for row in rows.all()}


def owed_by(session: Session, account_ids: Collection[int]) -> dict[int, int]:
    """What the owners of these available accounts owe of the same asset, above 0; read it under their lock."""
    rows = session.execute(_OWED, {"ids": sorted(account_ids)})
    return {row.id: -row.balance for row in rows}


def lock_member(session: Session, member_id: int, asset: str) -> None:
    """Make every other writer of this member's points wait; opens the account; raises UnknownMember."""
    name = AccountName(member_id, asset, AVAILABLE)
    lock_accounts(session, open_accounts(session, [name]).values())


def _refuse_unknown(session: Session, member_ids: set[int]) -> None:
    known = set(session.scalars(select(_MEMBERS.c.id).where(among(_MEMBERS.c.id, sorted(member_ids)))))
    if member_ids - known:
        raise UnknownMember(min(member_ids - known))
