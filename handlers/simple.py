"""Scenarios without code: a reply from their own file where a program may answer, else a reason for silence."""

from __future__ import annotations

from handlers.talk.turn import Say, Scene, Silent, Turn


def answer(turn: Turn, scenario_id: str) -> Scene:
    """Say what the scenario's file says for this channel."""
    scenario = turn.brand.scenarios.get(scenario_id)
    template = scenario.says.get(turn.message.channel) if scenario else None
    if template:
        yield Say(turn.reply_text(template))
    elif turn.is_automatic:
        yield Silent(f"{scenario_id}: no reply configured for {turn.message.channel}")
    else:
        yield Silent(f"{scenario_id}: heard only; a person answers in {turn.message.channel} chats")
