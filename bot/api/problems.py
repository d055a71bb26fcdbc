"""Refusals of the API as application/problem+json: each names the field and the mend."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from loyalty import errors

MENDS = {
    "extra_forbidden": "no such field; check its spelling or leave it out",
    "missing": "add this field",
    "timezone_aware": "add the time zone, as in 2026-03-01T12:00:00+08:00",
    "json_invalid": "send one JSON object in UTF-8",
}

STATUSES: tuple[tuple[type[errors.LoyaltyError], int], ...] = (
    (errors.KeyReused, 409),
    (errors.CodeUsed, 409),
    (errors.UnknownMember, 404),
    (errors.UnknownCode, 404),
    (errors.UnknownReward, 404),
    (errors.LoyaltyError, 422),
)


class Problem(Exception):
    """A refusal on its way out; `fields` are pairs of field and mend."""

    def __init__(self, status: int, title: str, detail: str, fields: Sequence[tuple[str, str]] = (),
                 headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail
        self.fields, self.headers = tuple(fields), headers or {}

    def response(self) -> web.Response:
        """The answer to send."""
        body: dict[str, Any] = {"type": "about:blank", "title": self.title, "status": self.status,
                                "detail": self.detail}
        if self.fields:
            body["errors"] = [{"field": field, "mend": mend} for field, mend in self.fields]
        return web.Response(text=json.dumps(body, ensure_ascii=False), status=self.status, headers=self.headers,
                            content_type="application/problem+json", charset="utf-8")


def of_validation(error: ValidationError) -> Problem:
    """Every wrong field at once."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if [item["type"] for item in found] == ["json_invalid"]:
        return Problem(400, "Not JSON", found[0]["msg"], [("body", MENDS["json_invalid"])])
    fields = [
        (_path(item["loc"]), MENDS.get(item["type"], item["msg"])) for item in found
        if not any(_is_inside(other["loc"], item["loc"]) for other in found)
    ]
    return Problem(422, "Fields are wrong", f"{len(fields)} fields must be mended, the first is {fields[0][0]}", fields)


def of_refusal(error: errors.LoyaltyError, field: str = "body") -> Problem:
    """A refusal of the loyalty core; `field` is the part of the request it speaks about."""
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    return Problem(status, type(error).__name__, str(error), [(field, str(error))])


def _is_inside(place: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    """A list whose item is wrong is counted short besides; the item is what must be mended."""
    return len(place) > len(outer) and place[: len(outer)] == outer


def _path(place: tuple[int | str, ...]) -> str:
    """The field as a person writes it: items[0].sku."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".") or "body"
