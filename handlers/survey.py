"""How content are you: a number or a word, a reason if the customer likes, kept; asked once in a while."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from handlers.brand import Brand
from handlers.followup.crowd import KF_OPEN, OA_OPEN, Crowd
from handlers.service_tables import SurveyRow
from handlers.talk import effects
from handlers.talk.answers import Answer, is_courtesy, read_answer
from handlers.talk.dialogs import Place, read_dialogs
from handlers.talk.outbox import Outgoing
from handlers.talk.turn import Ask, Close, OpenDialog, Prompt, Say, Scene, Turn, Write
from loyalty.tables import table_of
from loyalty.writing import insert_new

ANSWER_WITHIN: Final = timedelta(hours=24)
CONTENT: Final = 9
_WORDS: Final = (
    (0, r"非常不满意|特别不满意|太差|极差|零分|0分"), (2, r"不(?:太|怎么|是很)?满意|不好|很差|失望|差评|没解决"),
    (6, r"一般|还行|凑合|马马虎虎|将就|还可以|普通|中等"),
    (10, r"(?:非常|很|特别|十分|超级?|太)满意|满分|完美|好评|五星"),
    (9, r"满意|挺好|很好|不错|可以的?$|好的?$"),
)  # fmt: skip
_SCORE: Final = re.compile(r"^(?:我?(?:打|给|评)?)?(10|[0-9]|[零一二三四五六七八九十])\s*分?[吧呀啊。!！]*$")
_CHINESE: Final = "零一二三四五六七八九十"
_WAITS: Final = ("_done", "_open", "_lately")


@dataclass(frozen=True, slots=True)
class Invitation:
    """A question that may go out: the row for the outbox, and the dialog that waits for the answer."""

    row: Outgoing
    place: Place
    dialog: OpenDialog


def invite(
    session: Session, brand: Brand, member_id: int, about: str, ref: str, now: datetime
) -> Invitation | None:  # fmt: skip
    """Ask a customer where a channel is open; None where none is, they opted out, or were asked within the period.

    `about` is what it is asked for (complaint, return, visit, nps …), `ref` the one occasion; it is asked once for it.
    """
    crowd = Crowd(session, [member_id], brand, now)
    if crowd.profile(member_id).opted_out_at is not None or _asked_lately(session, brand, member_id, about, now):
        return None
    talked = crowd.talked(member_id, "kf")
    channel, window = ("kf", KF_OPEN) if talked is not None and now - talked.at < KF_OPEN else ("oa", OA_OPEN)
    talked = talked if channel == "kf" else crowd.talked(member_id, "oa")
    if talked is None or now - talked.at >= window or _is_busy(session, member_id, talked.chat, now):
        return None
    key = f"survey:{about}:{member_id}:{ref}"
    row = {"key": key, "member_id": member_id, "about": about, "chat": talked.chat, "asked_at": now}
    made = insert_new(session, SurveyRow, [row], ["id"])
    if not made:
        return None
    name = "survey_ask_about" if about in {"complaint", "return", "visit"} else "survey_ask"
    text = brand.replies.render(name, about=about, brand=brand.programme.name, name=crowd.profile(member_id).name)
    if channel == "kf":
        touser = crowd.identity(member_id, "external_userid")
        out = effects.kf_text(key, touser, talked.chat.removeprefix("kf:"), text)
    else:
        out = effects.oa_text(key, crowd.identity(member_id, "openid"), text)
    dialog = OpenDialog("survey", {"id": made[0].id, "about": about}, now + ANSWER_WITHIN)
    return Invitation(out, (member_id, talked.chat), dialog)


def answer(turn: Turn) -> Scene:
    """A number from 0 to 10, or a word; who is not content is asked why, and a person hears of it."""
    assert turn.dialog is not None
    state, score = turn.dialog.state, read_score(turn.text)
    assert score is not None
    now = turn.now
    yield Write("survey answered", lambda session, _key: _store(session, state["id"], now, score=score))
    if score >= CONTENT:
        yield Close()
        yield Say(turn.reply("survey_thanks", score=score))
        return
    yield Ask("survey_reason", state | {"score": score})
    yield Say(turn.reply("survey_why", score=score))
    if score <= CONTENT - 3:
        why = f"客户评价 {score} 分, 请关心一下"
        yield Prompt(f"survey:{state['id']}", why, turn.reply("rep_survey"), title="满意度低")


def reason(turn: Turn) -> Scene:
    """Why, in the customer's own words, or not."""
    assert turn.dialog is not None
    state, now, text = turn.dialog.state, turn.now, turn.text[:1000]
    yield Close()
    if read_answer(text) is not Answer.NO and not is_courtesy(text):
        yield Write("survey reason", lambda session, _key: _store(session, state["id"], now, reason=text))
    yield Say(turn.reply("survey_thanks", score=state["score"]))


def is_score(turn: Turn) -> bool:
    """Whether a message is an answer to the question."""
    return turn.message.kind == "text" and read_score(turn.text) is not None


def is_reason(turn: Turn) -> bool:
    """Whether a message may be the reason: it means nothing else but what went wrong."""
    heard = {scored.id for scored in turn.verdict.scenarios}
    return turn.message.kind == "text" and heard <= {"complaint"} and bool(turn.text)


def read_score(text: str) -> int | None:
    """0 to 10 as a number or in words, or None; a sentence about something else is none."""
    bare = re.sub(r"[\s,，。.!！~]+", "", text)
    found = _SCORE.match(bare)
    if found:
        return int(found[1]) if found[1].isdigit() else _CHINESE.index(found[1])
    if len(bare) > 12 or bare.endswith(("?", "？", "吗")):
        return None
    return next((score for score, words in _WORDS if re.search(words, bare)), None)


def _asked_lately(session: Session, brand: Brand, member_id: int, about: str, now: datetime) -> bool:
    if about == "complaint":
        return False  # one question for each, whatever was asked before
    since = now - brand.dialog.survey_every
    wanted = select(SurveyRow.id).where(SurveyRow.member_id == member_id, SurveyRow.asked_at > since).limit(1)
    return session.scalar(wanted) is not None


def _is_busy(session: Session, member_id: int, chat: str, now: datetime) -> bool:
    """Something that waits for an answer is not disturbed."""
    dialog = read_dialogs(session, [member_id]).get((member_id, chat))
    return dialog is not None and dialog.expires_at > now and not dialog.step.endswith(_WAITS)


def _store(
    session: Session, survey_id: int, now: datetime, score: int | None = None, reason: str | None = None
) -> None:  # fmt: skip
    table = table_of(SurveyRow)
    values = {"answered_at": now} | ({"score": score} if score is not None else {"reason": reason})
    session.execute(update(table).where(table.c.id == survey_id).values(**values))
