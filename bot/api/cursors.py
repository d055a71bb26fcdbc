"""Where a list goes on: an opaque text, so that nobody counts on what is in it."""

from __future__ import annotations

import base64
import binascii
import re

from bot.api.problems import Problem

_body = re.compile(r"1:(\d{1,19})")


def cursor_of(last_id: int) -> str:
    """The cursor behind the last entry of a page: new entries do not move the pages that follow."""
    return base64.urlsafe_b64encode(f"1:{last_id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> int | None:
    """The id a cursor stands for, or none for the first page; raises a 422 problem."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    found = _body.fullmatch(text)
    if not found or int(found[1]) >= 2**63:
        raise Problem(422, "Fields are wrong", "this cursor was not made here",
                      [("cursor", "send next_cursor of the page before, or leave it out for the first page")])
    return int(found[1])
