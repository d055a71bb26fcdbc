"""Draws: rolled from a seed that was committed before, decided by stored odds, replayed by anyone who audits."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.orm import Session

from loyalty import coupons
from loyalty.accounts import CHANCES, lock_member
from loyalty.answers import answer_once
from loyalty.balances import balance_of
from loyalty.days import local_day
from loyalty.errors import LimitReached, LoyaltyError, NotEnough, RewardClosed, UnknownOffer
from loyalty.expiry import expires_at
from loyalty.handover import Links
from loyalty.ledger import earn, spend
from loyalty.programme import Programme
from loyalty.red_packets import order_packet
from loyalty.redemptions import grant
from loyalty.reward_parts import MILLION, Lottery, Prize
from loyalty.reward_tables import Draw, LotterySeed, OddsTable, PrizeCount
from loyalty.tables import table_of
from loyalty.writing import body_hash, insert_new

Odds = Sequence[Sequence[Any]]
_SEEDS, _COUNTS = table_of(LotterySeed), table_of(PrizeCount)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a draw gave. `landed` is where the roll fell; `why` says why the prize is another one, or is empty.

    `given` is the code of the coupon or redemption, where the prize has one; `chances` are left.
    """

    id: int
    lottery_id: str
    prize_id: str
    name: str
    landed: str
    why: str
    given: str
    roll: int
    seed_hash: str
    chances: int


@dataclass(frozen=True, slots=True)
class Seed:
    """A committed seed; the seed itself is shown only after it is revealed."""

    lottery_id: str
    seed_hash: str
    seed: str | None
    committed_at: datetime
    revealed_at: datetime | None


def give_chances(session: Session, member_id: int, count: int, key: str, reason: str, at: datetime, ref: str = "",
                 lapse_at: datetime | None = None) -> int:
    """Give chances to draw; answers how many the member has now. Raises UnknownMember, KeyReused."""
    earn(session, member_id, count, key=key, reason=reason, ref=ref, at=at, expires_at=lapse_at, asset=CHANCES)
    return balance_of(session, member_id, at, CHANCES).available


def open_seed(session: Session, lottery_id: str, at: datetime) -> Seed:
    """The seed the next draws are rolled from: show its hash before the first of them; made where there is none."""
    row = _open(session, lottery_id)
    while row is None:
        seed = secrets.token_hex(32)
        insert_new(session, LotterySeed, [{"lottery_id": lottery_id, "seed": seed, "seed_hash": seed_hash(seed),
                                           "committed_at": at}], ["id"])
        row = _open(session, lottery_id)
    return Seed(lottery_id, row.seed_hash, None, row.committed_at, None)


def committed(session: Session, lottery_id: str) -> str | None:
    """The hash of the seed that binds the next draws, or none before the first commitment."""
    row = _open(session, lottery_id)
    return None if row is None else str(row.seed_hash)


def reveal_seed(session: Session, lottery_id: str, at: datetime) -> Seed:
    """Show the seed of all draws so far, so that everybody can roll them again, and commit to a new one."""
    open_seed(session, lottery_id, at)
    row = session.execute(
        update(_SEEDS).where(LotterySeed.lottery_id == lottery_id, LotterySeed.revealed_at.is_(None))
        .values(revealed_at=at).returning(*_SEEDS.c)).first()
    open_seed(session, lottery_id, at)
    if row is None:
        raise UnknownOffer("open seed of lottery", lottery_id)
    return Seed(lottery_id, row.seed_hash, row.seed, row.committed_at, row.revealed_at)


def seed_hash(seed: str) -> str:
    """The commitment to a seed: SHA-256 over its hex digits as text."""
    return hashlib.sha256(seed.encode()).hexdigest()


def roll(seed: str, lottery_id: str, member_id: int, key: str) -> int:
    """A number from 0 to 999,999: HMAC-SHA256 under the seed, drawn again where a remainder would favour some."""
    for attempt in range(100):
        text = f"{lottery_id}\n{member_id}\n{key}\n{attempt}"
        number = int.from_bytes(hmac.digest(seed.encode(), text.encode(), "sha256")[:8], "big")
        if number < (1 << 64) - (1 << 64) % MILLION:
            return number % MILLION
    raise RuntimeError("a hundred rolls in a row fell into the remainder: the hash is broken")


def land(odds: Odds, consolation: str, rolled: int) -> str:
    """The prize a roll falls on: prizes lie side by side in their order, the rest is the consolation's."""
    edge = 0
    for prize_id, share in odds:
        edge += share
        if rolled < edge:
            return str(prize_id)
    return consolation


def draw(session: Session, member_id: int, lottery_id: str, key: str, programme: Programme, at: datetime,
         links: Links | None = None) -> Drawn:
    """Spend one chance and draw; the same key again gives the same draw.

    A prize that is out, over its day's or the member's limit, or refused by what it gives, becomes the consolation,
    with the reason stored. Raises UnknownOffer, RewardClosed, LimitReached, NotEnough, UnknownMember, KeyReused.
    """
    def work() -> Drawn:
        lottery = programme.lottery(lottery_id)
        lock_member(session, member_id, "points")
        day = local_day(at, programme.zone).isoformat()
        _check(session, member_id, lottery, day, at)
        seed = _seed_row(session, lottery_id, at)
        spend(session, member_id, 1, key=f"draw:{key}", reason="draw", ref=lottery_id, at=at, asset=CHANCES)
        rolled = roll(seed.seed, lottery_id, member_id, key)
        odds = _odds(lottery)
        landed = land(odds, lottery.consolation, rolled)
        prize, given, why = _award(session, member_id, lottery, lottery.prize(landed), day, key, programme, at, links)
        [row] = insert_new(session, Draw, [{
            "key": key, "member_id": member_id, "rolled_for": member_id, "lottery_id": lottery_id, "seed_id": seed.id,
            "odds_hash": _keep_odds(session, lottery, odds), "roll": rolled, "landed": landed, "prize_id": prize.id,
            "why": why, "given": given, "day": day, "at": at,
        }], ["id"])
        left = balance_of(session, member_id, at, CHANCES).available
        return Drawn(row.id, lottery_id, prize.id, prize.name, landed, why, given, rolled, seed.seed_hash, left)

    return answer_once(session, f"draw:{key}", [member_id, lottery_id], Drawn, work, at)


def _check(session: Session, member_id: int, lottery: Lottery, day: str, at: datetime) -> None:
    if not lottery.is_open(at):
        raise RewardClosed(lottery.id, lottery.open_from, lottery.open_to)
    if lottery.per_member_day is not None:
        drawn = session.scalar(select(func.count()).where(
            Draw.member_id == member_id, Draw.lottery_id == lottery.id, Draw.day == day)) or 0
        if drawn >= lottery.per_member_day:
            raise LimitReached(lottery.id, lottery.per_member_day, drawn)
    chances = balance_of(session, member_id, at, CHANCES).available
    if chances < 1:
        raise NotEnough(1 - chances, chances)


def _award(session: Session, member_id: int, lottery: Lottery, prize: Prize, day: str, key: str,
           programme: Programme, at: datetime, links: Links | None) -> tuple[Prize, str, str]:
    """The prize given, the code it has, and why it is not the one the roll fell on."""
    why = _against(session, member_id, lottery, prize, day)
    if not why:
        try:
            return prize, _give(session, member_id, prize, key, programme, at, links), ""
        except LoyaltyError as error:
            why = str(error)
            _uncount(session, lottery, prize, day)
    consolation = lottery.prize(lottery.consolation)
    return consolation, _give(session, member_id, consolation, key, programme, at, links), why


def _against(session: Session, member_id: int, lottery: Lottery, prize: Prize, day: str) -> str:
    """What stands against a prize, or nothing: then it is counted."""
    if prize.per_member is not None:
        had = session.scalar(select(func.count()).where(
            Draw.member_id == member_id, Draw.lottery_id == lottery.id, Draw.prize_id == prize.id)) or 0
        if had >= prize.per_member:
            return "the member had it as often as allowed"
    if not _counted(session, lottery, prize, "", prize.stock):
        return "none is left"
    if not _counted(session, lottery, prize, day, prize.per_day):
        _uncount(session, lottery, prize, "", only=True)
        return "none is left today"
    return ""


def _counted(session: Session, lottery: Lottery, prize: Prize, day: str, most: int | None) -> bool:
    """Count one more in one guarded statement; unlimited prizes keep no count, so that nothing hot is locked."""
    if most is None:
        return True
    row = {"lottery_id": lottery.id, "prize_id": prize.id, "day": day}
    insert_new(session, PrizeCount, [row | {"given": 0}], ["given"])
    done = session.execute(
        update(_COUNTS).where(*(_COUNTS.c[name] == value for name, value in row.items()), _COUNTS.c.given < most)
        .values(given=_COUNTS.c.given + 1).returning(_COUNTS.c.given)).first()
    return done is not None


def _uncount(session: Session, lottery: Lottery, prize: Prize, day: str, only: bool = False) -> None:
    limits = {"": prize.stock} if only else {"": prize.stock, day: prize.per_day}
    days = [name for name, most in limits.items() if most is not None]
    session.execute(update(_COUNTS).where(_COUNTS.c.lottery_id == lottery.id, _COUNTS.c.prize_id == prize.id,
                                          _COUNTS.c.day.in_(days)).values(given=_COUNTS.c.given - 1))


def _give(session: Session, member_id: int, prize: Prize, key: str, programme: Programme, at: datetime,
          links: Links | None) -> str:
    """Hand the prize over; the code it has, or nothing."""
    own = f"prize:{key}"
    if prize.points is not None:
        earn(session, member_id, prize.points, key=own, reason="lottery", ref=prize.id, at=at,
             expires_at=expires_at(programme, at))
    if prize.coupon is not None:
        return coupons.issue(session, member_id, prize.coupon, own, programme, at, own).code
    if prize.reward is not None:
        return grant(session, member_id, prize.reward, own, programme, at, links).code
    if prize.packet_fen is not None:
        order_packet(session, member_id, prize.packet_fen, prize.name, own, at)
    return ""


def _odds(lottery: Lottery) -> list[list[Any]]:
    return [[prize.id, prize.odds] for prize in lottery.prizes]


def _keep_odds(session: Session, lottery: Lottery, odds: Odds) -> str:
    stored = {"odds": odds, "consolation": lottery.consolation}
    hashed = body_hash([lottery.id, stored])
    known = session.scalar(select(OddsTable.odds_hash).where(OddsTable.odds_hash == hashed))
    if known is None:
        insert_new(session, OddsTable, [{"odds_hash": hashed, "lottery_id": lottery.id, **stored}], ["odds_hash"])
    return hashed


def _open(session: Session, lottery_id: str) -> Row[Any] | None:
    return session.execute(select(_SEEDS).where(
        LotterySeed.lottery_id == lottery_id, LotterySeed.revealed_at.is_(None))).first()


def _seed_row(session: Session, lottery_id: str, at: datetime) -> Row[Any]:
    """The open seed, kept from being revealed until this draw is stored; draws do not wait for each other."""
    open_seed(session, lottery_id, at)
    row = session.execute(select(_SEEDS).where(
        LotterySeed.lottery_id == lottery_id, LotterySeed.revealed_at.is_(None)).with_for_update(read=True)).first()
    if row is None:
        return _seed_row(session, lottery_id, at)
    return row
