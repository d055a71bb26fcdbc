"""Named groups of members: a condition in the language of rules, asked of the maintained rows in one SQL query.

`audience` gives the members a condition holds for. What SQL can say (comparisons, and, or, not, in, tags, sums and
products of numbers) is one query over indexed columns; the rest of the language is asked in Python, a page at a time.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, String, func, literal, select
from sqlalchemy.orm import Session

from loyalty.conditions import Condition
from loyalty.programme import Programme
from loyalty.segment_facts import Facts, facts_of
from loyalty.segment_parts import TYPES
from loyalty.segment_sql import NotExpressible, compiled, named_in
from loyalty.tables import Member

PAGE = 2000
_IN_MEMORY = select(func.set_config("work_mem", "256MB", True), func.set_config("jit", "off", True))
"""Until the transaction ends: tables of a million rows are joined in memory and not through files, and nothing is
compiled, which takes longer than such a query."""


def audience(session: Session, condition: str, now: datetime, programme: Programme, *, after_id: int = 0,
             limit: int | None = None) -> list[int]:
    """Members the condition holds for, by id; the next page is after the last one. Raises ConditionError."""
    try:
        statement = query(condition, now, programme, session)
    except NotExpressible:
        return _asked(session, condition, now, programme, after_id, limit)
    if after_id:
        statement = statement.where(Member.id > after_id)
    if limit is not None:
        statement = statement.order_by(Member.id).limit(limit)
    return _ids(session, statement)


def count(session: Session, condition: str, now: datetime, programme: Programme) -> int:
    """How many members the condition holds for. Raises ConditionError."""
    try:
        statement = query(condition, now, programme, session)
    except NotExpressible:
        return len(_asked(session, condition, now, programme, 0, None))
    return session.scalar(select(func.count()).select_from(statement.subquery())) or 0


def query(condition: str, now: datetime, programme: Programme, session: Session) -> Select[*tuple[Any, ...]]:
    """The condition as a query of member ids. Raises ConditionError, NotExpressible."""
    facts = Facts(session, programme, now)
    where, used = compiled(condition, facts)
    return facts.joined(select(Member.id), used).where(where)


def is_one_query(condition: str, now: datetime, programme: Programme, session: Session) -> bool:
    """Whether the condition is answered by the database alone. Raises ConditionError."""
    try:
        query(condition, now, programme, session)
    except NotExpressible:
        return False
    return True


def holding(session: Session, condition: str, member_ids: Collection[int], now: datetime, programme: Programme
            ) -> set[int]:
    """For which of these members the condition holds. Raises ConditionError."""
    named = named_in(condition)
    rule = Condition(condition, {name: TYPES[name] for name in named})
    known = facts_of(session, list(member_ids), now, programme, named)
    return {member_id for member_id, facts in known.items() if rule.holds(facts)}


def _asked(session: Session, condition: str, now: datetime, programme: Programme, after_id: int,
           limit: int | None) -> list[int]:
    found: list[int] = []
    while limit is None or len(found) < limit:
        page = session.scalars(select(Member.id).where(Member.id > after_id).order_by(Member.id).limit(PAGE)).all()
        found += sorted(holding(session, condition, page, now, programme))
        if len(page) < PAGE:
            break
        after_id = page[-1]
    return found if limit is None else found[:limit]


def _ids(session: Session, statement: Select[*tuple[Any, ...]]) -> list[int]:
    """Very many ids travel as one value: a row each would cost more than finding them."""
    ids = statement.subquery()
    together: ColumnElement[Any]
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_IN_MEMORY)
        together = func.array_agg(ids.c.id)
        return sorted(session.scalar(select(together)) or ())
    text = session.scalar(select(func.group_concat(ids.c.id, literal(",", String))))
    return sorted(map(int, text.split(","))) if text else []
