"""What every request of a brand's system must bring: a key of ours, a key of its own, a body of decent size."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

from aiohttp import web

from bot.api.problems import Problem

MAX_BODY_BYTES = 256 * 1024
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def client_of(request: web.Request, api_keys: Mapping[str, str]) -> str:
    """Name of the system whose bearer key this is, compared in constant time; raises a 401 problem."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    digest = hashlib.sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
    found = ""
    for name, key in api_keys.items():  # all of them, so that the time tells nothing
        if hmac.compare_digest(hashlib.sha256(key.encode()).digest(), digest) and key:
            found = name
    if scheme.lower() != "bearer" or not found:
        mend = "send 'Authorization: Bearer <key>' with a key from the setting api.api_keys"
        raise Problem(401, "Not authorised", "the bearer key is missing or unknown", [("Authorization", mend)],
                      {"WWW-Authenticate": "Bearer"})
    return found


def idempotency_key_of(request: web.Request) -> str:
    """The caller's own key of this write; raises a 400 problem."""
    key = request.headers.get("Idempotency-Key", "")
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        mend = "send 1 to 200 visible ASCII characters that are new for each write, and the same when you retry it"
        raise Problem(400, "No idempotency key", "the Idempotency-Key header is missing or malformed",
                      [("Idempotency-Key", mend)])
    return key


async def body_of(request: web.Request) -> bytes:
    """The body, read no further than the limit; raises a 413 problem."""
    read = bytearray()
    async for chunk in request.content.iter_chunked(64 * 1024):
        read += chunk
        if len(read) > MAX_BODY_BYTES:
            raise Problem(413, "Body too large", f"the body has more than {MAX_BODY_BYTES} bytes",
                          [("body", "send one order a request")], {"Connection": "close"})
    return bytes(read)


def require_json(request: web.Request) -> None:
    """Raise a 415 problem where the body says it is something else."""
    if request.content_type != "application/json":
        raise Problem(415, "Not JSON", f"the body is {request.content_type}",
                      [("Content-Type", "send application/json")])
