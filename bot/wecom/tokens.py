"""Access tokens: one refresher per secret, shared through the cache (wecom.md §2.1, §9.4)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from bot.cache import Cache
from bot.clock import Clock
from bot.wecom.errors import ApiRefused, ErrorClass, TokenRefused

REFRESH_BEFORE_S: Final = 300
ASK_AGAIN_S: Final = 30
LOCK_S: Final = 15.0
REFUSED_FOR_S: Final = 60
"""A wrong secret is not asked with again for so long: repeated ones get the caller's address blocked (§2.1)."""

Fetch = Callable[[], Awaitable[tuple[str, int]]]
"""Asks the platform for a token; gives it with the seconds it lives, raises PlatformError."""

log = structlog.get_logger("bot.wecom.tokens")


class Token(msgspec.Struct, frozen=True):
    """An access token; `version` differs from fetch to fetch, also when the platform gives the same value."""

    value: str
    expires_at: datetime
    fetched_at: datetime
    version: str

    def __repr__(self) -> str:
        return f"Token(version={self.version}, expires_at={self.expires_at.isoformat()})"


class Refusal(msgspec.Struct, frozen=True):
    """The platform's no to a secret, remembered so that nobody asks again at once."""

    errcode: int
    errmsg: str


class Tokens:
    """The token of one (corp, secret) or (公众号, secret)."""

    def __init__(self, cache: Cache, clock: Clock, owner: str, secret: str, fetch: Fetch) -> None:
        self._cache = cache
        self._clock = clock
        self._fetch = fetch
        # The secret itself never becomes a key that other people can list.
        self._name = f"{owner}:{hashlib.sha256(secret.encode()).hexdigest()[:12]}"

    async def get(self) -> Token:
        """A token that lives for a while yet; fetched by one task of one process when it does not."""
        token = await self._stored()
        if token is not None and self._is_fresh(token):
            return token
        return await self._renew(None)

    async def renew(self, refused: Token) -> Token:
        """Another token than the one that was just refused: the stored one if it is another, else a new one."""
        return await self._renew(refused)

    async def _renew(self, refused: Token | None) -> Token:
        async with self._cache.lock(f"token:{self._name}", LOCK_S):
            token = await self._stored()
            if token is not None and self._is_fresh(token) and (refused is None or token.version != refused.version):
                return token
            await self._raise_if_refused()
            return await self._fetch_and_store()

    async def _fetch_and_store(self) -> Token:
        try:
            value, lives_s = await self._fetch()
        except ApiRefused as error:
            if error.group not in (ErrorClass.CONFIG, ErrorClass.REFRESH):
                raise
            refusal = msgspec.json.encode(Refusal(error.errcode, error.errmsg)).decode()
            await self._cache.set(f"token-refused:{self._name}", refusal, REFUSED_FOR_S)
            raise TokenRefused(error.errcode, error.errmsg, error.endpoint) from error
        now = self._clock()
        token = Token(value, now + timedelta(seconds=lives_s), now, secrets.token_hex(6))
        await self._cache.set(f"token:{self._name}", msgspec.json.encode(token).decode(), max(1, lives_s))
        log.info("access token fetched", owner=self._name, lives_s=lives_s)
        return token

    async def _raise_if_refused(self) -> None:
        stored = await self._cache.get(f"token-refused:{self._name}")
        if stored is not None:
            refusal = msgspec.json.decode(stored, type=Refusal)
            raise TokenRefused(refusal.errcode, refusal.errmsg, "the token endpoint, asked a moment ago")

    async def _stored(self) -> Token | None:
        stored = await self._cache.get(f"token:{self._name}")
        try:
            return None if stored is None else msgspec.json.decode(stored, type=Token)
        except msgspec.MsgspecError:
            return None

    def _is_fresh(self, token: Token) -> bool:
        now = self._clock()
        left_s = (token.expires_at - now).total_seconds()
        # Near its end the platform may give the same token again, so asking once in a while is enough.
        return left_s >= REFRESH_BEFORE_S or (left_s > 0 and (now - token.fetched_at).total_seconds() < ASK_AGAIN_S)
