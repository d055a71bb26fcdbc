"""What a brand may set about fraud: what is too much, too fast or too alike. Every key has a sane default."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from loyalty.parts import Part, Slug

Share = Annotated[float, Field(gt=0, le=1)]
Score = Annotated[int, Field(ge=1, le=100)]
Hours = Annotated[float, Field(gt=0, le=24 * 90)]


class Pace(Part):
    """So many within so many hours is too fast."""

    times: Annotated[int, Field(ge=2)]
    within_h: Hours


class FraudPolicy(Part):
    """Each rule looks back `look_back_days`; `hold_from_score` holds points without being asked, none: never.

    `shared_kinds` are the names and hints that tie members together; a value that more than `crowd` members share is
    a place (an office, a dormitory), and ties nobody. What scores below `least_score` is not told.
    """

    look_back_days: PositiveInt = 30
    orders: Pace = Pace(times=6, within_h=2)
    activities: Pace = Pace(times=30, within_h=1)
    redemptions: Pace = Pace(times=4, within_h=1)
    accounts_on_one: Annotated[int, Field(ge=2)] = 4
    refunds: Annotated[int, Field(ge=2)] = 3
    refunded_share: Share = 0.6
    ring_referrals: PositiveInt = 2
    shared_kinds: tuple[Slug, ...] = ("phone", "unverified_phone", "device", "name_address")
    one_person_kinds: tuple[Slug, ...] = ("phone", "unverified_phone", "device")
    crowd: Annotated[int, Field(ge=3)] = 25
    empty_referrals: Annotated[int, Field(ge=2)] = 6
    least_score: Score = 50
    hold_from_score: Score | None = None
    hold_days: PositiveInt = 14
