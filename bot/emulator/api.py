"""What an API endpoint is: a call comes in, plain data or an ApiError goes out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bot.emulator.errors import ApiError
from bot.emulator.state import Json, State


@dataclass
class Call:
    """One API call after the token check: query, JSON body and what its token may do."""

    query: dict[str, str]
    body: Json
    scopes: frozenset[str] = frozenset()
    secret: str = ""
    remote: str = ""

    def text(self, name: str, errcode: int = 40058, empty: bool = False) -> str:
        """A string of the body; ApiError `errcode` when missing, not a string or empty."""
        value = self.body.get(name, "" if empty else None)
        if not isinstance(value, str) or (not value and not empty):
            raise ApiError(errcode, f"invalid or missing {name}")
        return value

    def number(self, name: str, default: int, least: int = 0, most: int = 1 << 31) -> int:
        """An integer of the body inside its bounds; ApiError 40058 otherwise."""
        value = self.body.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ApiError(40058, f"{name} must be an integer from {least} to {most}")
        return value

    def texts(self, name: str, most: int) -> list[str]:
        """A list of strings of the body (missing means empty); ApiError 40058 or 81017 when too long."""
        value = self.body.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ApiError(40058, f"{name} must be a list of strings")
        if len(value) > most:
            raise ApiError(81017, f"{name} has more than {most} items")
        return value


CURSOR = re.compile(r"p-(\d{1,9})")
Item = TypeVar("Item")
Handler = Callable[[State, Call], Json]


@dataclass(frozen=True)
class Endpoint:
    """A path under /cgi-bin/, its methods, the scope its token needs ("" for none) and its function."""

    path: str
    handler: Handler
    scope: str = ""
    methods: tuple[str, ...] = ("POST",)
    tokenless: bool = False


def page(items: list[Item], cursor: str, limit: int) -> tuple[list[Item], str]:
    """One page of a list and the next cursor ("" at the end); ApiError 40058 for a foreign cursor."""
    match = CURSOR.fullmatch(cursor) if cursor else None
    if cursor and match is None:
        raise ApiError(40058, "invalid cursor")
    start = int(match.group(1)) if match else 0
    rest = start + limit < len(items)
    return items[start : start + limit], f"p-{start + limit}" if rest else ""
