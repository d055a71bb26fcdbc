"""Writing a roster into our tables: members, servings, groups; an older answer undoes no newer event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import and_, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from bot.wecom.errors import BadAnswer
from bot.wecom.gateway import Json, text_of
from handlers.talk.tables import ChatMemberRow, ChatRow, RepRow, ServingRow
from loyalty import customers
from loyalty.errors import IdentityTaken
from loyalty.writing import insert_into

ENDED_BY: Final = "roster"
"""In `servings.ended_by`: the platform lists the contact no more, and no event said why."""
SKEW: Final = timedelta(minutes=5)
"""How far two clocks may differ, and how long an event may run ahead of the lists (wecom.md §3.2)."""
ROWS_AT_ONCE: Final = 500
LONGEST_ID: Final = 64
UNKNOWN_SINCE: Final = datetime(1970, 1, 1, tzinfo=UTC)

log = structlog.get_logger("bot.rosters")


@dataclass(frozen=True, slots=True)
class Listed:
    """A contact as the platform lists it: who serves whom, since when, over which channel."""

    userid: str
    external_userid: str
    since: datetime
    state: str
    name: str
    unionid: str


@dataclass(frozen=True, slots=True)
class ListedGroup:
    """A customer group as the platform tells it: when each person joined, and the names of those from outside."""

    chat: str
    name: str
    owner: str
    joined: Mapping[str, datetime]
    names: Mapping[str, str]


def contacts_in(page: Json) -> list[Listed]:
    """The contacts of a page of batch/get_by_user, each pair once; what has no ids is left out."""
    found = {}
    for item in page.get("external_contact_list") or ():
        person, follow = item.get("external_contact") or {}, item.get("follow_info") or {}
        userid, external_userid = id_of(follow.get("userid")), id_of(person.get("external_userid"))
        if userid and external_userid:
            since, state = _moment(follow.get("createtime")), text_of(follow.get("state"))[:64]
            name, unionid = text_of(person.get("name")), text_of(person.get("unionid"))
            found[userid, external_userid] = Listed(userid, external_userid, since, state, name, unionid)
    return [found[pair] for pair in sorted(found)]


def group_in(answer: Json, chat: str) -> ListedGroup:
    """A group as groupchat/get tells it; raises BadAnswer where no members are told."""
    group: Json = answer.get("group_chat") or {}
    people = {person: item for item in group.get("member_list") or () if (person := id_of(item.get("userid")))}
    if not people:
        raise BadAnswer("externalcontact/groupchat/get", 200, b"")
    joined = {person: _moment(people[person].get("join_time")) for person in sorted(people)}
    names = {person: text_of(item.get("name")) for person, item in people.items() if item.get("type") == 2}
    return ListedGroup(chat, text_of(group.get("name"))[:128], id_of(group.get("owner")), joined, names)


def note_reps(session: Session, userids: Sequence[str], at: datetime) -> int:
    """Make every member with the customer-contact right a rep; who has it no more has left. Gives how many left.

    Who has served somebody since a little before `at`, when the list was asked for, is newer than the list.
    """
    reps = insert_into(session, RepRow)
    is_back = reps.on_conflict_do_update(
        index_elements=["userid"], set_={"left_at": None}, where=RepRow.left_at.is_not(None)
    )
    session.execute(is_back, [{"userid": userid} for userid in userids])
    serves_since = select(ServingRow.userid).where(ServingRow.userid == RepRow.userid, ServingRow.since >= at - SKEW)
    left = session.execute(
        update(RepRow)
        .where(RepRow.left_at.is_(None), RepRow.userid.not_in(userids), ~serves_since.exists())
        .values(left_at=at)
        .returning(RepRow.userid)
        .execution_options(synchronize_session=False)
    )
    return len(left.all())


def note_contacts(session: Session, contacts: Sequence[Listed], at: datetime) -> int:
    """Write a page of contacts: members, names, unionids, servings; gives how many servings are new or changed.

    A serving that an event ended comes back only with a contact that began after that end: the lists go on naming
    customers who have deleted the rep (wecom.md §3.1), and they may be older than the event.
    """
    if not contacts:
        return 0
    people = {contact.external_userid: contact for contact in contacts}
    members = customers.resolve(session, [("external_userid", person) for person in people], at)
    known = {member: people[external_userid] for (_, external_userid), member in members.items()}
    _note_names(session, {member: person.name for member, person in known.items()}, only_empty=False)
    _note_unionids(session, {member: person.unionid for member, person in known.items() if person.unionid}, at)
    return _note_servings(session, contacts)


def note_group(session: Session, group: ListedGroup, asked_at: datetime) -> int:
    """Write a group's name, owner and who sits in it; gives how many people came or went.

    An answer asked for at `asked_at` does not undo a coming or going of about that moment or later.
    """
    chats = insert_into(session, ChatRow)
    told = {"name": chats.excluded.name, "owner": chats.excluded.owner}
    is_news = or_(ChatRow.name != chats.excluded.name, ChatRow.owner != chats.excluded.owner)
    session.execute(
        chats.on_conflict_do_update(index_elements=["chat"], set_=told, where=is_news),
        [{"chat": group.chat, "name": group.name, "owner": group.owner}],
    )
    members = customers.find_many(session, [("external_userid", person) for person in group.names])
    _note_names(session, {member: group.names[person] for (_, person), member in members.items()}, only_empty=True)
    return _note_joined(session, group, asked_at) + _note_left(session, group, asked_at)


def end_servings(session: Session, pairs: Sequence[tuple[str, str]], at: datetime, before: datetime) -> int:
    """End the servings among these that stand and began before `before`; gives how many ended."""
    count = 0
    for first in range(0, len(pairs), ROWS_AT_ONCE):
        pair = tuple_(ServingRow.userid, ServingRow.external_userid)
        ended = session.execute(
            update(ServingRow)
            .where(pair.in_(pairs[first : first + ROWS_AT_ONCE]), ServingRow.ended_at.is_(None))
            .where(ServingRow.since < before)
            .values(ended_at=at, ended_by=ENDED_BY)
            .returning(ServingRow.userid)
            .execution_options(synchronize_session=False)
        )
        count += len(ended.all())
    return count


def _note_names(session: Session, names: Mapping[int, str], only_empty: bool) -> None:
    for member_id, profile in sorted(customers.profiles(session, names).items()):
        name = names[member_id]
        if name and name != profile.name and not (only_empty and profile.name):
            customers.set_name(session, member_id, name)


def _note_unionids(session: Session, unionids: Mapping[int, str], at: datetime) -> None:
    owners = customers.find_many(session, [("unionid", unionid) for unionid in unionids.values()])
    for member_id, unionid in sorted(unionids.items()):
        if owners.get(("unionid", unionid)) == member_id:
            continue
        try:
            customers.attach(session, member_id, "unionid", unionid, ENDED_BY, at)
        except IdentityTaken:
            log.debug("two members are one person, a merge was proposed", member_id=member_id)


def _note_servings(session: Session, contacts: Sequence[Listed]) -> int:
    servings = insert_into(session, ServingRow)
    began = servings.excluded.since
    is_news = or_(
        ServingRow.ended_by == ENDED_BY,
        began > ServingRow.ended_at,
        and_(ServingRow.ended_at.is_(None), began > ServingRow.since),
    )
    changed = {"since": began, "channel_code": servings.excluded.channel_code, "ended_at": None, "ended_by": ""}
    return _upsert(
        session,
        servings.on_conflict_do_update(index_elements=["userid", "external_userid"], set_=changed, where=is_news),
        ServingRow.userid,
        [
            {"userid": it.userid, "external_userid": it.external_userid, "since": it.since, "channel_code": it.state}
            for it in contacts
        ],
    )


def _note_joined(session: Session, group: ListedGroup, asked_at: datetime) -> int:
    people = insert_into(session, ChatMemberRow)
    joined_at = people.excluded.joined_at
    is_news = or_(
        and_(ChatMemberRow.left_at.is_(None), joined_at > ChatMemberRow.joined_at),
        joined_at > ChatMemberRow.left_at,
        ChatMemberRow.left_at < asked_at - SKEW,
    )
    return _upsert(
        session,
        people.on_conflict_do_update(
            index_elements=["chat", "person"], set_={"joined_at": joined_at, "left_at": None}, where=is_news
        ),
        ChatMemberRow.person,
        [{"chat": group.chat, "person": person, "joined_at": at} for person, at in group.joined.items()],
    )


def _note_left(session: Session, group: ListedGroup, asked_at: datetime) -> int:
    stands = (
        ChatMemberRow.chat == group.chat,
        ChatMemberRow.left_at.is_(None),
        ChatMemberRow.joined_at < asked_at - SKEW,
    )
    gone = sorted(set(session.scalars(select(ChatMemberRow.person).where(*stands))) - group.joined.keys())
    if not gone:
        return 0
    left = session.execute(
        update(ChatMemberRow)
        .where(*stands, ChatMemberRow.person.in_(gone))
        .values(left_at=asked_at)
        .returning(ChatMemberRow.person)
        .execution_options(synchronize_session=False)
    )
    return len(left.all())


def servings_of(session: Session, userids: Sequence[str]) -> set[tuple[str, str]]:
    """The pairs (userid, external_userid) of these reps that stand."""
    rows = session.execute(_STANDING.where(ServingRow.userid.in_(userids)))
    return {(row.userid, row.external_userid) for row in rows}


def servings_of_others(session: Session, userids: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs that stand of reps who are not among these; letter case makes no other rep of one."""
    listed = {userid.lower() for userid in userids}
    serving = session.scalars(select(ServingRow.userid).where(ServingRow.ended_at.is_(None)).distinct())
    others = sorted(userid for userid in serving if userid.lower() not in listed)
    parts = [others[first : first + ROWS_AT_ONCE] for first in range(0, len(others), ROWS_AT_ONCE)]
    return [pair for part in parts for pair in sorted(servings_of(session, part))]


_STANDING: Final = select(ServingRow.userid, ServingRow.external_userid).where(ServingRow.ended_at.is_(None))


def _upsert(session: Session, statement: postgresql.Insert, column: Any, rows: Sequence[Mapping[str, Any]]) -> int:
    """How many rows were inserted or changed."""
    return len(session.execute(statement.returning(column), rows).all())


def id_of(value: object) -> str:
    """An id of the platform as our tables take it; "" for what is none."""
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_ID and value.isprintable() else ""


def _moment(seconds: object) -> datetime:
    """A moment of the platform; long ago where none is told, so that it never outdoes what an event said."""
    is_told = isinstance(seconds, int) and 0 < seconds < 1 << 32
    return datetime.fromtimestamp(int(str(seconds)), UTC) if is_told else UNKNOWN_SINCE
