"""The one piece of the ledger that runs inside PostgreSQL: a single earn, spend or hold in one round trip.

`posting.Batch` is the reference and does everything else; a property test holds both to the same rows.
"""

from __future__ import annotations

from sqlalchemy import DDL

POST_ONE: DDL = DDL(  # type: ignore[no-untyped-call]
    """
CREATE OR REPLACE FUNCTION ledger_post_one(
  p_key text, p_body text, p_debit_owner bigint, p_debit_kind text, p_credit_owner bigint, p_credit_kind text,
  p_asset text, p_amount bigint, p_reason text, p_ref text, p_at timestamptz, p_expires_at timestamptz,
  p_available_from timestamptz, p_until timestamptz,
  OUT transfer_id bigint, OUT verdict text, OUT first_body text, OUT reach bigint) LANGUAGE plpgsql AS $body$
-- verdict: new, known (transfer_id and first_body are the first ones), short (reach is what there is),
-- planner (an account is missing or the member owes: the Python planner must decide).
DECLARE
  v_member bigint := greatest(p_debit_owner, p_credit_owner);
  v_available bigint;
  v_held bigint;
  v_other bigint;
  v_missing bigint := p_amount;
  v_row record;
  v_lots bigint[];
  v_parts bigint[];
BEGIN
  -- Member accounts, locked in id order before anything about them is read, as the planner does.
  FOR v_row IN
    SELECT a.id, a.kind, b.balance FROM accounts a JOIN balances b ON b.account_id = a.id
    WHERE a.owner = v_member AND a.asset = p_asset AND a.kind IN ('available', 'held', 'owed')
    ORDER BY a.id FOR UPDATE OF b
  LOOP
    IF v_row.kind = 'available' THEN v_available := v_row.id;
    ELSIF v_row.kind = 'held' THEN v_held := v_row.id;
    ELSIF v_row.balance < 0 THEN verdict := 'planner';
    END IF;
  END LOOP;
  v_other := v_held;
  IF p_credit_kind <> 'held' THEN
    SELECT a.id INTO v_other FROM accounts a
    WHERE a.owner = least(p_debit_owner, p_credit_owner) AND a.asset = p_asset
      AND a.kind = CASE WHEN p_debit_owner = 0 THEN p_debit_kind ELSE p_credit_kind END;
  END IF;
  IF verdict = 'planner' OR v_available IS NULL OR v_other IS NULL THEN
    verdict := 'planner';
    RETURN;
  END IF;

  SELECT t.id, t.body_hash INTO transfer_id, first_body FROM transfers t WHERE t.key = p_key;
  IF FOUND THEN
    verdict := 'known';
    RETURN;
  END IF;

  IF p_debit_owner <> 0 THEN
    FOR v_row IN
      SELECT l.id, l.remaining FROM lots l
      WHERE l.account_id = v_available AND l.remaining > 0 AND (l.expires_at IS NULL OR l.expires_at > p_at)
        AND (l.available_from IS NULL OR l.available_from <= p_at)
      ORDER BY l.expires_at, l.id
    LOOP
      v_lots := v_lots || v_row.id;
      v_parts := v_parts || least(v_row.remaining, v_missing);
      v_missing := v_missing - least(v_row.remaining, v_missing);
      EXIT WHEN v_missing = 0;
    END LOOP;
    IF v_missing > 0 THEN
      verdict := 'short';
      reach := p_amount - v_missing;
      RETURN;
    END IF;
  END IF;

  INSERT INTO transfers (key, body_hash, debit_id, credit_id, amount, asset, reason, ref, at)
  VALUES (p_key, p_body, CASE WHEN p_debit_owner = 0 THEN v_other ELSE v_available END,
          CASE WHEN p_debit_owner = 0 THEN v_available ELSE v_other END, p_amount, p_asset, p_reason, p_ref, p_at)
  ON CONFLICT (key) DO NOTHING RETURNING id INTO transfer_id;
  IF transfer_id IS NULL THEN
    SELECT t.id, t.body_hash INTO transfer_id, first_body FROM transfers t WHERE t.key = p_key;
    verdict := 'known';
    RETURN;
  END IF;

  IF p_debit_owner = 0 THEN
    INSERT INTO lots (account_id, transfer_id, amount, remaining, expires_at, available_from)
    VALUES (v_available, ledger_post_one.transfer_id, p_amount, p_amount, p_expires_at, p_available_from);
    UPDATE balances SET balance = balance + p_amount WHERE account_id = v_available;
  ELSE
    FOR v_index IN 1 .. array_length(v_lots, 1) LOOP
      UPDATE lots SET remaining = remaining - v_parts[v_index] WHERE id = v_lots[v_index];
      INSERT INTO lot_uses (transfer_id, lot_id, spend_id, amount)
      VALUES (ledger_post_one.transfer_id, v_lots[v_index], ledger_post_one.transfer_id, v_parts[v_index]);
    END LOOP;
    UPDATE balances SET balance = balance - p_amount WHERE account_id = v_available;
    IF p_credit_kind = 'held' THEN
      UPDATE balances SET balance = balance + p_amount WHERE account_id = v_held;
      INSERT INTO holds (transfer_id, expires_at, state) VALUES (ledger_post_one.transfer_id, p_until, 'pending');
    END IF;
  END IF;
  verdict := 'new';
END $body$
""")
"""Made with the tables on PostgreSQL (`after_create`); a migration executes the same text."""

CALL_POST_ONE = """SELECT transfer_id, verdict, first_body, reach FROM ledger_post_one(
%s::text, %s::text, %s::bigint, %s::text, %s::bigint, %s::text, %s::text, %s::bigint, %s::text, %s::text,
%s::timestamptz, %s::timestamptz, %s::timestamptz, %s::timestamptz)"""
