"""What a customer's message leads to: urgent needs, the open dialog, scenarios, one question, or silence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from handlers import (
    clarify,
    complaints,
    consent,
    others,
    phrases,
    points,
    redemption,
    registry,
    service_phrases,
    stored_value,
    undo,
    unread,
)
from handlers.talk.answers import is_answer, is_courtesy, is_greeting, puts_off, read_number
from handlers.talk.dialogs import QUESTION
from handlers.talk.messages import TEXTUAL
from handlers.talk.turn import Ask, Close, Hush, OpenDialog, Say, Scene, Silent, Turn

HINT_AGAIN: Final = timedelta(hours=6)
GREET_AGAIN: Final = timedelta(minutes=30)
UNASKED_AGAIN: Final = timedelta(minutes=10)
_WAITS: Final = re.compile(r"(?:确认|确定|我确|帮我换|给我换|就这个|就它|换这个|要这个)")
_WHO: Final = re.compile(r"你(?:们)?(?:这)?是(?:不是)?(?:个)?(?:机器人|人工|真人|活人|AI|ai|谁|人机)")
LEAST_OF_STORY: Final = 5
UNDER: Final = "under"
"""Where a dialog that was opened on top of another keeps that one."""
SECOND_SURE: Final = 0.7
"""A second scenario in one message is answered only when it is this sure: two answers to one question annoy."""

_CONCERNS_US: Final = re.compile(
    r"你们|[我那这]个|我[那这]|小程序|系统|网页|链接|页面|登[录陆]|打不开|进不去|弄|申请|找谁|客服|[二验兑换取]码|[^说]没到"
)
"""Small talk is left alone once the hint was given; what seems to be about the brand is not."""


def respond(turn: Turn, hushed: frozenset[str], is_paused: bool) -> Scene:
    """The scene of one message. `hushed` are topics that were spoken of lately and are not said again."""
    found = [
        scored.id
        for place, scored in enumerate(turn.verdict.scenarios)
        if place == 0 or scored.score >= SECOND_SURE or scored.id in complaints.OVERHEARD
    ]
    found += complaints.overheard(turn.verdict, turn.message.channel)
    fresh = _as_if_fresh(turn)
    found = service_phrases.settle(fresh, phrases.settle(fresh, found))
    if stored_value.LATELY in hushed and not _is_asked(turn) and stored_value.goes_on(turn, found):
        found = ["stored_value"]
    if points.LATELY in hushed and not _is_asked(turn) and turn.is_automatic and points.goes_on(turn, found):
        found = ["points_query"]
    if redemption.REFUSED in hushed and not _is_asked(turn) and redemption.asks_for_another(turn, found):
        found = ["points_redeem"]
    urgent = [scenario for scenario in registry.URGENT if scenario in found]
    if turn.is_automatic and consent.asks_to_resume(turn.text):
        yield from consent.resume(turn)  # its words are near those of an opt-out, so it is looked at first
    elif "opt_out" in urgent:
        yield from _urgent(turn, ["opt_out"], [])
    elif turn.dialog is not None and _goes_on(turn):
        yield from registry.STEPS[turn.dialog.step].play(turn)
    elif is_paused:
        yield Silent("a person has taken over here")
    elif urgent:
        yield from _urgent(turn, urgent, found)
    elif others.asks(turn.text, found):
        aside = others.decline(turn)
        yield from _on_top(turn, [aside], turn.dialog) if turn.dialog is not None and _is_asked(turn) else aside
    elif _is_unread(turn):
        yield from unread.respond(turn, hushed)
    elif turn.is_automatic and turn.dialog is not None:
        yield from _in_dialog(turn, found, hushed)
    else:
        yield from _fresh(turn, found, hushed)


def is_order(text: str) -> bool:
    """Whether words are taken at their word, whatever the classifier makes of them."""
    return consent.asks_to_resume(text) or undo.asks(text)


def _as_if_fresh(turn: Turn) -> Turn:
    """A dialog that asks for nothing, or whose time is over, takes no plain answer."""
    step = registry.STEPS.get(turn.dialog.step) if turn.dialog is not None else None
    is_over = turn.dialog is not None and turn.dialog.expires_at <= turn.now
    return replace(turn, dialog=None) if is_over or (step is not None and step.lingers) else turn


def _is_asked(turn: Turn) -> bool:
    """Whether something is open here that waits for an answer."""
    return _as_if_fresh(turn).dialog is not None


def _takes(turn: Turn) -> bool:
    """Whether the open dialog understands a message that is no text."""
    step = registry.STEPS.get(turn.dialog.step) if turn.is_automatic and turn.dialog is not None else None
    return step is not None and turn.message.kind in step.takes


def _goes_on(turn: Turn) -> bool:
    """Whether the open dialog goes on although a person has taken over."""
    dialog = turn.dialog
    step = registry.STEPS.get(dialog.step) if dialog is not None else None
    is_open = dialog is not None and dialog.expires_at > turn.now
    return step is not None and is_open and step.despite_pause and step.is_about(turn)


def _urgent(turn: Turn, urgent: Sequence[str], found: Sequence[str]) -> Scene:
    """What is urgent goes first; a complaint that names what is wrong has that looked after as well."""
    dialog = turn.dialog
    step = registry.STEPS.get(dialog.step) if dialog is not None else None
    stays = step is not None and turn.is_automatic and set(urgent) <= step.survives
    for scenario in urgent:
        yield from registry.scene_of(turn, scenario)
    also = _in_order([scenario for scenario in found if scenario in registry.WITH_COMPLAINT])
    if dialog is not None and step is not None and stays:
        yield Ask(dialog.step, dialog.state)
        if step.recall is not None:
            yield from step.recall(turn)
        return
    if dialog is not None:
        yield Close()
    if list(urgent) == ["complaint"]:
        for scenario in also:
            yield from registry.scene_of(turn, scenario)


def _in_dialog(turn: Turn, found: list[str], hushed: frozenset[str]) -> Scene:
    dialog = turn.dialog
    assert dialog is not None
    step = registry.STEPS.get(dialog.step)
    if dialog.expires_at <= turn.now:
        yield Close()
        late = step.late(turn) if step is not None and step.late is not None else None
        yield from late or _fresh(turn, found, hushed)
        return
    picked = clarify.picked(turn)
    if picked:
        yield Close()
        yield from registry.scene_of(turn, picked)
    elif step is None:
        yield Close()
        yield from _fresh(turn, found, hushed)
    elif turn.is_early and step.recall is not None:
        # It is put once more, and this time can be read.
        yield Ask(dialog.step, {name: value for name, value in dialog.state.items() if name != QUESTION})
        yield from step.recall(turn)
    elif puts_off(turn.text) and not step.lingers:
        yield Ask(dialog.step, dialog.state)
        yield Say(turn.reply("take_your_time"))
    elif step.is_about(turn) or (not step.lingers and not set(found) - step.scenarios):
        waits = dialog.state.get(UNDER)
        under = OpenDialog(waits["step"], waits["state"], turn.now) if waits else None
        yield from step.play(turn) if under is None else _on_top(turn, [step.play(turn)], under)
    elif step.lingers:
        yield from _fresh(turn, found, hushed)
    else:
        yield from _digress(turn, step, found)


def _digress(turn: Turn, step: registry.DialogStep, found: list[str]) -> Scene:
    """Something else is asked in between: it is answered, and what is open stays open."""
    assert turn.dialog is not None
    others = [scenario for scenario in _in_order(found) if scenario not in step.scenarios]
    yield from _on_top(turn, (registry.scene_of(turn, scenario) for scenario in others), turn.dialog)


def _on_top(turn: Turn, scenes: Iterable[Scene], under: OpenDialog) -> Scene:
    """Play scenes while another dialog waits: it comes back, with its reminder, as soon as they ask no more."""
    asks = False
    for scene in scenes:
        result: Any = None
        while True:
            try:
                step = scene.send(result)
            except StopIteration:
                break
            result = None
            if isinstance(step, Ask):
                inner = registry.STEPS.get(step.step)
                asks = inner is None or not inner.lingers
                if asks:
                    yield Ask(step.step, {**step.state, UNDER: {"step": under.step, "state": under.state}})
            elif isinstance(step, Close):
                asks = False
            else:
                result = yield step
    if not asks:
        yield Ask(under.step, under.state)
        waits = registry.STEPS.get(under.step)
        if waits is not None and waits.recall is not None:
            yield from waits.recall(replace(turn, dialog=under))


def _fresh(turn: Turn, found: list[str], hushed: frozenset[str]) -> Scene:
    if turn.is_automatic and undo.wants(turn):
        yield from undo.ask(turn)
    elif found:
        for scenario in _in_order(found):
            yield from registry.scene_of(turn, scenario)
    elif turn.is_automatic and (is_answer(turn.text) or puts_off(turn.text)):
        yield from _unasked(turn, hushed)
    elif turn.is_automatic and turn.verdict.unsure and len(turn.verdict.near) >= 2:
        yield from clarify.ask(turn, [scored.id for scored in turn.verdict.near[:2]])
    elif turn.is_automatic and _goes_on_about_complaint(turn):
        yield from registry.scene_of(turn, "complaint")
    elif turn.is_automatic and _WHO.search(turn.text):
        yield Say(turn.reply("hint"))
    elif turn.is_automatic and not is_courtesy(turn.text) and "hint" not in hushed:
        yield Hush("hint", turn.now + HINT_AGAIN)
        yield Hush("greeting", turn.now + GREET_AGAIN)
        yield Say(turn.reply("hint"))
    elif turn.is_automatic and is_greeting(turn.text) and "greeting" not in hushed:
        yield Hush("hint", turn.now + GREET_AGAIN)
        yield Hush("greeting", turn.now + GREET_AGAIN)
        yield Say(turn.reply("hint"))
    elif turn.is_automatic and (turn.verdict.near or _CONCERNS_US.search(turn.text)):
        yield Say(turn.reply("unclear"))
    else:
        yield Silent("unsure: keeps still in a group" if turn.verdict.unsure else "no scenario")


def _goes_on_about_complaint(turn: Turn) -> bool:
    """Whether words that mean nothing by themselves are more of what somebody has just complained of."""
    text = turn.text
    if len(text) < LEAST_OF_STORY or is_courtesy(text) or is_greeting(text) or _WHO.search(text):
        return False
    last = complaints.last_complaint(turn)
    return last is not None and turn.now - last < turn.brand.dialog.silence


def _unasked(turn: Turn, hushed: frozenset[str]) -> Scene:
    """An answer, and nothing is asked any more: who cancelled and then says 确认 or 第二个 is told once."""
    waits = _WAITS.match(turn.text) or (read_number(turn.text) is not None and not is_courtesy(turn.text))
    done = any(turn.now - entry.at < UNASKED_AGAIN for entry in turn.facts.redemptions(turn.member_id)[:1])
    if waits and not done and redemption.CANCELLED in hushed and "unasked" not in hushed:
        yield Hush("unasked", turn.now + UNASKED_AGAIN)
        yield Say(turn.reply("nothing_open"))
    else:
        yield Silent("an answer, and nothing was asked")


def _is_unread(turn: Turn) -> bool:
    """Whether it is no text, and not what an open dialog asked for, such as a picture of what arrived broken."""
    return unread.is_placeholder(turn.text) or (turn.message.kind not in TEXTUAL and not _takes(turn))


def _in_order(found: list[str]) -> list[str]:
    return sorted(found, key=registry.rank)
