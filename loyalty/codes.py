"""Codes: our own one-time codes (核销码) with a check letter, and pools of exchange codes of other shops."""

from __future__ import annotations

import csv
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session
from stdnum.iso7064 import mod_37_36

from loyalty.answers import answer_once
from loyalty.days import midnight_after
from loyalty.errors import OutOfStock, RewardError
from loyalty.reward_parts import Reward
from loyalty.reward_tables import PoolCode
from loyalty.storage import among
from loyalty.tables import table_of
from loyalty.writing import insert_new

CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without 0/O, 1/I/L and U: a code is read aloud over a counter."""
CODE_LENGTH = 12
MOST_CODE_LENGTH = 200
_POOL = table_of(PoolCode)


def new_code() -> str:
    """A code nobody can guess, of letters nobody can mix up, with an ISO 7064 check letter at its end."""
    body = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH - 1))
    return body + mod_37_36.calc_check_digit(body, CODE_LETTERS)


def plain_code(typed: str) -> str:
    """A code as it is stored: spaces, dashes and small letters do not matter."""
    return "".join(letter for letter in typed.upper() if letter.isalnum())


def is_well_typed(code: str) -> bool:
    """Whether the check letter fits; every single wrong letter and nearly every swap of two shows."""
    return len(code) == CODE_LENGTH and set(code) <= set(CODE_LETTERS) and mod_37_36.is_valid(code, CODE_LETTERS)


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong in which line of a file, and the mend."""

    line: int
    field: str
    mend: str


@dataclass(frozen=True, slots=True)
class PoolImport:
    """What an import did: every row of the file went in."""

    pool: str
    added: int


@dataclass(frozen=True, slots=True)
class PoolLevel:
    """Codes of a pool that are free now; `low` where a reward calls that too few."""

    pool: str
    free: int
    low: bool


class BadRows(RewardError):
    """A file was refused whole; `errors` tells every line to mend."""

    def __init__(self, errors: Sequence[RowError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        super().__init__(f"{len(self.errors)} errors, the first in line {first.line}: {first.field}: {first.mend}")


def import_codes(session: Session, pool: str, lines: Iterable[str], key: str, at: datetime,
                 zone: ZoneInfo) -> PoolImport:
    """Import a CSV with the columns `code` and, where codes lapse, `last_day` (2026-12-31, in `zone`); whole or not.

    A code that stands twice, in the file or in the pool, is an error of its line. The same key again gives the first
    answer. Raises BadRows, KeyReused.
    """
    text = list(lines)

    def work() -> PoolImport:
        rows, errors = _read(text, at, zone)
        errors += _known(session, pool, rows)
        if not errors:
            errors = _insert(session, pool, rows, at)
        if errors:
            raise BadRows(sorted(errors, key=lambda error: error.line))
        return PoolImport(pool, len(rows))

    return answer_once(session, f"pool:{key}", [pool, text], PoolImport, work, at)


def check_codes(session: Session, pool: str, lines: Iterable[str], at: datetime, zone: ZoneInfo) -> list[RowError]:
    """Everything that would refuse the file, by line; writes nothing."""
    rows, errors = _read(list(lines), at, zone)
    return sorted(errors + _known(session, pool, rows), key=lambda error: error.line)


def free_codes(session: Session, pools: Collection[str], now: datetime) -> dict[str, int]:
    """How many codes of each pool can be handed out now."""
    rows = session.execute(select(PoolCode.pool, func.count()).where(among(PoolCode.pool, pools), *_free(now))
                           .group_by(PoolCode.pool))
    return dict.fromkeys(pools, 0) | {row[0]: row[1] for row in rows}


def pool_levels(session: Session, rewards: Iterable[Reward], now: datetime) -> list[PoolLevel]:
    """The level of every pool that a reward hands out from, low ones first: what a low-pool alert is made of."""
    floors: dict[str, int] = {}
    for reward in rewards:
        if reward.pool is not None:
            floors[reward.pool] = max(reward.low_pool, floors.get(reward.pool, 0))
    levels = [PoolLevel(pool, free, free <= floors[pool]) for pool, free in free_codes(session, floors, now).items()]
    return sorted(levels, key=lambda level: (not level.low, level.pool))


def reserve_codes(session: Session, reward: Reward, quantity: int, at: datetime) -> list[int]:
    """Ids of codes that nobody else can take until this transaction ends, soonest to lapse first; raises OutOfStock."""
    wanted = (select(PoolCode.id).where(PoolCode.pool == reward.pool, *_free(at))
              .order_by(PoolCode.expires_at.asc().nulls_last(), PoolCode.id)
              .limit(quantity).with_for_update(skip_locked=True))
    ids = list(session.scalars(wanted))
    if len(ids) < quantity:
        raise OutOfStock(reward.id, len(ids))
    return ids


def take_codes(session: Session, ids: Sequence[int], redemption_id: int, at: datetime) -> None:
    """Give reserved codes to a redemption."""
    session.execute(update(_POOL).where(among(PoolCode.id, ids)).values(redemption_id=redemption_id, taken_at=at))


def codes_of(session: Session, redemption_id: int) -> list[str]:
    """The exchange codes a redemption handed out."""
    return list(session.scalars(
        select(PoolCode.code).where(PoolCode.redemption_id == redemption_id).order_by(PoolCode.id)))


def _free(at: datetime) -> tuple[ColumnElement[bool], ...]:
    return PoolCode.redemption_id.is_(None), or_(PoolCode.expires_at.is_(None), PoolCode.expires_at > at)


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    code: str
    expires_at: datetime | None


def _read(text: Sequence[str], at: datetime, zone: ZoneInfo) -> tuple[list[_Row], list[RowError]]:
    reader = csv.DictReader(text, strict=True)
    header = [name.strip().lstrip("\ufeff") for name in reader.fieldnames or ()]
    reader.fieldnames = header
    if "code" not in header or set(header) - {"code", "last_day"}:
        return [], [RowError(1, "header", "the first line must read code or code,last_day")]
    rows: list[_Row] = []
    errors: list[RowError] = []
    first_line: dict[str, int] = {}
    for fields in _fields(reader, errors):
        line, code = reader.line_num, (fields.get("code") or "").strip()
        found = list(_row_errors(line, code, fields, first_line))
        lapses, wrong = _lapse(line, (fields.get("last_day") or "").strip(), at, zone)
        errors += found + wrong
        first_line.setdefault(code, line)
        if not found and not wrong:
            rows.append(_Row(line, code, lapses))
    if not rows and not errors:
        errors.append(RowError(2, "code", "the file has no codes; add one a line"))
    return rows, errors


def _fields(reader: csv.DictReader[str], errors: list[RowError]) -> Iterator[dict[str | None, Any]]:
    try:
        yield from reader
    except csv.Error as error:
        errors.append(RowError(reader.line_num, "line", f"not CSV: {error}; close the quotes"))


def _row_errors(line: int, code: str, fields: Mapping[str | None, Any], first_line: Mapping[str, int]
                ) -> Iterator[RowError]:
    if None in fields:
        yield RowError(line, "line", "more columns than the header names; quote a code that has a comma")
    if not code:
        yield RowError(line, "code", "is empty; write the code or take the line out")
    elif len(code) > MOST_CODE_LENGTH or not code.isprintable():
        yield RowError(line, "code", f"must be up to {MOST_CODE_LENGTH} printable characters")
    elif code in first_line:
        yield RowError(line, "code", f"stands in line {first_line[code]} already; take one out")


def _lapse(line: int, written: str, at: datetime, zone: ZoneInfo) -> tuple[datetime | None, list[RowError]]:
    if not written:
        return None, []
    try:
        day = date.fromisoformat(written)
    except ValueError:
        return None, [RowError(line, "last_day", f"{written!r} is no day; write it as 2026-12-31")]
    lapses = midnight_after(day, zone)
    if lapses <= at:
        return None, [RowError(line, "last_day", f"{written} is over; take the line out")]
    return lapses, []


def _known(session: Session, pool: str, rows: Sequence[_Row]) -> list[RowError]:
    lines = {row.code: row.line for row in rows}
    wanted = select(PoolCode.code).where(PoolCode.pool == pool, among(PoolCode.code, list(lines)))
    return [RowError(lines[code], "code", f"is in pool {pool!r} already; take the line out")
            for code in (session.scalars(wanted) if lines else ())]


def _insert(session: Session, pool: str, rows: Sequence[_Row], at: datetime) -> list[RowError]:
    """Insert all; where another import took a code in this very moment, take all back and tell the lines."""
    made = insert_new(session, PoolCode, [
        {"pool": pool, "code": row.code, "expires_at": row.expires_at, "imported_at": at} for row in rows
    ], ["id", "code"])
    if len(made) == len(rows):
        return []
    session.execute(delete(_POOL).where(among(PoolCode.id, [row.id for row in made])))
    ours = {row.code for row in made}
    return [RowError(row.line, "code", f"is in pool {pool!r} already; take the line out")
            for row in rows if row.code not in ours]
