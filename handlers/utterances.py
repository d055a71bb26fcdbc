"""What one person says in pieces, made whole: which messages belong together, and which wait for more."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy.orm import Session

from handlers import unread
from handlers.brand import Brand
from handlers.conversation import is_order
from handlers.talk import bursts, inbox
from handlers.talk.answers import Answer, is_answer, is_courtesy, read_answer
from handlers.talk.bursts import Burst
from handlers.talk.dialogs import Place, could_read
from handlers.talk.inbox import Claimed
from handlers.talk.messages import CUSTOMER_CHANNELS, TEXTUAL, Incoming
from handlers.talk.turn import OpenDialog
from intents.classifier import PRIVATE_CHATS, Verdict

NOTHING: Final = Verdict(scenarios=(), unsure=False, reasons=(), near=(), model="", degraded=False)
MAX_TEXT_CHARS: Final = 4000
MOST_APART: Final = 120
LEAST_CLAUSE: Final = 4
CLAUSE_SURE: Final = 0.8
_APART: Final = re.compile(r"顺便|顺带|另外|还有(?=[,，\s我你帮]|积分)|对了|以及|再(?:帮我|给我)?(?=[查看问约])")
"""Words that begin another matter."""


class Talk(NamedTuple):
    """Who has been asked something where, as far as joining messages goes."""

    members: Mapping[tuple[str, str], int]
    dialogs: Mapping[Place, OpenDialog]
    now: datetime
    early: frozenset[str] = frozenset()

    def dialog_of(self, message: Incoming) -> OpenDialog | None:
        """What the sender was asked in this chat and may still answer."""
        member_id = self.members.get((message.identity, message.sender))
        dialog = None if member_id is None else self.dialogs.get((member_id, message.chat))
        return dialog if dialog is not None and dialog.expires_at > self.now else None

    def is_asked(self, message: Incoming) -> bool:
        """Whether the sender was asked something in this chat."""
        return self.dialog_of(message) is not None

    def stands_alone(self, message: Incoming) -> bool:
        """An answer to what was asked is one by itself; what was not asked yet cannot be answered."""
        return self.is_asked(message) and stands_for_itself(message.text) and message.key not in self.early


def stands_for_itself(text: str) -> bool:
    """Whether words are whole by themselves: an answer, thanks."""
    return is_answer(text) or is_courtesy(text)


def _is_behind_wish(earlier: Sequence[Burst], burst: Burst) -> bool:
    same = [one for one in earlier if one.message.sender == burst.message.sender]
    is_yes = read_answer(burst.message.text) is Answer.YES
    return is_yes and bool(same) and same[-1].message.chat == burst.message.chat


def apart(burst: Burst, brand: Brand) -> list[Burst]:
    """A yes right behind a clear wish answers what the wish leads to, however little of it could be read yet."""
    end = len(burst.parts)
    while end > 1 and read_answer(burst.parts[end - 1].message.text) is Answer.YES:
        end -= 1
    if end == len(burst.parts):
        return [burst]
    wish = bursts.of(burst.parts[:end])
    is_clear = bool(understand([wish.message], brand).get(wish.message.key, NOTHING).scenarios)
    return [wish, bursts.of(burst.parts[end:])] if is_clear else [burst]


def leave_unfinished(
    session: Session, read: list[Burst], verdicts: Mapping[str, Verdict], talk: Talk, brand: Brand
) -> tuple[list[Burst], datetime | None]:
    """Leave what may be the beginning of more, where it is the last its sender has said."""
    last = {burst.message.sender: place for place, burst in enumerate(read)}
    left: dict[int, datetime] = {}
    for place in last.values():
        burst = read[place]
        message, verdict = burst.message, verdicts.get(burst.message.key, NOTHING)
        if not bursts.may_go_on(burst, brand.dialog.burst) or talk.stands_alone(burst.newest.message):
            continue
        is_command = stands_for_itself(message.text) or is_order(message.text)
        is_clear = bool(verdict.scenarios) or talk.is_asked(message) or is_command
        if message.key in talk.early or _is_behind_wish(read[:place], burst):
            is_clear = False
        until = bursts.wait_until(burst, brand.dialog.burst, is_clear, talk.now)
        if until is not None:
            left[place] = until
            inbox.wait_for_more(session, [part.id for part in burst.parts], until)
    if not left:
        return read, None
    return [burst for place, burst in enumerate(read) if place not in left], min(left.values())


def is_early(session: Session, dialog: OpenDialog | None, item: Claimed, brand: Brand) -> bool:
    """Whether a typed yes was on its way before what it seems to answer could be read."""
    message = item.message
    if dialog is None or not bursts.is_typed(message) or read_answer(message.text) is not Answer.YES:
        return False
    return not could_read(session, dialog, item.received_at, brand.dialog.burst)


def is_from_customer(message: Incoming) -> bool:
    """Whether a customer wrote it, not staff and not the platform."""
    return message.channel in CUSTOMER_CHANNELS and not message.is_staff


def is_heard(message: Incoming) -> bool:
    """Whether it holds words of a customer."""
    is_said = message.kind in TEXTUAL and bool(message.text.strip()) and not unread.is_placeholder(message.text)
    return is_said and is_from_customer(message)


def understand(messages: Sequence[Incoming], brand: Brand) -> dict[str, Verdict]:
    """The verdicts of those that hold words, by message key, in one call."""
    heard = [message for message in messages if is_heard(message)]
    if not heard:
        return {}
    texts, channels = [m.text[:MAX_TEXT_CHARS] for m in heard], [m.channel for m in heard]
    clauses = [(place, clause) for place, m in enumerate(heard) if m.channel in PRIVATE_CHATS for clause in _clauses(m)]
    found = brand.understanding.classify(
        texts + [clause for _, clause in clauses], channels + [channels[place] for place, _ in clauses]
    )
    whole = dict(enumerate(found[: len(heard)]))
    for (place, _), part in zip(clauses, found[len(heard) :], strict=True):
        whole[place] = _with(whole[place], part)
    return {message.key: whole[place] for place, message in enumerate(heard)}


def _clauses(message: Incoming) -> list[str]:
    """What a message says one after the other where its words set that apart: 查下快递 顺便看看积分."""
    parts = [part.strip(" ,，。.;；") for part in _APART.split(message.text[:MOST_APART])]
    parts = [part for part in parts if len(part) >= LEAST_CLAUSE]
    return parts if len(parts) > 1 else []


def _with(whole: Verdict, part: Verdict) -> Verdict:
    """A whole message's verdict with what one clause of it surely means."""
    sure = {one.id: one for one in part.scenarios if one.score >= CLAUSE_SURE}
    if not sure:
        return whole
    # What the whole message said faintly, a clause of it may say clearly.
    known = [max(one, sure.pop(one.id, one), key=lambda scored: scored.score) for one in whole.scenarios]
    best_first = sorted([*known, *sure.values()], key=lambda scored: -scored.score)
    return replace(whole, scenarios=tuple(best_first), unsure=whole.unsure and not sure)
