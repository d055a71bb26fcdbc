"""A write of the API: done once under the caller's key, answered the same for ever after."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row, select, update
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from bot.database import is_transient
from loyalty.errors import AnswerErased, KeyReused, LoyaltyError
from loyalty.storage import among
from loyalty.tables import ApiAnswer, table_of
from loyalty.writing import insert_many, insert_new

Found = TypeVar("Found")
TRIES = 4
Work = Callable[[Session], tuple[int, dict[str, Any]]]

_A = ApiAnswer
_BY_KEY = select(_A.client, _A.key, _A.body_hash, _A.status, _A.answer).where(
    among(_A.client, "clients"), among(_A.key, "keys"))


class Raced(Exception):
    """Another request has taken one of the keys in this very moment; the transaction must be rolled back."""


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


def again(work: Callable[[], Found]) -> Found:
    """Do a whole transaction, and once more where that may help: a lost connection, a broken deadlock."""
    retrying = Retrying(stop=stop_after_attempt(TRIES), wait=wait_random_exponential(0.05, max=1),
                        retry=retry_if_exception(is_transient), reraise=True)
    return retrying(work)


def write_of(client: str, key: str, method: str, path: str, body: bytes) -> Write:
    """The write behind a request; another path under the same key counts as another body."""
    return Write(client, key, hashlib.sha256(b"\0".join((method.encode(), path.encode(), body))).hexdigest())


def answer_once(session: Session, write: Write, work: Work, at: datetime) -> Answer:
    """Do the work and store its answer, or give the stored one; raises KeyReused, and what the work raises.

    The key is taken first: a second request with it waits for the first one's commit, then reads the answer. Work
    that raises takes its claim back with the transaction, so a mended request may use the key again.
    """
    mine = _row(write, None, None, at)
    if not insert_new(session, ApiAnswer, [mine], ["key"]):
        stored = stored_answers(session, [write])[0]
        if stored is None:
            raise RuntimeError(f"key {write.key!r} neither taken nor found")
        if isinstance(stored, LoyaltyError):
            raise stored
        return stored
    status, body = work(session)
    answers = table_of(ApiAnswer)
    session.execute(update(answers).where(answers.c.client == write.client, answers.c.key == write.key)
                    .values(status=status, answer=body))
    return Answer(status, body, replayed=False)


def stored_answers(session: Session, writes: Sequence[Write]) -> list[Answer | LoyaltyError | None]:
    """What each write was answered before: the answer, the refusal of another body, or none."""
    sides = {"clients": sorted({write.client for write in writes}), "keys": sorted({write.key for write in writes})}
    rows = {(row.client, row.key): row for row in session.execute(_BY_KEY, sides)}
    return [_stored(write, rows.get((write.client, write.key))) for write in writes]


def store_answers(session: Session, answers: Sequence[tuple[Write, Answer, datetime]]) -> None:
    """Keep the answers of writes that are done in this transaction; raises Raced where a key was taken meanwhile."""
    rows = [_row(write, answer.status, answer.body, at)
            for write, answer, at in sorted(answers, key=lambda item: (item[0].client, item[0].key))]
    if len(insert_many(session, ApiAnswer, rows, ["key"])) < len(rows):
        raise Raced


def _row(write: Write, status: int | None, body: dict[str, Any] | None, at: datetime) -> dict[str, Any]:
    return {"client": write.client, "key": write.key, "body_hash": write.body_hash, "at": at,
            "status": status, "answer": body}


def _stored(write: Write, row: Row[Any] | None) -> Answer | LoyaltyError | None:
    if row is None:
        return None
    if row.body_hash != write.body_hash:
        return KeyReused(write.key, row.body_hash, write.body_hash)
    return AnswerErased(write.key) if row.answer is None else Answer(row.status, row.answer, replayed=True)
