"""The facts of a customer that expressions and texts may name, and what stands there when nothing is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from loyalty.conditions import ORDER_FACTS, Condition

_NAME: Final = re.compile(r"[a-z_]+")
NEVER_DAYS: Final = 9999
"""So many days ago, or ahead, means: never."""

FACTS: Final[Mapping[str, Any]] = {
    "name": "", "tier": "", "tier_name": "", "product": "", "bundle": "", "rep": "", "rep_name": "",
    "channel_code": "", "points_lapse_on": "", "woken_by": "", "brand": "", "points_name": "", "link": "",
    "quote": "", "said": "", "variant": "",
    "points": 0, "points_lapsing": 0, "points_lapse_days": NEVER_DAYS, "orders": 0, "spent_yuan": 0.0, "groups": 0,
    "days_since_order": NEVER_DAYS, "days_since_added": NEVER_DAYS, "days_since_joined": NEVER_DAYS,
    "days_since_complaint": NEVER_DAYS, "days_since_message": NEVER_DAYS, "days_since_start": 0,
    "plan_days_left": 0, "cycle_days": 0, "own_cycle_days": 0, "stored_value_yuan": 0.0,
    "event_amount_yuan": 0.0, "event_points": 0, "event_days": 0, "event_name": "", "event_tier": "", "event_code": "",
    "joined": False, "opted_out": False, "ordered_since_start": False, "redeemed_since_start": False,
    "replied_since_start": False, "kf_open": False, "oa_open": False,
    "tags": (),
}  # fmt: skip
"""Every fact with its value when nothing is known; texts may use `event.NAME` besides."""

_LIKE: Final = {str: "shop", int: "pieces", float: "amount_yuan", bool: "first_order", tuple: "skus"}
TYPES: Final[Mapping[str, Any]] = {name: ORDER_FACTS[_LIKE[type(value)]] for name, value in FACTS.items()}
"""What kind of value each fact is, in the terms of the language of conditions."""


@cache
def condition(source: str) -> Condition:
    """The expression behind a text, compiled once; raises ValueError with the mend."""
    named = {name: TYPES[name] for name in _NAME.findall(source) if name in TYPES}
    try:
        return Condition(source, named)  # it asks for every fact it was told of, so it is told of those it names
    except ValueError:
        return Condition(source, TYPES)
