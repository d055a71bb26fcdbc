"""Refusals of the API as application/problem+json: each names the field and the mend."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
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

CONFLICTS = {"KeyReused", "CodeUsed", "HoldClosed", "IdentityTaken", "NotMergeable", "ActivityDecided", "AnswerErased",
             "FindingDecided"}
"""The request is right, the state of things is against it, and will not change by itself."""


class Problem(Exception):
    """A refusal on its way out; `fields` are pairs of field and mend."""

    def __init__(self, status: int, title: str, detail: str, fields: Sequence[tuple[str, str]] = (),
                 headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail
        self.fields, self.headers = tuple(fields), dict(headers or {})

    def response(self) -> web.Response:
        """The answer to send."""
        slug = re.sub(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z]+", "_", self.title).lower()
        body: dict[str, Any] = {
            "type": f"urn:huitou:problem:{slug}", "title": self.title, "status": self.status, "detail": self.detail,
            "errors": [{"field": field, "mend": mend} for field, mend in self.fields],
        }
        return web.Response(text=json.dumps(body, ensure_ascii=False), status=self.status, headers=self.headers,
                            content_type="application/problem+json", charset="utf-8")


def of_validation(error: ValidationError, within: str = "") -> Problem:
    """Every wrong field at once; `within` names the part of the request, empty for the body."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if [item["type"] for item in found] == ["json_invalid"]:
        return Problem(400, "Not JSON", found[0]["msg"], [("body", MENDS["json_invalid"])])
    fields = [
        (_path(item["loc"]) or within or "body", MENDS.get(item["type"], item["msg"])) for item in found
        if not any(_is_inside(other["loc"], item["loc"]) for other in found)
    ]
    return Problem(422, "Fields are wrong", f"{len(fields)} to be mended, the first is {fields[0][0]}", fields)


def of_refusal(error: errors.LoyaltyError, field: str = "body") -> Problem:
    """A refusal of the loyalty core; `field` is the part of the request it speaks about."""
    return Problem(status_of(error), type(error).__name__, str(error), [(field, str(error))])


def status_of(error: errors.LoyaltyError) -> int:
    """404 where the thing does not exist, 409 where it is in another state, else 422."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & CONFLICTS:
        return 409
    return 404 if any(name.startswith("Unknown") for name in names) else 422


def database_away() -> Problem:
    """The answer when a transaction could not be finished: the caller cannot know whether it took effect."""
    return Problem(503, "Try again", "the database does not answer; whether a write was done is not known",
                   [("request", "send it again with the same Idempotency-Key: it is done once")], {"Retry-After": "2"})


def _is_inside(place: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    """A list whose item is wrong is counted short besides; the item is what must be mended."""
    return len(place) > len(outer) and place[: len(outer)] == outer


def _path(place: tuple[int | str, ...]) -> str:
    """The field as a person writes it: items[0].sku."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")
