"""Bursts: short messages one person sends in one chat within a moment are one utterance."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from handlers.talk.inbox import Claimed
from handlers.talk.messages import AUTOMATIC_CHANNELS, CUSTOMER_CHANNELS, Incoming

SHORT_CHARS: Final = 8
"""Only a message this short may be the beginning of a longer one and worth waiting for."""
PART_CHARS: Final = 24
"""A message longer than this is a sentence of its own."""
TAPPED: Final = frozenset({"menu_id", "bizmsgmenuid"})
"""What a tap on a menu carries: it says all it wants to say."""
_HANGING: Final = re.compile(
    r"(?:换|兑|要|想|想要|想换|想问|请问|问下|问一下|查下|查一下|看下|看一下|帮我|给我|我|我们|你们|我有|还有|还|和|跟|那|那个|这个|"
    r"就是|因为|但是|不过|然后|用|把|的|、|，|,|…|\.\.\.)$"
)
"""What nobody ends a sentence with."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Messages that are read together: `message` is the first with the words of all."""

    message: Incoming
    parts: tuple[Claimed, ...]

    @property
    def newest(self) -> Claimed:
        """The last of them."""
        return self.parts[-1]


def join(claimed: Sequence[Claimed], stands_alone: Callable[[Incoming], bool], within: timedelta) -> list[Burst]:
    """The messages in their order, those of one (sender, chat) that follow each other within a moment as one.

    Whatever the sender does in between, in this chat or another, ends a burst; two persons are never mixed.
    """
    bursts: list[list[Claimed]] = []
    last: dict[str, list[Claimed]] = {}
    for item in claimed:
        before = last.get(item.message.sender)
        if within and before is not None and _belongs(before[-1], item, stands_alone, within):
            before.append(item)
        else:
            last[item.message.sender] = [item]
            bursts.append(last[item.message.sender])
    return [of(parts) for parts in bursts]


def of(parts: Sequence[Claimed]) -> Burst:
    """Messages of one sender as one."""
    return Burst(_joined(parts), tuple(parts))


def may_go_on(burst: Burst, within: timedelta) -> bool:
    """Whether more may belong to it at all: short words, said for the first time, where a program answers."""
    newest = burst.newest
    return (
        newest.message.channel in AUTOMATIC_CHANNELS and bool(within) and newest.attempts == 0
        and 0 < len(newest.message.text.strip()) <= SHORT_CHARS and is_part(newest.message)
    )  # fmt: skip


def wait_until(burst: Burst, within: timedelta, is_clear: bool, now: datetime) -> datetime | None:
    """Until when companions of a message that may go on can come, None where it is not waited for.

    `is_clear` says that the message means something as it is; one that breaks off in the middle waits all the same,
    and so does whoever is seen to write in small pieces.
    """
    newest = burst.newest
    if is_clear and len(burst.parts) == 1 and not breaks_off(newest.message.text):
        return None
    until = min(newest.message.at, newest.received_at) + within
    return until if until > now else None


def breaks_off(text: str) -> bool:
    """Whether a text ends where no sentence does (我想换, 你们)."""
    return bool(_HANGING.search(text.strip()))


def is_part(message: Incoming) -> bool:
    """Whether a message can be part of a longer one: a customer's few words."""
    return (
        message.channel in CUSTOMER_CHANNELS and not message.is_staff and message.kind == "text"
        and 0 < len(message.text.strip()) <= PART_CHARS and is_typed(message)
    )  # fmt: skip


def is_typed(message: Incoming) -> bool:
    """Whether its words were typed; an entry that was tapped stood before the customer's eyes."""
    return message.data.keys().isdisjoint(TAPPED)


def _belongs(before: Claimed, item: Claimed, stands_alone: Callable[[Incoming], bool], within: timedelta) -> bool:
    first, second = before.message, item.message
    return (
        first.chat == second.chat and is_part(first) and is_part(second)
        and timedelta(0) <= second.at - first.at <= within
        and not stands_alone(first) and not stands_alone(second)
        and not before.attempts and not item.attempts
    )  # fmt: skip


def _joined(parts: Sequence[Claimed]) -> Incoming:
    first = parts[0].message
    if len(parts) == 1:
        return first
    return msgspec.structs.replace(first, text="，".join(part.message.text.strip() for part in parts))
