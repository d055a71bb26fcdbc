"""Who reacts to what: every scenario with code and every dialog step, in one visible list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from handlers import (
    allusions,
    appointments,
    check_in,
    complaints,
    consent,
    joining,
    logistics,
    membership,
    points,
    products,
    redemption,
    returns,
    selling,
    service,
    simple,
    stored_value,
    survey,
    undo,
)
from handlers.talk.turn import Scene, Turn

URGENT: Final = ("opt_out", "human_agent", "complaint")
"""These go before an open dialog, in this order."""

WITH_COMPLAINT: Final = frozenset({"return_exchange", "order_logistics", "appointment", "points_query"})
"""Served after the apology when a complaint says them too; nothing that sells."""

SCENARIOS: Final[dict[str, Callable[[Turn], Scene]]] = {
    "points_query": points.tell,
    "points_redeem": redemption.start,
    "points_rules": points.rules,
    "membership": membership.tell,
    "stored_value": stored_value.tell,
    "check_in": check_in.tell,
    "running_out": selling.refill,
    "buying_for_friend": selling.bring_friend,
    "human_agent": service.call_person,
    "complaint": complaints.soothe,
    "opt_out": consent.stop,
    "return_exchange": returns.start,
    "order_logistics": logistics.tell,
    "appointment": appointments.start,
    "product_question": products.answer,
}


@dataclass(frozen=True, slots=True)
class DialogStep:
    """How an open dialog goes on: `play` is its scene, `is_about` says whether a message speaks of it.

    `scenarios` are its own; any other that is heard is served in between, then `recall` may remind of what is open.
    `late` answers what comes after its time; without it such a message begins afresh. What `survives` goes first and
    leaves the dialog open. A dialog that `lingers` asks for nothing: it takes only what speaks of it. `takes` are the
    kinds of messages it understands; with `despite_pause` it goes on where a person has taken over, and its answers are
    nothing urgent (不满意).
    """

    play: Callable[[Turn], Scene]
    is_about: Callable[[Turn], bool]
    scenarios: frozenset[str]
    recall: Callable[[Turn], Scene] | None = None
    late: Callable[[Turn], Scene | None] | None = None
    survives: frozenset[str] = frozenset()
    lingers: bool = False
    takes: frozenset[str] = frozenset({"text"})
    despite_pause: bool = False


def _redeeming(play: Callable[[Turn], Scene], recall: Callable[[Turn], Scene] | None = None) -> DialogStep:
    return DialogStep(play, redemption.is_about, frozenset({"points_redeem"}), recall, redemption.late)


STEPS: Final[dict[str, DialogStep]] = {
    "choose": _redeeming(redemption.choose),
    "confirm": _redeeming(redemption.confirm, redemption.remind),
    "considered": DialogStep(
        redemption.choose, allusions.picks, frozenset({"points_redeem"}), late=redemption.late, lingers=True
    ),
    "undo": DialogStep(undo.confirm, undo.is_about, frozenset({"points_redeem"}), undo.remind, redemption.late),
    "join": DialogStep(
        lambda turn: joining.answer(turn, redemption.start), joining.is_about, frozenset({"membership"}), joining.remind
    ),
    "phone": DialogStep(joining.take_phone, joining.speaks_of_phone, frozenset({"membership"}), lingers=True),
}

_RETURN: Final = frozenset({"return_exchange"})
_VISIT: Final = frozenset({"appointment"})
_COMPLAINT: Final = frozenset({"complaint"})
_PHOTOS: Final = frozenset({"text", "image"})

STEPS.update({
    "return": DialogStep(
        returns.collect, returns.is_about, _RETURN, returns.remind, returns.late, _COMPLAINT, takes=_PHOTOS
    ),
    "return_open": DialogStep(returns.after, returns.is_about_open, _RETURN, lingers=True, takes=_PHOTOS),
    "order_case": DialogStep(logistics.collect, logistics.is_about, frozenset({"order_logistics"})),
    "product": DialogStep(products.choose, products.is_about, frozenset({"product_question"})),
    "product_lately": DialogStep(
        products.follow, products.is_follow_up, frozenset({"product_question"}), lingers=True
    ),
    "appointment": DialogStep(
        appointments.collect, appointments.is_about, _VISIT, appointments.remind, appointments.late, _COMPLAINT
    ),
    "appointment_cancel": DialogStep(appointments.confirm_cancel, appointments.is_pick, _VISIT),
    "appointment_which": DialogStep(appointments.pick_change, appointments.is_pick, _VISIT),
    "appointment_done": DialogStep(appointments.after_booking, appointments.is_change, _VISIT, lingers=True),
    "survey": DialogStep(survey.answer, survey.is_score, frozenset(), lingers=True, despite_pause=True),
    "survey_reason": DialogStep(survey.reason, survey.is_reason, frozenset(), lingers=True, despite_pause=True),
})  # fmt: skip

OWN: Final = "*"
"""Stands for every scenario that a brand added as a file."""

ORDER: Final = (
    *URGENT, "return_exchange", "order_logistics", "appointment", "points_query", "stored_value", "membership",
    "points_rules", "promotion_query", "product_question", "purchase_intent", "switch_product", OWN,
    "running_out", "buying_for_friend", "check_in", "praise_share", "points_redeem",
)  # fmt: skip
"""Several scenarios in one message are served in this order: the urgent first, what asks back last."""


def rank(scenario_id: str) -> tuple[int, str]:
    """Where a scenario stands in `ORDER`; a brand's own ones by their ids."""
    return ORDER.index(scenario_id if scenario_id in ORDER else OWN), scenario_id


def scene_of(turn: Turn, scenario_id: str) -> Scene:
    """The scene of a scenario: its code where it has some, else the words of its file."""
    handler = SCENARIOS.get(scenario_id)
    return handler(turn) if handler else simple.answer(turn, scenario_id)
