"""Who calls: bearer keys from the settings and from the database, what each may do, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from bot.api.problems import Problem
from bot.api.scopes import ALL
from bot.cache import Cache
from bot.clock import monotonic_s
from bot.database import Database
from loyalty.api_keys import digest_of, list_keys

KEYS_AGE_S = 5.0
"""How long a process goes by the keys it has read: a revoked key opens nothing after this time."""
LOOK_AGAIN_S = 0.5
"""An unknown key is looked up anew, so that a new one works at once; but not more often than this."""
WINDOW_S = 10
"""Requests are counted in windows of this length: a till that was offline may catch up in a burst."""

log = structlog.get_logger("api")


@dataclass(frozen=True, slots=True)
class Client:
    """A system of the brand: keys of one name share their idempotency keys."""

    name: str
    key_id: str
    scopes: frozenset[str]
    requests_per_s: int

    def may(self, scope: str) -> bool:
        """Whether one of its scopes covers this one; the empty scope is anybody's with a key."""
        return not scope or scope in self.scopes or ALL in self.scopes


class KeyRing:
    """The keys of this process, read anew every few seconds."""

    def __init__(self, database: Database, settings_keys: Mapping[str, str], cache: Cache, requests_per_s: int) -> None:
        self._database, self._cache, self._requests_per_s = database, cache, requests_per_s
        self._fixed = {
            digest_of(key): Client(name, f"settings:{name}", frozenset({ALL}), requests_per_s)
            for name, key in settings_keys.items() if key
        }
        self._stored: dict[str, Client] = {}
        self._read_at_s = float("-inf")
        self._reading = asyncio.Lock()

    async def client_of(self, authorization: str) -> Client:
        """The system behind an Authorization header; raises a 401 problem.

        Found by the hash of what was sent: whoever measures the time learns about hashes nobody can steer.
        """
        scheme, _, given = authorization.partition(" ")
        digest = digest_of(given.strip())
        found = self._fixed.get(digest)
        if found is None and scheme.lower() == "bearer" and given.strip():
            await self._read(LOOK_AGAIN_S if digest not in self._stored else KEYS_AGE_S)
            found = self._stored.get(digest)
        if scheme.lower() != "bearer" or found is None:
            mend = "send 'Authorization: Bearer <key>' with a key that huitou keys create has shown"
            raise Problem(401, "Not authorised", "the bearer key is missing, unknown or revoked",
                          [("Authorization", mend)], {"WWW-Authenticate": "Bearer"})
        return found

    async def count(self, client: Client) -> None:
        """Count a request; raises a 429 problem when the key has used up what it may."""
        limit = client.requests_per_s * WINDOW_S
        wait_s = await self._cache.hit(f"api:{client.key_id}", WINDOW_S, limit)
        if wait_s > 0:
            mend = f"wait {int(wait_s) + 1} s; a key may send {limit} requests in {WINDOW_S} s"
            raise Problem(429, "Too many requests", f"more than {client.requests_per_s} requests a second",
                          [("Authorization", mend)], {"Retry-After": str(int(wait_s) + 1)})

    async def _read(self, older_than_s: float) -> None:
        async with self._reading:  # one look at the database, however many ask
            if monotonic_s() - self._read_at_s < older_than_s:
                return
            try:
                self._stored = await asyncio.to_thread(self._look)
                self._read_at_s = monotonic_s()
            except (SQLAlchemyError, OSError) as error:
                if self._read_at_s == float("-inf"):
                    raise Problem(503, "Try again", "the keys cannot be read: the database does not answer",
                                  [("request", "send it again")], {"Retry-After": "2"}) from error
                log.warning("keys cannot be read, going by the last ones", error=type(error).__name__)

    def _look(self) -> dict[str, Client]:
        with self._database.reading() as session:
            return {
                key.digest: Client(key.name, f"key:{key.id}", frozenset(key.scopes),
                                   key.requests_per_s or self._requests_per_s)
                for key in list_keys(session, with_revoked=False)
            }


def require_scope(client: Client, scope: str) -> None:
    """Raise a 403 problem unless the client may do this."""
    if not client.may(scope):
        raise Problem(403, "Not allowed", f"the key of {client.name!r} has no scope {scope!r}",
                      [("Authorization", f"use a key made with huitou keys create --scope {scope}")])
