"""The way to the platform: one thin call over one seam, errors by name, a token refreshed at most once a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

import aiohttp
import msgspec
import structlog

from bot.cache import Cache
from bot.clock import Clock, monotonic_s
from bot.delivery_metrics import DeliveryMetrics
from bot.settings import Settings
from bot.wecom.errors import (
    ApiRefused,
    BadAnswer,
    ErrorClass,
    LimitReached,
    TokenRefused,
    Unreachable,
)
from bot.wecom.tokens import Tokens

CONNECT_TIMEOUT_S: Final = 5.0
MINUTE_S: Final = 60

Json = dict[str, Any]
log = structlog.get_logger("bot.gateway")


class Transport(Protocol):
    """The seam to the network: a double stands here in tests."""

    async def __call__(
        self, method: str, url: str, params: Mapping[str, str], body: object | None
    ) -> tuple[int, bytes]:
        """HTTP status and body; raises OSError or TimeoutError when there is no whole answer."""
        ...


class AiohttpTransport:
    """The network itself; one pool of connections per process."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
        self._session: aiohttp.ClientSession | None = None

    async def __call__(
        self, method: str, url: str, params: Mapping[str, str], body: object | None
    ) -> tuple[int, bytes]:
        """Ask and read the whole answer; redirects are not followed, because the token would go with them."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        # Old APIs refuse \uXXXX (40033), so JSON leaves as real UTF-8.
        data = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json; charset=utf-8"}
        try:
            async with self._session.request(
                method, url, params=params, data=data, headers=headers, allow_redirects=False
            ) as answer:
                return answer.status, await answer.read()
        except aiohttp.ClientError as error:
            # The text of these errors may hold the whole address, token and all.
            raise ConnectionError(type(error).__name__) from None

    async def close(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class Line:
    """One platform address: asks, reads the answer, names what went wrong, counts and logs; knows no tokens."""

    def __init__(self, base_url: str, transport: Transport, metrics: DeliveryMetrics) -> None:
        self._base_url = base_url.rstrip("/")
        self._transport = transport
        self._metrics = metrics

    async def ask(
        self, method: str, path: str, params: Mapping[str, str], body: object | None = None, trace: str = ""
    ) -> Json:
        """The answer with errcode 0 or without one; raises PlatformError for everything else."""
        endpoint = path.removeprefix("/").removeprefix("cgi-bin/")
        started_s, outcome = monotonic_s(), "0"
        try:
            answer = await self._exchange(method, path, params, body, endpoint)
            errcode = int(answer.get("errcode") or 0)
            outcome = str(errcode)
            if errcode:
                raise ApiRefused(errcode, str(answer.get("errmsg", "")), endpoint)
            return answer
        except (Unreachable, BadAnswer) as error:
            outcome = type(error).__name__
            raise
        finally:
            took_s = monotonic_s() - started_s
            self._metrics.count_call(endpoint, outcome, took_s)
            log.info("platform call", endpoint=endpoint, errcode=outcome, ms=round(took_s * 1000, 1), trace=trace)

    async def _exchange(
        self, method: str, path: str, params: Mapping[str, str], body: object | None, endpoint: str
    ) -> Json:
        try:
            status, raw = await self._transport(method, f"{self._base_url}/{path.lstrip('/')}", params, body)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise Unreachable(endpoint, type(error).__name__) from None
        answer = read_json(raw)
        if status >= 500 or not isinstance(answer, dict) or not _is_number(answer.get("errcode") or 0):
            raise BadAnswer(endpoint, status, raw)
        return answer


class Gateway:
    """Calls that carry an access token: WeCom's app, or the 公众号."""

    def __init__(self, name: str, line: Line, tokens: Tokens, cache: Cache, api_per_min: int) -> None:
        self.name = name
        self._line = line
        self._tokens = tokens
        self._cache = cache
        self._api_per_min = api_per_min

    async def call(
        self,
        method: str,
        path: str,
        body: object | None = None,
        params: Mapping[str, str] | None = None,
        trace: str = "",
    ) -> Json:
        """The platform's answer; raises PlatformError. `path` is relative to /cgi-bin/.

        A refused token is replaced and the call repeated exactly once; refused again it is a matter of configuration.
        """
        await self._hold_back(path)
        token = await self._tokens.get()
        try:
            return await self._ask(method, path, body, params, token.value, trace)
        except ApiRefused as error:
            if error.group is not ErrorClass.REFRESH:
                raise
        token = await self._tokens.renew(token)
        try:
            return await self._ask(method, path, body, params, token.value, trace)
        except ApiRefused as error:
            if error.group is not ErrorClass.REFRESH:
                raise
            raise TokenRefused(error.errcode, error.errmsg, error.endpoint) from None

    async def check(self) -> None:
        """Raise PlatformError unless there is a usable token; for readiness and `huitou check`."""
        await self._tokens.get()

    async def _ask(
        self, method: str, path: str, body: object | None, params: Mapping[str, str] | None, token: str, trace: str
    ) -> Json:
        return await self._line.ask(method, f"cgi-bin/{path}", {**(params or {}), "access_token": token}, body, trace)

    async def _hold_back(self, path: str) -> None:
        wait_s = await self._cache.hit(f"{self.name}:{path}", MINUTE_S, self._api_per_min)
        if wait_s > 0:
            raise LimitReached(f"{self.name} {path} a minute", wait_s)


def wecom_gateway(
    settings: Settings, transport: Transport, cache: Cache, clock: Clock, metrics: DeliveryMetrics
) -> Gateway:
    """The gateway of the self-built app."""
    wecom = settings.wecom
    line = Line(wecom.base_url, transport, metrics)
    secret = wecom.secret.get_secret_value()

    async def fetch() -> tuple[str, int]:
        answer = await line.ask("GET", "cgi-bin/gettoken", {"corpid": wecom.corp_id, "corpsecret": secret})
        return token_in(answer, "gettoken")

    tokens = Tokens(cache, clock, f"wecom:{wecom.corp_id}", secret, fetch)
    return Gateway("wecom", line, tokens, cache, settings.deliver.api_per_min)


def token_in(answer: Json, endpoint: str) -> tuple[str, int]:
    """Token and life in seconds of a token answer; raises BadAnswer when they are not in it."""
    value, lives_s = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(value, str) or not value or not isinstance(lives_s, int):
        raise BadAnswer(endpoint, 200, b"")
    return value, lives_s


def read_json(raw: bytes) -> Any:
    """What the bytes say, leniently; None where they are no JSON."""
    try:
        return json.loads(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def text_of(value: object) -> str:
    """A platform value as text that every database takes; nested ones stay JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Lone halves of surrogate pairs come from truncated emoji; no database stores them.
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


def flat(body: Mapping[str, Any], trail: str = "") -> dict[str, str]:
    """A body's fields as one level of text, nested names joined by dots."""
    found: dict[str, str] = {}
    for name, value in body.items():
        key = text_of(f"{trail}{name}")
        if isinstance(value, Mapping):
            found |= flat(value, f"{key}.")
        elif value not in (None, ""):
            found[key] = text_of(value)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.lstrip("-").isdigit())
