"""What may be asked of the ledger and what it answers: plain values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from loyalty.accounts import AVAILABLE, BURNED, HELD, ISSUED, LAPSED, OWED, AccountName
from loyalty.errors import LoyaltyError
from loyalty.tables import PROGRAMME_OWNER

SIMPLE = {(ISSUED, AVAILABLE), (AVAILABLE, BURNED), (AVAILABLE, HELD)}


@dataclass(frozen=True, slots=True)
class Movement:
    """A transfer to be posted: `amount` > 0 leaves `debit` and reaches `credit`, once under `key`.

    `expires_at`: when the lot that a credit makes lapses. `available_from`: until then that lot is pending.
    `until`: makes it a hold with this time-out. `pending_of`: ends the hold with this transfer id.
    `reverses`: takes back (a part of) this transfer. `lot`: takes from this lot, lapsed or not.
    """

    key: str
    debit: AccountName
    credit: AccountName
    amount: int
    reason: str
    ref: str = ""
    expires_at: datetime | None = None
    until: datetime | None = None
    pending_of: int | None = None
    reverses: int | None = None
    lot: int | None = None
    available_from: datetime | None = None

    def __post_init__(self) -> None:
        for moment in (self.expires_at, self.until, self.available_from):
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"movement {self.key!r}: a moment without a time zone: {moment!r}")
        if self.amount <= 0:
            raise ValueError(f"movement {self.key!r} of {self.amount}: the amount must be above 0")
        if self.debit.asset != self.credit.asset:
            raise ValueError(f"movement {self.key!r} from {self.debit.asset} to {self.credit.asset}: one asset only")
        if not (self.debit.of_member or self.credit.of_member):
            raise ValueError(f"movement {self.key!r} touches no member account")

    @property
    def body(self) -> str:
        """Hash of what makes it the same request; dates are left out, a retry may compute them later."""
        body = [self.debit, self.credit, self.amount, self.reason, self.ref, self.pending_of, self.reverses, self.lot]
        return _hash(body)

    @property
    def is_simple(self) -> bool:
        """Whether it looks at nothing but its accounts and their lots: an earn, a spend or a hold."""
        return (self.pending_of is None and self.reverses is None and self.lot is None
                and (self.debit.kind, self.credit.kind) in SIMPLE)


@dataclass(frozen=True, slots=True)
class Posted:
    """The ledger's answer to one movement: `id` is 0 and `error` set where it was refused.

    `new` is False where the key had been posted before; then nothing moved now.
    """

    id: int
    key: str
    amount: int
    new: bool
    error: LoyaltyError | None = None


def earning(member_id: int, amount: int, key: str, reason: str, ref: str = "", *, expires_at: datetime | None,
            available_from: datetime | None = None, asset: str = "points") -> Movement:
    """Programme to member, making a lot; pending before `available_from`."""
    return Movement(key, _programme(asset, ISSUED), _member(member_id, asset), amount, reason, ref,
                    expires_at=expires_at, available_from=available_from)


def earning_body(member_id: int, amount: int, reason: str, ref: str, asset: str) -> str:
    """The body of an earning, without building it."""
    sides = [(PROGRAMME_OWNER, asset, ISSUED), (member_id, asset, AVAILABLE)]
    return _hash([*sides, amount, reason, ref, None, None, None])


def spending(member_id: int, amount: int, key: str, reason: str, ref: str = "", *,
             asset: str = "points") -> Movement:
    """Member to programme, from the lots that lapse first."""
    return Movement(key, _member(member_id, asset), _programme(asset, BURNED), amount, reason, ref)


def holding(member_id: int, amount: int, key: str, reason: str, ref: str = "", *,
            until: datetime, asset: str = "points") -> Movement:
    """Member's available to held, until settled, released or timed out."""
    return Movement(key, _member(member_id, asset), _member(member_id, asset, HELD), amount, reason, ref, until=until)


def lapsing(member_id: int, lot: int, amount: int, key: str, asset: str) -> Movement:
    """What is left of a lot whose time is over, back to the programme."""
    return Movement(key, _member(member_id, asset), _programme(asset, LAPSED), amount, "lapse", lot=lot)


def moving(lot: int, member_id: int, into: int, amount: int, key: str, reason: str, asset: str, *,
           expires_at: datetime | None, available_from: datetime | None) -> Movement:
    """What is left of one member's lot, to another member's lot with the same dates."""
    return Movement(key, _member(member_id, asset), _member(into, asset), amount, reason, lot=lot,
                    expires_at=expires_at, available_from=available_from)


def clawing(member_id: int, amount: int, key: str, reason: str, ref: str, *, reverses: int | None,
            asset: str = "points") -> Movement:
    """Earned points back to the programme, from their own lot first, then from any other, pending ones last."""
    return Movement(key, _member(member_id, asset), _programme(asset, ISSUED), amount, reason, ref, reverses=reverses)


def owing(member_id: int, amount: int, key: str, reason: str, ref: str, *, reverses: int | None,
          asset: str = "points") -> Movement:
    """Earned points back to the programme that the member no longer has: later points repay them."""
    return Movement(key, _member(member_id, asset, OWED), _programme(asset, ISSUED), amount, reason, ref,
                    reverses=reverses)


def repaying(member_id: int, amount: int, asset: str, for_key: str) -> Movement:
    """What came to a member who owes, towards what is owed."""
    return Movement(f"repay:{for_key}", _member(member_id, asset), _member(member_id, asset, OWED), amount, "repay")


def settling(hold_id: int, member_id: int, amount: int, key: str, reason: str, ref: str, asset: str) -> Movement:
    """Held to programme: the points of a hold are spent."""
    return Movement(key, _member(member_id, asset, HELD), _programme(asset, BURNED), amount, reason, ref,
                    pending_of=hold_id)


def releasing(hold_id: int, member_id: int, amount: int, key: str, reason: str, ref: str, asset: str) -> Movement:
    """Held back to available, into the lots the points came from."""
    return Movement(key, _member(member_id, asset, HELD), _member(member_id, asset), amount, reason, ref,
                    pending_of=hold_id)


def _member(member_id: int, asset: str, kind: str = AVAILABLE) -> AccountName:
    return AccountName(member_id, asset, kind)


def _programme(asset: str, kind: str) -> AccountName:
    return AccountName(PROGRAMME_OWNER, asset, kind)


def _hash(body: list[Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(body)).hexdigest()
