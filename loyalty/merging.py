"""Two members who are one person become one, and can be taken apart again.

A merge locks both, moves every open lot through the ledger (each keeps its expiry), gives every row that points at the
other member to the kept one and notes which, so that `unmerge` restores both. What was spent meanwhile stays spent:
each member gets back what is left of the lots they brought, and what came meanwhile stays with the kept one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Text, cast, exists, func, insert, literal, select, update
from sqlalchemy.orm import Session, aliased

from loyalty.accounts import AVAILABLE, OWED, AccountName, lock_accounts
from loyalty.errors import KeyReused, NotMergeable, UnknownMember, UnknownProposal
from loyalty.followers import has_free_place, moving_columns, row_key
from loyalty.ledger import Movement, post
from loyalty.movements import Posted, moving
from loyalty.people_tables import Erasure, Merge, MergeMove
from loyalty.programme import Programme
from loyalty.storage import among
from loyalty.summaries import rebuild_summaries
from loyalty.tables import Account, AccountBalance, Lot, LotUse, Member, Transfer, table_of
from loyalty.writing import body_hash, insert_new

_MEMBERS, _MERGES, _MOVES = table_of(Member), table_of(Merge), table_of(MergeMove)
_STANDING = select(Merge.other_id, Merge.keep_id).where(Merge.undone_at.is_(None), among(Merge.other_id, "ids"))
_LOTS, _DEBTS = "lots", "debts"


@dataclass(frozen=True, slots=True)
class Merged:
    """A merge: `keep_id` is who lives on; `new` is False where it was known."""

    id: int
    keep_id: int
    other_id: int
    evidence: str
    at: datetime
    undone_at: datetime | None
    new: bool


def follow(session: Session, member_ids: Collection[int]) -> dict[int, int]:
    """Who each member lives on as, through any number of merges; themselves where nothing was merged."""
    now = {id: id for id in member_ids}
    step = set(now.values())
    while step:
        found = {row.other_id: row.keep_id for row in session.execute(_STANDING, {"ids": sorted(step)})}
        now = {id: found.get(current, current) for id, current in now.items()}
        step = set(found.values())
    return now


def merge(session: Session, keep_id: int, other_id: int, *, evidence: str, key: str, at: datetime,
          programme: Programme | None = None) -> Merged:
    """Make two members one: lots, orders, identities, tags and all else go to `keep_id`.

    The same key again, or two who are one already, change nothing. With a programme the higher tier is kept, without it
    that of `keep_id`. Raises UnknownMember, NotMergeable, KeyReused.
    """
    known = session.execute(select(_MERGES).where(_MERGES.c.key == key)).first()
    if known is not None:
        if {known.keep_id, known.other_id} != {keep_id, other_id}:
            raise KeyReused(key, body_hash([known.keep_id, known.other_id]), body_hash([keep_id, other_id]))
        return _merged(known, new=False)
    people = _lock(session, {keep_id, other_id})
    now = follow(session, [keep_id, other_id])
    if now[keep_id] == now[other_id]:
        return _standing(session, {keep_id, other_id})
    keep_id, other_id = now[keep_id], now[other_id]
    people |= _lock(session, {keep_id, other_id})
    _refuse_erased(session, [keep_id, other_id])
    before = {"keep": _state(people[keep_id]), "other": _state(people[other_id])}
    after = _joined(before["keep"], before["other"], programme)
    row = {"key": key, "keep_id": keep_id, "other_id": other_id, "evidence": evidence, "at": at, "before": before,
           "after": after}
    made = insert_new(session, Merge, [row], ["id", "key", "keep_id", "other_id", "evidence", "at", "undone_at"])
    if not made:
        raise NotMergeable(f"member {other_id} was merged in this very moment", "ask again")
    _set_state(session, keep_id, after)
    _move_rows(session, made[0].id, other_id, keep_id)
    _move_lots(session, made[0].id, other_id, keep_id, at)
    rebuild_summaries(session, [keep_id, other_id])
    return _merged(made[0], new=True)


def unmerge(session: Session, merge_id: int, *, key: str, at: datetime) -> Merged:
    """Take a merge back; both are as before it, but for what was spent and what came meanwhile (see the module).

    Merges of one member are taken back last first. The same key again changes nothing.
    Raises UnknownProposal, NotMergeable.
    """
    row = session.execute(select(_MERGES).where(_MERGES.c.id == merge_id)).first()
    if row is None:
        raise UnknownProposal(merge_id)
    people = _lock(session, {row.keep_id, row.other_id})
    row = session.execute(select(_MERGES).where(_MERGES.c.id == merge_id)).one()
    if row.undone_at is not None:
        if row.undone_key == key:
            return _merged(row, new=False)
        raise NotMergeable(f"merge {merge_id} was undone at {row.undone_at}", "nothing is left to do")
    _refuse_later(session, row)
    _refuse_erased(session, [row.keep_id, row.other_id])
    session.execute(update(_MERGES).where(_MERGES.c.id == merge_id).values(undone_at=at, undone_key=key))
    _restore_state(session, row, people[row.keep_id])
    _restore_rows(session, merge_id, row.other_id, row.keep_id)
    _restore_lots(session, merge_id, row.other_id, row.keep_id, at)
    rebuild_summaries(session, [row.keep_id, row.other_id])
    return _merged(row, new=True, undone_at=at)


def carry_over(session: Session, at: datetime, limit: int = 1000) -> int:
    """Bring what reached merged members late (a hold released, a redemption undone) to who they live on as.

    How many lots went over; for the ticker, safe at any time.
    """
    rows = session.execute(
        select(Merge.id, Merge.other_id, Merge.keep_id).distinct()
        .join(Account, (Account.owner == Merge.other_id) & (Account.kind == AVAILABLE))
        .join(Lot, (Lot.account_id == Account.id) & (Lot.remaining > 0))
        .where(Merge.undone_at.is_(None)).order_by(Merge.id).limit(limit)).all()
    return sum(_move_lots(session, row.id, row.other_id, row.keep_id, at) for row in rows)


def merges_of(session: Session, member_id: int) -> list[Merged]:
    """Every merge the member took part in, newest first."""
    rows = session.execute(select(_MERGES).where((_MERGES.c.keep_id == member_id) | (_MERGES.c.other_id == member_id))
                           .order_by(_MERGES.c.id.desc()))
    return [_merged(row, new=False) for row in rows]


def _lock(session: Session, member_ids: Collection[int]) -> dict[int, Row[Any]]:
    rows = session.execute(select(_MEMBERS).where(_MEMBERS.c.id.in_(sorted(member_ids)))
                           .order_by(_MEMBERS.c.id).with_for_update())
    found = {row.id: row for row in rows}
    for missing in sorted(set(member_ids) - found.keys()):
        raise UnknownMember(missing)
    return found


def _standing(session: Session, pair: set[int]) -> Merged:
    """The merge by which two are one; the nearest of them where it took several."""
    if len(pair) < 2:
        raise NotMergeable(f"member {min(pair)} is one already", "name two different members")
    row = session.execute(
        select(_MERGES).where(_MERGES.c.undone_at.is_(None), _MERGES.c.other_id.in_(sorted(pair)))
        .order_by(_MERGES.c.id.desc())).first()
    if row is None:
        raise NotMergeable(f"members {sorted(pair)} are one without a merge", "run huitou audit")
    return _merged(row, new=False)


def _refuse_erased(session: Session, member_ids: Sequence[int]) -> None:
    erased = session.scalars(select(Erasure.member_id).where(Erasure.member_id.in_(member_ids))).first()
    if erased is not None:
        raise NotMergeable(f"member {erased} was forgotten at their wish", "leave the other member as it is")


def _refuse_later(session: Session, row: Row[Any]) -> None:
    pair = [row.keep_id, row.other_id]
    later = session.scalar(
        select(func.max(Merge.id)).where(Merge.undone_at.is_(None), Merge.id > row.id,
                                         Merge.keep_id.in_(pair) | Merge.other_id.in_(pair)))
    if later is not None:
        raise NotMergeable(f"merge {row.id} has a later one upon it", f"undo merge {later} first")


def _state(row: Row[Any]) -> dict[str, Any]:
    """What a merge may change of a member, as JSON keeps it."""
    moments = {name: getattr(row, name) for name in ("joined_at", "opted_out_at")}
    return {"name": row.name, "tier": row.tier} | {
        name: value.isoformat() if value else None for name, value in moments.items()}


def _joined(keep: Mapping[str, Any], other: Mapping[str, Any], programme: Programme | None) -> dict[str, Any]:
    """One member out of two: the first joining, the no to follow-ups of either, the higher tier."""
    tier = keep["tier"] or other["tier"]
    if programme is not None:
        tier = max(keep["tier"], other["tier"], key=programme.tier_rank)
    first = {name: min(filter(None, (keep[name], other[name])), default=None) for name in ("joined_at", "opted_out_at")}
    return {"name": keep["name"] or other["name"], "tier": tier} | first


def _set_state(session: Session, member_id: int, state: Mapping[str, Any]) -> None:
    moments = {name: datetime.fromisoformat(state[name]) if state[name] else None
               for name in ("joined_at", "opted_out_at")}
    values = {"name": state["name"], "tier": state["tier"], **moments}
    session.execute(update(_MEMBERS).where(_MEMBERS.c.id == member_id).values(**values))


def _restore_state(session: Session, row: Row[Any], keeper: Row[Any]) -> None:
    """The kept member as before, but for what changed since the merge; who said no meanwhile said it for both."""
    now = _state(keeper)
    kept = {name: row.before["keep"][name] if now[name] == row.after[name] else now[name] for name in now}
    other = dict(row.before["other"])
    if now["opted_out_at"] != row.after["opted_out_at"]:
        other["opted_out_at"] = now["opted_out_at"]
    _set_state(session, row.keep_id, kept)
    _set_state(session, row.other_id, other)


def _move_rows(session: Session, merge_id: int, other_id: int, keep_id: int) -> None:
    """Give the kept member every row that has a free place there, and note which; the rest stays, out of sight."""
    for table, column in moving_columns():
        theirs = (column == other_id, has_free_place(table, column, keep_id))
        rows = select(literal(merge_id), literal(table.name), literal(column.name), row_key(table, column))
        noted = session.execute(insert(_MOVES).from_select(
            ["merge_id", "table_name", "column_name", "row_key"], rows.where(*theirs)))
        if noted.rowcount:  # type: ignore[attr-defined]
            session.execute(update(table).where(*theirs).values({column.name: keep_id}))


def _restore_rows(session: Session, merge_id: int, other_id: int, keep_id: int) -> None:
    """Give back what was moved, the last column first: a key may hold two members."""
    moved = {(row.table_name, row.column_name) for row in session.execute(
        select(MergeMove.table_name, MergeMove.column_name).where(MergeMove.merge_id == merge_id).distinct())}
    for table, column in reversed(moving_columns()):
        if (table.name, column.name) in moved:
            noted = exists().where(
                MergeMove.merge_id == merge_id, MergeMove.table_name == table.name,
                MergeMove.column_name == column.name, MergeMove.row_key == row_key(table, column)).correlate(table)
            session.execute(update(table).where(column == keep_id, noted, has_free_place(table, column, other_id))
                            .values({column.name: other_id}))


def _move_lots(session: Session, merge_id: int, other_id: int, keep_id: int, at: datetime) -> int:
    """Hand over every open lot, and first what is owed; how many lots went."""
    debts = _debts(session, other_id)
    lots = _handing_over(session, other_id, keep_id, f"merge:{merge_id}", "merge")
    owing = [_of_debt(keep_id, other_id, asset, amount, f"merge:{merge_id}:{at.isoformat()}", "merge")
             for asset, amount in debts.items()]
    posted = _all_went(post(session, owing + lots, at))
    insert_new(session, MergeMove, [
        *(_note(merge_id, _DEBTS, asset, amount) for asset, amount in debts.items()),
        *(_note(merge_id, _LOTS, "transfer_id", row.id) for row in posted[len(owing):])], ["merge_id"])
    return len(lots)


def _restore_lots(session: Session, merge_id: int, other_id: int, keep_id: int, at: datetime) -> None:
    """What is left of the lots that came with the merge goes back; earlier merges know them again."""
    key = f"unmerge:{merge_id}"
    came = select(MergeMove.row_key).where(MergeMove.merge_id == merge_id, MergeMove.table_name == _LOTS)
    transfers = [int(row_key) for row_key in session.scalars(came)]
    movements = _handing_over(session, keep_id, other_id, key, "unmerge", transfers)
    went = _all_went(post(session, movements, at))
    earlier = _merges_that_brought(session, [movement.lot for movement in movements])
    insert_new(session, MergeMove, [
        _note(earlier_id, _LOTS, "transfer_id", row.id) for movement, row in zip(movements, went, strict=True)
        for earlier_id in earlier.get(movement.lot, ())], ["merge_id"])
    _all_went(post(session, _unpaid(session, transfers, other_id, keep_id, key), at))
    _all_went(post(session, _debts_back(session, merge_id, other_id, keep_id, key), at))


def _unpaid(session: Session, transfers: Collection[int], other_id: int, keep_id: int, key: str) -> list[Movement]:
    """What of the other's lots paid a debt of the kept one on its way: the kept one owes it again."""
    paid = aliased(Transfer)
    rows = session.execute(
        select(paid.id, paid.amount, paid.asset, Lot.expires_at, Lot.available_from)
        .select_from(Transfer).join(paid, paid.key == literal("repay:").concat(Transfer.key))
        .join(Lot, Lot.transfer_id == Transfer.id).where(among(Transfer.id, transfers)))
    return [Movement(f"{key}:paid:{row.id}", AccountName(keep_id, row.asset, OWED),
                     AccountName(other_id, row.asset, AVAILABLE), row.amount, "unmerge", f"{keep_id}",
                     expires_at=row.expires_at, available_from=row.available_from) for row in rows]


def _debts_back(session: Session, merge_id: int, other_id: int, keep_id: int, key: str) -> list[Movement]:
    """What the other owed and nobody has paid since."""
    owes = _debts(session, keep_id)
    rows = session.execute(select(MergeMove.column_name, MergeMove.row_key)
                           .where(MergeMove.merge_id == merge_id, MergeMove.table_name == _DEBTS))
    parts = {asset: min(int(amount), owes.get(asset, 0)) for asset, amount in rows}
    return [_of_debt(other_id, keep_id, asset, part, key, "unmerge") for asset, part in parts.items() if part]


def _debts(session: Session, member_id: int) -> dict[str, int]:
    """What a member owes, by asset; the rows are locked."""
    rows = session.execute(
        select(Account.asset, AccountBalance.balance).join(AccountBalance, AccountBalance.account_id == Account.id)
        .where(Account.owner == member_id, Account.kind == OWED, AccountBalance.balance < 0)
        .order_by(Account.id).with_for_update(of=AccountBalance))
    return {row.asset: -row.balance for row in rows}


def _of_debt(taker_id: int, giver_id: int, asset: str, amount: int, key: str, reason: str) -> Movement:
    taker, giver = AccountName(taker_id, asset, OWED), AccountName(giver_id, asset, OWED)
    return Movement(f"{key}:owed:{asset}", taker, giver, amount, reason, f"{giver_id}")


def _merges_that_brought(session: Session, lot_ids: Collection[int | None]) -> dict[int | None, list[int]]:
    """For each lot that a merge made out of another lot: the earlier merges that had made that other one."""
    first = aliased(Lot)
    rows = session.execute(
        select(Lot.id, MergeMove.merge_id).join(LotUse, LotUse.transfer_id == Lot.transfer_id)
        .join(first, first.id == LotUse.lot_id)
        .join(MergeMove, (MergeMove.table_name == _LOTS) & (MergeMove.row_key == cast(first.transfer_id, Text)))
        .where(among(Lot.id, lot_ids)))
    found: dict[int | None, list[int]] = defaultdict(list)
    for lot_id, merge_id in rows:
        found[lot_id].append(merge_id)
    return found


def _note(merge_id: int, table: str, column: str, row_key: int) -> dict[str, Any]:
    """What came over: a lot by the transfer that made it, a debt by its asset and amount."""
    return {"merge_id": merge_id, "table_name": table, "column_name": column, "row_key": str(row_key)}


def _handing_over(session: Session, giver_id: int, taker_id: int, key: str, reason: str,
                  born_of: Collection[int] | None = None) -> list[Movement]:
    """A movement for each open lot, lapsed or not; the giver's accounts are locked first."""
    accounts = session.execute(
        select(Account.id, Account.asset).where(Account.owner == giver_id, Account.kind == AVAILABLE)).all()
    lock_accounts(session, [row.id for row in accounts])
    assets = {row.id: row.asset for row in accounts}
    uses = select(func.count()).where(LotUse.lot_id == Lot.id).scalar_subquery()
    lots = (select(table_of(Lot), uses.label("uses")).where(Lot.account_id.in_(list(assets)), Lot.remaining > 0)
            .order_by(Lot.id))
    if born_of is not None:
        lots = lots.where(among(Lot.transfer_id, born_of))
    return [_of_lot(row, assets[row.account_id], giver_id, taker_id, key, reason) for row in session.execute(lots)]


def _of_lot(lot: Row[Any], asset: str, giver_id: int, taker_id: int, key: str, reason: str) -> Movement:
    # A lot is carried again when an undone redemption fills it: the number of its uses tells one time from the next.
    return moving(lot.id, giver_id, taker_id, lot.remaining, f"{key}:{lot.id}:{lot.uses}", reason, asset,
                  expires_at=lot.expires_at, available_from=lot.available_from)


def _all_went(posted: list[Posted]) -> list[Posted]:
    for row in posted:
        if row.error is not None:
            raise row.error
    return posted


def _merged(row: Row[Any], *, new: bool, undone_at: datetime | None = None) -> Merged:
    return Merged(row.id, row.keep_id, row.other_id, row.evidence, row.at, undone_at or row.undone_at, new)
