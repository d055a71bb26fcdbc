"""Load for the callback benchmark: signed and encrypted callbacks, no two alike, and a client that keeps a pace."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import time
from collections.abc import Iterator

from bot.wecom.crypto import CallbackCrypto

TOKEN, CORP_ID = "benchToken2026", "ww00000000bench001"
AES_KEY = base64.b64encode(hashlib.sha256(b"bench").digest()).decode().rstrip("=")
if not AES_KEY.isalnum():
    AES_KEY = "".join(letter if letter.isalnum() else "A" for letter in AES_KEY)
TEXTS = (
    "我的积分怎么还没有到账呢麻烦帮我查一下，昨天在门店消费了三百多元",
    "请问会员日有什么优惠活动，积分可以抵现金吗，怎么参加呢麻烦说一下谢谢",
    "我想退货衣服尺码不对，订单号是20261121，麻烦尽快帮我处理一下谢谢",
    "积分可以换什么礼品，换了以后多久能够寄到家里呢，运费是谁来承担的呀",
)
"""Synthetic."""

_serial = itertools.count(1)


def callbacks(count: int) -> Iterator[tuple[str, bytes]]:
    """As many callbacks as asked for, each (query, body); about 700 bytes, signed now, never the same twice."""
    crypto = CallbackCrypto(TOKEN, AES_KEY, CORP_ID)
    stamp = str(int(time.time()))
    for serial in itertools.islice(_serial, count):
        inner = (
            f"<xml><ToUserName><![CDATA[{CORP_ID}]]></ToUserName>"
            f"<FromUserName><![CDATA[zhangsan{serial % 1000:04d}]]></FromUserName><CreateTime>{stamp}</CreateTime>"
            f"<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{TEXTS[serial % len(TEXTS)]}]]></Content>"
            f"<MsgId>{7_000_000_000_000_000 + serial}</MsgId><AgentID>1000002</AgentID></xml>"
        )
        nonce = str(1_000_000_000 + serial)
        encrypted, signature = crypto.seal(inner.encode(), stamp, nonce, f"{serial:016d}".encode())
        body = (
            f"<xml><ToUserName><![CDATA[{CORP_ID}]]></ToUserName><AgentID><![CDATA[1000002]]></AgentID>"
            f"<Encrypt><![CDATA[{encrypted.decode()}]]></Encrypt></xml>"
        )
        yield f"msg_signature={signature}&timestamp={stamp}&nonce={nonce}", body.encode()


async def pace(port: int, per_s: int, seconds: float, connections: int = 16) -> list[float]:
    """Send at a fixed pace over open connections; latencies in seconds from the planned moment, answered 200 only."""
    load = list(callbacks(int(per_s * seconds)))
    latencies: list[float] = []
    start_s = time.perf_counter() + 0.2
    turns = iter(enumerate(load))

    async def run() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for turn, (query, body) in turns:
            planned_s = start_s + turn / per_s
            await asyncio.sleep(max(0.0, planned_s - time.perf_counter()))
            head = f"POST /wecom/app?{query} HTTP/1.1\r\nHost: bench\r\nContent-Type: text/xml\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"success")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"refused: {answer!r}")
            latencies.append(time.perf_counter() - planned_s)
        writer.close()

    await asyncio.gather(*(run() for _ in range(connections)))
    return latencies
