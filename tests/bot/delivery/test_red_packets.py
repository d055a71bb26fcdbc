"""Red packets on their way: paid once, refused with the points back, asked again where no answer came."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.adapters import Adapters, sign
from bot.database import Database
from bot.red_packets import NO_OPENID, RedPackets
from loyalty import ledger, red_packets
from loyalty.balances import balance_of
from loyalty.customers import resolve
from loyalty.programme import Programme
from loyalty.redemptions import of_member, redeem

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
PROGRAMME = Programme.model_validate({
    "name": "青禾", "earning": {"points_per_yuan": 1},
    "rewards": [{"id": "packet", "name": "红包", "cost_points": 100, "way": "red_packet", "value_fen": 188}],
})  # fmt: skip


class Till:
    """The brand's paying system: answers as it is told, and notes what it was asked."""

    def __init__(self, database: Database, *answers: tuple[int, bytes] | OSError) -> None:
        self.database, self.answers, self.now = database, list(answers), NOON
        self.asked: list[tuple[Mapping[str, str], Any]] = []
        adapters = Adapters({"pay": ("https://pay.example/packets", "s3cret")}, self.answer, lambda: self.now)
        self.payer = RedPackets(database, adapters, "pay", lambda: self.now)

    async def answer(
        self, method: str, url: str, params: Mapping[str, str], body: object | None
    ) -> tuple[int, bytes]:
        """The next answer."""
        self.asked.append((params, body))
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def wish(self, kind: str = "openid") -> int:
        """Somebody gives 100 of 150 points for a red packet."""
        with self.database.transaction() as session:
            member = resolve(session, [(kind, "oAnna")], NOON)[kind, "oAnna"]
            ledger.earn(session, member, 150, key="start", reason="start", at=NOON)
            redeem(session, member, "packet", 1, "wish", PROGRAMME, NOON)
        return member

    def after(self, minutes: float, member: int) -> tuple[int, str, str]:
        """What a round at that time leads to: points, redemption and packet."""
        self.now = NOON + timedelta(minutes=minutes)
        asyncio.run(self.payer.step())
        with self.database.reading() as session:
            [packet] = red_packets.listed(session, ["pending", "claimed", "sent", "failed"])
            [had] = of_member(session, member, 5)
            return balance_of(session, member, self.now).available, had.state, packet.state


def test_a_packet_is_paid_once_with_a_signed_request(database: Database) -> None:
    """The bill is the key, openid and amount are named; a second round asks nothing."""
    till = Till(database, (200, b'{"receipt": "wx-77"}'))
    member = till.wish()
    assert till.after(0, member) == till.after(30, member) == (50, "delivered", "sent")
    [(params, body)] = till.asked
    assert (body["openid"], body["amount_fen"], body["bill"]) == ("oAnna", 188, params["key"])
    assert len(params["signature"]) == len(sign("s3cret", "1", "k", b""))
    with database.reading() as session:
        assert red_packets.listed(session, ["sent"])[0].receipt == "wx-77"


def test_no_answer_is_no_refusal(database: Database) -> None:
    """Down for hours, the packet keeps its bill and the points stay spent; it is paid when the system is back."""
    till = Till(database, OSError("down"), (503, b""), *[OSError("down")] * 6, (200, b"ok"))
    member = till.wish()
    minutes = [0, 2, 5, 12, 30, 70, 140, 210]
    assert [till.after(minute, member) for minute in minutes] == [(50, "issued", "claimed")] * len(minutes)
    assert till.after(280, member) == (50, "delivered", "sent")
    assert len({params["key"] for params, _ in till.asked}) == 1


@pytest.mark.parametrize(("kind", "said"), [("openid", "HTTP 422: not verified"), ("phone_hash", NO_OPENID)])
def test_a_refusal_gives_the_points_back(database: Database, kind: str, said: str) -> None:
    """The platform never pays this one, or there is nobody to pay: the points are the member's again."""
    till = Till(database, (422, b"not verified"))
    member = till.wish(kind)
    assert till.after(0, member) == (150, "failed", "failed")
    with database.reading() as session:
        assert said in red_packets.unpaid(session, NOON)[0].error
