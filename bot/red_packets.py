"""Red packets out: each due one is put to the brand's paying system, under its bill, until it is paid or refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import msgspec
import structlog

from bot.adapters import Adapters
from bot.clock import Clock
from bot.database import Database
from bot.wecom.errors import NotSendable, PlatformError
from loyalty import red_packets
from loyalty.red_packets import PayRedPacket

BATCH: Final = 20
POLL_S: Final = 2.0
RETRY_FIRST, RETRY_MAX = timedelta(minutes=1), timedelta(hours=1)
NO_OPENID: Final = "the member has no openid of this account"

log = structlog.get_logger("bot.red_packets")


class _Receipt(msgspec.Struct):
    """What the paying system answers; its own number of the payment, if it says one."""

    receipt: str = ""


class RedPackets:
    """Claims and pays; any number may run, and one that dies lets its packets come again under the same bill."""

    def __init__(self, database: Database, adapters: Adapters, adapter: str, clock: Clock) -> None:
        self._database, self._adapters, self._adapter, self._clock = database, adapters, adapter, clock

    async def run(self) -> None:
        """Work until cancelled; an outage is logged and tried again."""
        while True:
            try:
                busy = await self.step()
            except Exception as error:
                log.error("red packets failed", error=str(error)[:300])
                busy = 0
            if busy < BATCH:
                await asyncio.sleep(POLL_S)

    async def step(self) -> int:
        """Pay what is due; how many packets were in hand."""
        due = await asyncio.to_thread(self._claim)
        await asyncio.gather(*(self._pay(packet) for packet in due))
        return len(due)

    def _claim(self) -> list[PayRedPacket]:
        with self._database.transaction() as session:
            return red_packets.claim_due(session, self._clock(), BATCH)

    async def _pay(self, packet: PayRedPacket) -> None:
        if not packet.openid:
            await asyncio.to_thread(self._failed, packet, NO_OPENID)
            return
        body = {"type": "red_packet", "bill": packet.bill, "member_id": packet.member_id, "openid": packet.openid,
                "amount_fen": packet.amount_fen, "wish": packet.wish}
        try:
            answer = await self._adapters.ask(self._adapter, packet.bill, body)
        except NotSendable as error:
            await asyncio.to_thread(self._failed, packet, str(error))
        except PlatformError as error:
            await asyncio.to_thread(self._unknown, packet, str(error))
        else:
            await asyncio.to_thread(self._sent, packet, _receipt_in(answer))

    def _sent(self, packet: PayRedPacket, receipt: str) -> None:
        with self._database.transaction() as session:
            red_packets.mark_sent(session, packet.id, receipt or packet.bill, self._clock())
        log.info("red packet paid", packet=packet.id, amount_fen=packet.amount_fen)

    def _failed(self, packet: PayRedPacket, error: str) -> None:
        """It will never be paid: points that were given for it go back."""
        with self._database.transaction() as session:
            red_packets.mark_failed(session, packet.id, error[:300], self._clock(), final=True)
        log.warning("red packet refused", packet=packet.id, error=error[:300])

    def _unknown(self, packet: PayRedPacket, error: str) -> None:
        wait = min(RETRY_FIRST * 2 ** min(packet.tries - 1, 16), RETRY_MAX)
        with self._database.transaction() as session:
            red_packets.put_off(session, packet.id, error[:300], self._clock() + wait)
        log.warning("red packet not answered for", packet=packet.id, tries=packet.tries, error=error[:300])


def _receipt_in(answer: bytes) -> str:
    try:
        return msgspec.json.decode(answer, type=_Receipt).receipt
    except msgspec.DecodeError:
        return ""
