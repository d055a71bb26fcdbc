"""A person is forgotten; the member stays as the nameless owner of ledger rows that still add up.

The rule: names, identities, hints, tags, birthdays and every text of a column marked `PERSONAL` go, and so do events
told of the person and answers given to the brand's systems; orders, redemptions and transfers stay as the books need
them, under a number nobody can lead back. Points that are left lapse at that moment; stored value is money and must be
paid out first. A digest of each identity stays behind, so that an old file does not bring the person back; who comes
again by themselves is somebody new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Table, Text, cast, delete, func, null, or_, select, update
from sqlalchemy.orm import Session

from loyalty.accounts import AVAILABLE, STORED_VALUE, lock_accounts
from loyalty.customers import Identity
from loyalty.errors import NotErasable, UnknownMember
from loyalty.followers import member_columns
from loyalty.ledger import post
from loyalty.merging import follow
from loyalty.movements import lapsing
from loyalty.people_tables import ErasedIdentity, Erasure, Merge
from loyalty.pruning import drop_events
from loyalty.storage import among
from loyalty.tables import Account, ApiAnswer, Lot, LotUse, Member, MemberIdentity, MergeProposal, table_of
from loyalty.webhook_tables import WebhookEvent
from loyalty.writing import write_rows

_MEMBERS = table_of(Member)


@dataclass(frozen=True, slots=True)
class Erased:
    """Whom an erasure made nameless (a member and all merged into them), their names until now, the points lapsed."""

    member_ids: tuple[int, ...]
    identities: tuple[Identity, ...]
    points: int
    at: datetime


def erase(session: Session, member_id: int, *, key: str, at: datetime) -> Erased:
    """Forget a person; again changes nothing. Raises UnknownMember, NotErasable while stored value is left."""
    alive = follow(session, [member_id])[member_id]
    if session.scalars(select(_MEMBERS.c.id).where(_MEMBERS.c.id == alive).with_for_update()).first() is None:
        raise UnknownMember(member_id)
    everybody = _with_merged(session, alive)
    before = session.scalar(select(Erasure.at).where(Erasure.member_id == alive))
    if before is not None:
        return Erased(everybody, (), 0, before)
    lapsed = _lapse(session, everybody, alive, at)
    rows = session.execute(select(MemberIdentity.kind, MemberIdentity.value)
                           .where(among(MemberIdentity.member_id, everybody)))
    names = tuple(Identity(row.kind, row.value) for row in rows)
    write_rows(session, ErasedIdentity, [{"digest": digest_of(name), "at": at} for name in names])
    for table, column in member_columns():
        _clear(session, table, column, everybody)
    _clear_people(session, everybody, at)
    _clear_told(session, everybody)
    write_rows(session, Erasure, [{"member_id": id, "key": key, "at": at} for id in everybody])
    return Erased(everybody, names, lapsed, at)


def erased_among(session: Session, identities: Collection[Identity]) -> set[Identity]:
    """Those of these identities whose person was forgotten."""
    if not identities or session.scalar(select(ErasedIdentity.digest).limit(1)) is None:
        return set()
    digests = {digest_of(name): name for name in identities}
    return {digests[digest] for digest in session.scalars(
        select(ErasedIdentity.digest).where(among(ErasedIdentity.digest, list(digests))))}


def _with_merged(session: Session, member_id: int) -> tuple[int, ...]:
    """A member and everybody who lives on in them."""
    found, step = {member_id}, {member_id}
    while step:
        step = set(session.scalars(
            select(Merge.other_id).where(Merge.keep_id.in_(sorted(step)), Merge.undone_at.is_(None)))) - found
        found |= step
    return tuple(sorted(found))


def _lapse(session: Session, member_ids: Collection[int], member_id: int, at: datetime) -> int:
    """Let everything lapse that is left; how many points."""
    accounts = {row.id: row for row in session.execute(
        select(Account.id, Account.owner, Account.asset)
        .where(among(Account.owner, member_ids), Account.kind == AVAILABLE))}
    lock_accounts(session, list(accounts))
    uses = select(func.count()).where(LotUse.lot_id == Lot.id).scalar_subquery()
    lots = session.execute(select(Lot.id, Lot.account_id, Lot.remaining, uses.label("uses"))
                           .where(among(Lot.account_id, list(accounts)), Lot.remaining > 0).order_by(Lot.id)).all()
    money = sum(lot.remaining for lot in lots if accounts[lot.account_id].asset == STORED_VALUE)
    if money:
        raise NotErasable(member_id, f"¥{money // 100}.{money % 100:02} of stored value is left", "pay it out first")
    posted = post(session, [
        lapsing(accounts[lot.account_id].owner, lot.id, lot.remaining, f"erase:{lot.id}:{lot.uses}",
                accounts[lot.account_id].asset) for lot in lots], at)
    for row in posted:
        if row.error is not None:
            raise row.error
    return sum(row.amount for row, lot in zip(posted, lots, strict=True)
               if accounts[lot.account_id].asset == "points")


def _clear(session: Session, table: Table, column: Column[Any], member_ids: Collection[int]) -> None:
    """Delete the rows of a personal table, empty the personal columns of any other."""
    theirs = among(column, member_ids)
    if table.info.get("personal"):
        session.execute(delete(table).where(theirs))
        return
    empty = {part.name: _nothing(part) for part in table.columns if part.info.get("personal")}
    if empty:
        session.execute(update(table).where(theirs).values(empty))


def _nothing(column: Column[Any]) -> object:
    if column.nullable:
        return None
    if isinstance(column.type, JSON):
        return {}
    return "" if column.type.python_type is str else column.type.python_type()


def _clear_people(session: Session, member_ids: Collection[int], at: datetime) -> None:
    """What does not hang on a column called member_id; nobody writes to the nameless."""
    session.execute(update(_MEMBERS).where(among(_MEMBERS.c.id, member_ids))
                    .values(name=None, opted_out_at=func.coalesce(_MEMBERS.c.opted_out_at, at)))
    session.execute(delete(table_of(MergeProposal)).where(
        among(MergeProposal.member_id, member_ids) | among(MergeProposal.other_id, member_ids)))
    state = {"name": None, "tier": None, "joined_at": None, "opted_out_at": None}
    session.execute(update(table_of(Merge)).where(among(Merge.keep_id, member_ids)).values(
        evidence="", before={"keep": state, "other": state}, after=state))


def _clear_told(session: Session, member_ids: Collection[int]) -> None:
    """What was told of them: webhook events go; of an answer stays that it was given, so that nothing is done again."""
    drop_events(session, list(session.scalars(
        select(WebhookEvent.id).where(among(WebhookEvent.member_id, member_ids)))))
    answers, them = table_of(ApiAnswer), [str(id) for id in member_ids]
    named = [cast(answers.c.answer[name].as_string(), Text).in_(them) for name in ("member_id", "keep_id", "other_id")]
    session.execute(update(answers).where(or_(*named)).values(answer=null()))


def digest_of(name: tuple[str, str]) -> str:
    """What stays of an identity: enough to know it again, too little to read it."""
    return hashlib.sha256(f"{name[0]}:{name[1]}".encode()).hexdigest()
