"""Who reacts to what: every scenario with code and every dialog step, in one visible list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from handlers import consent, points, redemption, selling, service, simple
from handlers.talk.turn import Scene, Turn

URGENT: Final = ("opt_out", "human_agent", "complaint")
"""These go before an open dialog, in this order."""

SCENARIOS: Final[dict[str, Callable[[Turn], Scene]]] = {
    "points_query": points.tell,
    "points_redeem": redemption.start,
    "running_out": selling.refill,
    "buying_for_friend": selling.bring_friend,
    "human_agent": service.call_person,
    "complaint": service.soothe,
    "opt_out": consent.stop,
}

STEPS: Final[dict[str, Callable[[Turn], Scene]]] = {
    "choose": redemption.choose,
    "confirm": redemption.confirm,
    "undo": redemption.confirm_undo,
}

ORDER: Final = (
    *URGENT, "return_exchange", "order_logistics", "appointment", "points_query", "stored_value", "membership",
    "points_rules", "promotion_query", "product_question", "purchase_intent", "switch_product", "running_out",
    "buying_for_friend", "check_in", "praise_share", "points_redeem",
)  # fmt: skip
"""Several scenarios in one message are served in this order: the urgent first, what asks back last."""


def scene_of(turn: Turn, scenario_id: str) -> Scene:
    """The scene of a scenario: its code where it has some, else the words of its file."""
    handler = SCENARIOS.get(scenario_id)
    return handler(turn) if handler else simple.answer(turn, scenario_id)
