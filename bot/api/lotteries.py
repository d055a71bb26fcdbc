"""/lotteries: what can be won, chances to draw, draws, and the proof that they were fair."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Annotated

from pydantic import Field
from sqlalchemy.orm import Session

from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.people import MemberRef, member_of
from loyalty import lottery
from loyalty.errors import LimitReached, NotEnough, UnknownMember, UnknownOffer
from loyalty.lottery_audit import fairness, replay
from loyalty.orders import Name, PlausibleMoment
from loyalty.programme import Slug
from loyalty.reward_parts import MILLION, Lottery

MOST_FINDINGS = 100


class LotteryAddress(Asked):
    """Which lottery."""

    lottery_id: Slug


class DrawIn(Asked):
    """Who draws; it costs one chance."""

    member: MemberRef


class ChancesIn(Asked):
    """Chances to draw for a member; they lapse at `expires_at` where it is given."""

    member: MemberRef
    count: Annotated[int, Field(ge=1, le=10_000)]
    reason: Name
    expires_at: PlausibleMoment | None = None


class PrizeShown(Told):
    """A prize and its odds in a million; the consolation has what the others leave."""

    id: str
    name: str
    odds: int


class LotteryShown(Told):
    """A lottery; `seed_hash` is what its next draws are bound to, shown before them."""

    id: str
    name: str
    is_open: bool
    open_from: datetime | None
    open_to: datetime | None
    per_member_day: int | None
    prizes: list[PrizeShown]
    consolation: str
    seed_hash: str | None


class LotteriesShown(Told):
    """The programme's lotteries."""

    lotteries: list[LotteryShown]


class ChancesShown(Told):
    """How often a member may draw now."""

    member_id: int
    chances: int


class DrawnShown(Told):
    """What a draw gave; `landed` is where the roll fell, `why` says why the prize is another one."""

    id: int
    member_id: int
    lottery_id: str
    prize_id: str
    name: str
    landed: str
    why: str
    given: str
    roll: int
    seed_hash: str
    chances: int


class SeedShown(Told):
    """A seed that was revealed: with it everybody can roll the draws it bound again."""

    lottery_id: str
    seed_hash: str
    seed: str | None
    committed_at: datetime
    revealed_at: datetime | None


class FairnessShown(Told):
    """How draws fell under one table of odds; a `p_value` below a thousandth deserves a look."""

    odds_hash: str
    draws: int
    landed: dict[str, int]
    expected: dict[str, float]
    degrees: int
    p_value: float


class AuditShown(Told):
    """The draws of a lottery made again: whatever does not come out as it is stored, and how the prizes fell."""

    lottery_id: str
    findings: list[str]
    fairness: list[FairnessShown]


def show_lotteries(session: Session, call: Call[Nothing, Nothing, None]) -> tuple[int, Told]:
    """Every lottery with its prizes and odds."""
    return 200, LotteriesShown(lotteries=[_shown(session, one, call.at) for one in call.programme.lotteries])


def commit_seed(session: Session, call: Call[LotteryAddress, Nothing, None]) -> tuple[int, Told]:
    """Bind the next draws to a seed, before anybody draws."""
    call.programme.lottery(call.path.lottery_id)
    return 200, SeedShown.model_validate(lottery.open_seed(session, call.path.lottery_id, call.at))


def reveal(session: Session, call: Call[LotteryAddress, Nothing, None]) -> tuple[int, Told]:
    """Show the seed of all draws so far, and bind the next ones to another."""
    call.programme.lottery(call.path.lottery_id)
    return 200, SeedShown.model_validate(lottery.reveal_seed(session, call.path.lottery_id, call.at))


def give_chances(session: Session, call: Call[Nothing, Nothing, ChancesIn]) -> tuple[int, Told]:
    """Let a member draw so many times more."""
    body, member_id = call.body, member_of(session, call.body.member)
    chances = lottery.give_chances(session, member_id, body.count, call.key, body.reason, call.at,
                                   lapse_at=body.expires_at)
    return 201, ChancesShown(member_id=member_id, chances=chances)


def draw(session: Session, call: Call[LotteryAddress, Nothing, DrawIn]) -> tuple[int, Told]:
    """Spend a chance and draw."""
    member_id = member_of(session, call.body.member)
    drawn = lottery.draw(session, member_id, call.path.lottery_id, call.key, call.programme, call.at, call.links)
    return 201, DrawnShown(member_id=member_id, **{name: getattr(drawn, name) for name in drawn.__slots__})


def show_audit(session: Session, call: Call[LotteryAddress, Nothing, None]) -> tuple[int, Told]:
    """Roll every draw again and compare."""
    lottery_id = call.programme.lottery(call.path.lottery_id).id
    return 200, AuditShown(lottery_id=lottery_id, findings=list(islice(replay(session, lottery_id), MOST_FINDINGS)),
                           fairness=[FairnessShown.model_validate(one) for one in fairness(session, lottery_id)])


def _shown(session: Session, one: Lottery, now: datetime) -> LotteryShown:
    left = MILLION - sum(prize.odds for prize in one.prizes)
    prizes = [PrizeShown(id=prize.id, name=prize.name, odds=prize.odds + (left if prize.id == one.consolation else 0))
              for prize in one.prizes]
    return LotteryShown(id=one.id, name=one.name, is_open=one.is_open(now), open_from=one.open_from,
                        open_to=one.open_to, per_member_day=one.per_member_day, prizes=prizes,
                        consolation=one.consolation, seed_hash=lottery.committed(session, one.id))


ENDPOINTS = (
    Endpoint("GET", "/api/v1/lotteries", "lotteries:read", "Lotteries with prizes and odds", show_lotteries,
             LotteriesShown),
    Endpoint("POST", "/api/v1/lotteries/chances", "lotteries:write", "Give chances to draw", give_chances, ChancesShown,
             body=ChancesIn, statuses=(201,), parts={UnknownMember: "member"}),
    Endpoint("POST", "/api/v1/lotteries/{lottery_id}/draws", "lotteries:write", "Draw", draw, DrawnShown,
             params=LotteryAddress, body=DrawIn, statuses=(201,), part="lottery_id",
             parts={UnknownMember: "member", NotEnough: "member", LimitReached: "member"}),
    Endpoint("POST", "/api/v1/lotteries/{lottery_id}/seed", "lotteries:write", "Bind the next draws to a seed",
             commit_seed, SeedShown, params=LotteryAddress, part="lottery_id", parts={UnknownOffer: "lottery_id"}),
    Endpoint("POST", "/api/v1/lotteries/{lottery_id}/reveal", "lotteries:write", "Show the seed of the draws so far",
             reveal, SeedShown, params=LotteryAddress, part="lottery_id"),
    Endpoint("GET", "/api/v1/lotteries/{lottery_id}/audit", "lotteries:read", "Make every draw again and compare",
             show_audit, AuditShown, params=LotteryAddress, part="lottery_id"),
)
