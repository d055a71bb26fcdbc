"""What may be asked of the ledger and what it answers: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from loyalty.accounts import AVAILABLE, BURNED, HELD, ISSUED, LAPSED, AccountName
from loyalty.errors import LoyaltyError
from loyalty.tables import PROGRAMME_OWNER
from loyalty.writing import body_hash


@dataclass(frozen=True, slots=True)
class Movement:
    """A transfer to be posted: `amount` > 0 leaves `debit` and reaches `credit`, once under `key`.

    `expires_at`: when the lot that a credit makes lapses. `until`: makes it a hold with this time-out.
    `pending_of`: ends the hold with this transfer id. `reverses`: takes back (a part of) this transfer.
    `lot`: lapses what is left of this lot.
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

    def __post_init__(self) -> None:
        if self.amount <= 0:
            raise ValueError(f"movement {self.key!r} of {self.amount}: the amount must be above 0")
        if self.debit.asset != self.credit.asset:
            raise ValueError(f"movement {self.key!r} from {self.debit.asset} to {self.credit.asset}: one asset only")
        if not (self.debit.of_member or self.credit.of_member):
            raise ValueError(f"movement {self.key!r} touches no member account")

    @property
    def body(self) -> str:
        """Hash of what makes it the same request; dates are left out, a retry may compute them later."""
        return body_hash([self.debit, self.credit, self.amount, self.reason, self.ref, self.pending_of,
                          self.reverses, self.lot])


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


def earning(member_id: int, amount: int, key: str, reason: str, ref: str = "", *,
            expires_at: datetime | None, asset: str = "points") -> Movement:
    """Programme to member, making a lot."""
    return Movement(key, _programme(asset, ISSUED), _member(member_id, asset), amount, reason, ref,
                    expires_at=expires_at)


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
