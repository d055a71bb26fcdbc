"""The same callback three times at once, to two web processes: one message, one effect."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from handlers.talk.tables import InboxRow, VerdictRow
from loyalty.tables import Redemption
from tests.acceptance.books import Books, codes_in
from tests.acceptance.crowd import STICKER, Crowd, Customer
from tests.acceptance.fleet import Fleet
from tests.acceptance.posting import Poster, Sealed

pytestmark = [pytest.mark.faults, pytest.mark.sockets]
TAKEN = (200, "success")


async def _three_times(fleet: Fleet, poster: Poster, customer: Customer, text: str, new_nonces: bool) -> str:
    """Post one message to web1, web2 and web1 at the same moment; gives its inbox key."""
    key, inner = poster.oa_text(customer.openid, text)
    first = poster.seal(customer.openid, inner)
    sealed: list[Sealed] = [poster.seal(customer.openid, inner) if new_nonces else first for _ in range(3)]
    first_web, second_web = fleet.web_urls
    answers = await asyncio.gather(
        *(poster.post(url, one) for url, one in zip((first_web, second_web, first_web), sealed, strict=True))
    )
    if new_nonces:
        assert answers == [TAKEN] * 3
    else:  # a process that has seen the very same request refuses it as a replay; the other one does not know it
        assert answers[1] == TAKEN
        assert sorted(answers[::2])[0] == TAKEN, answers
        assert sorted(answers[::2])[1][0] in (200, 400, 403), answers
    return key


@pytest.mark.timeout(300)
def test_three_times_at_once_is_once(fleet_database: str, models: Path, tmp_path: Path) -> None:
    """Questions, prompts and confirmations come in threes: each is one row, one verdict, one redemption, one answer."""

    async def story() -> None:
        async with Fleet(tmp_path, models, fleet_database, webs=2) as fleet:
            crowd, books, poster = Crowd(fleet, 10, 1), Books(fleet), Poster(fleet.keys)
            await crowd.settle_in()
            keys: list[str] = []
            for customer in crowd.customers:  # who writes to the 公众号 may be answered
                await fleet.phones.say(customer.external_userid, "oa", "谢谢")

            async def redeem(customer: Customer, new_nonces: bool) -> None:
                for text, word in (("我有多少积分", "积分"), ("积分换贴纸", "确认兑换吗"), ("确认", "换好啦")):
                    keys.append(await _three_times(fleet, poster, customer, text, new_nonces))
                    await fleet.phones.until(_says(customer, word), wait_s=60, every_s=0.3)

            await asyncio.gather(*(redeem(one, bool(number % 2)) for number, one in enumerate(crowd.customers)))
            await poster.close()
            await books.wait_quiet(keys, 30)
            books.check_messages(keys)
            for column in (InboxRow.key, VerdictRow.message_key):
                assert {
                    row[1] for row in books.read(select(column, func.count()).where(column.in_(keys)).group_by(column))
                } == {1}
            assert [row.cost for row in books.read(select(Redemption.cost))] == [STICKER] * len(crowd.customers)
            books.check_outbox()
            chats = (await fleet.phones.view(lines=1000))["chats"]
            for customer in crowd.customers:
                answers = [line for line in chats[customer.oa_chat] if line["from"] != customer.external_userid]
                assert len(answers) == 3, [line["text"] for line in answers]
                assert len(codes_in(answers)) == 1
            print(f"\n  {len(keys)} messages, {poster.tries} posts, {len(crowd.customers)} redemptions")

    asyncio.run(story())


def _says(customer: Customer, word: str) -> Any:
    return lambda view: any(
        word in line["text"] and line["from"] != customer.external_userid
        for line in view["chats"].get(customer.oa_chat, ())
    )
