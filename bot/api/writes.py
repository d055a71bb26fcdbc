"""A write of the API: done once under the caller's key, answered the same for ever after."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from loyalty.errors import KeyReused
from loyalty.tables import ApiAnswer, table_of
from loyalty.writing import insert_new

Work = Callable[[Session], tuple[int, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Write:
    """Who writes what under which key."""

    client: str
    key: str
    body_hash: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller gets; `replayed` where it is the stored answer of an earlier request."""

    status: int
    body: dict[str, Any]
    replayed: bool


def write_of(client: str, key: str, method: str, path: str, body: bytes) -> Write:
    """The write behind a request; another path under the same key counts as another body."""
    return Write(client, key, hashlib.sha256(b"\0".join((method.encode(), path.encode(), body))).hexdigest())


def answer_once(session: Session, write: Write, work: Work, at: datetime) -> Answer:
    """Do the work and store its answer, or give the stored one; raises KeyReused, and what the work raises.

    The key is taken first: a second request with it waits for the first one's commit, then reads the answer. Work
    that raises takes its claim back with the transaction, so a mended request may use the key again.
    """
    mine = {"client": write.client, "key": write.key, "body_hash": write.body_hash, "at": at,
            "status": None, "answer": None}
    if not insert_new(session, ApiAnswer, [mine], ["key"]):
        return _stored(session, write)
    status, body = work(session)
    answers = table_of(ApiAnswer)
    session.execute(update(answers).where(answers.c.client == write.client, answers.c.key == write.key)
                    .values(status=status, answer=body))
    return Answer(status, body, replayed=False)


def _stored(session: Session, write: Write) -> Answer:
    row = session.execute(select(ApiAnswer.body_hash, ApiAnswer.status, ApiAnswer.answer)
                          .where(ApiAnswer.client == write.client, ApiAnswer.key == write.key)).one()
    if row.body_hash != write.body_hash:
        raise KeyReused(write.key, row.body_hash, write.body_hash)
    return Answer(row.status, row.answer, replayed=True)
