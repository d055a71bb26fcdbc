"""A floor for bench_pipeline: the least a worker must do for a message, by hand-written SQL, 100 a transaction.

Claim -> open the envelope -> score character n-grams against 20 labels -> one ledger transfer -> an outbox row ->
done mark. No dialogs, no facts, no rules, no verdicts. Prints one JSON line: {"rate", "cpu_us", "done"}.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time

import numpy as np
import psycopg
from psycopg import Connection

from bot.wecom.crypto import CallbackCrypto
from bot.wecom.xml import parse

TOKEN, KEY, CORP = "floorToken", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "ww0000000000000001"
TEXTS = ("我的积分怎么还没有到账呢麻烦帮我查一下", "快吃完了有没有活动", "周末去哪里玩呀", "想用积分换个杯子可以吗")
MEMBERS, LABELS, GRAMS = 10_000, 20, 4
SCHEMA = """
CREATE TABLE floor_inbox (id bigserial PRIMARY KEY, key text UNIQUE, state smallint NOT NULL DEFAULT 0, label int,
  signature text, nonce text, body bytea NOT NULL);
CREATE INDEX ON floor_inbox (id) WHERE state = 0;
CREATE TABLE floor_outbox (id bigserial PRIMARY KEY, key text UNIQUE, body text NOT NULL);
CREATE TABLE floor_accounts (id bigint PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE floor_transfers (id bigserial PRIMARY KEY, key text UNIQUE, account bigint, amount bigint, at timestamptz);
INSERT INTO floor_accounts SELECT n, 0 FROM generate_series(0, %d) n
"""
CLAIM = """SELECT id, key, signature, nonce, body FROM floor_inbox WHERE state = 0
  ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"""
MOVE = """WITH new AS (INSERT INTO floor_transfers (key, account, amount, at)
  SELECT key, account, 5, now() FROM unnest(%s::text[], %s::bigint[]) AS t(key, account)
  ON CONFLICT (key) DO NOTHING RETURNING account, amount),
  net AS (SELECT account, sum(amount)::bigint AS amount FROM new GROUP BY account),
  locked AS (SELECT a.id FROM floor_accounts a JOIN net ON net.account = a.id ORDER BY a.id FOR UPDATE OF a)
  UPDATE floor_accounts a SET balance = a.balance + net.amount FROM net, locked
  WHERE a.id = net.account AND locked.id = a.id"""
ANSWER = """INSERT INTO floor_outbox (key, body) SELECT * FROM unnest(%s::text[], %s::text[])
  ON CONFLICT (key) DO NOTHING"""
DONE = """UPDATE floor_inbox i SET state = 1, label = n.label
  FROM unnest(%s::bigint[], %s::int[]) AS n(id, label) WHERE i.id = n.id"""


class Scorer:
    """A linear model over character n-grams with made-up weights: only its speed counts."""

    def __init__(self) -> None:
        grams = {text[i : i + n] for text in TEXTS for n in range(1, GRAMS + 1) for i in range(len(text) - n + 1)}
        self.places = {gram: place for place, gram in enumerate(sorted(grams))}
        self.weights = np.random.default_rng(1).normal(size=(len(grams), LABELS)).astype(np.float32)

    def label(self, text: str) -> int:
        """The best label of a text."""
        counts: dict[int, int] = {}
        for n in range(1, GRAMS + 1):
            for i in range(len(text) - n + 1):
                place = self.places.get(text[i : i + n])
                if place is not None:
                    counts[place] = counts.get(place, 0) + 1
        index = np.fromiter(counts, np.intp, len(counts))
        values = np.fromiter((1 + math.log(count) for count in counts.values()), np.float32, len(counts))
        return int((values @ self.weights[index]).argmax())


def fill(connection: Connection, rows: int, crypto: CallbackCrypto) -> None:
    """Tables and a full inbox of sealed messages."""
    connection.execute("DROP TABLE IF EXISTS floor_inbox, floor_outbox, floor_accounts, floor_transfers")
    for statement in (SCHEMA % MEMBERS).split(";\n"):
        connection.execute(statement)
    rng, sealed = random.Random(1), []
    for number in range(512):
        sender, said = f"wm{rng.randrange(MEMBERS)}", TEXTS[number % 4]
        inner = f"<xml><FromUserName><![CDATA[{sender}]]></FromUserName><Content><![CDATA[{said}]]></Content></xml>"
        sealed.append(crypto.seal(inner.encode(), "1790000000", str(number), rng.randbytes(16)))
    with connection.cursor().copy("COPY floor_inbox (key, signature, nonce, body) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["text", "text", "text", "bytea"])
        for number in range(rows):
            encrypted, signature = sealed[number % 512]
            body = encrypted if isinstance(encrypted, bytes) else encrypted.encode()
            copy.write_row((f"m{number}", signature, str(number % 512), body))
    connection.commit()
    connection.autocommit = True
    connection.execute("VACUUM ANALYZE floor_inbox")
    connection.execute("CHECKPOINT")
    connection.autocommit = False


def work(connection: Connection, crypto: CallbackCrypto, scorer: Scorer, batch: int, seconds: float) -> int:
    """Batches until the time is over; gives how many messages were done."""
    done, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        rows = connection.execute(CLAIM, (batch,), binary=True).fetchall()
        if not rows:
            break
        keys, accounts, labels = [], [], []
        for _id, key, signature, nonce, body in rows:
            message = parse(crypto.open(signature, "1790000000", nonce, bytes(body)))
            keys.append(key)
            accounts.append(int(str(message["FromUserName"])[2:]))
            labels.append(scorer.label(str(message["Content"])))
        connection.execute(MOVE, (keys, accounts))
        connection.execute(ANSWER, (keys, [f"已收到 {label}" for label in labels]))
        connection.execute(DONE, ([row[0] for row in rows], labels))
        connection.commit()
        done += len(rows)
    return done


def main() -> None:
    """Fill, work, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", default="pg")
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rows", type=int, default=60_000)
    options = parser.parse_args()
    crypto, scorer = CallbackCrypto(TOKEN, KEY, CORP), Scorer()
    with psycopg.connect(options.dsn, prepare_threshold=1) as connection:
        fill(connection, options.rows, crypto)
        started, cpu = time.perf_counter(), time.process_time()
        done = work(connection, crypto, scorer, options.batch, options.seconds)
        took, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(json.dumps({"rate": done / took, "cpu_us": cpu / max(done, 1) * 1e6, "done": done}))


if __name__ == "__main__":
    main()
