"""What a request must bring beside its key: a key of its own where it writes, JSON, a body of decent size."""

from __future__ import annotations

import re

from aiohttp import web

from bot.api.problems import Problem

MAX_BODY_BYTES = 256 * 1024
IDEMPOTENCY_KEY = r"^[\x21-\x7e]{1,200}$"
_idempotency_key = re.compile(IDEMPOTENCY_KEY)


def idempotency_key_of(request: web.Request) -> str:
    """The caller's own key of this write; raises a 400 problem."""
    key = request.headers.get("Idempotency-Key", "")
    if not _idempotency_key.fullmatch(key):
        mend = "send 1 to 200 visible ASCII characters that are new for each write, and the same when you retry it"
        raise Problem(400, "No idempotency key", "the Idempotency-Key header is missing or malformed",
                      [("Idempotency-Key", mend)])
    return key


async def body_of(request: web.Request) -> bytes:
    """The body, read no further than the limit; raises a 413 problem."""
    content = request.content
    read = bytearray(await content.readany())
    while len(read) <= MAX_BODY_BYTES and not content.at_eof():
        read += await content.readany()
    if len(read) > MAX_BODY_BYTES:
        raise Problem(413, "Body too large", f"the body has more than {MAX_BODY_BYTES} bytes",
                      [("body", "send one thing a request")], {"Connection": "close"})
    return bytes(read)


def require_json(request: web.Request) -> None:
    """Raise a 415 problem where the body says it is something else."""
    if request.headers.get("Content-Type") == "application/json":
        return
    if request.content_type != "application/json" or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise Problem(415, "Not JSON", f"the body is {request.headers.get('Content-Type', 'of no type')}",
                      [("Content-Type", "send application/json in UTF-8")])


def query_of(request: web.Request) -> dict[str, str]:
    """The query, each name once; raises a 422 problem."""
    if not request.query_string:
        return {}
    query = request.query
    doubled = [name for name in query if len(query.getall(name)) > 1]
    if doubled:
        raise Problem(422, "Fields are wrong", f"{doubled[0]!r} stands twice in the query",
                      [(doubled[0], "send it once")])
    return dict(query)
