"""Rows of a CSV file as orders and members: every cell checked, every refusal with its line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from loyalty.customers import Identity
from loyalty.errors import BadIdentity
from loyalty.identities import UNVERIFIED_PHONE, Identifier
from loyalty.import_columns import (
    MEMBER_COLUMNS,
    ORDER_COLUMNS,
    WHOLE_ROW,
    CellError,
    Header,
    HeaderError,
    RowError,
    fen_of,
    moment_of,
    truth_of,
    whole_of,
)
from loyalty.orders import Item, Line, Ready, checked, lines_of

T = TypeVar("T")
_ITEMS = TypeAdapter(tuple[Item, ...])


@dataclass(frozen=True, slots=True)
class MemberIn:
    """A person as another system knew them; `points` is the opening balance."""

    identities: tuple[Identity, ...]
    hints: tuple[Identity, ...] = ()
    name: str = ""
    joined_at: datetime | None = None
    birthday: tuple[int, int] | None = None
    source: str = ""
    channel_code: str = ""
    tags: tuple[str, ...] = ()
    opted_out: bool = False
    points: int = 0
    points_until: date | None = None


class Row(NamedTuple, Generic[T]):
    """A line of the file with its cells: what they mean, or what is wrong with them."""

    line: int
    cells: list[str]
    value: T | None
    error: RowError | None


class Sheet(Generic[T]):
    """A file of one kind of rows, read chunk by chunk; raises HeaderError where the first line does not do."""

    def __init__(self, lines: Iterable[str], columns: dict[str, tuple[str, ...]],
                 parser: Callable[[Header], Callable[[list[str]], T]]) -> None:
        self._reader = csv.reader(lines)
        first = next(self._reader, None)
        if not first:
            raise HeaderError("line 1: the file is empty; its first line names the columns")
        self.header = Header(first, columns)
        self._parse = parser(self.header)

    def skip(self, rows: int) -> None:
        """Pass over rows that were taken before."""
        for _ in islice(self._cells(), rows):
            pass

    def chunk(self, size: int) -> list[Row[T]]:
        """The next rows, at most so many; none when the file is over."""
        return [self._row(line, cells) for line, cells in islice(self._cells(), size)]

    def _cells(self) -> Iterator[tuple[int, list[str] | str]]:
        while True:
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, str(error)
                continue
            if cells:
                yield line, cells

    def _row(self, line: int, cells: list[str] | str) -> Row[T]:
        if isinstance(cells, str):
            return Row(line, [], None, RowError(line, WHOLE_ROW, cells, "write it as CSV again"))
        if len(cells) != len(self.header.cells):
            what = f"{len(cells)} cells under {len(self.header.cells)} columns"
            mend = "quote cells that hold a comma or a line break"
            return Row(line, cells, None, RowError(line, WHOLE_ROW, what, mend))
        mark = self.header.mark
        if mark is not None and cells[mark] == WHOLE_ROW:
            # Its cells were put together as well as could be: only a person knows whether they are right now.
            mend = "correct the row and empty its _column"
            return Row(line, cells, None, RowError(line, WHOLE_ROW, "still marked as broken", mend))
        try:
            return Row(line, cells, self._parse(cells), None)
        except CellError as error:
            column, what, mend = error.column, error.what, error.mend
        except BadIdentity as error:
            column, what, mend = error.kind, error.what, error.mend
        except ValidationError as error:
            column, what, mend = _first_fault(error)
        except UnicodeEncodeError:
            column, what, mend = WHOLE_ROW, "bytes that are no text", "save the file as UTF-8"
        return Row(line, cells, None, RowError(line, self.header.called(column), what, mend))


def orders_in(lines: Iterable[str], identifier: Identifier, zone: ZoneInfo, source: str = "") -> Sheet[Ready]:
    """The orders of a file; `source` is whose they are where no column says it."""

    def parser(header: Header) -> Callable[[list[str]], Ready]:
        header.need("external_id")
        header.need("paid_at")
        header.need("amount", "amount_fen")
        if not source and "source" not in header.place:
            raise HeaderError("line 1: nothing says where the orders come from; add a column source, or give --source")
        return _order_parser(header, identifier, zone, source)

    return Sheet(lines, ORDER_COLUMNS, parser)


def members_in(lines: Iterable[str], identifier: Identifier, zone: ZoneInfo, source: str = "") -> Sheet[MemberIn]:
    """The members of a file; `source` is where they came from where no column says it."""
    return Sheet(lines, MEMBER_COLUMNS, lambda header: _member_parser(header, identifier, zone, source))


def _order_parser(header: Header, identifier: Identifier, zone: ZoneInfo,
                  source: str) -> Callable[[list[str]], Ready]:
    at, names = header.place, _identities(header, identifier)
    number, paid, in_fen = at["external_id"], at["paid_at"], at.get("amount_fen")
    amount, shop, whose = at.get("amount", -1), at.get("shop"), at.get("source")
    items = _item_reader(header)

    def parse(cells: list[str]) -> Ready:
        fen = fen_of(cells[amount].strip()) if in_fen is None else whole_of(cells[in_fen].strip(), "amount_fen")
        return checked(
            (cells[whose].strip() if whose is not None else "") or source, cells[number].strip(), names(cells),
            moment_of(cells[paid].strip(), "paid_at", zone), fen, cells[shop].strip() if shop is not None else "",
            items(cells, fen))

    return parse


def _item_reader(header: Header) -> Callable[[list[str], int], tuple[Line, ...]]:
    """What was bought: the column `items` as JSON, or one item in columns of its own."""
    at = header.place
    many, sku, name, quantity = at.get("items"), at.get("sku"), at.get("item"), at.get("quantity")

    def read(cells: list[str], fen: int) -> tuple[Line, ...]:
        if many is not None and cells[many].strip():
            return lines_of(_ITEMS.validate_json(cells[many]))
        code = cells[sku].strip() if sku is not None else ""
        label = cells[name].strip() if name is not None else ""
        if not (code or label):
            return ()
        pieces = whole_of(cells[quantity].strip() or "1", "quantity", 1) if quantity is not None else 1
        return (Line(code or label, label or code, pieces, fen, ""),)

    return read


def _member_parser(header: Header, identifier: Identifier, zone: ZoneInfo,
                   source: str) -> Callable[[list[str]], MemberIn]:
    names = _identities(header, identifier)

    def parse(cells: list[str]) -> MemberIn:
        told = {name: text for name, place in header.place.items() if (text := cells[place].strip())}
        for column in ("name", "source", "channel_code", "tags"):
            if len(told.get(column, "")) > 200 or any(letter < " " for letter in told.get(column, "")):
                raise CellError(column, "over 200 characters or with control characters", "shorten it")
        hints = []
        if "name" in told and "address" in told:
            hints.append(identifier.name_address(told["name"], told["address"]))
        if UNVERIFIED_PHONE in told:
            hints.append(identifier.identity(UNVERIFIED_PHONE, told[UNVERIFIED_PHONE]))
        until = told.get("points_until")
        born = told.get("birthday")
        return MemberIn(
            names(cells), tuple(hints), told.get("name", ""),
            moment_of(told["joined_at"], "joined_at", zone) if "joined_at" in told else None,
            _day_of_year(born) if born else None, told.get("source", source), told.get("channel_code", ""),
            tuple(dict.fromkeys(filter(None, (tag.strip() for tag in _tags(told.get("tags", "")))))),
            truth_of(told["opted_out"], "opted_out") if "opted_out" in told else False,
            whole_of(told["points"], "points") if "points" in told else 0,
            moment_of(until, "points_until", zone).astimezone(zone).date() if until else None)

    return parse


def _tags(text: str) -> list[str]:
    for sign in ";；、":
        text = text.replace(sign, "|")
    return text.split("|")


def _day_of_year(text: str) -> tuple[int, int]:
    """Month and day of 1990-05-01, 1990/5/1, 05-01 or 5月1日."""
    digits = "".join(letter if letter.isdigit() else " " for letter in text).split()
    try:
        day = date(2000, *(int(part) for part in digits[-2:])) if len(digits) in (2, 3) else None
    except ValueError:
        day = None
    if day is None:
        raise CellError("birthday", f"{text[:40]!r} is no birthday", "write it like 1990-05-01 or 05-01")
    return day.month, day.day


def _identities(header: Header, identifier: Identifier) -> Callable[[list[str]], tuple[Identity, ...]]:
    places, identity = header.identities, identifier.identity

    def read(cells: list[str]) -> tuple[Identity, ...]:
        found = tuple([identity(kind, cells[place]) for kind, place in places
                       if cells[place] and not cells[place].isspace()])
        if not found:
            what = "nobody: every column that says who it is is empty"
            raise CellError(places[0][0], what, "fill one of them, or remove the row")
        return found

    return read


def _first_fault(error: ValidationError) -> tuple[str, str, str]:
    """Column, what and mend of the first thing that the order's own rules refuse."""
    fault = error.errors(include_url=False)[0]
    trail = [str(step) for step in fault["loc"]]
    inside = bool(trail) and (trail[0] == "items" or trail[0].isdigit() or not trail)
    column = "items" if inside or fault["type"].startswith("json") else (trail or ["items"])[0]
    where = f"{'.'.join(trail)}: " if len(trail) > 1 or inside else ""
    mend = ('write [{"sku": "A1", "name": "…", "quantity": 1, "amount_fen": 1200}]' if column == "items"
            else "correct the cell")
    return column, f"{where}{fault['msg']}", mend
