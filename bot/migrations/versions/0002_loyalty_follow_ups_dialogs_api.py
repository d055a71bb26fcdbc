"""The loyalty core, follow-ups, dialogs and the API

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

from loyalty import storage

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "api_keys",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("requests_per_s", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_table(
        "appointment_slots",
        sa.Column("service", sa.String(length=40), nullable=False),
        sa.Column("starts_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("taken", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint("taken >= 0", name=op.f("ck_appointment_slots_taken_not_negative")),
        sa.PrimaryKeyConstraint("service", "starts_at", name=op.f("pk_appointment_slots")),
    )
    op.create_table(
        "appointments",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("service", sa.String(length=40), nullable=False),
        sa.Column("starts_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("ends_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("people", sa.SmallInteger(), nullable=False),
        sa.Column("chat", sa.String(length=160), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("moves", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("remind_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.Column("booked_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("changed_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appointments")),
        sa.UniqueConstraint("key", name=op.f("uq_appointments_key")),
    )
    with op.batch_alter_table("appointments", schema=None) as batch_op:
        batch_op.create_index(
            "ix_appointments_due",
            ["remind_at"],
            unique=False,
            sqlite_where=sa.text("remind_at IS NOT NULL"),
            postgresql_where=sa.text("remind_at IS NOT NULL"),
        )
        batch_op.create_index("ix_appointments_member", ["member_id", "starts_at"], unique=False)

    op.create_table(
        "budget_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("campaign_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("used", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("most", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_events")),
        sa.UniqueConstraint(
            "campaign_id", "kind", "unit", "most", name=op.f("uq_budget_events_campaign_id_kind_unit_most")
        ),
    )
    op.create_table(
        "budget_uses",
        sa.Column("campaign_id", sa.String(), nullable=False),
        sa.Column("points", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("direct_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("grants", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_budget_uses")),
    )
    op.create_table(
        "cases",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("chat", sa.String(length=160), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("opened_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("changed_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cases")),
        sa.UniqueConstraint("key", name=op.f("uq_cases_key")),
    )
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.create_index("ix_cases_member", ["member_id", "id"], unique=False)

    op.create_table(
        "coupon_issues",
        sa.Column("type_id", sa.String(), nullable=False),
        sa.Column("issued", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("type_id", name=op.f("pk_coupon_issues")),
    )
    op.create_table(
        "efforts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("message_key", sa.String(length=200), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("chat", sa.String(length=160), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("step", sa.String(length=40), nullable=False),
        sa.Column("began_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("ended_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("messages", sa.SmallInteger(), nullable=False),
        sa.Column("repeats", sa.SmallInteger(), nullable=False),
        sa.Column("wait_min", sa.SmallInteger(), nullable=False),
        sa.Column("transfers", sa.SmallInteger(), nullable=False),
        sa.Column("reentries", sa.SmallInteger(), nullable=False),
        sa.Column("prefilled", sa.SmallInteger(), nullable=False),
        sa.Column("proactive", sa.SmallInteger(), nullable=False),
        sa.Column("at_once", sa.SmallInteger(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_efforts")),
        sa.UniqueConstraint("message_key", name=op.f("uq_efforts_message_key")),
    )
    with op.batch_alter_table("efforts", schema=None) as batch_op:
        batch_op.create_index("ix_efforts_member", ["member_id", "began_at"], unique=False)
        batch_op.create_index("ix_efforts_step", ["step", "began_at"], unique=False)

    op.create_table(
        "erased_identities",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_erased_identities")),
    )
    op.create_table(
        "first_answers",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_first_answers")),
    )
    with op.batch_alter_table("first_answers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_first_answers_at"), ["at"], unique=False)

    op.create_table(
        "followup_assignments",
        sa.Column("experiment", sa.String(length=40), nullable=False),
        sa.Column(
            "member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("sop", sa.String(length=40), nullable=False),
        sa.Column("variant", sa.String(length=40), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("until", storage.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "member_id", name=op.f("pk_followup_assignments")),
    )
    with op.batch_alter_table("followup_assignments", schema=None) as batch_op:
        batch_op.create_index("ix_followup_assignments_until", ["experiment", "until"], unique=False)

    op.create_table(
        "followup_pauses",
        sa.Column("sop", sa.String(length=40), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(length=64), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("sop", name=op.f("pk_followup_pauses")),
    )
    op.create_table(
        "followup_watermarks",
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("upto", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_followup_watermarks")),
    )
    op.create_table(
        "forecast_models",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("fitted_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("members", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("regularity", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("r", sa.Double(), nullable=False),
        sa.Column("alpha", sa.Double(), nullable=False),
        sa.Column("a", sa.Double(), nullable=False),
        sa.Column("b", sa.Double(), nullable=False),
        sa.Column("value_half_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rfm", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forecast_models")),
        sa.UniqueConstraint("day", name=op.f("uq_forecast_models_day")),
    )
    op.create_table(
        "fraud_findings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("score", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("said", sa.String(), nullable=False),
        sa.Column("mend", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("found_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("decided_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.Column("note", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fraud_findings")),
        sa.UniqueConstraint("key", name=op.f("uq_fraud_findings_key")),
    )
    with op.batch_alter_table("fraud_findings", schema=None) as batch_op:
        batch_op.create_index(
            "ix_fraud_findings_open",
            ["score", "id"],
            unique=False,
            postgresql_where=sa.text("state IN ('open', 'held')"),
            sqlite_where=sa.text("state IN ('open', 'held')"),
        )

    op.create_table(
        "happenings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("state", sa.SmallInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_happenings")),
        sa.UniqueConstraint("key", name=op.f("uq_happenings_key")),
    )
    with op.batch_alter_table("happenings", schema=None) as batch_op:
        batch_op.create_index(
            "ix_happenings_waiting",
            ["id"],
            unique=False,
            sqlite_where=sa.text("state = 0"),
            postgresql_where=sa.text("state = 0"),
        )

    op.create_table(
        "imports",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("rows", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("new", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("known", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rejected", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("points", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rejected_bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("started_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("finished_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
        sa.UniqueConstraint("kind", "digest", name=op.f("uq_imports_kind_digest")),
    )
    op.create_table(
        "insight_marks",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("upto", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_insight_marks")),
    )
    op.create_table(
        "invites",
        sa.Column("code", sa.String(length=30), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task", sa.String(length=80), nullable=False),
        sa.Column("rep", sa.String(length=64), nullable=False),
        sa.Column("link", sa.String(length=512), server_default="", nullable=False),
        sa.Column("config_id", sa.String(length=100), server_default="", nullable=False),
        sa.Column("made_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_invites")),
        sa.UniqueConstraint("task", name=op.f("uq_invites_task")),
    )
    op.create_table(
        "lottery_seeds",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("lottery_id", sa.String(), nullable=False),
        sa.Column("seed", sa.String(), nullable=False),
        sa.Column("seed_hash", sa.String(), nullable=False),
        sa.Column("committed_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("revealed_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lottery_seeds")),
        sa.UniqueConstraint("seed_hash", name=op.f("uq_lottery_seeds_seed_hash")),
    )
    with op.batch_alter_table("lottery_seeds", schema=None) as batch_op:
        batch_op.create_index(
            "uq_lottery_seeds_open",
            ["lottery_id"],
            unique=True,
            postgresql_where=sa.text("revealed_at IS NULL"),
            sqlite_where=sa.text("revealed_at IS NULL"),
        )

    op.create_table(
        "odds_tables",
        sa.Column("odds_hash", sa.String(), nullable=False),
        sa.Column("lottery_id", sa.String(), nullable=False),
        sa.Column("odds", sa.JSON(), nullable=False),
        sa.Column("consolation", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("odds_hash", name=op.f("pk_odds_tables")),
    )
    op.create_table(
        "prize_counts",
        sa.Column("lottery_id", sa.String(), nullable=False),
        sa.Column("prize_id", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("given", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("lottery_id", "prize_id", "day", name=op.f("pk_prize_counts")),
    )
    op.create_table(
        "rhythm_changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rhythm_changes")),
    )
    op.create_table(
        "seal_horizon",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("to_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("xid", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seal_horizon")),
    )
    op.create_table(
        "shipments",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("order_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("carrier", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("note", sa.String(length=200), server_default="", nullable=False),
        sa.Column("told_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipments")),
        sa.UniqueConstraint("order_id", "number", name=op.f("uq_shipments_order_id_number")),
    )
    with op.batch_alter_table("shipments", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_shipments_order_id"), ["order_id"], unique=False)

    op.create_table(
        "surveys",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("about", sa.String(length=40), nullable=False),
        sa.Column("chat", sa.String(length=160), nullable=False),
        sa.Column("asked_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("score", sa.SmallInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("answered_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_surveys")),
        sa.UniqueConstraint("key", name=op.f("uq_surveys_key")),
    )
    with op.batch_alter_table("surveys", schema=None) as batch_op:
        batch_op.create_index("ix_surveys_member", ["member_id", "asked_at"], unique=False)

    op.create_table(
        "webhook_cursors",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("done_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("to_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("xid", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_webhook_cursors")),
    )
    op.create_table(
        "webhook_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("lapses_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_events")),
        sa.UniqueConstraint("key", name=op.f("uq_webhook_events_key")),
    )
    with op.batch_alter_table("webhook_events", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_webhook_events_member_id_lapses_at"), ["member_id", "lapses_at"], unique=False
        )

    op.create_table(
        "webhook_subscriptions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("created_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("ended_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_subscriptions")),
    )
    op.create_table(
        "acquisitions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("channel_code", sa.String(), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_acquisitions_member_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acquisitions")),
        sa.UniqueConstraint(
            "member_id", "at", "source", "channel_code", name=op.f("uq_acquisitions_member_id_at_source_channel_code")
        ),
    )
    with op.batch_alter_table("acquisitions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_acquisitions_source"), ["source"], unique=False)

    op.create_table(
        "activities",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("behaviour_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("friend_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("streak_days", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("decided_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["friend_id"], ["members.id"], name=op.f("fk_activities_friend_id_members")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_activities_member_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activities")),
        sa.UniqueConstraint("key", name=op.f("uq_activities_key")),
    )
    with op.batch_alter_table("activities", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_activities_member_id_behaviour_id_id"), ["member_id", "behaviour_id", "id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_activities_state_id"), ["state", "id"], unique=False)

    op.create_table(
        "birthdays",
        sa.Column(
            "member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("month", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("day", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("changed_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_birthdays_member_id_members")),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_birthdays")),
        info={"personal": True},
    )
    op.create_table(
        "coupons",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("type_id", sa.String(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("issued_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("order_ref", sa.String(), nullable=True),
        sa.Column("discount_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("locked_until", storage.UtcDateTime(timezone=True), nullable=True),
        sa.Column("ended_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_coupons_member_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupons")),
        sa.UniqueConstraint("code", name=op.f("uq_coupons_code")),
        sa.UniqueConstraint("key", name=op.f("uq_coupons_key")),
    )
    with op.batch_alter_table("coupons", schema=None) as batch_op:
        batch_op.create_index(
            "ix_coupons_due",
            ["expires_at", "id"],
            unique=False,
            postgresql_where=sa.text("state = 'issued'"),
            sqlite_where=sa.text("state = 'issued'"),
        )
        batch_op.create_index(
            "ix_coupons_locks",
            ["locked_until", "id"],
            unique=False,
            postgresql_where=sa.text("state = 'locked'"),
            sqlite_where=sa.text("state = 'locked'"),
        )
        batch_op.create_index(batch_op.f("ix_coupons_member_id_state"), ["member_id", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_coupons_order_ref"), ["order_ref"], unique=False)
        batch_op.create_index(batch_op.f("ix_coupons_source"), ["source"], unique=False)
        batch_op.create_index(batch_op.f("ix_coupons_type_id"), ["type_id"], unique=False)

    op.create_table(
        "draws",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rolled_for", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("lottery_id", sa.String(), nullable=False),
        sa.Column("seed_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("odds_hash", sa.String(), nullable=False),
        sa.Column("roll", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("landed", sa.String(), nullable=False),
        sa.Column("prize_id", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("given", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_draws_member_id_members")),
        sa.ForeignKeyConstraint(["odds_hash"], ["odds_tables.odds_hash"], name=op.f("fk_draws_odds_hash_odds_tables")),
        sa.ForeignKeyConstraint(["seed_id"], ["lottery_seeds.id"], name=op.f("fk_draws_seed_id_lottery_seeds")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_draws")),
        sa.UniqueConstraint("key", name=op.f("uq_draws_key")),
    )
    with op.batch_alter_table("draws", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_draws_lottery_id_odds_hash"), ["lottery_id", "odds_hash"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_draws_member_id_lottery_id_day"), ["member_id", "lottery_id", "day"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_draws_seed_id"), ["seed_id"], unique=False)

    op.create_table(
        "erasures",
        sa.Column(
            "member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_erasures_member_id_members")),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_erasures")),
    )
    with op.batch_alter_table("erasures", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_erasures_key"), ["key"], unique=False)

    op.create_table(
        "fraud_evidence",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("finding_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("place", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("table_name", sa.String(), nullable=False),
        sa.Column("row_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("said", sa.String(), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["finding_id"], ["fraud_findings.id"], name=op.f("fk_fraud_evidence_finding_id_fraud_findings")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fraud_evidence")),
        sa.UniqueConstraint("finding_id", "place", name=op.f("uq_fraud_evidence_finding_id_place")),
    )
    op.create_table(
        "fraud_suspects",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("finding_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("points", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hold_key", sa.String(), nullable=True),
        sa.Column("held", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["finding_id"], ["fraud_findings.id"], name=op.f("fk_fraud_suspects_finding_id_fraud_findings")
        ),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_fraud_suspects_member_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fraud_suspects")),
        sa.UniqueConstraint("finding_id", "member_id", name=op.f("uq_fraud_suspects_finding_id_member_id")),
    )
    with op.batch_alter_table("fraud_suspects", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fraud_suspects_member_id"), ["member_id"], unique=False)

    op.create_table(
        "hints",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("evidence", sa.String(), nullable=False),
        sa.Column("created_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_hints_member_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hints")),
        sa.UniqueConstraint("kind", "value", "member_id", name=op.f("uq_hints_kind_value_member_id")),
        info={"personal": True},
    )
    with op.batch_alter_table("hints", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_hints_member_id"), ["member_id"], unique=False)

    op.create_table(
        "member_scores",
        sa.Column(
            "member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("churn", sa.Double(), nullable=False),
        sa.Column("next_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.Column("purchases_ahead", sa.Double(), nullable=False),
        sa.Column("value_ahead_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("value_score", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("brand_score", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("retention_score", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("scored_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_member_scores_member_id_members")),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_member_scores")),
    )
    with op.batch_alter_table("member_scores", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_member_scores_next_at"), ["next_at"], unique=False)

    op.create_table(
        "member_tags",
        sa.Column(
            "member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("set_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_member_tags_member_id_members")),
        sa.PrimaryKeyConstraint("member_id", "tag", "source", name=op.f("pk_member_tags")),
        info={"personal": True},
    )
    with op.batch_alter_table("member_tags", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_member_tags_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_member_tags_tag_member_id"), ["tag", "member_id"], unique=False)

    op.create_table(
        "merges",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("keep_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("other_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("evidence", sa.String(), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("undone_key", sa.String(), nullable=True),
        sa.Column("undone_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["keep_id"], ["members.id"], name=op.f("fk_merges_keep_id_members")),
        sa.ForeignKeyConstraint(["other_id"], ["members.id"], name=op.f("fk_merges_other_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merges")),
        sa.UniqueConstraint("key", name=op.f("uq_merges_key")),
        sa.UniqueConstraint("undone_key", name=op.f("uq_merges_undone_key")),
    )
    with op.batch_alter_table("merges", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_merges_keep_id"), ["keep_id"], unique=False)
        batch_op.create_index(
            "uq_merges_standing",
            ["other_id"],
            unique=True,
            postgresql_where=sa.text("undone_at IS NULL"),
            sqlite_where=sa.text("undone_at IS NULL"),
        )

    op.create_table(
        "plan_terms",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("paid_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("starts_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("ends_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("bought_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("cancelled_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.Column("refund_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_plan_terms_ends_after_start")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_plan_terms_member_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_terms")),
        sa.UniqueConstraint("key", name=op.f("uq_plan_terms_key")),
    )
    with op.batch_alter_table("plan_terms", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_plan_terms_member_id_ends_at"), ["member_id", "ends_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_plan_terms_plan_id_ends_at"), ["plan_id", "ends_at"], unique=False)

    op.create_table(
        "plan_trials",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("place", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_plan_trials_member_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_trials")),
        sa.UniqueConstraint("key", name=op.f("uq_plan_trials_key")),
        sa.UniqueConstraint(
            "member_id", "plan_id", "month", "place", name=op.f("uq_plan_trials_member_id_plan_id_month_place")
        ),
    )
    op.create_table(
        "product_rhythms",
        sa.Column(
            "member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("sku", sa.String(), nullable=False),
        sa.Column("first_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("last_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("occasions", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("pieces", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("used_pieces", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("used_days", sa.Double(), nullable=False),
        sa.Column("days_per_piece", sa.Double(), nullable=True),
        sa.Column("due_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_product_rhythms_member_id_members")),
        sa.PrimaryKeyConstraint("member_id", "sku", name=op.f("pk_product_rhythms")),
    )
    with op.batch_alter_table("product_rhythms", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_product_rhythms_due_at"), ["due_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_product_rhythms_sku_due_at"), ["sku", "due_at"], unique=False)

    op.create_table(
        "purchase_rhythms",
        sa.Column(
            "member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("first_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("last_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("orders", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("occasions", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("amount_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("span_days", sa.Double(), nullable=False),
        sa.Column("last_gap_days", sa.Double(), nullable=True),
        sa.Column("earlier_gap_days", sa.Double(), nullable=True),
        sa.Column("rhythm_days", sa.Double(), nullable=False),
        sa.Column("returned", sa.Boolean(), nullable=False),
        sa.Column("due_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("cooling_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("lost_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_purchase_rhythms_member_id_members")),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_purchase_rhythms")),
    )
    with op.batch_alter_table("purchase_rhythms", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_purchase_rhythms_cooling_at"), ["cooling_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_purchase_rhythms_due_at"), ["due_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_purchase_rhythms_last_at"), ["last_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_purchase_rhythms_lost_at"), ["lost_at"], unique=False)

    op.create_table(
        "tier_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("old_tier", sa.String(), nullable=True),
        sa.Column("new_tier", sa.String(), nullable=True),
        sa.Column("amount_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("growth", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("counted_from", storage.UtcDateTime(timezone=True), nullable=True),
        sa.Column("due_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_tier_events_member_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tier_events")),
    )
    with op.batch_alter_table("tier_events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tier_events_member_id_id"), ["member_id", "id"], unique=False)

    op.create_table(
        "tier_standings",
        sa.Column(
            "member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("tier", sa.String(), nullable=True),
        sa.Column("since", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("grace", sa.Boolean(), nullable=False),
        sa.Column("due_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_tier_standings_member_id_members")),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_tier_standings")),
    )
    with op.batch_alter_table("tier_standings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tier_standings_due_at"), ["due_at"], unique=False)

    op.create_table(
        "top_ups",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("amount_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bonus_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("transfer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bonus_transfer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("refunded_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bonus_owed_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("charged_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.CheckConstraint("refunded_fen >= 0 AND refunded_fen <= amount_fen", name=op.f("ck_top_ups_refund_in_range")),
        sa.ForeignKeyConstraint(
            ["bonus_transfer_id"], ["transfers.id"], name=op.f("fk_top_ups_bonus_transfer_id_transfers")
        ),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_top_ups_member_id_members")),
        sa.ForeignKeyConstraint(["transfer_id"], ["transfers.id"], name=op.f("fk_top_ups_transfer_id_transfers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_top_ups")),
        sa.UniqueConstraint("key", name=op.f("uq_top_ups_key")),
    )
    with op.batch_alter_table("top_ups", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_top_ups_member_id"), ["member_id"], unique=False)

    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("subscription_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("due_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("leased_until", storage.UtcDateTime(timezone=True), nullable=True),
        sa.Column("ended_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.Column("answer", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["webhook_events.id"], name=op.f("fk_webhook_deliveries_event_id_webhook_events")
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["webhook_subscriptions.id"],
            name=op.f("fk_webhook_deliveries_subscription_id_webhook_subscriptions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("subscription_id", "event_id", name=op.f("uq_webhook_deliveries_subscription_id_event_id")),
    )
    with op.batch_alter_table("webhook_deliveries", schema=None) as batch_op:
        batch_op.create_index(
            "ix_webhook_deliveries_due",
            ["due_at"],
            unique=False,
            postgresql_where=sa.text("state = 'waiting'"),
            sqlite_where=sa.text("state = 'waiting'"),
        )
        batch_op.create_index(batch_op.f("ix_webhook_deliveries_event_id"), ["event_id"], unique=False)

    op.create_table(
        "grants",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("order_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("activity_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("campaign_id", sa.String(), nullable=True),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("cost_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_grants_activity_id_activities")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_grants_member_id_members")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_grants_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
    )
    with op.batch_alter_table("grants", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_grants_activity_id"), ["activity_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_grants_campaign_id_at"), ["campaign_id", "at"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_grants_member_id_rule_id_day"), ["member_id", "rule_id", "day"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_grants_order_id"), ["order_id"], unique=False)

    op.create_table(
        "merge_moves",
        sa.Column(
            "merge_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("table_name", sa.String(), nullable=False),
        sa.Column("column_name", sa.String(), nullable=False),
        sa.Column("row_key", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["merge_id"], ["merges.id"], name=op.f("fk_merge_moves_merge_id_merges")),
        sa.PrimaryKeyConstraint("merge_id", "table_name", "column_name", "row_key", name=op.f("pk_merge_moves")),
    )
    with op.batch_alter_table("merge_moves", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_merge_moves_table_name_row_key"), ["table_name", "row_key"], unique=False)

    op.create_table(
        "pool_codes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("expires_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.Column("redemption_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("imported_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("taken_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["redemption_id"], ["redemptions.id"], name=op.f("fk_pool_codes_redemption_id_redemptions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool_codes")),
        sa.UniqueConstraint("pool", "code", name=op.f("uq_pool_codes_pool_code")),
    )
    with op.batch_alter_table("pool_codes", schema=None) as batch_op:
        batch_op.create_index(
            "ix_pool_codes_free",
            ["pool", "id"],
            unique=False,
            postgresql_where=sa.text("redemption_id IS NULL"),
            sqlite_where=sa.text("redemption_id IS NULL"),
        )
        batch_op.create_index(batch_op.f("ix_pool_codes_redemption_id"), ["redemption_id"], unique=False)

    op.create_table(
        "red_packets",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("bill", sa.String(), nullable=False),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("redemption_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("amount_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("wish", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("tries", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("due_at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.Column("receipt", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("ended_at", storage.UtcDateTime(timezone=True), nullable=True),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_red_packets_amount_positive")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_red_packets_member_id_members")),
        sa.ForeignKeyConstraint(
            ["redemption_id"], ["redemptions.id"], name=op.f("fk_red_packets_redemption_id_redemptions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_red_packets")),
        sa.UniqueConstraint("bill", name=op.f("uq_red_packets_bill")),
        sa.UniqueConstraint("key", name=op.f("uq_red_packets_key")),
        sa.UniqueConstraint("redemption_id", name=op.f("uq_red_packets_redemption_id")),
    )
    with op.batch_alter_table("red_packets", schema=None) as batch_op:
        batch_op.create_index(
            "ix_red_packets_due",
            ["due_at", "id"],
            unique=False,
            postgresql_where=sa.text("state IN ('pending', 'claimed')"),
            sqlite_where=sa.text("state IN ('pending', 'claimed')"),
        )
        batch_op.create_index(batch_op.f("ix_red_packets_member_id"), ["member_id"], unique=False)

    op.create_table(
        "referrals",
        sa.Column(
            "friend_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("member_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("activity_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_referrals_activity_id_activities")),
        sa.ForeignKeyConstraint(["friend_id"], ["members.id"], name=op.f("fk_referrals_friend_id_members")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_referrals_member_id_members")),
        sa.PrimaryKeyConstraint("friend_id", name=op.f("pk_referrals")),
    )
    with op.batch_alter_table("referrals", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_referrals_member_id"), ["member_id"], unique=False)

    op.create_table(
        "refunds",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("order_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("amount_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("restored", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("clawed_back", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("owed", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("waived", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("stored_value_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", storage.UtcDateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_refunds_amount_positive")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_refunds_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
        sa.UniqueConstraint("key", name=op.f("uq_refunds_key")),
    )
    with op.batch_alter_table("refunds", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_refunds_order_id"), ["order_id"], unique=False)

    with op.batch_alter_table("blocks", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("transfers", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)
        )
        batch_op.add_column(sa.Column("sealed_at", storage.UtcDateTime(timezone=True), nullable=False))

    with op.batch_alter_table("lot_uses", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_lot_uses_transfer_id_transfers"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_lot_uses_lot_id_lots"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_lot_uses_spend_id_transfers"), type_="foreignkey")

    with op.batch_alter_table("lots", schema=None) as batch_op:
        batch_op.add_column(sa.Column("available_from", storage.UtcDateTime(timezone=True), nullable=True))
        batch_op.create_index(
            "ix_lots_pending",
            ["account_id", "available_from"],
            unique=False,
            postgresql_where=sa.text("remaining > 0 AND available_from IS NOT NULL"),
            sqlite_where=sa.text("remaining > 0 AND available_from IS NOT NULL"),
        )
        batch_op.drop_constraint(batch_op.f("fk_lots_account_id_accounts"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_lots_transfer_id_transfers"), type_="foreignkey")

    with op.batch_alter_table("merge_proposals", schema=None) as batch_op:
        batch_op.add_column(sa.Column("state", sa.String(), server_default="open", nullable=False))
        batch_op.add_column(sa.Column("decided_by", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("decided_at", storage.UtcDateTime(timezone=True), nullable=True))

    with op.batch_alter_table("redemptions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("kind", sa.String(), server_default="goods", nullable=False))
        batch_op.add_column(sa.Column("way", sa.String(), server_default="verify", nullable=False))
        batch_op.add_column(
            sa.Column(
                "value_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), server_default="0", nullable=False
            )
        )
        batch_op.add_column(sa.Column("link", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("order_ref", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("expires_at", storage.UtcDateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("lapse_returns", sa.Boolean(), server_default=sa.text("false"), nullable=False))
        batch_op.alter_column("transfer_id", existing_type=sa.BIGINT(), nullable=True)
        batch_op.create_index(
            "ix_redemptions_due",
            ["expires_at"],
            unique=False,
            postgresql_where=sa.text("state = 'issued'"),
            sqlite_where=sa.text("state = 'issued'"),
        )
        batch_op.create_index(batch_op.f("ix_redemptions_order_ref"), ["order_ref"], unique=False)

    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("step", sa.String(length=64), server_default="", nullable=False))
        batch_op.add_column(sa.Column("waits_for", sa.String(length=64), server_default="", nullable=False))
        batch_op.add_column(sa.Column("moves", sa.SmallInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("again", sa.SmallInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("effects", sa.SmallInteger(), server_default="0", nullable=False))

    with op.batch_alter_table("touches", schema=None) as batch_op:
        batch_op.add_column(sa.Column("step", sa.String(length=64), server_default="", nullable=False))
        batch_op.add_column(sa.Column("channel", sa.String(length=16), server_default="", nullable=False))
        batch_op.add_column(sa.Column("weighs", sa.SmallInteger(), server_default="0", nullable=False))

    with op.batch_alter_table("transfers", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_transfers_debit_id_accounts"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_transfers_credit_id_accounts"), type_="foreignkey")




def downgrade() -> None:

    with op.batch_alter_table("transfers", schema=None) as batch_op:
        batch_op.create_foreign_key(batch_op.f("fk_transfers_credit_id_accounts"), "accounts", ["credit_id"], ["id"])
        batch_op.create_foreign_key(batch_op.f("fk_transfers_debit_id_accounts"), "accounts", ["debit_id"], ["id"])

    with op.batch_alter_table("touches", schema=None) as batch_op:
        batch_op.drop_column("weighs")
        batch_op.drop_column("channel")
        batch_op.drop_column("step")

    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_column("effects")
        batch_op.drop_column("again")
        batch_op.drop_column("moves")
        batch_op.drop_column("waits_for")
        batch_op.drop_column("step")

    with op.batch_alter_table("redemptions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_redemptions_order_ref"))
        batch_op.drop_index(
            "ix_redemptions_due", postgresql_where=sa.text("state = 'issued'"), sqlite_where=sa.text("state = 'issued'")
        )
        batch_op.alter_column("transfer_id", existing_type=sa.BIGINT(), nullable=False)
        batch_op.drop_column("lapse_returns")
        batch_op.drop_column("expires_at")
        batch_op.drop_column("order_ref")
        batch_op.drop_column("link")
        batch_op.drop_column("value_fen")
        batch_op.drop_column("way")
        batch_op.drop_column("kind")

    with op.batch_alter_table("merge_proposals", schema=None) as batch_op:
        batch_op.drop_column("decided_at")
        batch_op.drop_column("decided_by")
        batch_op.drop_column("state")

    with op.batch_alter_table("lots", schema=None) as batch_op:
        batch_op.create_foreign_key(batch_op.f("fk_lots_transfer_id_transfers"), "transfers", ["transfer_id"], ["id"])
        batch_op.create_foreign_key(batch_op.f("fk_lots_account_id_accounts"), "accounts", ["account_id"], ["id"])
        batch_op.drop_index(
            "ix_lots_pending",
            postgresql_where=sa.text("remaining > 0 AND available_from IS NOT NULL"),
            sqlite_where=sa.text("remaining > 0 AND available_from IS NOT NULL"),
        )
        batch_op.drop_column("available_from")

    with op.batch_alter_table("lot_uses", schema=None) as batch_op:
        batch_op.create_foreign_key(batch_op.f("fk_lot_uses_spend_id_transfers"), "transfers", ["spend_id"], ["id"])
        batch_op.create_foreign_key(batch_op.f("fk_lot_uses_lot_id_lots"), "lots", ["lot_id"], ["id"])
        batch_op.create_foreign_key(
            batch_op.f("fk_lot_uses_transfer_id_transfers"), "transfers", ["transfer_id"], ["id"]
        )

    with op.batch_alter_table("blocks", schema=None) as batch_op:
        batch_op.drop_column("sealed_at")
        batch_op.drop_column("transfers")

    with op.batch_alter_table("refunds", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_refunds_order_id"))

    op.drop_table("refunds")
    with op.batch_alter_table("referrals", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_referrals_member_id"))

    op.drop_table("referrals")
    with op.batch_alter_table("red_packets", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_red_packets_member_id"))
        batch_op.drop_index(
            "ix_red_packets_due",
            postgresql_where=sa.text("state IN ('pending', 'claimed')"),
            sqlite_where=sa.text("state IN ('pending', 'claimed')"),
        )

    op.drop_table("red_packets")
    with op.batch_alter_table("pool_codes", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pool_codes_redemption_id"))
        batch_op.drop_index(
            "ix_pool_codes_free",
            postgresql_where=sa.text("redemption_id IS NULL"),
            sqlite_where=sa.text("redemption_id IS NULL"),
        )

    op.drop_table("pool_codes")
    with op.batch_alter_table("merge_moves", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_merge_moves_table_name_row_key"))

    op.drop_table("merge_moves")
    with op.batch_alter_table("grants", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_grants_order_id"))
        batch_op.drop_index(batch_op.f("ix_grants_member_id_rule_id_day"))
        batch_op.drop_index(batch_op.f("ix_grants_campaign_id_at"))
        batch_op.drop_index(batch_op.f("ix_grants_activity_id"))

    op.drop_table("grants")
    with op.batch_alter_table("webhook_deliveries", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_webhook_deliveries_event_id"))
        batch_op.drop_index(
            "ix_webhook_deliveries_due",
            postgresql_where=sa.text("state = 'waiting'"),
            sqlite_where=sa.text("state = 'waiting'"),
        )

    op.drop_table("webhook_deliveries")
    with op.batch_alter_table("top_ups", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_top_ups_member_id"))

    op.drop_table("top_ups")
    with op.batch_alter_table("tier_standings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tier_standings_due_at"))

    op.drop_table("tier_standings")
    with op.batch_alter_table("tier_events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tier_events_member_id_id"))

    op.drop_table("tier_events")
    with op.batch_alter_table("purchase_rhythms", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_purchase_rhythms_lost_at"))
        batch_op.drop_index(batch_op.f("ix_purchase_rhythms_last_at"))
        batch_op.drop_index(batch_op.f("ix_purchase_rhythms_due_at"))
        batch_op.drop_index(batch_op.f("ix_purchase_rhythms_cooling_at"))

    op.drop_table("purchase_rhythms")
    with op.batch_alter_table("product_rhythms", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_product_rhythms_sku_due_at"))
        batch_op.drop_index(batch_op.f("ix_product_rhythms_due_at"))

    op.drop_table("product_rhythms")
    op.drop_table("plan_trials")
    with op.batch_alter_table("plan_terms", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_plan_terms_plan_id_ends_at"))
        batch_op.drop_index(batch_op.f("ix_plan_terms_member_id_ends_at"))

    op.drop_table("plan_terms")
    with op.batch_alter_table("merges", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_merges_standing",
            postgresql_where=sa.text("undone_at IS NULL"),
            sqlite_where=sa.text("undone_at IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_merges_keep_id"))

    op.drop_table("merges")
    with op.batch_alter_table("member_tags", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_member_tags_tag_member_id"))
        batch_op.drop_index(batch_op.f("ix_member_tags_expires_at"))

    op.drop_table("member_tags")
    with op.batch_alter_table("member_scores", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_member_scores_next_at"))

    op.drop_table("member_scores")
    with op.batch_alter_table("hints", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_hints_member_id"))

    op.drop_table("hints")
    with op.batch_alter_table("fraud_suspects", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_fraud_suspects_member_id"))

    op.drop_table("fraud_suspects")
    op.drop_table("fraud_evidence")
    with op.batch_alter_table("erasures", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_erasures_key"))

    op.drop_table("erasures")
    with op.batch_alter_table("draws", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_draws_seed_id"))
        batch_op.drop_index(batch_op.f("ix_draws_member_id_lottery_id_day"))
        batch_op.drop_index(batch_op.f("ix_draws_lottery_id_odds_hash"))

    op.drop_table("draws")
    with op.batch_alter_table("coupons", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_coupons_type_id"))
        batch_op.drop_index(batch_op.f("ix_coupons_source"))
        batch_op.drop_index(batch_op.f("ix_coupons_order_ref"))
        batch_op.drop_index(batch_op.f("ix_coupons_member_id_state"))
        batch_op.drop_index(
            "ix_coupons_locks", postgresql_where=sa.text("state = 'locked'"), sqlite_where=sa.text("state = 'locked'")
        )
        batch_op.drop_index(
            "ix_coupons_due", postgresql_where=sa.text("state = 'issued'"), sqlite_where=sa.text("state = 'issued'")
        )

    op.drop_table("coupons")
    op.drop_table("birthdays")
    with op.batch_alter_table("activities", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_activities_state_id"))
        batch_op.drop_index(batch_op.f("ix_activities_member_id_behaviour_id_id"))

    op.drop_table("activities")
    with op.batch_alter_table("acquisitions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_acquisitions_source"))

    op.drop_table("acquisitions")
    op.drop_table("webhook_subscriptions")
    with op.batch_alter_table("webhook_events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_webhook_events_member_id_lapses_at"))

    op.drop_table("webhook_events")
    op.drop_table("webhook_cursors")
    with op.batch_alter_table("surveys", schema=None) as batch_op:
        batch_op.drop_index("ix_surveys_member")

    op.drop_table("surveys")
    with op.batch_alter_table("shipments", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_shipments_order_id"))

    op.drop_table("shipments")
    op.drop_table("seal_horizon")
    op.drop_table("rhythm_changes")
    op.drop_table("prize_counts")
    op.drop_table("odds_tables")
    with op.batch_alter_table("lottery_seeds", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_lottery_seeds_open",
            postgresql_where=sa.text("revealed_at IS NULL"),
            sqlite_where=sa.text("revealed_at IS NULL"),
        )

    op.drop_table("lottery_seeds")
    op.drop_table("invites")
    op.drop_table("insight_marks")
    op.drop_table("imports")
    with op.batch_alter_table("happenings", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_happenings_waiting", sqlite_where=sa.text("state = 0"), postgresql_where=sa.text("state = 0")
        )

    op.drop_table("happenings")
    with op.batch_alter_table("fraud_findings", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_fraud_findings_open",
            postgresql_where=sa.text("state IN ('open', 'held')"),
            sqlite_where=sa.text("state IN ('open', 'held')"),
        )

    op.drop_table("fraud_findings")
    op.drop_table("forecast_models")
    op.drop_table("followup_watermarks")
    op.drop_table("followup_pauses")
    with op.batch_alter_table("followup_assignments", schema=None) as batch_op:
        batch_op.drop_index("ix_followup_assignments_until")

    op.drop_table("followup_assignments")
    with op.batch_alter_table("first_answers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_first_answers_at"))

    op.drop_table("first_answers")
    op.drop_table("erased_identities")
    with op.batch_alter_table("efforts", schema=None) as batch_op:
        batch_op.drop_index("ix_efforts_step")
        batch_op.drop_index("ix_efforts_member")

    op.drop_table("efforts")
    op.drop_table("coupon_issues")
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.drop_index("ix_cases_member")

    op.drop_table("cases")
    op.drop_table("budget_uses")
    op.drop_table("budget_events")
    with op.batch_alter_table("appointments", schema=None) as batch_op:
        batch_op.drop_index("ix_appointments_member")
        batch_op.drop_index(
            "ix_appointments_due",
            sqlite_where=sa.text("remind_at IS NOT NULL"),
            postgresql_where=sa.text("remind_at IS NOT NULL"),
        )

    op.drop_table("appointments")
    op.drop_table("appointment_slots")
    op.drop_table("api_keys")

