"""Customer-contact events: who serves whom, who sits in which group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from handlers.followup.entries import Happening
from handlers.followup.tables import InviteRow
from handlers.talk import effects
from handlers.talk.messages import Incoming
from handlers.talk.outbox import Outgoing
from handlers.talk.tables import ChatMemberRow, RepRow, ServingRow
from loyalty import customers
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


def is_leaving(message: Incoming) -> bool:
    """Whether an event tells that a member of staff was deleted from the address book."""
    return (message.data.get("Event"), message.data.get("ChangeType")) == ("change_contact", "delete_user")


def happenings_of(session: Session, message: Incoming, members: Mapping[tuple[str, str], int]) -> list[Happening]:
    """What a contact event means to follow-ups: who was added, joined, left, deleted, and who brought a friend."""
    data, change = message.data, message.data.get("change", "")
    if data.get("event") == "change_external_chat":
        kind = {"add_member": "group_joined", "del_member": "group_left"}.get(data.get("detail", ""))
        people = [("external_userid", person) for person in data.get("members", "").split(",") if person]
        found = customers.find_many(session, people) if kind else {}
        return [
            Happening(str(kind), member, f"{kind}:{member}:{message.key}", message.at, {"event_code": message.chat})
            for member in found.values()
        ]
    member_id = members.get(("external_userid", data.get("external_userid", "")))
    if member_id is None:
        return []
    code = data.get("state", "")
    if change == "add_external_contact":
        known = {"event_code": code, "welcome_code": data.get("welcome_code", ""), "rep": data.get("userid", "")}
        added = Happening("added", member_id, f"added:{message.key}", message.at, known)
        inviter = session.scalar(select(InviteRow.member_id).where(InviteRow.code == code)) if code else None
        if inviter is None or inviter == member_id:
            return [added]
        brought = Happening("friend_added", inviter, f"friend:{member_id}:{code}", message.at, {"friend_id": member_id})
        return [added, brought]
    if change in DELETED:
        kind = f"{DELETED[change]}_deleted"
        return [Happening(kind, member_id, f"{kind}:{message.key}", message.at, {"rep": data.get("userid", "")})]
    return []


def leave(session: Session, userid: str, at: datetime) -> None:
    """This member of staff has left the company and serves nobody any more."""
    session.execute(update(RepRow).where(RepRow.userid == userid, RepRow.left_at.is_(None)).values(left_at=at))
    standing = (ServingRow.userid == userid, ServingRow.ended_at.is_(None))
    session.execute(update(ServingRow).where(*standing).values(ended_at=at, ended_by="left"))


def serve(session: Session, userid: str, external_userid: str, at: datetime, channel_code: str = "") -> None:
    """From now on this rep serves this customer; again after a deletion starts anew."""
    reps = insert_into(session, RepRow)
    is_back = reps.on_conflict_do_update(
        index_elements=["userid"], set_={"left_at": None}, where=RepRow.left_at.is_not(None)
    )
    session.execute(is_back, [{"userid": userid}])
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
