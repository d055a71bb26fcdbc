"""Which columns of which tables point at a member: what a merge moves, an export shows and an erasure clears.

A column points at a member when it is called `member_id` or is a foreign key to `members.id`; whoever makes a new table
has nothing to register. A column that holds what a person said or is called carries `info=PERSONAL`, and a table whose
rows are nothing but that carries `info=PERSONAL` itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Index, Table, Text, UniqueConstraint, and_, cast, exists, literal

from loyalty.storage import Base

STAYS: Final = {
    "merges": "tells which merges were made",
    "merge_proposals": "read through the merges when listed",
    "erasures": "tells who was forgotten",
    "purchase_summaries": "made anew from the orders",
    "purchase_rhythms": "made anew from the orders",
    "product_rhythms": "made anew from the orders",
    "rhythm_changes": "tells the next sweep whom to look at",
    "member_scores": "made anew from the rhythms",
}
"""Tables whose rows a merge leaves where they are, and why."""


def member_columns() -> Iterator[tuple[Table, Column[Any]]]:
    """Every column that points at a member, in an order that is the same each time."""
    for table in sorted(Base.metadata.tables.values(), key=lambda table: table.name):
        for column in table.columns:
            if column.name == "member_id" or any(key.target_fullname == "members.id" for key in column.foreign_keys):
                yield table, column


def moving_columns() -> list[tuple[Table, Column[Any]]]:
    """The columns that a merge changes."""
    return [(table, column) for table, column in member_columns() if table.name not in STAYS]


def row_key(table: Table, column: Column[Any]) -> ColumnElement[str]:
    """The primary key of a row as one text, without the column that a merge changes."""
    parts = [cast(part, Text) for part in table.primary_key.columns if part is not column]
    key: ColumnElement[str] = parts[0] if parts else literal("", Text)
    for part in parts[1:]:
        key = key.concat("\x1f").concat(part)
    return key


def has_free_place(table: Table, column: Column[Any], member_id: int) -> ColumnElement[bool]:
    """Whether no unique key stands against giving the row to this member."""
    taken = []
    for names in _unique_keys(table):
        if column.name in names:
            twin = table.alias()
            others = [twin.c[name] == table.c[name] for name in names if name != column.name]
            taken.append(~exists().where(twin.c[column.name] == member_id, *others).correlate(table))
    return and_(literal(True), *taken)


def _unique_keys(table: Table) -> Iterator[list[str]]:
    yield [part.name for part in table.primary_key.columns]
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield [part.name for part in constraint.columns]
    for index in table.indexes:
        if isinstance(index, Index) and index.unique:
            yield [part.name for part in index.columns]
    for column in table.columns:
        if column.unique:
            yield [column.name]
