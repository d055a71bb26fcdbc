"""Thousands of damaged callbacks: named refusals, nothing else."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import loyalty.tables  # noqa: F401
from bot.database import Database
from loyalty.storage import Base

CASES = 10_000
WARM, AT_ONCE = CASES // 5, 50
GROWTH_BYTES = 24 * 1024 * 1024
INNER = (
    "<xml><ToUserName><![CDATA[ww0000000000000001]]></ToUserName><FromUserName><![CDATA[liuyang]]></FromUserName>"
    "<CreateTime>1763625600</CreateTime><MsgType><![CDATA[{}]]></MsgType><Event><![CDATA[{}]]></Event>"
    "<Content><![CDATA[快吃完了]]></Content><MsgId>{}</MsgId><ChatId>wr1</ChatId><OpenKfId>wk1</OpenKfId></xml>"
)
EVENTS = ("", "kf_msg_or_event", "change_external_chat", "change_external_contact", "template_card_event", "new")
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'


def flip(dice: random.Random, data: bytes) -> bytes:
    """A few bits turned over."""
    damaged = bytearray(data)
    for _ in range(dice.randint(1, 4) if damaged else 0):
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
    return bytes(damaged)


def cut(dice: random.Random, data: bytes) -> bytes:
    """The beginning, or the end, or with a piece doubled."""
    place = dice.randrange(len(data) + 1)
    return dice.choice((data[:place], data[place:], data[:place] + data[place // 2 :]))


def swell(dice: random.Random, data: bytes) -> bytes:
    """Huge fields, many elements, deep nesting, a document type."""
    return dice.choice(
        (
            data.replace(b"liuyang", b"x" * dice.choice((200, 5_000, 40_000))),
            data.replace(b"</xml>", b"<a>" * dice.randint(1, 3000) + b"</xml>"),
            data.replace(b"</xml>", b"<a></a>" * dice.randint(1, 3000) + b"</xml>"),
            BOMB.encode() + data.replace("快吃完了".encode(), b"&b;"),
            data.replace(b"1763625600", dice.choice((b"", b"-1", b"9" * 40, "²".encode()))),
            data.replace(b"MsgType", b"Msg\x00Type"),
        )
    )


def mutated(dice: random.Random, platform: Any, serial: int) -> tuple[str, bytes]:
    """One callback with damage outside, inside or in its address."""
    inner = INNER.format(dice.choice(("event", "text", "image", "?", "")), dice.choice(EVENTS), serial).encode()
    harm = dice.choice((flip, cut, swell))
    kind = dice.randrange(6)
    if kind == 0:
        return platform.deliver(harm(dice, inner))
    if kind == 1:
        return platform.deliver(dice.randbytes(dice.randrange(400)))
    path, body = platform.deliver(
        inner, dice.choice(("app", "archive")), receive_id=dice.choice(("ww0000000000000001", "x"))
    )
    if kind == 2:
        return path.replace("/app", "/archive"), body
    if kind == 3:
        place, _, query = path.partition("?")
        noise = "".join(dice.choice("abc019&=%+;-_.~é"[:15]) for _ in range(dice.randrange(40)))
        at = dice.randrange(len(query))
        return f"{place}?{query[:at]}{noise}{query[at + dice.randrange(9) :]}", body
    return path, harm(dice, body)


@pytest.mark.timeout(180)
def test_ten_thousand_mutations(
    platform: Any, tmp_path: Path, run: Callable[[Any], Any], desk_of: Callable[..., Any]
) -> None:
    """No mutated callback raises or ends in a 5xx, every one is counted, memory stays, the next true one is stored."""
    database = Database(f"sqlite:///{tmp_path}/fuzz.db")
    Base.metadata.create_all(database.engine)
    dice = random.Random(20261120)
    resident: list[int] = []
    statuses: dict[int, int] = {}

    async def story() -> None:
        async with desk_of(database) as desk:
            for start in range(0, CASES, AT_ONCE):
                if start == WARM:
                    gc.collect()
                    resident.append(psutil.Process().memory_info().rss)
                load = [mutated(dice, platform, start + place) for place in range(AT_ONCE)]
                for answer in await asyncio.gather(*(desk.post(*each) for each in load)):
                    statuses[answer.status] = statuses.get(answer.status, 0) + 1
            gc.collect()
            resident.append(psutil.Process().memory_info().rss)
            true = await desk.post(*platform.deliver(INNER.format("text", "", "true")))
            assert true.body == b"success"

    run(story())
    database.dispose()
    assert sum(statuses.values()) == CASES
    assert statuses.keys() <= {200, 400, 403, 404, 413}
    assert min(statuses.get(status, 0) for status in (200, 400, 403)) > CASES * 0.03, statuses
    assert resident[1] - resident[0] < GROWTH_BYTES
