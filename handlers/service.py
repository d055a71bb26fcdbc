"""Service: a person is wanted, or somebody is angry. Both go before everything else."""

from __future__ import annotations

from handlers.talk.turn import HandOver, Prompt, Say, Scene, Turn


def call_person(turn: Turn) -> Scene:
    """转人工: hand the chat over where it is ours, and tell the rep at once."""
    why = "客户要求人工服务"
    if turn.is_automatic:
        yield HandOver(turn.reply("human_agent"))
    yield Prompt("human_agent", why, turn.reply("rep_human_agent"))


def soothe(turn: Turn) -> Scene:
    """投诉: apologise in the brand's words, tell the rep and the supervisor at once, sell nothing for a while."""
    if turn.is_automatic:
        yield Say(turn.reply("complaint"))
    yield Prompt("complaint", "客户表达了不满, 请尽快亲自处理", turn.reply("rep_complaint"))
