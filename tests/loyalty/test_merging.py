"""Two who are one person: what they had together, and how it is taken apart again."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot.database import Database
from handlers.talk.tables import DialogRow, PauseRow
from loyalty import ledger
from loyalty.accounts import OWED
from loyalty.audit import findings
from loyalty.balances import balance_of, balances, lapses
from loyalty.customers import Identity, find, identities_of, opt_out, profiles, resolve, set_name, set_tier
from loyalty.errors import KeyReused, NotMergeable, UnknownMember, UnknownProposal
from loyalty.followers import member_columns
from loyalty.merging import carry_over, follow, merge, merges_of, unmerge
from loyalty.movements import owing
from loyalty.orders import Item, OrderIn, purchases, record
from loyalty.programme import Programme
from loyalty.redemptions import of_member, redeem, undo
from loyalty.tables import Account, AccountBalance, PurchaseSummary

SHOP, CHAT = Identity("tmall_buyer", "王小芳"), Identity("external_userid", "wmWangFang")
MILK = Item(sku="OAT", name="燕麦奶", amount_fen=10_000)


def two(session: Session, at: datetime) -> tuple[int, int]:
    """The member of the chat, and the one of the shop."""
    found = resolve(session, [SHOP, CHAT], at)
    return found[CHAT], found[SHOP]


def give(session: Session, member: int, amount: int, key: str, at: datetime, days: int | None = None) -> None:
    """Points that lapse after so many days."""
    expiry = at + timedelta(days=days) if days else None
    ledger.earn(session, member, amount, key=key, reason="order", at=at, expires_at=expiry)


def an_order(number: str, who: Identity, at: datetime) -> OrderIn:
    """¥100 of milk."""
    return OrderIn(source="tmall", external_id=number, identities=(who,), paid_at=at, amount_fen=10_000, items=(MILK,))


def everything(session: Session, members: tuple[int, int], now: datetime) -> object:
    """All that a merge touches of two members."""
    rows = select(PurchaseSummary.member_id, PurchaseSummary.orders, PurchaseSummary.amount_fen,
                  PurchaseSummary.first_at, PurchaseSummary.last_at).order_by(PurchaseSummary.member_id)
    return (
        balances(session, members, now), profiles(session, members), purchases(session, members),
        identities_of(session, members, "tmall_buyer"), identities_of(session, members, "external_userid"),
        [tuple(row) for row in session.execute(rows)],
        [of_member(session, member) for member in members],
        [tuple(row) for row in session.execute(select(DialogRow.member_id, DialogRow.chat).order_by(DialogRow.chat))],
    )


def test_two_become_one_and_two_again(database: Database, noon: datetime, programme: Programme) -> None:
    """Points with their days, orders, tier, dialogs and identities go over; the undoing restores every one of them."""
    later = noon + timedelta(days=2)
    with database.transaction() as session:
        chat, shop = both = two(session, noon)
        record(session, an_order("T1", SHOP, noon), programme, noon)
        record(session, an_order("T2", CHAT, later), programme, later)
        give(session, chat, 50, "gift", noon, 9)
        give(session, shop, 70, "bonus", noon, 3)
        redeem(session, shop, "coupon", 1, "r1", programme, noon)
        set_name(session, shop, "王芳")
        set_tier(session, shop, "leaf")
        opt_out(session, shop, noon)
        session.add(DialogRow(member_id=shop, chat="kf:1", step="redeem", state="{}", expires_at=later))
        session.add(PauseRow(member_id=shop, chat="kf:1", until=later, why="complaint"))
        session.flush()
    with database.transaction() as session:
        before = everything(session, both, noon)
        had = balances(session, both, noon)
        made = merge(session, chat, shop, evidence="same phone, verified", key="m1", at=noon, programme=programme)
        assert (made.keep_id, made.other_id, made.new) == (chat, shop, True)
        has = balance_of(session, chat, noon)
        assert has.available == had[chat].available + had[shop].available
        coming = lapses(session, chat, noon).days
        assert any(lapse.amount == 50 for lapse in coming)
        assert sum(lapse.amount for lapse in coming) == has.available
        assert balance_of(session, shop, noon).available == 0
        assert find(session, *SHOP) == find(session, *CHAT) == chat
        who = profiles(session, [chat])[chat]
        assert (who.name, who.tier, who.opted_out_at) == ("王芳", "leaf", noon)
        assert [order.at for order in purchases(session, [chat])[chat]] == [later, noon]
        assert session.execute(select(PurchaseSummary.member_id, PurchaseSummary.orders)).all() == [(chat, 2)]
        assert session.scalar(select(DialogRow.member_id)) == chat == session.scalar(select(PauseRow.member_id))
        assert len(of_member(session, chat)) == 1
        assert follow(session, [shop, chat]) == {shop: chat, chat: chat}
        assert findings(session) == []
    with database.transaction() as session:
        taken_back = unmerge(session, made.id, key="u1", at=noon)
        assert taken_back.undone_at == noon
        assert everything(session, both, noon) == before
        assert follow(session, [shop]) == {shop: shop}
        assert unmerge(session, made.id, key="u1", at=noon).new is False
        assert [one.undone_at for one in merges_of(session, chat)] == [noon]
        assert findings(session) == []


def test_a_merge_counts_once(database: Database, noon: datetime) -> None:
    """The same key changes nothing, two who are one stay one, another pair under the key is refused."""
    with database.transaction() as session:
        chat, shop = two(session, noon)
        third = resolve(session, [("openid", "oLi")], noon)[("openid", "oLi")]
        give(session, shop, 70, "bonus", noon)
        first = merge(session, chat, shop, evidence="same unionid", key="m1", at=noon)
        again = merge(session, chat, shop, evidence="same unionid", key="m1", at=noon)
        other_way = merge(session, shop, chat, evidence="same phone", key="m2", at=noon)
        assert (again.id, again.new) == (other_way.id, other_way.new) == (first.id, False)
        assert balance_of(session, chat, noon).available == 70
        with pytest.raises(KeyReused):
            merge(session, chat, third, evidence="?", key="m1", at=noon)
        with pytest.raises(NotMergeable):
            merge(session, chat, chat, evidence="?", key="m3", at=noon)
        with pytest.raises(UnknownMember):
            merge(session, chat, 999, evidence="?", key="m4", at=noon)


def test_merges_in_a_chain_are_taken_back_last_first(database: Database, noon: datetime) -> None:
    """A into B, B into C: A lives on as C; the first merge waits until the second is undone."""
    with database.transaction() as session:
        a, b, c = resolve(session, [("openid", name) for name in "abc"], noon).values()
        for number, member in enumerate((a, b, c)):
            give(session, member, 10 ** number, f"k{number}", noon)
        first = merge(session, b, a, evidence="1", key="m1", at=noon)
        second = merge(session, c, a, evidence="2", key="m2", at=noon)  # a is b by now
        assert (second.keep_id, second.other_id) == (c, b)
        assert follow(session, [a, b, c]) == {a: c, b: c, c: c}
        assert balance_of(session, c, noon).available == 111
        with pytest.raises(NotMergeable, match=f"undo merge {second.id} first"):
            unmerge(session, first.id, key="u1", at=noon)
        unmerge(session, second.id, key="u2", at=noon)
        unmerge(session, first.id, key="u1", at=noon)
        assert [balance_of(session, member, noon).available for member in (a, b, c)] == [1, 10, 100]
        with pytest.raises(NotMergeable, match="was undone"):
            unmerge(session, first.id, key="u3", at=noon)
        with pytest.raises(UnknownProposal):
            unmerge(session, 999, key="u4", at=noon)
        assert findings(session) == []


def test_what_was_spent_meanwhile_stays_spent(database: Database, noon: datetime) -> None:
    """Spent from what lapses first, whoever brought it; each gets back the rest, new points stay with the kept one."""
    with database.transaction() as session:
        chat, shop = two(session, noon)
        give(session, chat, 50, "k1", noon, 9)
        give(session, shop, 70, "k2", noon, 3)
        made = merge(session, chat, shop, evidence="same unionid", key="m1", at=noon)
        ledger.spend(session, chat, 30, key="s1", reason="redeem", at=noon)
        give(session, chat, 5, "k3", noon)
        unmerge(session, made.id, key="u1", at=noon)
        assert [balance_of(session, member, noon).available for member in (chat, shop)] == [55, 40]
        assert findings(session) == []


def owed(session: Session, *members: int) -> list[int]:
    """What each of them owes."""
    rows = session.execute(
        select(Account.owner, AccountBalance.balance).join(AccountBalance, AccountBalance.account_id == Account.id)
        .where(Account.kind == OWED))
    found = {row.owner: -row.balance for row in rows}
    return [found.get(member, 0) for member in members]


@pytest.mark.parametrize("debtor", ["chat", "shop"])
def test_a_debt_goes_over_and_comes_back(database: Database, noon: datetime, debtor: str) -> None:
    """Whoever owes: together they have what is left of both, apart each has and owes what they did."""
    with database.transaction() as session:
        chat, shop = two(session, noon)
        poor, rich = (chat, shop) if debtor == "chat" else (shop, chat)
        give(session, rich, 100, "k1", noon, 9)
        ledger.post(session, [owing(poor, 30, "debt", "refund", "T1", reverses=None)], noon)
        made = merge(session, chat, shop, evidence="same unionid", key="m1", at=noon)
        has = balance_of(session, chat, noon).available
        assert has == 70 and owed(session, shop) == [0]
        assert findings(session) == []
        unmerge(session, made.id, key="u1", at=noon)
        assert owed(session, poor, rich) == [30, 0]
        assert [balance_of(session, member, noon).available for member in (poor, rich)] == [-30, 100]
        assert findings(session) == []


def test_points_that_come_late_are_carried_over(database: Database, noon: datetime, programme: Programme) -> None:
    """A hold of the other one that is released, or a redemption undone, ends with the kept member; twice as well."""
    with database.transaction() as session:
        chat, shop = two(session, noon)
        give(session, shop, 70, "k1", noon, 9)
        held = ledger.hold(session, shop, 30, key="h1", reason="draw", until=noon + timedelta(hours=1), at=noon)
        done = redeem(session, shop, "coupon", 1, "r1", programme, noon)
        merge(session, chat, shop, evidence="same unionid", key="m1", at=noon)
        assert held.new and balance_of(session, chat, noon).available == 20
        ledger.release(session, "h1", key="h1 off", at=noon)
        undo(session, done.id, chat, "undo r1", programme, noon)
        assert carry_over(session, noon) == 1
        assert carry_over(session, noon) == 0
        assert (balance_of(session, chat, noon).available, balance_of(session, shop, noon).available) == (70, 0)
        assert findings(session) == []


def test_who_said_no_meanwhile_said_it_for_both(database: Database, noon: datetime) -> None:
    """An opt-out after the merge survives the undoing on both sides; a name given meanwhile stays with the kept one."""
    with database.transaction() as session:
        chat, shop = two(session, noon)
        made = merge(session, chat, shop, evidence="same unionid", key="m1", at=noon)
        opt_out(session, chat, noon)
        set_name(session, chat, "芳芳")
        unmerge(session, made.id, key="u1", at=noon)
        found = profiles(session, [chat, shop])
        assert [found[member].opted_out_at for member in (chat, shop)] == [noon, noon]
        assert [found[member].name for member in (chat, shop)] == ["芳芳", ""]


def test_a_row_without_a_free_place_stays_behind(database: Database, noon: datetime) -> None:
    """Both have a dialog in one chat: the kept one's goes on, the other's waits where it is."""
    with database.transaction() as session:
        chat, shop = two(session, noon)
        for member in (chat, shop):
            session.add(DialogRow(member_id=member, chat="kf:1", step=f"of {member}", state="{}", expires_at=noon))
        session.flush()
        made = merge(session, chat, shop, evidence="same unionid", key="m1", at=noon)
        mine = select(DialogRow.step).where(DialogRow.member_id == chat)
        assert session.scalars(mine).all() == [f"of {chat}"]
        unmerge(session, made.id, key="u1", at=noon)
        assert session.scalar(select(func.count()).select_from(DialogRow)) == 2


def test_every_table_that_names_a_member_follows() -> None:
    """Tables of chat and follow-up are found by their column, nobody has to remember them."""
    found = {table.name for table, _ in member_columns()}
    assert {"orders", "identities", "redemptions", "dialogs", "pauses", "verdicts", "member_tags"} <= found


@pytest.mark.parametrize("seed", [7, 20260310, 99])
def test_random_lives_with_merges_keep_the_books(database: Database, noon: datetime, seed: int) -> None:
    """Earn, spend, merge, split in any order: nothing is made or lost, and the audit finds nothing."""
    dice, now, total = random.Random(seed), noon, 0
    with database.transaction() as session:
        people = list(resolve(session, [("openid", f"p{n}") for n in range(5)], noon).values())
        standing: list[int] = []
        for step in range(60):
            one, other = dice.sample(people, 2)
            now += timedelta(hours=1)
            match dice.randrange(5):
                case 0 | 1:
                    alive = follow(session, [one])[one]
                    total += (amount := dice.randint(1, 99))
                    give(session, alive, amount, f"k{step}", now, 400)
                case 2:
                    alive = follow(session, [one])[one]
                    amount = dice.randint(1, max(1, balance_of(session, alive, now).available))
                    if amount <= balance_of(session, alive, now).available:
                        ledger.spend(session, alive, amount, key=f"s{step}", reason="redeem", at=now)
                        total -= amount
                case 3:
                    made = merge(session, one, other, evidence="dice", key=f"m{step}", at=now)
                    standing += [made.id] if made.new else []
                case 4 if standing:
                    unmerge(session, standing.pop(), key=f"u{step}", at=now)
            assert sum(found.available for found in balances(session, people, now).values()) == total, f"step {step}"
        assert findings(session) == []
