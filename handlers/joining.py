"""Joining: whoever is no member yet is asked first, may leave a phone number, and comes back to where they were."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from sqlalchemy.orm import Session

from handlers.talk.answers import Answer, read_answer
from handlers.talk.turn import Ask, Close, Prompt, Say, Scene, Turn, Write
from loyalty import activities, customers, matching
from loyalty.errors import BadIdentity
from loyalty.identities import UNVERIFIED_PHONE

AGREE: Final = (("yes", "同意加入"), ("no", "先不了"))
_AGREES: Final = re.compile(
    r"^(?:(?:我|好[的吧]?|嗯+|可以|行吧?|那就?|就|帮我|给我|想|要)[,， ]*)*(?:同意|愿意|加入|入会|注册|办理?)"
    r"(?:加入|入会|会员|一个|了|吧|啊|呀|的)*$"
)
_PHONE: Final = re.compile(r"(?<!\d)(?:\+?86)?(1[3-9]\d{9})(?!\d)")
_LONG_NUMBER: Final = re.compile(r"(?<!\d)\d{7,15}(?!\d)")


def invite(turn: Turn, then: str = "", phone: str = "") -> Scene:
    """Ask whether the person wants to join; `then` is what they wanted, to go on with afterwards."""
    yield Ask("join", {"then": then, "phone": phone})
    yield Say(turn.reply("join_invite", is_wish=bool(then)), AGREE)


def answer(turn: Turn, go_on: Callable[[Turn], Scene]) -> Scene:
    """Yes, or a phone number, joins and goes on with what was wanted; no changes nothing; a doubt asks again."""
    assert turn.dialog is not None
    state = turn.dialog.state
    said, phone = read_answer(turn.text), read_phone(turn.text)
    refuses = said is Answer.NO or bool(re.match(r"不|先不|别", turn.text))
    if refuses:
        yield Close()
        yield Say(turn.reply("join_later"))
    elif phone or said is Answer.YES or _AGREES.match(turn.text.strip("!！。~ ")):
        yield from _join(turn, phone or state.get("phone", ""), state["then"], go_on)
    elif is_bad_phone(turn.text):
        yield Ask("join", state)
        yield Say(turn.reply("phone_bad"))
    else:
        asks = bool(re.search(r"[?？吗么呢]|什么|多少|怎么|好处", turn.text))
        yield Ask("join", state)
        yield Say(turn.reply("join_invite" if asks else "join_repeat", is_wish=bool(state["then"])), AGREE)


def bind(turn: Turn) -> Scene:
    """绑定手机号: the number where the message has one, else it is asked for."""
    phone = read_phone(turn.text)
    if not turn.facts.is_member(turn.member_id):
        yield from invite(turn, phone=phone)
    elif phone:
        yield Close()
        yield from _bind(turn, phone)
    else:
        yield Ask("phone", {})
        yield Say(turn.reply("phone_bad" if is_bad_phone(turn.text) else "phone_ask"))


def take_phone(turn: Turn) -> Scene:
    """A phone number was asked for: it is bound, refused with the mend, or left for later."""
    if read_answer(turn.text) is Answer.NO:
        yield Close()
        yield Say(turn.reply("phone_not_now"))
    else:
        yield from bind(turn)


def is_about(turn: Turn) -> bool:
    """Whether a message answers the invitation."""
    text = turn.text
    return (
        read_answer(text) is not Answer.NEITHER
        or bool(read_phone(text))
        or is_bad_phone(text)
        or bool(_AGREES.match(text.strip("!！。~ ")))
    )


def speaks_of_phone(turn: Turn) -> bool:
    """Whether a message answers the question for a phone number."""
    return bool(read_phone(turn.text)) or is_bad_phone(turn.text) or read_answer(turn.text) is Answer.NO


def remind(turn: Turn) -> Scene:
    """Something else was asked in between: the invitation is recalled."""
    yield Say(turn.reply("join_still_open"), AGREE)


def read_phone(text: str) -> str:
    """The mobile number in a message, also written in groups; nothing where there is none."""
    found = _PHONE.search(re.sub(r"(?<=\d)[\s\-.](?=\d)", "", text))
    return found[1] if found else ""


def is_bad_phone(text: str) -> bool:
    """Whether a message looks as if a phone number was meant and mistyped."""
    bare = re.sub(r"(?<=\d)[\s\-.](?=\d)", "", text)
    return not read_phone(text) and bool(_LONG_NUMBER.search(bare)) and len(bare) <= 25


def _join(turn: Turn, phone: str, then: str, go_on: Callable[[Turn], Scene]) -> Scene:
    yield Close()
    programme, member = turn.brand.programme, turn.member_id

    def work(session: Session, key: str) -> int:
        if not customers.join(session, member, turn.now):
            return 0
        outcomes = activities.record_activity(session, programme, member, "join", f"join:{key}", turn.now)
        return sum(outcome.gained.get(member, {}).get("points", 0) for outcome in outcomes)

    gained: Any = yield Write("joined the programme", work)
    turn.facts.forget_people()
    turn.facts.forget_points()
    kept = (yield Write("noted a phone number that was typed", _note_phone(turn, phone))) if phone else None
    first = programme.tiers[0].name if programme.tiers else ""
    yield Say(turn.reply("join_done", gained=gained, tier=first, tail=phone[-4:] if kept else "", asks_phone=not phone))
    if phone and not kept:
        yield from _ask_staff(turn)
    if then:
        yield from go_on(replace(turn, text=then, dialog=None))


def _bind(turn: Turn, phone: str) -> Scene:
    kept = yield Write("noted a phone number that was typed", _note_phone(turn, phone))
    if kept:
        yield Say(turn.reply("phone_done", tail=phone[-4:]))
    else:
        yield from _ask_staff(turn)


def _ask_staff(turn: Turn) -> Scene:
    yield Say(turn.reply("phone_by_staff"))
    why = "客户想绑定手机号, 请帮忙登记"
    yield Prompt("bind_phone", why, turn.reply("rep_bind_phone"), private=True, title="绑定手机号")


def _note_phone(turn: Turn, phone: str) -> Callable[[Session, str], bool]:
    """Nobody proved that a typed number is theirs: it never merges by itself, it proposes to staff who they may be."""

    def work(session: Session, _key: str) -> bool:
        try:
            hint = turn.brand.identifier.identity(UNVERIFIED_PHONE, phone)
        except BadIdentity:
            return False
        mine = customers.Identity(turn.message.identity, turn.message.sender)
        sighting = matching.Sighting((mine,), f"typed in {turn.message.channel}", (hint,))
        programme = turn.brand.programme
        matching.recognise(session, [sighting], turn.now, programme.matching, programme)
        return True

    return work
