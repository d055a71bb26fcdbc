"""A private question asked in a group: answered where the person can be reached alone, while the group stays silent."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import msgspec

from handlers import others
from handlers.talk.answers import is_answer
from handlers.talk.turn import Turn
from handlers.talk.windows import Window

PRIVATE: Final = frozenset({"points_query", "points_redeem", "membership", "stored_value", "order_logistics"})
"""What is asked of oneself: the answer holds a balance, a history, an order."""
URGENT: Final = frozenset({"opt_out", "human_agent", "complaint"})


class Parted(NamedTuple):
    """A message in a group taken apart: what is answered alone, and what the group's own handling is left with."""

    alone: Turn
    rest: Turn | None


def concerns_self(turn: Turn) -> bool:
    """Whether a group message asks something private. A bare yes or a number answers nothing here or elsewhere."""
    found = {scored.id for scored in turn.verdict.scenarios}
    if turn.message.channel != "group" or not found & PRIVATE or found & URGENT or others.asks(turn.text, found):
        return False
    return not is_answer(turn.text)


def part(turn: Turn, window: Window) -> Parted:
    """The turn as if it had been said in the window, and the turn without it where more was said."""
    identity = "openid" if window.channel == "oa" else "external_userid"
    message = msgspec.structs.replace(
        turn.message, channel=window.channel, chat=window.chat, sender=window.sender, identity=identity
    )
    private = tuple(scored for scored in turn.verdict.scenarios if scored.id in PRIVATE)
    others = tuple(scored for scored in turn.verdict.scenarios if scored.id not in PRIVATE)
    alone = replace(turn, message=message, verdict=replace(turn.verdict, scenarios=private, unsure=False))
    rest = replace(turn, verdict=replace(turn.verdict, scenarios=others, unsure=False)) if others else None
    return Parted(alone, rest)
