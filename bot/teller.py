"""Single earns, spends and holds, each in a transaction of its own."""

from __future__ import annotations

from datetime import datetime

from bot.database import Database
from loyalty import ledger
from loyalty.ledger_sql import CALL_POST_ONE
from loyalty.movements import Movement, Posted
from loyalty.posting import cells_of, posted_by


def post_alone(database: Database, movement: Movement, at: datetime) -> Posted:
    """Post one movement and commit it; an earn, a spend or a hold takes one round trip to PostgreSQL.

    Raises what refuses it (NotEnough, KeyReused, UnknownMember, ...) and the database's errors: the same key is safe to
    try again.
    """
    posted = None
    if movement.is_simple and not database.is_sqlite and at.tzinfo is not None:
        posted = posted_by(movement, database.call(CALL_POST_ONE, cells_of(movement, at)))
    if posted is None:
        with database.transaction() as session:
            (posted,) = ledger.post(session, [movement], at)
    if posted.error is not None:
        raise posted.error
    return posted
