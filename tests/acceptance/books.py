"""What must hold when the storm is over: read from the database and from the platform's own view."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import aiohttp
import msgspec
from sqlalchemy import func, select

from bot import demo
from handlers.talk import inbox, outbox
from handlers.talk.tables import Cursor, InboxRow, OutboxRow, VerdictRow
from loyalty import audit
from loyalty.tables import Redemption, Stock
from tests.acceptance.crowd import KF, Crowd, Customer
from tests.acceptance.fleet import Fleet

CODE: Final = re.compile(r"(?:兑换码|核销码)[^:\n]*: ([0-9A-Z]{10,16})")
STOCK: Final = {"travel_cup": 300, "sticker": 5000}
"""The pieces of config/programme.yaml that the crowd may take."""


class Books:
    """The database of a fleet, to be looked at from outside."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    def read(self, statement: Any) -> Sequence[Any]:
        """All rows of a statement."""
        with self.fleet.database.reading() as session:
            return session.execute(statement).all()

    def inbox_states(self) -> dict[str, int]:
        """State of each message by key."""
        return dict(tuple(row) for row in self.read(select(InboxRow.key, InboxRow.state)))

    def waiting(self) -> tuple[int, int]:
        """How many messages and how many outbox rows still wait."""
        with self.fleet.database.reading() as session:
            return inbox.depth(session)[inbox.WAITING], outbox.depth(session)[outbox.WAITING]

    async def wait_quiet(self, keys: Iterable[str], wait_s: float) -> None:
        """Until these messages have arrived and nothing waits; AssertionError when it does not come to that."""
        wanted = set(keys)

        def quiet() -> bool:
            return self.waiting() == (0, 0) and wanted <= set(self.inbox_states())

        try:
            await self.fleet.until(quiet, wait_s, "everything arrived, handled and delivered")
        except AssertionError as error:
            missing = sorted(wanted - set(self.inbox_states()))
            raise AssertionError(f"waiting {self.waiting()}, missing {missing[:5]} ({len(missing)}); {error}") from None

    async def close_with(self, crowd: Crowd, wait_s: float = 90.0) -> str:
        """Everything that must hold after a storm; gives the counts in words."""
        await self.wait_quiet(crowd.poster.taken, wait_s)
        known = self.inbox_states()
        await self.wait_quiet(crowd_keys(crowd, known), wait_s)
        self.check_messages(crowd_keys(crowd, self.inbox_states()))
        self.check_ledger(crowd)
        await self.check_balances(crowd)
        rows, seen, cards = self.check_outbox(), await self.check_view(crowd), await self.check_cards()
        await self.check_cursors()
        senders = self.check_order(crowd)
        record = crowd.record
        assert record.confirmed >= len(crowd.customers), "too little was redeemed to prove anything"
        return (
            f"{record.messages} messages of {senders} senders and {len(crowd.poster.taken)} of strangers, "
            f"{record.replied} answers awaited, {record.confirmed} redemptions, {rows} outbox rows, {cards} cards, "
            f"{seen}"
        )

    def check_messages(self, keys: Sequence[str]) -> None:
        """Each of these messages was stored once, handled once, and has one verdict."""
        repeated = [key for key, count in Counter(keys).items() if count > 1]
        assert not repeated, f"the platform used ids twice: {repeated[:5]} ({len(repeated)})"
        states = self.inbox_states()
        lost = [key for key in keys if key not in states]
        assert not lost, f"{len(lost)} acknowledged messages are lost: {lost[:5]}"
        undone = {key: state for key, state in states.items() if state != inbox.DONE}
        assert not undone, f"not done: {undone}"
        verdicts = Counter(row.message_key for row in self.read(select(VerdictRow.message_key)))
        assert set(verdicts) == set(states), "verdicts and messages differ"
        assert set(verdicts.values()) == {1}

    def check_outbox(self) -> int:
        """Every row has left; gives how many."""
        rows = self.read(select(OutboxRow.key, OutboxRow.kind, OutboxRow.state, OutboxRow.error))
        wrong = [tuple(row) for row in rows if row.state != outbox.SENT]
        assert not wrong, f"not sent: {wrong[:5]}"
        return len(rows)

    def check_ledger(self, crowd: Crowd) -> None:
        """Redemptions are the confirmed prompts, neither more nor fewer; stock and the ledger agree with them."""
        with self.fleet.database.reading() as session:
            assert audit.findings(session) == []
            each = select(Redemption.reward_id, func.sum(Redemption.quantity)).group_by(Redemption.reward_id)
            taken = {reward: int(count) for reward, count in session.execute(each)}
            pieces = {row.reward_id: row.pieces for row in session.execute(select(Stock.reward_id, Stock.pieces))}
            costs = sorted(session.scalars(select(Redemption.cost)))
        assert costs == sorted(cost for spent in crowd.record.spent.values() for cost in spent)
        for reward, stock in STOCK.items():
            assert pieces[reward] == stock - taken.get(reward, 0), reward

    async def check_balances(self, crowd: Crowd) -> None:
        """Each member has what the order earned less what they confirmed, as the API tells it."""
        headers = {"Authorization": f"Bearer {self.fleet.keys.api_key}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            for customer in crowd.customers:
                url = f"{self.fleet.web_urls[0]}/api/v1/members/external_userid/{customer.external_userid}"
                async with session.get(url) as answer:
                    shown = await answer.json()
                spent = sum(crowd.record.spent.get(customer.external_userid, []))
                assert shown["points"] == shown["points"] | {"available": crowd.earned - spent, "held": 0}, customer

    async def check_view(self, crowd: Crowd) -> dict[str, int]:
        """What the customers see: one answer a message in 微信客服, each code in one message, none foreign."""
        chats = (await self.fleet.phones.view(lines=100_000))["chats"]
        codes = {row.code for row in self.read(select(Redemption.code))}
        seen_kf: Counter[str] = Counter()
        seen_oa: Counter[str] = Counter()
        for customer in crowd.customers:
            self._check_turns(customer, chats.get(customer.kf_chat, []))
            seen_kf.update(codes_in(chats.get(customer.kf_chat, [])))
            seen_oa.update(codes_in(chats.get(customer.oa_chat, [])))
        assert set(seen_kf) | set(seen_oa) == codes
        assert not set(seen_kf) & set(seen_oa)
        assert set(seen_kf.values()) <= {1}, f"codes told twice in 微信客服: {seen_kf.most_common(3)}"
        return {"codes_kf": len(seen_kf), "codes_oa": len(seen_oa), "oa_repeats": seen_oa.total() - len(seen_oa)}

    def _check_turns(self, customer: Customer, lines: Sequence[dict[str, Any]]) -> None:
        speakers = ["customer" if line["from"] == customer.external_userid else "bot" for line in lines]
        expected = ["customer", "bot"] * (len(lines) // 2)
        assert speakers == expected, f"{customer.kf_chat}: {[(x['from'], x['text'][:30]) for x in lines][-12:]}"

    async def check_cards(self) -> int:
        """Cards on the reps' phones are the sent card rows, each once."""
        staff = (await self.fleet.phones.view(lines=100_000))["staff"]
        shown = Counter(item["task_id"] for person in staff for item in person["app"] if "card" in item)
        payloads = self.read(select(OutboxRow.payload).where(OutboxRow.kind == "card"))
        sent = {msgspec.json.decode(row.payload)["task_id"] for row in payloads}
        assert set(shown) == sent
        assert set(shown.values()) <= {1}
        return len(sent)

    async def check_cursors(self) -> None:
        """Behind our cursors the platform has nothing more: asked with them it gives empty pages."""
        positions = {row.source: row.position for row in self.read(select(Cursor.source, Cursor.position))}
        config = demo.platform_config(self.fleet.keys, "")
        url = f"{self.fleet.platform_url}/cgi-bin"
        async with aiohttp.ClientSession() as session:
            asked = {"corpid": config.corp_id, "corpsecret": config.app_secret}
            async with session.get(f"{url}/gettoken", params=asked) as answer:
                token = (await answer.json())["access_token"]
            body = {"open_kfid": KF, "cursor": positions[f"kf:{KF}"]}
            async with session.post(f"{url}/kf/sync_msg", params={"access_token": token}, json=body) as answer:
                page = await answer.json()
        assert (page["errcode"], page["msg_list"], page["has_more"]) == (0, [], 0)
        assert int(positions["archive"]) > 0

    def check_order(self, crowd: Crowd) -> int:
        """Each sender's messages were stored and handled in the order they were written; gives how many senders."""
        known = self.inbox_states()
        places = {row.key: row.id for row in self.read(select(InboxRow.key, InboxRow.id))}
        verdicts = {row.message_key: row.id for row in self.read(select(VerdictRow.message_key, VerdictRow.id))}
        for sender, written in crowd.record.by_sender.items():
            keys = full_keys(written, known)
            stored, handled = [places[key] for key in keys], [verdicts[key] for key in keys]
            assert handled == sorted(handled), f"{sender} was handled out of order"
            assert stored == sorted(stored), f"{sender} was stored out of order"
        return len(crowd.record.by_sender)

    async def check_delivery_order(self, crowd: Crowd) -> int:
        """What each customer reads in 微信客服 stands in the order it was written in the outbox; gives how many."""
        chats = (await self.fleet.phones.view(lines=100_000))["chats"]
        count = 0
        for customer in crowd.customers:
            read = [line["msgid"] for line in chats[customer.kf_chat] if line["from"] == KF]
            recipient = OutboxRow.recipient == customer.kf_chat
            rows = self.read(select(OutboxRow.platform_id).where(recipient).order_by(OutboxRow.id))
            assert read == [row.platform_id for row in rows], customer.kf_chat
            count += len(read)
        return count


def codes_in(lines: Sequence[dict[str, Any]]) -> list[str]:
    """The redemption codes in the lines of a chat, as often as they stand there."""
    return [code for line in lines for code in CODE.findall(line["text"])]


def full_keys(written: Sequence[str], known: Iterable[str]) -> list[str]:
    """Inbox keys of what was written; one of the 公众号 that has not arrived stays without its end."""
    whole = {key.rpartition(":")[0]: key for key in known if key.startswith("wechat:")}
    return [whole.get(key, key) for key in written]


def crowd_keys(crowd: Crowd, known: Iterable[str]) -> list[str]:
    """Inbox keys of all the crowd wrote and of what strangers posted and were told to have arrived."""
    written = [key for keys in crowd.record.by_sender.values() for key in keys]
    return full_keys(written, known) + crowd.poster.taken
