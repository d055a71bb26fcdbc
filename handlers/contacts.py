"""Customer-contact events: who serves whom, who sits in which group."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from handlers.talk import effects
from handlers.talk.messages import Incoming
from handlers.talk.outbox import Outgoing
from handlers.talk.tables import ChatMemberRow, RepRow, ServingRow
from loyalty.writing import insert_into

ADDED = frozenset({"add_external_contact", "add_half_external_contact"})
DELETED = {"del_external_contact": "rep", "del_follow_user": "customer"}


def note_event(session: Session, message: Incoming, now: datetime) -> tuple[str, list[Outgoing]]:
    """Carry a contact event into the tables; gives the reason to store and what to ask of the platform."""
    data = message.data
    change = data.get("change", "")
    if data.get("event") == "change_external_chat":
        return _note_group(session, message)
    if change in ADDED:
        serve(session, data["userid"], data["external_userid"], message.at, data.get("state", ""))
        ask = effects.profile(f"profile:{message.key}", data["external_userid"], "contact", message.trace)
        return "contact added", [ask]
    if change in DELETED:
        session.execute(
            update(ServingRow)
            .where(ServingRow.userid == data["userid"], ServingRow.external_userid == data["external_userid"])
            .values(ended_at=message.at, ended_by=DELETED[change])
        )
        return f"contact deleted by the {DELETED[change]}", []
    return f"noted: {change or message.kind}", []


def serve(session: Session, userid: str, external_userid: str, at: datetime, channel_code: str = "") -> None:
    """From now on this rep serves this customer; again after a deletion starts anew."""
    session.execute(insert_into(session, RepRow).on_conflict_do_nothing(), [{"userid": userid}])
    values = {"userid": userid, "external_userid": external_userid, "since": at, "channel_code": channel_code[:64]}
    statement = insert_into(session, ServingRow).values(**values)
    changed = {"since": at, "ended_at": None, "ended_by": "", "channel_code": values["channel_code"]}
    session.execute(statement.on_conflict_do_update(index_elements=["userid", "external_userid"], set_=changed))


def _note_group(session: Session, message: Incoming) -> tuple[str, list[Outgoing]]:
    data, chat = message.data, message.chat
    people = [person for person in data.get("members", "").split(",") if person]
    detail = data.get("detail", "") or data.get("change", "")
    if detail == "add_member" and people:
        _join(session, chat, people, message.at)
    elif detail == "del_member" and people:
        session.execute(
            update(ChatMemberRow)
            .where(ChatMemberRow.chat == chat, ChatMemberRow.person.in_(people))
            .values(left_at=message.at)
        )
    return f"group {detail}", [effects.chat_profile(f"profile:{message.key}", chat, message.trace)]


def _join(session: Session, chat: str, people: Sequence[str], at: datetime) -> None:
    rows = [{"chat": chat, "person": person, "joined_at": at} for person in people]
    statement = insert_into(session, ChatMemberRow)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["chat", "person"], set_={"joined_at": statement.excluded.joined_at, "left_at": None}
        ),
        rows,
    )
