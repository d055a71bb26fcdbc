"""Who is behind a sighting: automatic where it is certain, proposed where it is not, always with the evidence."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from loyalty.customers import Identity, find_many
from loyalty.errors import NotMergeable, UnknownProposal
from loyalty.identities import PHONE, UNVERIFIED_PHONE, Matching
from loyalty.merging import Merged, follow, merge
from loyalty.people_tables import Hint
from loyalty.programme import Programme
from loyalty.storage import among
from loyalty.tables import Member, MemberIdentity, MergeProposal, table_of
from loyalty.writing import insert_new, write_rows

_PROPOSALS = table_of(MergeProposal)
_HINTS = select(Hint.kind, Hint.value, Hint.member_id).where(among(Hint.kind, "kinds"), among(Hint.value, "values"))


@dataclass(frozen=True, slots=True)
class Sighting:
    """Names that one source vouches for as one person's, at one moment; hints are what others may share."""

    identities: tuple[Identity, ...]
    evidence: str
    hints: tuple[Identity, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """Two members that may be one person: why, and since when; state is open, accepted or rejected."""

    id: int
    member_id: int
    other_id: int
    kind: str
    evidence: str
    at: datetime
    state: str


Conflict = tuple[int, int, Identity, Sighting]
"""A sighting of a member under a name that another member has."""


@dataclass
class _Book:
    """What a batch of sightings has found and will write; a member not written yet has a number below 0."""

    known: dict[tuple[str, str], int]
    fresh: int = 0
    identities: list[tuple[int, Identity, str]] = field(default_factory=list)
    hints: list[tuple[int, Identity, str]] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)

    def member(self, sighting: Sighting) -> int:
        """The first who is known, else somebody new; names nobody has become theirs, foreign ones are conflicts."""
        owners = [self.known[name] for name in sighting.identities if name in self.known]
        if owners:
            chosen = owners[0]
        else:
            self.fresh += 1
            chosen = -self.fresh
        for name in sighting.identities:
            owner = self.known.setdefault(name, chosen)
            if owner != chosen:
                self.conflicts.append((chosen, owner, name, sighting))
            elif name not in self._seen:
                self._seen.add(name)
                self.identities.append((chosen, name, sighting.evidence))
        self.hints += [(chosen, hint, sighting.evidence) for hint in sighting.hints]
        return chosen

    def __post_init__(self) -> None:
        self._seen: set[tuple[str, str]] = set(self.known)


def recognise(session: Session, sightings: Sequence[Sighting], at: datetime, matching: Matching = Matching(),
              programme: Programme | None = None) -> list[int]:
    """The member behind each sighting, in their order; the unknown become members, in few statements for all.

    Where a sighting ties two members together, they are merged if one of its names is of an automatic kind and nothing
    contradicts, else a proposal is noted.
    """
    book = _Book(find_many(session, {name for sighting in sightings for name in sighting.identities}))
    found = [book.member(sighting) for sighting in sightings]
    made = _write_people(session, book, at)
    if made is None:
        return recognise(session, sightings, at, matching, programme)
    found = [made.get(id, id) for id in found]
    for one, other, name, sighting in book.conflicts:
        _settle(session, (made.get(one, one), made.get(other, other), name, sighting), at, matching, programme)
    note_hints(session, [(made.get(id, id), hint, why) for id, hint, why in book.hints], at, matching)
    if not book.conflicts:
        return found
    alive = follow(session, set(found))
    return [alive[id] for id in found]


def propose(session: Session, pairs: Iterable[tuple[int, int, Identity, str]], at: datetime) -> int:
    """Note pairs (member, other, what they share, evidence) for somebody to decide; how many were not known."""
    rows = [
        {"member_id": min(one, other), "other_id": max(one, other), "kind": shared.kind, "value": shared.value,
         "evidence": evidence, "created_at": at}
        for one, other, shared, evidence in pairs if one != other
    ]
    return len(insert_new(session, MergeProposal, rows, ["id"]))


def proposals(session: Session, limit: int = 100, after_id: int = 0) -> list[Proposal]:
    """Open proposals, oldest first, as the members are called today; pairs that became one meanwhile are left out."""
    found: list[Proposal] = []
    while len(found) < limit:
        rows = session.execute(
            select(_PROPOSALS).where(_PROPOSALS.c.state == "open", _PROPOSALS.c.id > after_id)
            .order_by(_PROPOSALS.c.id).limit(limit)).all()
        alive = follow(session, {id for row in rows for id in (row.member_id, row.other_id)})
        found += [
            Proposal(row.id, alive[row.member_id], alive[row.other_id], row.kind, row.evidence, row.created_at,
                     row.state)
            for row in rows if alive[row.member_id] != alive[row.other_id]
        ]
        if len(rows) < limit:
            break
        after_id = rows[-1].id
    return found[:limit]


def accept(session: Session, proposal_id: int, *, by: str, at: datetime, programme: Programme | None = None) -> Merged:
    """Merge the two of a proposal, the older member lives on; again gives the same. Raises UnknownProposal."""
    row = session.execute(select(_PROPOSALS).where(_PROPOSALS.c.id == proposal_id).with_for_update()).first()
    if row is None or row.state == "rejected":
        raise UnknownProposal(proposal_id)
    _decide(session, proposal_id, "accepted", by, at)
    pair = sorted((row.member_id, row.other_id))
    return merge(session, *pair, evidence=f"{row.kind}: {row.evidence}; accepted by {by}",
                 key=f"proposal:{proposal_id}", at=at, programme=programme)


def reject(session: Session, proposal_id: int, *, by: str, at: datetime) -> None:
    """Keep the two apart: what they share proposes them no more. Raises UnknownProposal."""
    if not _decide(session, proposal_id, "rejected", by, at):
        raise UnknownProposal(proposal_id)


def _decide(session: Session, proposal_id: int, state: str, by: str, at: datetime) -> bool:
    statement = (update(_PROPOSALS).where(_PROPOSALS.c.id == proposal_id, _PROPOSALS.c.state.in_(["open", state]))
                 .values(state=state, decided_by=by, decided_at=at).returning(_PROPOSALS.c.id))
    return session.execute(statement).first() is not None


def _write_people(session: Session, book: _Book, at: datetime) -> dict[int, int] | None:
    """Real ids of the new members; none where another process made one of them in this moment: then all is redone."""
    made = insert_new(session, Member, [{"created_at": at}] * book.fresh, ["id"])
    ids = {-number: row.id for number, row in enumerate(made, 1)}
    rows = [{"member_id": ids.get(id, id), "kind": name.kind, "value": name.value, "evidence": why, "created_at": at}
            for id, name, why in book.identities]
    written = insert_new(session, MemberIdentity, rows, ["member_id", "kind", "value"])
    if len(written) == len(rows):
        return ids
    # Somebody else had one of these names first; what was written here stays, new members without a name go again.
    named = {row.member_id for row in written}
    session.execute(table_of(Member).delete().where(Member.id.in_([id for id in ids.values() if id not in named])))
    return None


def _settle(session: Session, conflict: Conflict, at: datetime, matching: Matching,
            programme: Programme | None) -> None:
    one, other, name, sighting = conflict
    proof = next((shared.kind for shared in sighting.identities if shared.kind in matching.automatic), None)
    if proof is None or _contradict(session, one, other, matching.single):
        propose(session, [(one, other, name, sighting.evidence)], at)
        return
    kept, gone = sorted((one, other))
    key = f"match:{kept}:{gone}:{name.kind}:{at.isoformat()}"
    try:
        merge(session, kept, gone, evidence=f"same {proof}: {sighting.evidence}", key=key, at=at, programme=programme)
    except NotMergeable:
        propose(session, [(one, other, name, sighting.evidence)], at)


def _contradict(session: Session, one: int, other: int, single: Collection[str]) -> bool:
    """Whether both have a name of a kind that one person has once: then they are two, or somebody must look."""
    alive = follow(session, [one, other])
    rows = session.execute(
        select(MemberIdentity.kind, MemberIdentity.member_id).distinct()
        .where(MemberIdentity.member_id.in_(list(alive.values())), MemberIdentity.kind.in_(list(single)))).all()
    return len(rows) > len({row.kind for row in rows})


def note_hints(session: Session, hints: Sequence[tuple[int, Identity, str]], at: datetime,
               matching: Matching) -> None:
    """Store what may be shared (a device, an address), and propose members that share it where its kind proposes.

    A hint half the town shares proposes nobody.
    """
    write_rows(session, Hint, [{"kind": hint.kind, "value": hint.value, "member_id": id, "evidence": why,
                                "created_at": at} for id, hint, why in hints])
    wanted = [(id, hint, why) for id, hint, why in hints if hint.kind in matching.proposed]
    if not wanted:
        return
    sharing: dict[tuple[str, str], set[int]] = {}
    sides = {"kinds": sorted({hint.kind for _, hint, _ in wanted}),
             "values": sorted({hint.value for _, hint, _ in wanted})}
    for kind, value, member_id in session.execute(_HINTS, sides):
        sharing.setdefault((kind, value), set()).add(member_id)
    phones = {Identity(PHONE, hint.value) for _, hint, _ in wanted if hint.kind == UNVERIFIED_PHONE}
    for (_, value), member_id in find_many(session, phones).items():
        sharing.setdefault((UNVERIFIED_PHONE, value), set()).add(member_id)
    propose(session, [
        (id, other, hint, why) for id, hint, why in wanted
        if len(sharing.get(hint, ())) <= MOST_SHARING for other in sorted(sharing.get(hint, ())) if other != id
    ], at)


def sharing(session: Session, hint: Identity) -> int:
    """How many living members stand by this hint."""
    rows = session.execute(_HINTS, {"kinds": [hint.kind], "values": [hint.value]})
    return len(set(follow(session, {row.member_id for row in rows}).values()))


MOST_SHARING = 5
"""More members than this on one address or phone are a dormitory or a till's dummy number, not one person."""
