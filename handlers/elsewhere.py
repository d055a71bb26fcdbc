"""A private question asked in a group: answered where the person can be reached alone, while the group stays silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple
from zlib import crc32

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from handlers import others
from handlers.talk import inbox
from handlers.talk.answers import is_answer
from handlers.talk.messages import Incoming, decode
from handlers.talk.outbox import Leased
from handlers.talk.tables import InboxRow
from handlers.talk.turn import Prompt, Scene, Turn
from handlers.talk.windows import Window

PRIVATE: Final = frozenset({"points_query", "points_redeem", "membership", "stored_value", "order_logistics"})
"""What is asked of oneself: the answer holds a balance, a history, an order."""
URGENT: Final = frozenset({"opt_out", "human_agent", "complaint"})
UNREACHED: Final = "unreached"
"""The kind of message that says: a private answer to a group question was refused by the platform."""


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


def note_refused(session: Session, row: Leased, now: datetime) -> None:
    """An answer that will never arrive: where it was asked for in a group, this is put into the inbox, once."""
    asked_by = row.key.removeprefix("say:").removesuffix(":0")
    body = session.scalar(select(InboxRow.body).where(InboxRow.key == asked_by)) if asked_by != row.key else None
    question = decode(body) if body else None
    if question is None or question.channel != "group":
        return
    data = {"said": question.text, "answer": str(row.payload.get("content") or "")}
    refused = Incoming(
        key=f"{UNREACHED}:{row.id}", channel="other", kind=UNREACHED, sender=question.sender, at=now,
        chat=question.chat, identity=question.identity, staff=question.staff, data=data, trace=row.trace,
    )  # fmt: skip
    inbox.store(session, [refused], now)


def leave_to_rep(turn: Turn) -> Scene:
    """The rep gets the answer that did not arrive, to send it privately; a prompt with entries to tap is not theirs."""
    intro = turn.reply("from_group")
    answer = turn.message.data["answer"].removeprefix(intro).strip() or turn.reply("redeem_prepared")
    task = f"{UNREACHED}:{crc32(turn.message.key.encode()):08x}"
    why = "客户在群里问, 私下的回答平台没让发出去, 请您私聊告知"
    yield Prompt(task, why, answer, private=True, title="私聊没送到")
