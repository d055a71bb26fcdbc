"""the first schema

Revision: 0001, after
"""

import sqlalchemy as sa
from alembic import op

from loyalty import storage

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("owner", storage.BigId, nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("owner", "asset", "kind", name=op.f("uq_accounts_owner_asset_kind")),
    )
    op.create_table(
        "api_answers",
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("status", storage.BigId, nullable=True),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("at", storage.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("client", "key", name=op.f("pk_api_answers")),
    )
    with op.batch_alter_table("api_answers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_api_answers_at"), ["at"], unique=False)

    op.create_table(
        "blocks",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("from_id", storage.BigId, nullable=False),
        sa.Column("to_id", storage.BigId, nullable=False),
        sa.Column("prev_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocks")),
        sa.UniqueConstraint("from_id", name=op.f("uq_blocks_from_id")),
        sa.UniqueConstraint("hash", name=op.f("uq_blocks_hash")),
        sa.UniqueConstraint("prev_hash", name=op.f("uq_blocks_prev_hash")),
        sa.UniqueConstraint("to_id", name=op.f("uq_blocks_to_id")),
    )
    op.create_table(
        "chat_members",
        sa.Column("chat", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("joined_at", storage.UtcDateTime(), nullable=False),
        sa.Column("left_at", storage.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("chat", "person", name=op.f("pk_chat_members")),
    )
    op.create_table(
        "chats",
        sa.Column("chat", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), server_default="", nullable=False),
        sa.Column("owner", sa.String(length=64), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("chat", name=op.f("pk_chats")),
    )
    op.create_table(
        "corrections",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("message_key", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("scenario", sa.String(length=40), nullable=False),
        sa.Column("is_right", sa.Boolean(), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("at", storage.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corrections")),
    )
    with op.batch_alter_table("corrections", schema=None) as batch_op:
        batch_op.create_index("uq_corrections_one", ["message_key", "scenario", "by"], unique=True)

    op.create_table(
        "cursors",
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("position", sa.String(length=200), server_default="", nullable=False),
        sa.Column("token", sa.String(length=200), server_default="", nullable=False),
        sa.Column("signalled_at", storage.UtcDateTime(), nullable=True),
        sa.Column("pulled_at", storage.UtcDateTime(), nullable=True),
        sa.Column("leased_until", storage.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_cursors")),
    )
    op.create_table(
        "dialogs",
        sa.Column("member_id", storage.BigId, autoincrement=False, nullable=False),
        sa.Column("chat", sa.String(length=160), nullable=False),
        sa.Column("step", sa.String(length=40), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("expires_at", storage.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("member_id", "chat", name=op.f("pk_dialogs")),
    )
    op.create_table(
        "inbox",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("sender", sa.String(length=128), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", storage.UtcDateTime(), nullable=False),
        sa.Column("state", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("due_at", storage.UtcDateTime(), nullable=True),
        sa.Column("done_at", storage.UtcDateTime(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("key", name=op.f("uq_inbox_key")),
    )
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.create_index(
            "ix_inbox_waiting",
            ["shard", "id"],
            unique=False,
            sqlite_where=sa.text("state = 0"),
            postgresql_where=sa.text("state = 0"),
        )

    op.create_table(
        "inbox_shards",
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("shard", name=op.f("pk_inbox_shards")),
    )
    op.create_table(
        "members",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("tier", sa.String(), nullable=True),
        sa.Column("created_at", storage.UtcDateTime(), nullable=False),
        sa.Column("joined_at", storage.UtcDateTime(), nullable=True),
        sa.Column("opted_out_at", storage.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("recipient", sa.String(length=160), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("member_id", storage.BigId, nullable=True),
        sa.Column("is_follow_up", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("trace", sa.String(length=40), server_default="", nullable=False),
        sa.Column("created_at", storage.UtcDateTime(), nullable=False),
        sa.Column("due_at", storage.UtcDateTime(), nullable=False),
        sa.Column("state", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("leased_until", storage.UtcDateTime(), nullable=True),
        sa.Column("sent_at", storage.UtcDateTime(), nullable=True),
        sa.Column("was_unanswered", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("platform_id", sa.String(length=200), server_default="", nullable=False),
        sa.Column("error_class", sa.String(length=16), server_default="", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("key", name=op.f("uq_outbox_key")),
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index(
            "ix_outbox_order",
            ["recipient", "id"],
            unique=False,
            sqlite_where=sa.text("state = 0"),
            postgresql_where=sa.text("state = 0"),
        )
        batch_op.create_index(
            "ix_outbox_waiting",
            ["due_at", "id"],
            unique=False,
            sqlite_where=sa.text("state = 0"),
            postgresql_where=sa.text("state = 0"),
        )

    op.create_table(
        "pauses",
        sa.Column("member_id", storage.BigId, autoincrement=False, nullable=False),
        sa.Column("chat", sa.String(length=160), nullable=False),
        sa.Column("until", storage.UtcDateTime(), nullable=False),
        sa.Column("why", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("member_id", "chat", name=op.f("pk_pauses")),
    )
    op.create_table(
        "reps",
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), server_default="", nullable=False),
        sa.Column("left_at", storage.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("userid", name=op.f("pk_reps")),
    )
    op.create_table(
        "runs",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("sop", sa.String(length=40), nullable=False),
        sa.Column("member_id", storage.BigId, nullable=False),
        sa.Column("task", sa.String(length=80), nullable=False),
        sa.Column("rep", sa.String(length=64), server_default="", nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("started_at", storage.UtcDateTime(), nullable=False),
        sa.Column("changed_at", storage.UtcDateTime(), nullable=False),
        sa.Column("prompts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("trace", sa.String(length=40), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.UniqueConstraint("task", name=op.f("uq_runs_task")),
    )
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.create_index("ix_runs_member", ["member_id", "sop"], unique=False)

    op.create_table(
        "servings",
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("since", storage.UtcDateTime(), nullable=False),
        sa.Column("ended_at", storage.UtcDateTime(), nullable=True),
        sa.Column("ended_by", sa.String(length=16), server_default="", nullable=False),
        sa.Column("channel_code", sa.String(length=64), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("userid", "external_userid", name=op.f("pk_servings")),
    )
    with op.batch_alter_table("servings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_servings_external_userid"), ["external_userid"], unique=False)

    op.create_table(
        "stock",
        sa.Column("reward_id", sa.String(), nullable=False),
        sa.Column("pieces", storage.BigId, nullable=True),
        sa.Column("synced_at", storage.UtcDateTime(), nullable=False),
        sa.CheckConstraint("pieces >= 0", name=op.f("ck_stock_pieces_not_negative")),
        sa.PrimaryKeyConstraint("reward_id", name=op.f("pk_stock")),
    )
    op.create_table(
        "timers",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("slot", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("task", sa.String(length=80), nullable=False),
        sa.Column("due_at", storage.UtcDateTime(), nullable=False),
        sa.Column("state", sa.SmallInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_timers")),
        sa.UniqueConstraint("key", name=op.f("uq_timers_key")),
    )
    with op.batch_alter_table("timers", schema=None) as batch_op:
        batch_op.create_index(
            "ix_timers_due",
            ["slot", "due_at"],
            unique=False,
            sqlite_where=sa.text("state = 0"),
            postgresql_where=sa.text("state = 0"),
        )

    op.create_table(
        "touches",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("task", sa.String(length=80), nullable=False),
        sa.Column("sop", sa.String(length=40), nullable=False),
        sa.Column("member_id", storage.BigId, nullable=False),
        sa.Column("rep", sa.String(length=64), server_default="", nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("at", storage.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_touches")),
    )
    with op.batch_alter_table("touches", schema=None) as batch_op:
        batch_op.create_index("ix_touches_member", ["member_id", "at"], unique=False)
        batch_op.create_index(batch_op.f("ix_touches_task"), ["task"], unique=False)

    op.create_table(
        "verdicts",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("message_key", sa.String(length=200), nullable=False),
        sa.Column("member_id", storage.BigId, nullable=True),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("chat", sa.String(length=160), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("scenarios", sa.Text(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("why", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=32), server_default="", nullable=False),
        sa.Column("at", storage.UtcDateTime(), nullable=False),
        sa.Column("trace", sa.String(length=40), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
        sa.UniqueConstraint("message_key", name=op.f("uq_verdicts_message_key")),
    )
    with op.batch_alter_table("verdicts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_verdicts_member_id"), ["member_id"], unique=False)

    op.create_table(
        "balances",
        sa.Column("account_id", storage.BigId, autoincrement=False, nullable=False),
        sa.Column("balance", storage.BigId, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_balances_account_id_accounts")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_balances")),
    )
    op.create_table(
        "identities",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("member_id", storage.BigId, nullable=False),
        sa.Column("evidence", sa.String(), nullable=False),
        sa.Column("created_at", storage.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_identities_member_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identities")),
        sa.UniqueConstraint("kind", "value", name=op.f("uq_identities_kind_value")),
    )
    with op.batch_alter_table("identities", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_identities_member_id"), ["member_id"], unique=False)

    op.create_table(
        "merge_proposals",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("member_id", storage.BigId, nullable=False),
        sa.Column("other_id", storage.BigId, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("evidence", sa.String(), nullable=False),
        sa.Column("created_at", storage.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_merge_proposals_member_id_members")),
        sa.ForeignKeyConstraint(["other_id"], ["members.id"], name=op.f("fk_merge_proposals_other_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merge_proposals")),
        sa.UniqueConstraint(
            "member_id", "other_id", "kind", "value", name=op.f("uq_merge_proposals_member_id_other_id_kind_value")
        ),
    )
    op.create_table(
        "orders",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("member_id", storage.BigId, nullable=False),
        sa.Column("paid_at", storage.UtcDateTime(), nullable=False),
        sa.Column("amount_fen", storage.BigId, nullable=False),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("earned", storage.BigId, nullable=False),
        sa.Column("recorded_at", storage.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_orders_member_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_orders_source_external_id")),
    )
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_orders_member_id_paid_at"), ["member_id", "paid_at"], unique=False)

    op.create_table(
        "purchase_summaries",
        sa.Column("member_id", storage.BigId, autoincrement=False, nullable=False),
        sa.Column("first_at", storage.UtcDateTime(), nullable=False),
        sa.Column("last_at", storage.UtcDateTime(), nullable=False),
        sa.Column("orders", storage.BigId, nullable=False),
        sa.Column("amount_fen", storage.BigId, nullable=False),
        sa.Column("last_items", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_purchase_summaries_member_id_members")),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_purchase_summaries")),
    )
    with op.batch_alter_table("purchase_summaries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_purchase_summaries_last_at"), ["last_at"], unique=False)

    op.create_table(
        "transfers",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("debit_id", storage.BigId, nullable=False),
        sa.Column("credit_id", storage.BigId, nullable=False),
        sa.Column("amount", storage.BigId, nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("at", storage.UtcDateTime(), nullable=False),
        sa.Column("pending_of", storage.BigId, nullable=True),
        sa.Column("reverses", storage.BigId, nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("ck_transfers_amount_positive")),
        sa.CheckConstraint("debit_id <> credit_id", name=op.f("ck_transfers_two_sides")),
        sa.ForeignKeyConstraint(["credit_id"], ["accounts.id"], name=op.f("fk_transfers_credit_id_accounts")),
        sa.ForeignKeyConstraint(["debit_id"], ["accounts.id"], name=op.f("fk_transfers_debit_id_accounts")),
        sa.ForeignKeyConstraint(["pending_of"], ["transfers.id"], name=op.f("fk_transfers_pending_of_transfers")),
        sa.ForeignKeyConstraint(["reverses"], ["transfers.id"], name=op.f("fk_transfers_reverses_transfers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
        sa.UniqueConstraint("key", name=op.f("uq_transfers_key")),
    )
    with op.batch_alter_table("transfers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_transfers_credit_id_id"), ["credit_id", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_transfers_debit_id_id"), ["debit_id", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_transfers_pending_of"), ["pending_of"], unique=False)
        batch_op.create_index(batch_op.f("ix_transfers_reverses"), ["reverses"], unique=False)

    op.create_table(
        "holds",
        sa.Column("transfer_id", storage.BigId, autoincrement=False, nullable=False),
        sa.Column("expires_at", storage.UtcDateTime(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["transfer_id"], ["transfers.id"], name=op.f("fk_holds_transfer_id_transfers")),
        sa.PrimaryKeyConstraint("transfer_id", name=op.f("pk_holds")),
    )
    with op.batch_alter_table("holds", schema=None) as batch_op:
        batch_op.create_index(
            "ix_holds_due",
            ["expires_at"],
            unique=False,
            postgresql_where=sa.text("state = 'pending'"),
            sqlite_where=sa.text("state = 'pending'"),
        )

    op.create_table(
        "lots",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("account_id", storage.BigId, nullable=False),
        sa.Column("transfer_id", storage.BigId, nullable=False),
        sa.Column("amount", storage.BigId, nullable=False),
        sa.Column("remaining", storage.BigId, nullable=False),
        sa.Column("expires_at", storage.UtcDateTime(), nullable=True),
        sa.CheckConstraint("remaining >= 0 AND remaining <= amount", name=op.f("ck_lots_remaining_in_range")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_lots_account_id_accounts")),
        sa.ForeignKeyConstraint(["transfer_id"], ["transfers.id"], name=op.f("fk_lots_transfer_id_transfers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lots")),
        sa.UniqueConstraint("transfer_id", name=op.f("uq_lots_transfer_id")),
    )
    with op.batch_alter_table("lots", schema=None) as batch_op:
        batch_op.create_index(
            "ix_lots_due",
            ["expires_at"],
            unique=False,
            postgresql_where=sa.text("remaining > 0"),
            sqlite_where=sa.text("remaining > 0"),
        )
        batch_op.create_index(
            "ix_lots_open",
            ["account_id", "expires_at", "id"],
            unique=False,
            postgresql_where=sa.text("remaining > 0"),
            sqlite_where=sa.text("remaining > 0"),
        )

    op.create_table(
        "redemptions",
        sa.Column("id", storage.BigId, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("member_id", storage.BigId, nullable=False),
        sa.Column("reward_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("handover", sa.String(), nullable=False),
        sa.Column("quantity", storage.BigId, nullable=False),
        sa.Column("cost", storage.BigId, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("transfer_id", storage.BigId, nullable=False),
        sa.Column("at", storage.UtcDateTime(), nullable=False),
        sa.Column("undo_until", storage.UtcDateTime(), nullable=False),
        sa.Column("ended_key", sa.String(), nullable=True),
        sa.Column("ended_at", storage.UtcDateTime(), nullable=True),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_redemptions_quantity_positive")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_redemptions_member_id_members")),
        sa.ForeignKeyConstraint(["transfer_id"], ["transfers.id"], name=op.f("fk_redemptions_transfer_id_transfers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redemptions")),
        sa.UniqueConstraint("code", name=op.f("uq_redemptions_code")),
        sa.UniqueConstraint("key", name=op.f("uq_redemptions_key")),
    )
    with op.batch_alter_table("redemptions", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_redemptions_member_id_reward_id"), ["member_id", "reward_id"], unique=False
        )

    op.create_table(
        "lot_uses",
        sa.Column("transfer_id", storage.BigId, autoincrement=False, nullable=False),
        sa.Column("lot_id", storage.BigId, autoincrement=False, nullable=False),
        sa.Column("spend_id", storage.BigId, nullable=False),
        sa.Column("amount", storage.BigId, nullable=False),
        sa.ForeignKeyConstraint(["lot_id"], ["lots.id"], name=op.f("fk_lot_uses_lot_id_lots")),
        sa.ForeignKeyConstraint(["spend_id"], ["transfers.id"], name=op.f("fk_lot_uses_spend_id_transfers")),
        sa.ForeignKeyConstraint(["transfer_id"], ["transfers.id"], name=op.f("fk_lot_uses_transfer_id_transfers")),
        sa.PrimaryKeyConstraint("transfer_id", "lot_id", name=op.f("pk_lot_uses")),
    )
    with op.batch_alter_table("lot_uses", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lot_uses_lot_id"), ["lot_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_lot_uses_spend_id"), ["spend_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("lot_uses", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_lot_uses_spend_id"))
        batch_op.drop_index(batch_op.f("ix_lot_uses_lot_id"))

    op.drop_table("lot_uses")
    with op.batch_alter_table("redemptions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_redemptions_member_id_reward_id"))

    op.drop_table("redemptions")
    with op.batch_alter_table("lots", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_lots_open", postgresql_where=sa.text("remaining > 0"), sqlite_where=sa.text("remaining > 0")
        )
        batch_op.drop_index(
            "ix_lots_due", postgresql_where=sa.text("remaining > 0"), sqlite_where=sa.text("remaining > 0")
        )

    op.drop_table("lots")
    with op.batch_alter_table("holds", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_holds_due", postgresql_where=sa.text("state = 'pending'"), sqlite_where=sa.text("state = 'pending'")
        )

    op.drop_table("holds")
    with op.batch_alter_table("transfers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_transfers_reverses"))
        batch_op.drop_index(batch_op.f("ix_transfers_pending_of"))
        batch_op.drop_index(batch_op.f("ix_transfers_debit_id_id"))
        batch_op.drop_index(batch_op.f("ix_transfers_credit_id_id"))

    op.drop_table("transfers")
    with op.batch_alter_table("purchase_summaries", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_purchase_summaries_last_at"))

    op.drop_table("purchase_summaries")
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_orders_member_id_paid_at"))

    op.drop_table("orders")
    op.drop_table("merge_proposals")
    with op.batch_alter_table("identities", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_identities_member_id"))

    op.drop_table("identities")
    op.drop_table("balances")
    with op.batch_alter_table("verdicts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_verdicts_member_id"))

    op.drop_table("verdicts")
    with op.batch_alter_table("touches", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_touches_task"))
        batch_op.drop_index("ix_touches_member")

    op.drop_table("touches")
    with op.batch_alter_table("timers", schema=None) as batch_op:
        batch_op.drop_index("ix_timers_due", sqlite_where=sa.text("state = 0"), postgresql_where=sa.text("state = 0"))

    op.drop_table("timers")
    op.drop_table("stock")
    with op.batch_alter_table("servings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_servings_external_userid"))

    op.drop_table("servings")
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_index("ix_runs_member")

    op.drop_table("runs")
    op.drop_table("reps")
    op.drop_table("pauses")
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_outbox_waiting", sqlite_where=sa.text("state = 0"), postgresql_where=sa.text("state = 0")
        )
        batch_op.drop_index("ix_outbox_order", sqlite_where=sa.text("state = 0"), postgresql_where=sa.text("state = 0"))

    op.drop_table("outbox")
    op.drop_table("members")
    op.drop_table("inbox_shards")
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_inbox_waiting", sqlite_where=sa.text("state = 0"), postgresql_where=sa.text("state = 0")
        )

    op.drop_table("inbox")
    op.drop_table("dialogs")
    op.drop_table("cursors")
    with op.batch_alter_table("corrections", schema=None) as batch_op:
        batch_op.drop_index("uq_corrections_one")

    op.drop_table("corrections")
    op.drop_table("chats")
    op.drop_table("chat_members")
    op.drop_table("blocks")
    with op.batch_alter_table("api_answers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_api_answers_at"))

    op.drop_table("api_answers")
    op.drop_table("accounts")
