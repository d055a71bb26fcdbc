"""Callbacks that the tests sign, seal and post themselves, to whichever web process they choose."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Sequence
from typing import Final

import aiohttp

from bot import demo
from bot.demo import Keys
from bot.emulator.callbacks import Callback, wrap
from bot.emulator.markup import document

GIVE_UP_S: Final = 240.0
Sealed = tuple[dict[str, str], str]


class Poster:
    """Plays the platform's sending side; `taken` are the inbox keys of what was acknowledged, in that order."""

    def __init__(self, keys: Keys) -> None:
        self.taken: list[str] = []
        self.tries = 0
        self._receiver = demo.platform_config(keys, "").receivers["oa"]
        self._oa = demo.platform_config(keys, "").oa
        self._numbers = itertools.count(int(time.time()) * 1000)
        self._session: aiohttp.ClientSession | None = None

    def oa_text(self, openid: str, text: str) -> tuple[str, str]:
        """A text message of a 公众号 user: its inbox key and the inner XML."""
        number, at = str(next(self._numbers)), str(int(time.time()))
        inner = document(
            [("ToUserName", self._oa.gh_id), ("FromUserName", openid), ("CreateTime", at), ("MsgType", "text"),
             ("Content", text), ("MsgId", number)]
        )  # fmt: skip
        return f"wechat:oa:{openid}:{number}:{at}", inner

    def seal(self, openid: str, inner: str) -> Sealed:
        """Query and body with a fresh nonce, signature and packet."""
        callback = Callback("oa", "text", inner, self._oa.gh_id, None, "safe", openid)
        return wrap(callback, self._receiver, str(int(time.time())), secrets.token_hex(5))

    async def post(self, web_url: str, sealed: Sealed) -> tuple[int, str]:
        """One POST; status 0 where the connection broke or five seconds were over."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self.tries += 1
        timeout = aiohttp.ClientTimeout(total=5)
        query, body = sealed
        try:
            async with self._session.post(
                f"{web_url}/wechat/oa", params=query, data=body.encode(), timeout=timeout
            ) as answer:
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 0, type(error).__name__

    async def oa_text_until_taken(self, web_urls: Sequence[str], openid: str, text: str) -> bool:
        """Post a message, again and again like a patient platform, until some web process says success."""
        key, inner = self.oa_text(openid, text)
        deadline = time.monotonic() + GIVE_UP_S
        for url in itertools.cycle(web_urls):
            status, said = await self.post(url, self.seal(openid, inner))
            if (status, said) == (200, "success"):
                self.taken.append(key)
                return True
            if time.monotonic() > deadline:
                raise TimeoutError(f"{key} was never acknowledged; last answer {status} {said}")
            await asyncio.sleep(0.5)
        return False

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
