"""One short question when two scenarios are close, in private only; the answer is taken as if it had been said."""

from __future__ import annotations

from collections.abc import Sequence

from handlers.talk.answers import read_number
from handlers.talk.turn import Ask, Say, Scene, Turn


def ask(turn: Turn, scenario_ids: Sequence[str]) -> Scene:
    """Offer both readings, to tap or to answer by number."""
    titles = [turn.brand.title(scenario_id) for scenario_id in scenario_ids]
    yield Ask("clarify", {"ids": list(scenario_ids), "titles": titles, "text": turn.text})
    yield Say(turn.reply("clarify"), tuple(zip(scenario_ids, titles, strict=True)))


def picked(turn: Turn) -> str:
    """The scenario an answer to the question picks, or nothing."""
    if turn.dialog is None or turn.dialog.step != "clarify":
        return ""
    ids, titles = turn.dialog.state["ids"], turn.dialog.state["titles"]
    number = read_number(turn.text)
    if number is not None and 1 <= number <= len(ids):
        return str(ids[number - 1])
    return next((str(ids[place]) for place, title in enumerate(titles) if title in turn.text), "")
