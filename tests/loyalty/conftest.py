"""What the loyalty tests share: a fixed moment, a small programme and a person."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from loyalty.programme import Programme

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)


@pytest.fixture
def noon() -> datetime:
    """12:00 in Shanghai on 10 March 2026."""
    return NOON


@pytest.fixture
def programme() -> Programme:
    """Two tiers, four rewards, points that lapse after 30 days."""
    return Programme.model_validate({
        "name": "青禾",
        "earning": {"points_per_yuan": "1.5", "most_per_order": 5000},
        "expiry": {"rule": "after_days", "days": 30},
        "undo_within_min": 60,
        "tiers": [
            {"id": "seed", "name": "青芽", "from_amount_fen": 0},
            {"id": "leaf", "name": "青叶", "from_amount_fen": 50_000, "factor": "2"},
        ],
        "products": [{"sku": "QH-30", "name": "挂耳咖啡30包", "cycle_days": 30}],
        "rewards": [
            {"id": "mug", "name": "陶瓷马克杯", "aliases": ["杯子"], "cost_points": 100, "stock": 5, "per_member": 2},
            {"id": "coupon", "name": "10元券", "cost_points": 20, "way": "coupon", "handover": "到网店结账时填券码"},
            {"id": "kettle", "name": "手冲壶", "cost_points": 50, "stock": 3, "tier": "leaf"},
            {"id": "spring", "name": "春日礼盒", "cost_points": 10, "stock": 3,
             "open_from": "2026-04-01T00:00:00+08:00", "open_to": "2026-05-01T00:00:00+08:00"},
        ],
    })
