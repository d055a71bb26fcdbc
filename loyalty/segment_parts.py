"""Segments as a brand writes them: a name and a condition over what is known about members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field, field_validator

from loyalty.conditions import ORDER_FACTS, check
from loyalty.lifecycle import PROSPECT
from loyalty.parts import Part, Slug, Text

NEVER_DAYS: Final = 9999
"""So many days ago, or ahead, means: never."""

FACTS: Final[Mapping[str, Any]] = {
    "tier": "", "stage": PROSPECT, "channel": "",
    "orders": 0, "spent_yuan": 0.0, "average_yuan": 0.0, "points": 0, "stored_value_yuan": 0.0,
    "days_since_order": NEVER_DAYS, "days_since_first_order": NEVER_DAYS, "days_since_joined": NEVER_DAYS,
    "own_cycle_days": 0.0, "days_overdue": -NEVER_DAYS, "birthday_month": 0,
    "rfm_recency": 0, "rfm_frequency": 0, "rfm_amount": 0,
    "churn": 0.0, "value_score": 0, "brand_score": 0, "retention_score": 0, "value_ahead_yuan": 0.0,
    "joined": False, "opted_out": False, "paid_plan": False,
    "tags": (), "skus": (),
}  # fmt: skip
"""Every fact of a segment with its value when nothing is known."""

_LIKE: Final = {str: "shop", int: "pieces", float: "amount_yuan", bool: "first_order", tuple: "skus"}
TYPES: Final[Mapping[str, Any]] = {name: ORDER_FACTS[_LIKE[type(value)]] for name, value in FACTS.items()}
"""What kind of value each fact is, in the terms of the language of conditions."""


class Segment(Part):
    """A group of members a brand gives a name: everybody `when` holds for."""

    id: Slug
    name: Text
    when: Annotated[str, Field(min_length=1)]

    @field_validator("when")
    @classmethod
    def _condition(cls, value: str) -> str:
        return check(value, TYPES)
