"""One ID: who is behind the names that platforms and tills know a person by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NamedTuple

from pydantic import Field
from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from loyalty.bulk import BULK, cell_of_moments, load, next_ids
from loyalty.errors import IdentityTaken, UnknownMember
from loyalty.storage import among
from loyalty.tables import Member, MemberIdentity, MergeProposal, table_of
from loyalty.writing import insert_new

PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
"""What a name or number from outside may consist of: at least one character, none of them a control character."""


# Statements that every batch of messages sends are built once: building one costs more than running it.
_NAMES = table_of(MemberIdentity).c
_BY_IDENTITY = select(_NAMES.kind, _NAMES.value, _NAMES.member_id).where(
    among(_NAMES.kind, "kinds"), among(_NAMES.value, "values"))
_BY_VALUE = select(_NAMES.kind, _NAMES.value, _NAMES.member_id).where(
    _NAMES.kind == bindparam("kind"), among(_NAMES.value, "values"))
_MADE = ("member_id", "kind", "value", "evidence", "created_at")
_PROFILES = select(Member.id, Member.name, Member.joined_at, Member.opted_out_at, Member.tier).where(
    among(Member.id, "ids"))
_OF_KIND = (
    select(MemberIdentity.member_id, MemberIdentity.value)
    .where(among(MemberIdentity.member_id, "ids"), MemberIdentity.kind == bindparam("kind"))
    .order_by(MemberIdentity.id)
)


class Identity(NamedTuple):
    """One name of a person on one platform; equal to the plain pair."""

    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
    value: Annotated[str, Field(pattern=PRINTABLE, max_length=200)]


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a member beside points; `name` is empty where nobody gave one."""

    id: int
    name: str
    joined_at: datetime | None
    opted_out_at: datetime | None
    tier: str | None


def find_many(session: Session, identities: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Member id of every identity that is known; the others are left out."""
    if not identities:
        return {}
    wanted = set(identities)
    values: dict[str, list[str]] = defaultdict(list)
    for kind, value in wanted:
        values[kind].append(value)
    if len(wanted) < BULK:
        every = sorted({value for theirs in values.values() for value in theirs})
        rows = session.execute(_BY_IDENTITY, {"kinds": sorted(values), "values": every}).all()
        return {(kind, value): member_id for kind, value, member_id in rows if (kind, value) in wanted}
    # Kinds times values would be looked for, most of them nowhere.
    return {(kind, value): member_id for of_kind in sorted(values)
            for kind, value, member_id in session.execute(
                _BY_VALUE, {"kind": of_kind, "values": sorted(values[of_kind])}).all()}


def find(session: Session, kind: str, value: str) -> int | None:
    """Member id of one identity, or none."""
    return find_many(session, [(kind, value)]).get((kind, value))


def resolve(session: Session, identities: Collection[tuple[str, str]], at: datetime) -> dict[tuple[str, str], int]:
    """Member id of every identity; unknown ones become a new member each, also when two processes meet."""
    known = find_many(session, identities)
    missing = {(kind, value) for kind, value in identities} - known.keys()
    return known | make(session, missing, at) if missing else known


def make(session: Session, missing: Collection[tuple[str, str]], at: datetime) -> dict[tuple[str, str], int]:
    """A new member for each of these identities, nobody's until now; who made one meanwhile has made it.

    From BULK of them on, IntegrityError where somebody made one meanwhile.
    """
    missing = sorted(missing)
    if len(missing) >= BULK:
        ids, now = next_ids(session, Member, len(missing)), cell_of_moments(session)(at)
        load(session, Member, ("id", "created_at"), [(id, now) for id in ids])
        load(session, MemberIdentity, _MADE, [(id, kind, value, "first seen", now)
                                              for id, (kind, value) in zip(ids, missing, strict=True)])
        return dict(zip(missing, ids, strict=True))
    fresh = insert_new(session, Member, [{"created_at": at}] * len(missing), ["id"])
    rows = [_identity_row(row.id, kind, value, "first seen", at)
            for row, (kind, value) in zip(fresh, missing, strict=True)]
    made = insert_new(session, MemberIdentity, rows, ["kind", "value", "member_id"])
    if len(made) < len(rows):
        used = {row.member_id for row in made}
        session.execute(delete(table_of(Member)).where(Member.id.in_([row.id for row in fresh if row.id not in used])))
        return find_many(session, missing)
    return {(row.kind, row.value): row.member_id for row in made}


def name_many(session: Session, rows: Sequence[tuple[int, str, str, str]], at: datetime) -> None:
    """Give members names that nobody has, each with its evidence; IntegrityError where one was taken meanwhile."""
    now = cell_of_moments(session)(at)
    load(session, MemberIdentity, _MADE, [(*row, now) for row in rows])


def attach(session: Session, member_id: int, kind: str, value: str, evidence: str, at: datetime) -> None:
    """Add an identity to a member; once more changes nothing.

    Raises IdentityTaken where another member has it, with a merge proposal noted: commit to keep the proposal.
    """
    insert_new(session, MemberIdentity, [_identity_row(member_id, kind, value, evidence, at)], ["id"])
    owner_id = find(session, kind, value)
    if owner_id is None or owner_id == member_id:
        return
    proposal = _identity_row(member_id, kind, value, evidence, at) | {"other_id": owner_id}
    insert_new(session, MergeProposal, [proposal], ["id"])
    raise IdentityTaken(kind, member_id, owner_id, value)


def profiles(session: Session, member_ids: Collection[int]) -> dict[int, Profile]:
    """Profiles of the members that exist, in one statement."""
    rows = session.execute(_PROFILES, {"ids": list(member_ids)})
    return {row.id: Profile(row.id, row.name or "", row.joined_at, row.opted_out_at, row.tier) for row in rows}


def identities_of(session: Session, member_ids: Collection[int], kind: str) -> dict[int, str]:
    """The newest identity of this kind of each member that has one."""
    rows = session.execute(_OF_KIND, {"ids": list(member_ids), "kind": kind})
    return {row.member_id: row.value for row in rows}


def set_name(session: Session, member_id: int, name: str) -> None:
    """Note the name a member goes by; raises UnknownMember."""
    _change(session, member_id, {"name": name})


def set_tier(session: Session, member_id: int, tier: str | None) -> None:
    """Note the tier a member has reached; raises UnknownMember."""
    _change(session, member_id, {"tier": tier})


def join(session: Session, member_id: int, at: datetime) -> bool:
    """Make the person a member of the programme; False where they were one. Raises UnknownMember."""
    return _change(session, member_id, {"joined_at": at}, only_where_null="joined_at")


def opt_out(session: Session, member_id: int, at: datetime) -> bool:
    """Note that the member wants no more follow-ups; False where that was known. Raises UnknownMember."""
    return _change(session, member_id, {"opted_out_at": at}, only_where_null="opted_out_at")


def opt_in(session: Session, member_id: int) -> None:
    """Take the opt-out back; raises UnknownMember."""
    _change(session, member_id, {"opted_out_at": None})


def _identity_row(member_id: int, kind: str, value: str, evidence: str, at: datetime) -> dict[str, Any]:
    return {"member_id": member_id, "kind": kind, "value": value, "evidence": evidence, "created_at": at}


def _change(session: Session, member_id: int, values: Mapping[str, Any], only_where_null: str | None = None) -> bool:
    table = table_of(Member)
    statement = update(table).where(table.c.id == member_id).values(**values).returning(table.c.id)
    if only_where_null is not None:
        statement = statement.where(table.c[only_where_null].is_(None))
    if session.execute(statement).first() is not None:
        return True
    if member_id not in profiles(session, [member_id]):
        raise UnknownMember(member_id)
    return False
