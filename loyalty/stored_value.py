"""Stored value: money paid ahead and the bonus on it, both on the ledger in fen, as two assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Row, Select, case, cast, func, select, update
from sqlalchemy.orm import Session

from loyalty.accounts import AVAILABLE, STORED_BONUS, STORED_VALUE, AccountName, lock_accounts, open_accounts
from loyalty.answers import answer_once
from loyalty.balances import balances
from loyalty.days import local_day, midnight_after
from loyalty.errors import NotEnough, RefundTooHigh, TopUpRefused, UnknownTransfer
from loyalty.ledger import earn, post, reverse, spend
from loyalty.movements import clawing
from loyalty.programme import Programme
from loyalty.reward_parts import StoredValue
from loyalty.reward_tables import TopUp
from loyalty.tables import Account, AccountBalance, Lot, LotUse, Transfer, table_of
from loyalty.writing import insert_new

PRINCIPAL, BONUS = STORED_VALUE, STORED_BONUS
_TOP_UPS = table_of(TopUp)


@dataclass(frozen=True, slots=True)
class Wallet:
    """What a member can pay with now."""

    principal_fen: int
    bonus_fen: int

    @property
    def total_fen(self) -> int:
        """Both together."""
        return self.principal_fen + self.bonus_fen


@dataclass(frozen=True, slots=True)
class ToppedUp:
    """A top-up that went through, and what the member has now."""

    id: int
    amount_fen: int
    bonus_fen: int
    principal_left_fen: int
    bonus_left_fen: int


@dataclass(frozen=True, slots=True)
class Paid:
    """What an order took from principal and bonus, and what is left."""

    principal_fen: int
    bonus_fen: int
    principal_left_fen: int
    bonus_left_fen: int


@dataclass(frozen=True, slots=True)
class Refunded:
    """Principal paid back, bonus clawed back, and principal kept for bonus that was spent."""

    paid_back_fen: int
    bonus_clawed_fen: int
    charged_fen: int
    principal_left_fen: int
    bonus_left_fen: int


@dataclass(frozen=True, slots=True)
class Dormant:
    """A member whose stored value did not move for long."""

    member_id: int
    principal_fen: int
    bonus_fen: int
    last_moved_at: datetime


def wallet(session: Session, member_id: int, now: datetime) -> Wallet:
    """What a member can pay with now; bonus that lapsed is out."""
    return wallets(session, [member_id], now)[member_id]


def wallets(session: Session, member_ids: Sequence[int], now: datetime) -> dict[int, Wallet]:
    """What each of these members can pay with now."""
    principal, bonus = (balances(session, member_ids, now, asset) for asset in (PRINCIPAL, BONUS))
    return {id: Wallet(principal[id].available, bonus[id].available) for id in member_ids}


def top_up(session: Session, member_id: int, amount_fen: int, key: str, programme: Programme, at: datetime,
           ref: str = "") -> ToppedUp:
    """Take in money paid ahead, with the bonus of the highest step it reaches; once per key.

    Raises TopUpRefused, UnknownMember, KeyReused.
    """
    def work() -> ToppedUp:
        rules = programme.stored_value
        if not rules.least_fen <= amount_fen <= rules.most_fen:
            raise TopUpRefused(amount_fen, rules.least_fen, rules.most_fen)
        _lock(session, member_id)
        paid = earn(session, member_id, amount_fen, key=f"top-up:{key}", reason="top-up", ref=ref, at=at,
                    asset=PRINCIPAL)
        bonus_fen = rules.bonus_for(amount_fen)
        bonus = earn(session, member_id, bonus_fen, key=f"top-up-bonus:{key}", reason="top-up bonus", ref=ref, at=at,
                     expires_at=_bonus_end(rules, programme, at), asset=BONUS) if bonus_fen else None
        [row] = insert_new(session, TopUp, [{
            "key": key, "member_id": member_id, "amount_fen": amount_fen, "bonus_fen": bonus_fen, "ref": ref,
            "transfer_id": paid.id, "bonus_transfer_id": bonus.id if bonus else None, "refunded_fen": 0,
            "bonus_owed_fen": 0, "charged_fen": 0, "at": at,
        }], ["id"])
        left = wallet(session, member_id, at)
        return ToppedUp(row.id, amount_fen, bonus_fen, left.principal_fen, left.bonus_fen)

    return answer_once(session, f"top-up:{key}", [member_id, amount_fen, ref], ToppedUp, work, at)


def pay(session: Session, member_id: int, amount_fen: int, key: str, programme: Programme, at: datetime,
        ref: str = "") -> Paid:
    """Pay an order from principal and bonus, as the programme orders them; once per key.

    Raises NotEnough, UnknownMember, KeyReused.
    """
    def work() -> Paid:
        _lock(session, member_id)
        has = wallet(session, member_id, at)
        if has.total_fen < amount_fen:
            raise NotEnough(amount_fen - has.total_fen, has.total_fen)
        principal_fen = _principal_part(programme.stored_value, has, amount_fen)
        for asset, part in ((PRINCIPAL, principal_fen), (BONUS, amount_fen - principal_fen)):
            if part:
                spend(session, member_id, part, key=f"pay:{key}:{asset}", reason="pay", ref=ref, at=at, asset=asset)
        left = wallet(session, member_id, at)
        return Paid(principal_fen, amount_fen - principal_fen, left.principal_fen, left.bonus_fen)

    if amount_fen <= 0:
        raise ValueError(f"amount_fen {amount_fen}: pay at least 1")
    return answer_once(session, f"pay:{key}", [member_id, amount_fen, ref], Paid, work, at)


def return_payment(session: Session, pay_key: str, amount_fen: int, key: str, at: datetime) -> Paid:
    """Give (a part of) a payment back, to principal and bonus by the shares it came from, into the lots it came from.

    The amounts in the answer are what came back. Raises UnknownTransfer, RefundTooHigh, KeyReused.
    """
    def work() -> Paid:
        parts: dict[str, Any] = {row.asset: row for row in session.execute(
            select(Transfer.id, Transfer.asset, Transfer.amount, Account.owner)
            .join(Account, Account.id == Transfer.debit_id)
            .where(Transfer.key.in_([f"pay:{pay_key}:{asset}" for asset in (PRINCIPAL, BONUS)])))}
        if not parts:
            raise UnknownTransfer(pay_key)
        member_id = next(iter(parts.values())).owner
        _lock(session, member_id)
        back = _shares(session, parts, amount_fen)
        for asset, part in back.items():
            if part:
                reverse(session, parts[asset].id, key=f"return:{key}:{asset}", reason="return", ref=pay_key,
                        amount=part, at=at)
        left = wallet(session, member_id, at)
        return Paid(back.get(PRINCIPAL, 0), back.get(BONUS, 0), left.principal_fen, left.bonus_fen)

    if amount_fen <= 0:
        raise ValueError(f"amount_fen {amount_fen}: return at least 1")
    return answer_once(session, f"return:{key}", [pay_key, amount_fen], Paid, work, at)


def refund(session: Session, top_up_id: int, amount_fen: int, key: str, programme: Programme,
           at: datetime) -> Refunded:
    """Pay (a part of) a top-up back: principal only; its share of the bonus is clawed back.

    `amount_fen` is what leaves the principal. Bonus that was spent is kept from the money paid back, or forgiven, as
    the programme says. Raises UnknownTransfer, RefundTooHigh, KeyReused.
    """
    rules = programme.stored_value

    def work() -> Refunded:
        member_id = session.scalar(select(TopUp.member_id).where(TopUp.id == top_up_id))
        if member_id is None:
            raise UnknownTransfer(top_up_id)
        _lock(session, member_id)
        row = session.execute(select(_TOP_UPS).where(TopUp.id == top_up_id)).one()
        has = wallet(session, member_id, at)
        most_fen = min(row.amount_fen - row.refunded_fen, has.principal_fen)
        if amount_fen > most_fen:
            raise RefundTooHigh(amount_fen, most_fen)
        owed = _bonus_owed(row, amount_fen)
        clawed = min(owed, has.bonus_fen)
        charged = min(owed - clawed, _spent_bonus(session, row)) if rules.spent_bonus == "charge" else 0
        if charged > amount_fen:
            raise RefundTooHigh(amount_fen, 0)
        _claw(session, row, {PRINCIPAL: amount_fen, BONUS: clawed}, key, at)
        session.execute(update(_TOP_UPS).where(TopUp.id == top_up_id).values(
            refunded_fen=row.refunded_fen + amount_fen, bonus_owed_fen=row.bonus_owed_fen + owed,
            charged_fen=row.charged_fen + charged))
        left = wallet(session, member_id, at)
        return Refunded(amount_fen - charged, clawed, charged, left.principal_fen, left.bonus_fen)

    if amount_fen <= 0:
        raise ValueError(f"amount_fen {amount_fen}: refund at least 1")
    return answer_once(session, f"refund:{key}", [top_up_id, amount_fen], Refunded, work, at)


def dormant(session: Session, since: datetime, limit: int = 10_000, after_member: int = 0) -> list[Dormant]:
    """Members who have stored value that did not move since then, by member id: whom to wake; a page at a time."""
    last = _last_moves().subquery()
    has = cast(func.sum(AccountBalance.balance), BigInteger)
    of = {asset: cast(func.coalesce(func.sum(AccountBalance.balance).filter(Account.asset == asset), 0), BigInteger)
          for asset in (PRINCIPAL, BONUS)}
    rows = session.execute(
        select(Account.owner, of[PRINCIPAL], of[BONUS], func.max(last.c.at))
        .join(AccountBalance, AccountBalance.account_id == Account.id)
        .join(last, last.c.account_id == Account.id)
        .where(Account.asset.in_([PRINCIPAL, BONUS]), Account.kind == AVAILABLE, Account.owner > after_member)
        .group_by(Account.owner).having(has > 0, func.max(last.c.at) < since)
        .order_by(Account.owner).limit(limit))
    return [Dormant(*row) for row in rows]


def _last_moves() -> Select[int, datetime]:
    """The newest transfer of each stored-value account, by its two indexes instead of over all transfers."""
    out, came = (func.coalesce(select(func.max(Transfer.id)).where(side == Account.id).scalar_subquery(), 0)
                 for side in (Transfer.debit_id, Transfer.credit_id))
    accounts = (select(Account.id.label("account_id"), case((out > came, out), else_=came).label("newest"))
                .where(Account.asset.in_([PRINCIPAL, BONUS]), Account.kind == AVAILABLE, Account.owner > 0).subquery())
    return select(accounts.c.account_id, Transfer.at).join(Transfer, Transfer.id == accounts.c.newest)


def _lock(session: Session, member_id: int) -> None:
    names = [AccountName(member_id, asset, AVAILABLE) for asset in (PRINCIPAL, BONUS)]
    lock_accounts(session, open_accounts(session, names).values())


def _bonus_end(rules: StoredValue, programme: Programme, at: datetime) -> datetime | None:
    if rules.bonus_days is None:
        return None
    return midnight_after(local_day(at, programme.zone) + timedelta(days=rules.bonus_days), programme.zone)


def _principal_part(rules: StoredValue, has: Wallet, amount_fen: int) -> int:
    match rules.spend_first:
        case "principal":
            return min(amount_fen, has.principal_fen)
        case "bonus":
            return amount_fen - min(amount_fen, has.bonus_fen)
        case _:
            # Rounded up for the principal: never above it, because the amount is within the total.
            return -(-amount_fen * has.principal_fen // has.total_fen)


def _bonus_owed(row: Row[Any], amount_fen: int) -> int:
    """The bonus that stands against this part of the principal; over all parts it adds up to the whole bonus."""
    refunded = row.refunded_fen + amount_fen
    whole: int = row.bonus_fen * refunded // row.amount_fen if refunded < row.amount_fen else row.bonus_fen
    return whole - int(row.bonus_owed_fen)


def _claw(session: Session, row: Row[Any], parts: Mapping[str, int], key: str, at: datetime) -> None:
    """Take principal and bonus back, from their own lots first; after a merge they lie in the kept member's lots."""
    owner = session.scalar(select(Account.owner).join(Transfer, Transfer.credit_id == Account.id)
                           .where(Transfer.id == row.transfer_id))
    earned = {PRINCIPAL: row.transfer_id, BONUS: row.bonus_transfer_id} if owner == row.member_id else {}
    for posted in post(session, [
        clawing(row.member_id, part, f"refund:{key}:{asset}", "refund", row.ref, reverses=earned.get(asset),
                asset=asset) for asset, part in parts.items() if part
    ], at):
        if posted.error is not None:
            raise posted.error


def _spent_bonus(session: Session, row: Row[Any]) -> int:
    """What was taken from this top-up's bonus for orders and not charged yet; what lapsed was not spent."""
    spent = session.scalar(
        select(cast(func.sum(LotUse.amount), BigInteger))
        .join(Lot, Lot.id == LotUse.lot_id).join(Transfer, Transfer.id == LotUse.transfer_id)
        .where(Lot.transfer_id == row.bonus_transfer_id, Transfer.reason.in_(["pay", "return"])))
    return max(0, (spent or 0) - int(row.charged_fen))


def _shares(session: Session, parts: Mapping[str, Any], amount_fen: int) -> dict[str, int]:
    returned = (select(Transfer.asset, cast(func.sum(Transfer.amount), BigInteger))
                .where(Transfer.reverses.in_([row.id for row in parts.values()])).group_by(Transfer.asset))
    back_of = dict.fromkeys(parts, 0) | {row[0]: row[1] for row in session.execute(returned)}
    left = {asset: row.amount - back_of[asset] for asset, row in parts.items()}
    if amount_fen > sum(left.values()):
        raise RefundTooHigh(amount_fen, sum(left.values()))
    principal = -(-amount_fen * left.get(PRINCIPAL, 0) // sum(left.values()))
    return {asset: part for asset, part in ((PRINCIPAL, principal), (BONUS, amount_fen - principal)) if asset in parts}
