"""Tables of the loyalty core: people, the ledger, orders, rewards and redemptions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, Table, UniqueConstraint, event, false, text
from sqlalchemy.orm import Mapped, mapped_column

from loyalty.ledger_sql import POST_ONE
from loyalty.storage import PERSONAL, Base, Id, Moment

event.listen(Base.metadata, "after_create", POST_ONE.execute_if(dialect="postgresql"))

PROGRAMME_OWNER = 0
"""Owner of the programme's own accounts; members count from 1."""


class Member(Base):
    """A person, whatever name the platforms know them by."""

    __tablename__ = "members"

    id: Mapped[Id]
    name: Mapped[str | None]
    tier: Mapped[str | None]
    created_at: Mapped[Moment]
    joined_at: Mapped[datetime | None]
    opted_out_at: Mapped[datetime | None]


class MemberIdentity(Base):
    """One name of a person on one platform: unionid, external_userid, openid, phone hash, buyer id."""

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("kind", "value"), {"info": PERSONAL})

    id: Mapped[Id]
    kind: Mapped[str]
    value: Mapped[str]
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)
    evidence: Mapped[str]
    created_at: Mapped[Moment]


class MergeProposal(Base):
    """Two members that may be one person: seen, not merged; somebody decides. `state`: open, accepted, rejected."""

    __tablename__ = "merge_proposals"
    __table_args__ = (UniqueConstraint("member_id", "other_id", "kind", "value"),)

    id: Mapped[Id]
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    other_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    kind: Mapped[str]
    value: Mapped[str]
    evidence: Mapped[str]
    created_at: Mapped[Moment]
    state: Mapped[str] = mapped_column(server_default="open")
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]


class Account(Base):
    """Where an asset lies: a member's `available`, `held`, `owed` (0 or below); the programme's `issued`, `burned`,
    `lapsed`."""

    __tablename__ = "accounts"
    __table_args__ = (UniqueConstraint("owner", "asset", "kind"),)

    id: Mapped[Id]
    owner: Mapped[int]
    asset: Mapped[str]
    kind: Mapped[str]


class AccountBalance(Base):
    """What a member's account holds, unswept expired lots included; the row every writer locks."""

    __tablename__ = "balances"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True, autoincrement=False)
    balance: Mapped[int]


class Transfer(Base):
    """One movement, never changed: `amount` leaves the debit account and reaches the credit account."""

    __tablename__ = "transfers"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("debit_id <> credit_id", name="two_sides"),
        Index(None, "debit_id", "id"),
        Index(None, "credit_id", "id"),
        Index("ix_transfers_pending_of", "pending_of",
              postgresql_where=text("pending_of IS NOT NULL"), sqlite_where=text("pending_of IS NOT NULL")),
        Index("ix_transfers_reverses", "reverses",
              postgresql_where=text("reverses IS NOT NULL"), sqlite_where=text("reverses IS NOT NULL")),
    )

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    body_hash: Mapped[str]
    # Here, in lots and in their uses no foreign keys: they cost a third of a transfer and would lock the programme's
    # account row, which all writers share. One function writes these rows; the audit looks for what hangs in the air.
    debit_id: Mapped[int]
    credit_id: Mapped[int]
    amount: Mapped[int]
    asset: Mapped[str]
    reason: Mapped[str]
    ref: Mapped[str]
    at: Mapped[Moment]
    pending_of: Mapped[int | None] = mapped_column(ForeignKey("transfers.id"))
    reverses: Mapped[int | None] = mapped_column(ForeignKey("transfers.id"))


class Lot(Base):
    """Points that came together and lapse together; `expires_at` is the first moment they are gone.

    Before `available_from` they are pending: shown, not spendable.
    """

    __tablename__ = "lots"
    __table_args__ = (
        CheckConstraint("remaining >= 0 AND remaining <= amount", name="remaining_in_range"),
        Index("ix_lots_open", "account_id", "expires_at", "id",
              postgresql_where=text("remaining > 0"), sqlite_where=text("remaining > 0")),
        Index("ix_lots_due", "expires_at",
              postgresql_where=text("remaining > 0"), sqlite_where=text("remaining > 0")),
        Index("ix_lots_pending", "account_id", "available_from",
              postgresql_where=text("remaining > 0 AND available_from IS NOT NULL"),
              sqlite_where=text("remaining > 0 AND available_from IS NOT NULL")),
    )

    id: Mapped[Id]
    account_id: Mapped[int]
    transfer_id: Mapped[int] = mapped_column(unique=True)
    amount: Mapped[int]
    remaining: Mapped[int]
    expires_at: Mapped[datetime | None]
    available_from: Mapped[datetime | None]


class LotUse(Base):
    """What a transfer took from a lot (above 0) or gave back to it (below 0); `spend_id` is who took it first."""

    __tablename__ = "lot_uses"

    transfer_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    lot_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, index=True)
    spend_id: Mapped[int] = mapped_column(index=True)
    amount: Mapped[int]


class Hold(Base):
    """A pending transfer with its time-out; state is pending, settled or released."""

    __tablename__ = "holds"
    __table_args__ = (
        Index("ix_holds_due", "expires_at",
              postgresql_where=text("state = 'pending'"), sqlite_where=text("state = 'pending'")),
    )

    transfer_id: Mapped[int] = mapped_column(ForeignKey("transfers.id"), primary_key=True, autoincrement=False)
    expires_at: Mapped[Moment]
    state: Mapped[str]


class Block(Base):
    """Transfers `from_id`..`to_id` sealed under the hash of the block before, so that tampering shows."""

    __tablename__ = "blocks"

    id: Mapped[Id]
    from_id: Mapped[int] = mapped_column(unique=True)
    to_id: Mapped[int] = mapped_column(unique=True)
    prev_hash: Mapped[str] = mapped_column(unique=True)
    hash: Mapped[str] = mapped_column(unique=True)
    transfers: Mapped[int]
    sealed_at: Mapped[Moment]


class SealHorizon(Base):
    """One row: once every database transaction up to `xid` has ended, transfers up to `to_id` are complete."""

    __tablename__ = "seal_horizon"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    to_id: Mapped[int]
    xid: Mapped[int]


class Order(Base):
    """A paid order of the brand's shop or till, stored once under the id its source gave it."""

    __tablename__ = "orders"
    __table_args__ = (UniqueConstraint("source", "external_id"), Index(None, "member_id", "paid_at"))

    id: Mapped[Id]
    source: Mapped[str]
    external_id: Mapped[str]
    body_hash: Mapped[str]
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    paid_at: Mapped[Moment]
    amount_fen: Mapped[int]
    items: Mapped[list[Any]] = mapped_column(JSON)
    state: Mapped[str]
    earned: Mapped[int]
    recorded_at: Mapped[Moment]


class Refund(Base):
    """Money given back for an order, once under `key`, with what it did to points and stored value."""

    __tablename__ = "refunds"
    __table_args__ = (CheckConstraint("amount_fen > 0", name="amount_positive"),)

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    amount_fen: Mapped[int]
    restored: Mapped[int]
    clawed_back: Mapped[int]
    owed: Mapped[int]
    waived: Mapped[int]
    stored_value_fen: Mapped[int]
    at: Mapped[Moment]


class PurchaseSummary(Base):
    """One row a member, kept with each order: first and last purchase, count, amount, what was bought last."""

    __tablename__ = "purchase_summaries"

    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), primary_key=True, autoincrement=False)
    first_at: Mapped[Moment]
    last_at: Mapped[Moment] = mapped_column(index=True)
    orders: Mapped[int]
    amount_fen: Mapped[int]
    last_items: Mapped[list[Any]] = mapped_column(JSON)


class Stock(Base):
    """How many pieces of a reward are left; none means without limit."""

    __tablename__ = "stock"
    __table_args__ = (CheckConstraint("pieces >= 0", name="pieces_not_negative"),)

    reward_id: Mapped[str] = mapped_column(primary_key=True)
    pieces: Mapped[int | None]
    synced_at: Mapped[Moment]


class Redemption(Base):
    """Points given for a reward; state is issued, delivered, verified, shipped, undone, lapsed or failed."""

    __tablename__ = "redemptions"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity_positive"),
        Index(None, "member_id", "reward_id"),
        Index("ix_redemptions_due", "expires_at",
              postgresql_where=text("state = 'issued'"), sqlite_where=text("state = 'issued'")),
    )

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    code: Mapped[str] = mapped_column(unique=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    reward_id: Mapped[str]
    name: Mapped[str]
    handover: Mapped[str]
    quantity: Mapped[int]
    cost: Mapped[int]
    state: Mapped[str]
    transfer_id: Mapped[int | None] = mapped_column(ForeignKey("transfers.id"))
    kind: Mapped[str] = mapped_column(server_default="goods")
    way: Mapped[str] = mapped_column(server_default="verify")
    value_fen: Mapped[int] = mapped_column(server_default="0")
    link: Mapped[str | None]
    order_ref: Mapped[str | None] = mapped_column(index=True)
    expires_at: Mapped[datetime | None]
    lapse_returns: Mapped[bool] = mapped_column(server_default=false())
    at: Mapped[Moment]
    undo_until: Mapped[Moment]
    ended_key: Mapped[str | None]
    ended_at: Mapped[datetime | None]


class ApiAnswer(Base):
    """The first answer given to a write under a client's `Idempotency-Key`."""

    __tablename__ = "api_answers"

    client: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_hash: Mapped[str]
    status: Mapped[int | None]
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    at: Mapped[Moment] = mapped_column(index=True)


def table_of(entity: type[Base]) -> Table:
    """The Core table of a mapped class, for statements that send a whole batch."""
    return cast(Table, entity.__table__)
