"""One batch of the ledger: lock, read, decide row by row in memory, write set-based."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Select, cast, func, select
from sqlalchemy.orm import Session, aliased

from loyalty.accounts import (
    AVAILABLE,
    BURNED,
    HELD,
    ISSUED,
    LAPSED,
    OWED,
    AccountName,
    lock_accounts,
    open_accounts,
    owed_by,
)
from loyalty.errors import HoldClosed, KeyReused, LoyaltyError, NotEnough, NotReversible, UnknownTransfer
from loyalty.ledger_sql import CALL_POST_ONE
from loyalty.lots import UNBORN, LotBook, OpenLot, Use, load_born, load_by_id, load_open, load_taken
from loyalty.movements import Movement, Posted, repaying
from loyalty.storage import among
from loyalty.tables import Account, AccountBalance, Hold, Lot, LotUse, Transfer
from loyalty.writing import change_many, driver_row, insert_many, insert_rows, write_rows

# Statements of the hot path are built once: building one costs more than running it.
_BY_KEY = select(Transfer.key, Transfer.id, Transfer.body_hash).where(
    among(Transfer.key, "keys"))


def _targets_statement() -> Select[*tuple[Any, ...]]:
    debit, credit, undoing = aliased(Account), aliased(Account), aliased(Transfer)
    reversed = (select(func.coalesce(cast(func.sum(undoing.amount), BigInteger), 0))
                .where(undoing.reverses == Transfer.id).scalar_subquery())
    return (
        select(Transfer.id, Transfer.amount, Transfer.asset, debit.owner, debit.kind, credit.owner, credit.kind,
               Transfer.pending_of, reversed, Hold.state, Hold.expires_at)
        .join(debit, debit.id == Transfer.debit_id)
        .join(credit, credit.id == Transfer.credit_id)
        .outerjoin(Hold, Hold.transfer_id == Transfer.id)
        .where(among(Transfer.id, "ids"))
    )


_TARGETS = _targets_statement()


@dataclass(slots=True)
class Target:
    """A stored transfer that a row ends or reverses, with what is left of it."""

    id: int
    amount: int
    debit: AccountName
    credit: AccountName
    pending_of: int | None
    reversed: int
    hold_state: str | None
    hold_until: datetime | None

    @property
    def spend_id(self) -> int:
        """The transfer that took the lots: a settled hold's lots were taken by the hold."""
        return self.pending_of or self.id

    @property
    def reversible(self) -> bool:
        """Only an earn or a spend is reversed; holds are released, lapses and reversals stay."""
        return (self.debit.kind, self.credit.kind) in {(ISSUED, AVAILABLE), (AVAILABLE, BURNED), (HELD, BURNED)}

    def back(self) -> list[tuple[AccountName, AccountName]]:
        """Accounts its reversal may name: what was spent from held comes back as available, what was earned and is
        gone may be owed."""
        if self.debit.kind == HELD:
            return [(self.credit, self.debit._replace(kind=AVAILABLE))]
        if self.credit.kind == AVAILABLE:
            return [(self.credit, self.debit), (self.credit._replace(kind=OWED), self.debit)]
        return [(self.credit, self.debit)]


@dataclass(slots=True)
class Decided:
    """A row that goes through, with what it does to lots and holds."""

    movement: Movement
    body: str
    uses: list[Use] = field(default_factory=list)
    spend_id: int | None = None
    lot: OpenLot | None = None


class Batch:
    """The movements of one call, from lock to write; accounts stay locked until the transaction ends."""

    def __init__(self, session: Session, movements: Sequence[Movement], at: datetime) -> None:
        if at.tzinfo is None:
            raise ValueError(f"a moment without a time zone: {at!r}; pass datetime(..., tzinfo=UTC)")
        self.session, self.at = session, at
        self.rows = [(movement, movement.body) for movement in movements]
        names = {name for movement in movements for name in (movement.debit, movement.credit)}
        # What a member owes is decided under the lock of what they have.
        names |= {name._replace(kind=AVAILABLE) for name in names if name.kind == OWED}
        self.accounts = open_accounts(session, names)
        lock_accounts(session, [id for name, id in self.accounts.items() if name.of_member])
        self.first = _posted_before(session, [movement.key for movement in movements])
        fresh = [movement for movement in movements if movement.key not in self.first]
        self.targets = _targets(session, fresh)
        self.book = self._lots(fresh)
        self.decided: dict[str, Decided] = {}

    def run(self) -> list[Posted]:
        """Decide every row, write what goes through, answer in the order asked."""
        refusals = [self._refusal(movement, body) for movement, body in self.rows]
        ids = self._write() if self.decided else {}
        answers: list[Posted] = []
        told: set[str] = set()
        for (movement, _), error in zip(self.rows, refusals, strict=True):
            known = self.first.get(movement.key)
            id = known[0] if known else ids.get(movement.key, 0)
            new = error is None and known is None and movement.key not in told
            told.add(movement.key)
            answers.append(Posted(0 if error else id, movement.key, movement.amount, new, error))
        return answers

    def _refusal(self, movement: Movement, body: str) -> LoyaltyError | None:
        """Why this row is refused, or none: then it is decided and in hand."""
        earlier = self.decided.get(movement.key)
        known = self.first.get(movement.key) or (earlier and (0, earlier.body))
        if known:
            return None if known[1] == body else KeyReused(movement.key, known[1], body)
        try:
            decided = self.decided[movement.key] = self._decide(movement, body)
            self._repay(decided)
        except LoyaltyError as error:
            return error
        return None

    def _decide(self, movement: Movement, body: str) -> Decided:
        target = self._target(movement)
        row = Decided(movement, body)
        if movement.debit.kind == AVAILABLE:
            row.uses = self._take(movement)
        if movement.credit.kind == AVAILABLE:
            if target is None:
                account_id = self.accounts[movement.credit]
                row.lot = self.book.bear(account_id, movement.amount, movement.expires_at, movement.available_from)
            else:
                row.spend_id = target.spend_id
                row.uses = self.book.give_back(target.spend_id, movement.amount)
        elif movement.credit.kind == OWED:
            self.book.owed[self.accounts[movement.credit._replace(kind=AVAILABLE)]] -= movement.amount
        if movement.debit.kind == OWED:
            self.book.owed[self.accounts[movement.debit._replace(kind=AVAILABLE)]] += movement.amount
        if target is not None:
            self._spend_target(movement, target)
        return row

    def _repay(self, row: Decided) -> None:
        """What came to a member who owes pays that first, from the very lots that were filled."""
        name = row.movement.credit
        owed = self.book.owed[self.accounts[name]] if name.kind == AVAILABLE else 0
        if owed <= 0:
            return
        lots = [row.lot] if row.lot else [use.lot for use in row.uses]
        part = min(owed, row.movement.amount, sum(lot.remaining for lot in lots if not lot.lapsed(self.at)))
        if not part:
            return
        movement = repaying(name.owner, part, name.asset, row.movement.key)
        self.accounts |= open_accounts(self.session, [movement.credit])
        self.book.owed[self.accounts[name]] -= part
        self.decided[movement.key] = Decided(movement, movement.body, self.book.repay(lots, part))

    def _take(self, movement: Movement) -> list[Use]:
        account_id = self.accounts[movement.debit]
        if movement.lot is not None:
            lot = self.book.by_id.get(movement.lot)
            if lot is None or lot.account_id != account_id:
                raise NotEnough(movement.amount, 0)
            if lot.remaining < movement.amount:
                raise NotEnough(movement.amount - lot.remaining, lot.remaining)
            return self.book.lapse(lot, movement.amount)
        there, clawing = self.book.available[account_id], movement.credit.kind == ISSUED
        there += self.book.pending[account_id] if clawing else -self.book.owed[account_id]
        if there < movement.amount:
            raise NotEnough(movement.amount - max(there, 0), max(there, 0))
        if clawing:
            born = self.book.born_of.get(movement.reverses) if movement.reverses else None
            return self.book.claw(account_id, movement.amount, born)
        return self.book.take(account_id, movement.amount)

    def _target(self, movement: Movement) -> Target | None:
        """The transfer this row ends or reverses, checked; raises what stands against it."""
        wanted = movement.pending_of or movement.reverses
        if wanted is None:
            return None
        target = self.targets.get(wanted)
        if target is None:
            raise UnknownTransfer(wanted)
        if movement.pending_of:
            self._check_hold(movement, target)
        elif not target.reversible or (movement.debit, movement.credit) not in target.back():
            raise NotReversible(wanted, f"it moved {target.debit.kind} to {target.credit.kind}")
        elif target.reversed + movement.amount > target.amount:
            raise NotReversible(wanted, f"{target.reversed} of {target.amount} were reversed before")
        return target

    def _check_hold(self, movement: Movement, hold: Target) -> None:
        if hold.hold_state is None or hold.hold_until is None or hold.credit != movement.debit:
            raise UnknownTransfer(hold.id)
        if hold.hold_state != "pending":
            raise HoldClosed(hold.id, hold.hold_state)
        if movement.credit.kind == BURNED and hold.hold_until <= self.at:
            raise HoldClosed(hold.id, "timed out")
        if movement.amount != hold.amount:
            raise NotReversible(hold.id, f"a hold of {hold.amount} ends whole, not by {movement.amount}")

    def _spend_target(self, movement: Movement, target: Target) -> None:
        if movement.pending_of:
            target.hold_state = "settled" if movement.credit.kind == BURNED else "released"
        else:
            target.reversed += movement.amount

    def _lots(self, fresh: Sequence[Movement]) -> LotBook:
        book = LotBook(self.at)
        needs: dict[int, int] = defaultdict(int)
        for movement in fresh:
            if movement.debit.kind == AVAILABLE and movement.credit.kind != LAPSED:
                needs[self.accounts[movement.debit]] += movement.amount
        load_open(self.session, book, needs)
        load_by_id(self.session, book, {movement.lot for movement in fresh if movement.lot is not None})
        reversed_ids = {movement.reverses for movement in fresh if movement.reverses}
        load_born(self.session, book, reversed_ids)
        load_taken(self.session, book, {target.spend_id for target in self.targets.values()})
        available = {id for name, id in self.accounts.items() if name.of_member and name.kind == AVAILABLE}
        book.owed.update(owed_by(self.session, available))
        return book

    def _write(self) -> dict[str, int]:
        ids = self._write_transfers()
        rows = [(ids[key], decided) for key, decided in self.decided.items()]
        self._write_lots(rows)
        write_rows(self.session, LotUse, [
            {"transfer_id": id, "lot_id": use.lot.id, "spend_id": decided.spend_id or id, "amount": use.amount}
            for id, decided in rows for use in decided.uses
        ])
        self._write_holds(rows)
        self._write_balances()
        return ids

    def _write_transfers(self) -> dict[str, int]:
        made = insert_many(self.session, Transfer, [
            {
                "key": key, "body_hash": decided.body, "debit_id": self.accounts[decided.movement.debit],
                "credit_id": self.accounts[decided.movement.credit], "amount": decided.movement.amount,
                "asset": decided.movement.debit.asset, "reason": decided.movement.reason,
                "ref": decided.movement.ref, "at": self.at, "pending_of": decided.movement.pending_of,
                "reverses": decided.movement.reverses,
            }
            for key, decided in self.decided.items()
        ], ["id", "key"])
        ids = {row.key: row.id for row in made}
        for key in self.decided.keys() - ids.keys():
            # The same body locks the same accounts, so a key that appears only now came with another body.
            raise KeyReused(key, _posted_before(self.session, [key])[key][1], self.decided[key].body)
        return ids

    def _write_lots(self, rows: Sequence[tuple[int, Decided]]) -> None:
        changed = [lot for lot in self.book.by_id.values() if lot.changed and lot.id < UNBORN]
        born = {id: decided.lot for id, decided in rows if decided.lot is not None}
        made = insert_many(self.session, Lot, [
            {"account_id": lot.account_id, "transfer_id": id, "amount": decided.movement.amount,
             "remaining": lot.remaining, "expires_at": lot.expires_at, "available_from": lot.available_from}
            for id, decided in rows if (lot := decided.lot) is not None
        ], ["id", "transfer_id"])
        for row in made:
            born[row.transfer_id].id = row.id
        change_many(self.session, Lot, "remaining", {lot.id: lot.remaining for lot in changed})

    def _write_holds(self, rows: Sequence[tuple[int, Decided]]) -> None:
        insert_rows(self.session, Hold, [
            {"transfer_id": id, "expires_at": decided.movement.until, "state": "pending"}
            for id, decided in rows if decided.movement.until is not None
        ])
        ended = [self.targets[decided.movement.pending_of] for _, decided in rows if decided.movement.pending_of]
        change_many(self.session, Hold, "state", {hold.id: hold.hold_state for hold in ended})

    def _write_balances(self) -> None:
        deltas: dict[int, int] = defaultdict(int)
        for decided in self.decided.values():
            for name, sign in ((decided.movement.debit, -1), (decided.movement.credit, 1)):
                if name.of_member:
                    deltas[self.accounts[name]] += sign * decided.movement.amount
        change_many(self.session, AccountBalance, "balance", deltas, adding=True)


def post(session: Session, transfers: Sequence[Movement], at: datetime) -> list[Posted]:
    """Post a batch, answers in the order asked; a refused row carries its `error`, the others go through.

    Locks the members' balance rows in account-id order. Rows are decided one after the other: a row sees what the
    ones before it did. Raises KeyReused for the whole batch only where another body took a key in the same moment:
    then roll the transaction back, the retry answers by row.
    """
    if len(transfers) == 1 and (posted := post_one(session, transfers[0], at)) is not None:
        return [posted]
    return Batch(session, transfers, at).run() if transfers else []


def post_one(session: Session, movement: Movement, at: datetime) -> Posted | None:
    """A simple movement in one round trip where the database can; none where the planner must decide."""
    if not movement.is_simple or session.get_bind().dialect.name != "postgresql" or at.tzinfo is None:
        return None
    return posted_by(movement, driver_row(session, CALL_POST_ONE, cells_of(movement, at)))


def cells_of(movement: Movement, at: datetime) -> tuple[Any, ...]:
    """The parameters of CALL_POST_ONE for a simple movement."""
    debit, credit = movement.debit, movement.credit
    return (movement.key, movement.body, debit.owner, debit.kind, credit.owner, credit.kind, debit.asset,
            movement.amount, movement.reason, movement.ref, at, movement.expires_at, movement.available_from,
            movement.until)


def posted_by(movement: Movement, row: Any) -> Posted | None:
    """The answer in the row of CALL_POST_ONE; none where the planner must decide: then nothing moved."""
    id, verdict, first_body, reach = row
    match verdict:
        case "planner":
            return None
        case "short":
            return Posted(0, movement.key, movement.amount, False, NotEnough(movement.amount - reach, reach))
        case "known" if first_body != movement.body:
            return Posted(0, movement.key, movement.amount, False, KeyReused(movement.key, first_body, movement.body))
        case _:
            return Posted(id, movement.key, movement.amount, verdict == "new")


def _posted_before(session: Session, keys: Collection[str]) -> dict[str, tuple[int, str]]:
    """Id and body hash of every key that is in the ledger."""
    rows = session.execute(_BY_KEY, {"keys": sorted(keys)})
    return {row.key: (row.id, row.body_hash) for row in rows}


def _targets(session: Session, movements: Sequence[Movement]) -> dict[int, Target]:
    wanted = {id for movement in movements for id in (movement.pending_of, movement.reverses) if id}
    if not wanted:
        return {}
    rows = session.execute(_TARGETS, {"ids": sorted(wanted)})
    return {
        id: Target(id, amount, AccountName(giver, asset, from_kind), AccountName(taker, asset, to_kind), *rest)
        for id, amount, asset, giver, from_kind, taker, to_kind, *rest in rows
    }

