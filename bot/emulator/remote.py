"""Plays the people from a script: `async with Phones(url) as phones: await phones.say(...)`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import aiohttp

from bot.emulator.errors import PhoneError

Json = dict[str, Any]


class Phones:
    """A client of the control API; PhoneError carries the reason when an act is not possible."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Phones:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, method: str, name: str, body: Json | None = None) -> Json:
        """One control call; PhoneError with the emulator's reason on refusal."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        url = f"{self.base_url}/_emulator/{name}"
        async with self._session.request(method, url, json=body if method == "POST" else None) as answer:
            done: Json = await answer.json()
            if answer.status >= 400:
                raise PhoneError(f"{name}: {done.get('error', answer.status)}")
            return done

    async def act(self, name: str, **body: Any) -> Json:
        """POST /_emulator/NAME with the given fields."""
        return await self.call("POST", name, body)

    async def say(self, who: str, place: str, text: str, chat: str = "", menu_id: str = "") -> Json:
        """Somebody writes in group, private, kf, oa or app; `chat` names the group, peer or account."""
        extra = {"chat": chat} if chat else {}
        return await self.act("say", **{"as": who, "in": place, "text": text, "menu_id": menu_id, **extra})

    async def sidebar_send(self, staff: str, place: str, chat: str, text: str) -> Json:
        """The rep sends a suggested text with one tap."""
        return await self.act("sidebar_send", **{"staff": staff, "in": place, "chat": chat, "text": text})

    async def tap(self, staff: str, task_id: str, key: str) -> Json:
        """The rep taps a button of a card."""
        return await self.act("tap", staff=staff, task_id=task_id, key=key)

    async def push(self, seconds: float) -> float:
        """Push the clock; returns the new virtual time."""
        return float((await self.act("clock", push_s=seconds))["now"])

    async def till(self, customer: str, label: str) -> Json:
        """The brand's till posts what the button of this label says, for this customer."""
        return await self.act("till", customer=customer, label=label)

    async def fault(self, endpoint: str, kind: str, **numbers: Any) -> Json:
        """Set a fault (errcode, times, seconds, skip)."""
        return await self.act("faults", endpoint=endpoint, kind=kind, **numbers)

    async def clear_faults(self) -> None:
        """Take all faults away."""
        await self.call("DELETE", "faults")

    async def reset(self) -> None:
        """Back to the seed people and empty chats."""
        await self.act("reset")

    async def settle(self) -> None:
        """Wait until no callback is on its way."""
        await self.act("settle")

    async def view(self, lines: int = 300) -> Json:
        """What everybody sees: the last `lines` of each chat."""
        return await self.call("GET", f"view?lines={lines}")

    async def log(self, last: int = 200) -> Json:
        """API calls and callbacks."""
        return await self.call("GET", f"log?last={last}")

    async def chat(self, key: str) -> list[Json]:
        """The bubbles of a chat (group:ID, private:USERID:EXTERNAL, kf:KFID:EXTERNAL, oa:OPENID)."""
        found: list[Json] = (await self.view())["chats"].get(key, [])
        return found

    async def app_messages(self, userid: str) -> list[Json]:
        """The app messages and cards on a member's phone."""
        for person in (await self.view())["staff"]:
            if person["userid"].lower() == userid.lower():
                found: list[Json] = person["app"]
                return found
        raise PhoneError(f"no staff {userid!r}")

    async def cards(self, userid: str) -> list[Json]:
        """The cards on a member's phone, oldest first."""
        return [item for item in await self.app_messages(userid) if "card" in item and not item["recalled"]]

    async def until(self, holds: Callable[[Json], Any], wait_s: float = 10.0, every_s: float = 0.1) -> Any:
        """Look until `holds(view)` is truthy and return that; TimeoutError after wait_s real seconds."""
        deadline = time.monotonic() + wait_s
        while True:
            found = holds(await self.view())
            if found:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"not seen within {wait_s} s on {self.base_url}")
            await asyncio.sleep(every_s)
