"""What became of a step of a transcript: what was told, prompted and kept back, against what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from bot.transcripts import Step
from handlers.talk.tables import OutboxRow

TOLD: Final = {"kf_text": "kf", "kf_menu": "kf", "oa_text": "oa", "welcome": "private"}
TASK_ID: Final = re.compile(r"[0-9A-Za-z_@-]{1,128}")


@dataclass
class Played:
    """What became of one step."""

    step: Step
    at: datetime
    told: list[tuple[str, str]] = field(default_factory=list)
    cards: list[tuple[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def judge(played: Played) -> Iterator[str]:
    """What did not go as the step expects."""
    step = played.step
    told = "\n".join(text for _, text in played.told)
    cards = "\n".join(text for _, text in played.cards)
    yield from (against(f"the answer holds {one!r}", told or "no answer") for one in step.answered if one not in told)
    yield from (against(f"{one!r} never leaves", told + cards) for one in step.never if one in told + cards)
    if step.silent and told:
        yield against("silence", told)
    places = [where for where, _ in played.told]
    if step.answered_in is not None and set(places) != {step.answered_in}:
        yield against(f"an answer in {step.answered_in}", f"answers in {', '.join(places) or 'no chat'}")
    if step.answers is not None and len(played.told) != step.answers:
        yield against(f"{step.answers} messages", f"{len(played.told)} messages")
    for one in step.prompted or ():
        if one not in cards:
            yield against(f"a card holds {one!r}", cards or "no card")
    if step.prompted == [] and cards:
        yield against("no card", cards)
    refused = "\n".join(played.refused)
    for one in step.refused or ():
        if one not in refused:
            yield against(f"a follow-up kept still for {one!r}", refused or "no reason")
    if step.refused == [] and refused:
        yield against("no follow-up kept back", refused)
    if step.to and step.to not in {rep for rep, _ in played.cards}:
        yield against(f"a card to {step.to}", f"cards to {', '.join(rep for rep, _ in played.cards) or 'nobody'}")


def read_told(rows: Sequence[OutboxRow]) -> Iterator[tuple[str, str]]:
    """What the customer is told, and where."""
    for row in rows:
        if row.kind in TOLD:
            payload = msgspec.json.decode(row.payload)
            menu = " ".join(f"[{words}]" for _, words in payload.get("items", ()))
            parts = (payload.get("content"), payload.get("head"), menu, payload.get("tail"))
            yield TOLD[row.kind], "\n".join(filter(None, parts))


def read_cards(rows: Sequence[OutboxRow]) -> Iterator[tuple[str, str]]:
    """What staff get to see or to confirm, and who."""
    for row in rows:
        if row.kind == "card":
            card = msgspec.json.decode(row.payload)
            facts = "; ".join(f"{name} {value}" for name, value in card["rows"])
            yield card["touser"], "\n".join(filter(None, (card["title"], card["desc"], facts, card["quote"])))
        elif row.kind == "mass_task":
            task = msgspec.json.decode(row.payload)
            yield task["sender"], f"群发给 {len(task['people'])} 人: {task['content']}"
        elif row.kind == "app_text":
            text = msgspec.json.decode(row.payload)
            yield text["touser"], text["content"]


def judge_cards(rows: Sequence[OutboxRow]) -> Iterator[str]:
    """A card that WeCom would refuse is nobody's card, whatever it says."""
    for row in rows:
        if row.kind == "card" and not TASK_ID.fullmatch(task := msgspec.json.decode(row.payload)["task_id"]):
            yield against("a task_id of digits, letters, _ - @, at most 128", task)


def against(expected: str, got: str) -> str:
    """One thing that went otherwise."""
    return f"- expected {expected}\n+ got {got}"


def indented(text: str) -> str:
    """A text below its step."""
    first, *rest = text.splitlines() or [""]
    return "\n".join([f"       {first}", *(f"         {line}" for line in rest)])
