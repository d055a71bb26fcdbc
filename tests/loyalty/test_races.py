"""Several writers at once: threads on SQLite and PostgreSQL, separate processes on PostgreSQL."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from sqlalchemy import func, select

from bot.database import Database, is_transient
from loyalty import errors
from loyalty.audit import findings
from loyalty.balances import balance_of, balances
from loyalty.customers import resolve
from loyalty.ledger import earn, earning, post, spend, spending
from loyalty.orders import Item, OrderIn, record
from loyalty.programme import Programme
from loyalty.redemptions import redeem, undo, verify
from loyalty.rewards import sync_stock
from loyalty.tables import Member, Order, Redemption, Stock, Transfer

RACERS = 6


def race(act: Callable[[int], str]) -> list[str]:
    """What everybody got who started at the same moment: the answer, or the name of the refusal."""
    gate = threading.Barrier(RACERS)

    def run(number: int) -> str:
        gate.wait(10)
        try:
            return act(number)
        except errors.LoyaltyError as refusal:
            return type(refusal).__name__

    with ThreadPoolExecutor(RACERS) as pool:
        return sorted(pool.map(run, range(RACERS)))


def people(database: Database, at: datetime, count: int, points: int) -> list[int]:
    """Members with so many points each."""
    with database.transaction() as session:
        found = sorted(resolve(session, [("openid", f"p{n}") for n in range(count)], at).values())
        post(session, [earning(id, points, f"start {id}", "order", expires_at=None) for id in found], at)
        return found


def test_the_same_key_at_once_moves_once(database: Database, noon: datetime) -> None:
    """Six writers bring one order's points: one transfer, one answer for all."""
    [member] = people(database, noon, 1, 1)

    def act(_: int) -> str:
        with database.transaction() as session:
            return str(earn(session, member, 100, key="order T1", reason="order", at=noon).id)

    assert len(set(race(act))) == 1
    with database.reading() as session:
        assert balance_of(session, member, noon).available == 101
        assert findings(session) == []


def test_one_key_for_two_persons_at_once_is_refused_for_one(database: Database, noon: datetime) -> None:
    """Where writers lock different people, the key itself decides: one gets it, the others are told."""
    found = people(database, noon, RACERS, 1)

    def act(number: int) -> str:
        with database.transaction() as session:
            earn(session, found[number], 100, key="one key", reason="order", at=noon)
            return "moved"

    assert race(act) == ["KeyReused"] * (RACERS - 1) + ["moved"]
    with database.reading() as session:
        assert sum(balance.available for balance in balances(session, found, noon).values()) == RACERS + 100
        assert findings(session) == []


def test_the_last_points_are_spent_once(database: Database, noon: datetime) -> None:
    """Six spends of 40 with 100 points: two go through, four lack 20."""
    [member] = people(database, noon, 1, 100)

    def act(number: int) -> str:
        with database.transaction() as session:
            spend(session, member, 40, key=f"spend {number}", reason="redeem", at=noon)
            return "spent"

    assert race(act) == ["NotEnough"] * (RACERS - 2) + ["spent"] * 2
    with database.reading() as session:
        assert balance_of(session, member, noon).available == 20
        assert findings(session) == []


def test_the_last_piece_is_given_once(database: Database, noon: datetime, programme: Programme) -> None:
    """Six rich people want two of five mugs each: two get them, one piece stays."""
    found = people(database, noon, RACERS, 500)
    with database.transaction() as session:
        sync_stock(session, programme, noon)

    def act(number: int) -> str:
        with database.transaction() as session:
            return redeem(session, found[number], "mug", 2, f"wish {number}", programme, noon).name

    assert race(act) == ["OutOfStock"] * (RACERS - 2) + ["陶瓷马克杯"] * 2
    with database.reading() as session:
        assert session.scalar(select(Stock.pieces).where(Stock.reward_id == "mug")) == 1
        assert session.scalar(select(func.count()).select_from(Redemption)) == 2
        assert findings(session) == []


def test_the_same_wish_at_once_is_granted_once(database: Database, noon: datetime, programme: Programme) -> None:
    """A double tap: one code for all, one piece, points taken once, the member's limit kept."""
    [member] = people(database, noon, 1, 500)

    def act(_: int) -> str:
        with database.transaction() as session:
            return redeem(session, member, "mug", 2, "tap", programme, noon).code

    assert len(set(race(act))) == 1
    with database.reading() as session:
        assert balance_of(session, member, noon).available == 300
        assert session.scalar(select(Stock.pieces).where(Stock.reward_id == "mug")) == 3


def test_one_key_for_six_wishes_at_once_leaves_no_trace_of_five(database: Database, noon: datetime,
                                                               programme: Programme) -> None:
    """Six persons' wishes under one key, refusals caught and committed: one granted, five told, one piece gone."""
    found = people(database, noon, RACERS, 500)
    with database.transaction() as session:
        sync_stock(session, programme, noon)

    def act(number: int) -> str:
        with database.transaction() as session:
            try:
                return redeem(session, found[number], "mug", 1, "one key", programme, noon).name
            except errors.KeyReused:
                return "told"

    assert race(act) == ["told"] * (RACERS - 1) + ["陶瓷马克杯"]
    with database.reading() as session:
        assert session.scalar(select(Stock.pieces).where(Stock.reward_id == "mug")) == 4
        assert findings(session) == []


def test_a_code_is_used_once_at_six_tills(database: Database, noon: datetime, programme: Programme) -> None:
    """Six tills read one code at the same moment: one hands out, five are told."""
    [member] = people(database, noon, 1, 500)
    with database.transaction() as session:
        code = redeem(session, member, "mug", 1, "wish", programme, noon).code

    def act(number: int) -> str:
        with database.transaction() as session:
            return verify(session, code, f"till {number}", noon).name

    assert race(act) == ["CodeUsed"] * (RACERS - 1) + ["陶瓷马克杯"]


def test_a_code_is_either_used_or_undone(database: Database, noon: datetime, programme: Programme) -> None:
    """Three tills and three undo taps: exactly one kind wins, and the books agree with it."""
    [member] = people(database, noon, 1, 100)
    with database.transaction() as session:
        done = redeem(session, member, "mug", 1, "wish", programme, noon)

    def act(number: int) -> str:
        with database.transaction() as session:
            if number % 2:
                return verify(session, done.code, f"till {number}", noon).name
            return str(undo(session, done.id, member, f"undo {number}", programme, noon).returned)

    answers = race(act)
    assert len([answer for answer in answers if answer in ("陶瓷马克杯", "100")]) == 1
    with database.reading() as session:
        assert balance_of(session, member, noon).available == (100 if "100" in answers else 0)
        assert findings(session) == []


def test_one_new_person_seen_at_once_is_one_member(database: Database, noon: datetime) -> None:
    """Six workers meet the same stranger: one member, no orphans left behind."""
    def act(_: int) -> str:
        with database.transaction() as session:
            return str(resolve(session, [("openid", "stranger"), ("openid", "friend")], noon))

    assert len(set(race(act))) == 1
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Member)) == 2


def test_one_order_sent_at_once_counts_once(database: Database, noon: datetime, programme: Programme) -> None:
    """A till that retries in a hurry: one order, its points once, the same answer for all."""
    order = OrderIn(source="pos", external_id="T1", identities=(("phone", "hash-of-138"),), paid_at=noon,
                    amount_fen=19_800, items=(Item(sku="QH-30", name="挂耳咖啡30包", amount_fen=19_800),))

    def act(_: int) -> str:
        with database.transaction() as session:
            outcome = record(session, order, programme, noon)
            return f"{outcome.order_id} {outcome.member_id} {outcome.earned} {outcome.balance}"

    assert len(set(race(act))) == 1
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Order)) == 1
        assert session.scalar(select(func.count()).select_from(Transfer)) == 1
        assert findings(session) == []


def _shuffle_points(url: str, found: list[int], number: int, at: datetime) -> None:
    """One process: batches of spends and earns over everybody, in an order of its own; retried as a client would."""
    database = Database(url)
    for round_number in range(15):
        rows = []
        for place, id in enumerate(found[number:] + found[:number]):
            name = f"{number}/{round_number}/{place}"
            rows.append(spending(id, 7, f"out {name}", "redeem"))
            rows.append(earning(id, 5, f"in {name}", "order", expires_at=None))
            rows.append(earning(id, 1, f"shared {round_number}/{id}", "order", expires_at=None))
        _post_again_where_it_helps(database, rows, at)
    database.dispose()


def _post_again_where_it_helps(database: Database, rows: list[object], at: datetime) -> None:
    for attempt in range(10):
        try:
            with database.transaction() as session:
                post(session, rows, at)  # type: ignore[arg-type]
            return
        except Exception as error:
            if attempt == 9 or not is_transient(error):
                raise


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_processes_that_cross_keep_the_books(database: Database, noon: datetime) -> None:
    """Three processes over the same people in different orders: no deadlock stays, shared keys count once."""
    found = people(database, noon, 5, 40)
    url = database.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_shuffle_points, args=(url, found, number, noon)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(40)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with database.reading() as session:
        shared = session.scalar(select(func.count()).where(Transfer.key.like("shared %")))
        assert shared == 15 * len(found)
        assert all(balance.available >= 0 for balance in balances(session, found, noon).values())
        assert findings(session) == []
