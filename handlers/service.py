"""A person is wanted: that goes before everything else, and what was collected goes along."""

from __future__ import annotations

from handlers import returns
from handlers.talk.turn import HandOver, Prompt, Scene, Turn


def call_person(turn: Turn) -> Scene:
    """转人工: hand the chat over where it is ours, and tell the rep at once."""
    why = "客户要求人工服务"
    if turn.is_automatic:
        yield HandOver(turn.reply("human_agent"))
    half_way = turn.dialog if turn.is_automatic and turn.dialog is not None and turn.dialog.step == "return" else None
    rows = returns.rows_of(half_way.state) if half_way is not None else ()
    yield Prompt("human_agent", why, turn.reply("rep_human_agent"), rows, private=bool(rows))
