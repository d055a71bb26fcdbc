"""A write under a key happens once: the same key again gets the first answer, another body is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from loyalty.errors import KeyReused, LoyaltyError
from loyalty.reward_tables import FirstAnswer
from loyalty.tables import table_of
from loyalty.writing import body_hash, insert_new

A = TypeVar("A")
_TABLE = table_of(FirstAnswer)


def answer_once(session: Session, key: str, body: object, kind: type[A], work: Callable[[], A], at: datetime) -> A:
    """Do the work and keep its answer, a dataclass of `kind`; where the key is known, give the answer kept.

    Of two writers at once the second waits for the first. Work that is refused leaves its key free: the LoyaltyError
    is passed on. Raises KeyReused.
    """
    wanted = body_hash(body)
    if not insert_new(session, FirstAnswer, [{"key": key, "body_hash": wanted, "answer": None, "at": at}], ["key"]):
        first = session.execute(select(_TABLE.c.body_hash, _TABLE.c.answer).where(_TABLE.c.key == key)).one()
        if first.body_hash != wanted:
            raise KeyReused(key, first.body_hash, wanted)
        return msgspec.convert(first.answer, kind, strict=False)
    try:
        answer = work()
    except LoyaltyError:
        session.execute(delete(_TABLE).where(_TABLE.c.key == key))
        raise
    session.execute(update(_TABLE).where(_TABLE.c.key == key).values(answer=msgspec.to_builtins(answer)))
    return answer
