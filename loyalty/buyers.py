"""Who is behind the identities that many orders carry: one member each, found or made, set-based."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple

from sqlalchemy.orm import Session

from loyalty.bulk import BULK
from loyalty.customers import Identity, find_many, make, name_many
from loyalty.tables import MemberIdentity, MergeProposal
from loyalty.writing import insert_new

_by_identity = itemgetter(1)


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
    fresh: dict[Identity, int] = {}
    foreign: list[tuple[int, Identity]] = []
    for place, (identities, _) in enumerate(named):
        person: int | Identity | None = None
        for identity in identities:
            person = persons.get(identity)
            if person is not None:
                break
        else:
            person = persons[identities[0]] = identities[0]
        chosen.append(person)
        for identity in identities:
            owner = persons.setdefault(identity, person)
            if owner != person:
                foreign.append((place, identity))
            elif identity not in known:
                fresh.setdefault(identity, place)
    new = {person for person in chosen if not isinstance(person, int)}
    made = make(session, new, at) if new else {}
    members = [person if isinstance(person, int) else made[person] for person in chosen]
    links = [(place, identity) for identity, place in fresh.items() if identity not in new]
    if foreign or len(links) < BULK:
        _link(session, named, members, links + foreign, at)
    else:
        links.sort(key=_by_identity)  # in the order of their index
        name_many(session, [(members[place], *identity, named[place].evidence) for place, identity in links], at)
    return members


def _link(session: Session, named: Sequence[Named], members: Sequence[int], links: Sequence[tuple[int, Identity]],
          at: datetime) -> None:
    if not links:
        return
    rows = [{"member_id": members[place], "kind": identity.kind, "value": identity.value,
             "evidence": named[place].evidence, "created_at": at} for place, identity in links]
    insert_new(session, MemberIdentity, rows, ["id"])
    owners = find_many(session, [identity for _, identity in links])
    foreign = [row | {"other_id": owners[identity]} for row, (_, identity) in zip(rows, links, strict=True)
               if owners[identity] != row["member_id"]]
    insert_new(session, MergeProposal, foreign, ["id"])
