"""Who is behind the identities that many orders carry: one member each, found or made, set-based."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from loyalty.customers import Identity, find_many, resolve
from loyalty.tables import MemberIdentity, MergeProposal
from loyalty.writing import insert_new


class Named(NamedTuple):
    """Identities that are one person, and what says so."""

    identities: Sequence[Identity]
    evidence: str


def buyers(session: Session, named: Sequence[Named], at: datetime) -> list[int]:
    """Member of each, as if they came one after the other: the first identity that is known decides.

    What is new about a person is attached, what belongs to somebody else becomes a merge proposal.
    """
    known = find_many(session, {identity for each in named for identity in each.identities})
    # An identity that is not known yet stands for the new person until the members are made.
    persons: dict[tuple[str, str], int | Identity] = dict(known)
    chosen: list[int | Identity] = []
    links: list[tuple[int, Identity]] = []
    for place, each in enumerate(named):
        person = next((persons[identity] for identity in each.identities if identity in persons), None)
        if person is None:
            person = persons[each.identities[0]] = each.identities[0]
        chosen.append(person)
        for identity in each.identities:
            if persons.setdefault(identity, person) != person or identity not in known:
                links.append((place, identity))
    made = resolve(session, {person for person in chosen if not isinstance(person, int)}, at)
    members = [person if isinstance(person, int) else made[person] for person in chosen]
    if links:
        _link(session, named, members, links, at)
    return members


def _link(session: Session, named: Sequence[Named], members: Sequence[int], links: Sequence[tuple[int, Identity]],
          at: datetime) -> None:
    rows = [{"member_id": members[place], "kind": identity.kind, "value": identity.value,
             "evidence": named[place].evidence, "created_at": at} for place, identity in links]
    insert_new(session, MemberIdentity, rows, ["id"])
    owners = find_many(session, [identity for _, identity in links])
    foreign = [row | {"other_id": owners[identity]} for row, (_, identity) in zip(rows, links, strict=True)
               if owners[identity] != row["member_id"]]
    insert_new(session, MergeProposal, foreign, ["id"])
