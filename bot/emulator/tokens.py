"""Access tokens: the WeCom kind, the 公众号's stable kind and its classic kind."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from bot.emulator.clock import VirtualClock
from bot.emulator.errors import ApiError
from bot.emulator.limits import Limits


@dataclass
class Token:
    """One issued token, the secret it was issued for and when it dies (virtual seconds)."""

    value: str
    secret: str
    expires_at: float


class TokenShelf:
    """Issues and checks tokens; a token asked for again inside its life is the same token."""

    def __init__(self, clock: VirtualClock, limits: Limits, prefix: str) -> None:
        self._clock = clock
        self._limits = limits
        self._prefix = prefix
        self._tokens: dict[str, Token] = {}
        self._current: dict[str, str] = {}

    def _issue(self, owner: str, secret: str) -> Token:
        token = Token(
            f"{self._prefix}-{secrets.token_urlsafe(24)}",
            secret,
            self._clock.now() + self._limits.token_ttl_s,
        )
        self._tokens[token.value] = token
        self._current[owner] = token.value
        return token

    def _current_of(self, owner: str) -> Token | None:
        token = self._tokens.get(self._current.get(owner, ""))
        return token if token is not None and token.expires_at > self._clock.now() else None

    def get(self, secret: str, renew_before_s: float = 0) -> tuple[str, int]:
        """The secret's token and its remaining seconds; a new one when it dies within `renew_before_s`."""
        now = self._clock.now()
        token = self._current_of(secret)
        if token is None or token.expires_at - now <= renew_before_s:
            token = self._issue(secret, secret)
        return token.value, int(token.expires_at - now)

    def replace(self, secret: str, overlap_s: float) -> tuple[str, int]:
        """A new token every time; the one before dies after `overlap_s` (the classic 公众号 call)."""
        owner = f"classic:{secret}"
        old = self._current_of(owner)
        if old is not None:
            old.expires_at = min(old.expires_at, self._clock.now() + overlap_s)
        return self._issue(owner, secret).value, self._limits.token_ttl_s

    def check(self, value: str) -> str:
        """The secret behind a token; ApiError 41001 missing, 40014 unknown, 42001 expired."""
        if not value:
            raise ApiError(41001, "access_token missing")
        token = self._tokens.get(value)
        if token is None:
            raise ApiError(40014, "invalid access_token")
        if token.expires_at <= self._clock.now():
            raise ApiError(42001, "access_token expired")
        return token.secret

    def expire_all(self) -> int:
        """Let every living token expire now; returns how many."""
        now = self._clock.now()
        living = [token for token in self._tokens.values() if token.expires_at > now]
        for token in living:
            token.expires_at = now
        return len(living)

    def revoke_all(self) -> None:
        """Forget every token, so that their use is 40014."""
        self._tokens.clear()
        self._current.clear()
