"""Seals transfers into hash-chained blocks, so that a row changed or taken out later shows.

A block hashes, after the hash of the block before it, its transfers with the lots they made, the holds they opened
and what they took from which lot: everything about them that never changes. Writers never wait for a seal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BindParameter, Row, bindparam, func, select, text
from sqlalchemy.orm import Session

from loyalty.tables import Block, Hold, Lot, LotUse, SealHorizon, Transfer, table_of
from loyalty.writing import insert_rows, upsert_row

MOST_PER_BLOCK = 10_000
FIRST_HASH = "0" * 64
"""What stands before the first block."""

_RANGE: tuple[BindParameter[int], BindParameter[int]] = (bindparam("from_id"), bindparam("to_id"))
_TRANSFERS = table_of(Transfer)
_STREAMS = (
    select(*_TRANSFERS.c).where(_TRANSFERS.c.id.between(*_RANGE)).order_by(_TRANSFERS.c.id),
    select(Lot.transfer_id, Lot.id, Lot.account_id, Lot.amount, Lot.expires_at, Lot.available_from)
    .where(Lot.transfer_id.between(*_RANGE)).order_by(Lot.transfer_id),
    select(LotUse.transfer_id, LotUse.lot_id, LotUse.spend_id, LotUse.amount)
    .where(LotUse.transfer_id.between(*_RANGE)).order_by(LotUse.transfer_id, LotUse.lot_id),
    select(Hold.transfer_id, Hold.expires_at).where(Hold.transfer_id.between(*_RANGE)).order_by(Hold.transfer_id),
)
_ROW = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block: keep number and hash outside the database, and not even its end can be cut off unseen."""

    block: int
    to_id: int
    hash: str


class SealNeedsOwnTransaction(RuntimeError):
    """Sealing came after other writes of the same transaction."""


def seal(session: Session, at: datetime, most_blocks: int = 20) -> int:
    """Seal transfers that are certainly complete; how many were sealed. Call it first in its own transaction.

    On PostgreSQL an id may be given out and committed after a higher one. So each call notes how far ids go and which
    transactions may still hold one, and seals what the call before noted once all of those have ended.
    """
    horizon = _horizon(session)
    sealed, last = 0, head(session)
    for _ in range(most_blocks):
        to_id = _end_of_next(session, last, horizon)
        if to_id is None:
            break
        digest, count = _Rows(session, last.to_id + 1, to_id).digest(last.hash, to_id)
        insert_rows(session, Block, [{
            "id": last.block + 1, "from_id": last.to_id + 1, "to_id": to_id, "prev_hash": last.hash, "hash": digest,
            "transfers": count, "sealed_at": at,
        }])
        sealed, last = sealed + count, Head(last.block + 1, to_id, digest)
    return sealed


def head(session: Session) -> Head:
    """The newest block; number 0 before the first."""
    row = session.execute(select(Block.id, Block.to_id, Block.hash).order_by(Block.id.desc()).limit(1)).first()
    return Head(*row) if row else Head(0, 0, FIRST_HASH)


def chain_findings(session: Session, most: int = 100) -> Iterator[str]:
    """Walk the chain once and tell every block whose rows or links were changed."""
    rows = _Rows(session, 1, head(session).to_id)
    previous, before, told = FIRST_HASH, 0, 0
    for block in session.execute(select(*table_of(Block).c).order_by(Block.id)).all():
        digest, count = rows.digest(block.prev_hash, block.to_id)
        wrong = None
        if block.from_id != before + 1 or block.prev_hash != previous:
            wrong = f"block {block.id} does not follow the one before it: a block was changed or taken out"
        elif count != block.transfers:
            wrong = (f"block {block.id}: {count} transfers from {block.from_id} to {block.to_id}, "
                     f"{block.transfers} were sealed")
        elif digest != block.hash:
            wrong = f"block {block.id}: transfers {block.from_id} to {block.to_id} are not what was sealed"
        if wrong:
            yield wrong
            told += 1
            if told == most:
                return
        previous, before = block.hash, block.to_id


def _end_of_next(session: Session, last: Head, horizon: int) -> int | None:
    ids = (select(Transfer.id).where(Transfer.id > last.to_id, Transfer.id <= horizon).order_by(Transfer.id)
           .limit(MOST_PER_BLOCK).subquery())
    to_id: int | None = session.scalar(select(func.max(ids.c.id)))
    return to_id


def _horizon(session: Session) -> int:
    """Highest id up to which no transfer can still appear."""
    if session.get_bind().dialect.name != "postgresql":
        return session.scalar(select(func.max(Transfer.id))) or 0  # one writer at a time: what is seen is complete
    row = session.execute(text(
        "SELECT (SELECT max(id) FROM transfers) AS newest, "
        "CAST(CAST(pg_current_xact_id_if_assigned() AS text) AS bigint) AS own_xid, "
        "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS oldest")).one()
    if row.own_xid is not None:
        raise SealNeedsOwnTransaction("seal(session, at) must be the first write of its transaction; give it its own")
    noted = session.execute(select(SealHorizon.to_id, SealHorizon.xid).where(SealHorizon.id == 1)
                            .with_for_update(skip_locked=True)).first()
    if noted is None and session.scalar(select(SealHorizon.id).where(SealHorizon.id == 1)):
        return 0  # somebody else is sealing
    if noted is not None and row.oldest <= noted.xid:
        return 0  # a transaction of that time still runs; the note stays until it has ended
    # Every writer has its transaction number before it draws an id (it locks a balance first), so all ids up to
    # `newest` belong to numbers below the one this transaction gets now.
    xid = session.scalar(text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)"))
    table = table_of(SealHorizon)
    upsert_row(session, SealHorizon, {"id": 1, "to_id": row.newest or 0, "xid": xid}, ["id"],
               {"to_id": func.greatest(table.c.to_id, row.newest or 0), "xid": func.greatest(table.c.xid, xid)})
    return noted.to_id if noted is not None else 0


class _Rows:
    """The four streams over a range of ids, read once, cut where blocks end."""

    def __init__(self, session: Session, from_id: int, to_id: int) -> None:
        wanted = {"from_id": from_id, "to_id": to_id}
        few_at_once = {"yield_per": 5000}
        self.streams = [_Stream(iter(session.execute(each, wanted, execution_options=few_at_once)))
                        for each in _STREAMS]

    def digest(self, prev_hash: str, to_id: int) -> tuple[str, int]:
        """Hash over everything up to an id that was not taken before, and how many transfers there were."""
        whole, counts = hashlib.sha256(prev_hash.encode()), []
        for stream in self.streams:
            digest, count = stream.digest(to_id)
            whole.update(digest)
            counts.append(count)
        return whole.hexdigest(), counts[0]


class _Stream:
    """Rows in the order of their transfer, with one looked at ahead."""

    def __init__(self, rows: Iterator[Row[Any]]) -> None:
        self.rows, self.ahead = rows, next(rows, None)

    def digest(self, to_id: int) -> tuple[bytes, int]:
        """Hash of the rows up to a transfer, and their number."""
        hashed, count = hashlib.sha256(), 0
        while self.ahead is not None and self.ahead[0] <= to_id:
            hashed.update(_ROW.encode(tuple(self.ahead)))
            count += 1
            self.ahead = next(self.rows, None)
        return hashed.digest(), count
