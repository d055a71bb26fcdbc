"""Who is tied to whom: members that share a phone, a device or an address, in groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, literal, select
from sqlalchemy.orm import Session

from loyalty.fraud_parts import FraudPolicy
from loyalty.merging import follow
from loyalty.people_tables import Hint
from loyalty.storage import among
from loyalty.tables import MergeProposal


@dataclass(frozen=True, slots=True)
class Tie:
    """A member stands by a value of a kind; `table` and `row_id` say where that is written."""

    member_id: int
    kind: str
    value: str
    table: str
    row_id: int
    at: datetime


class Groups:
    """Members in groups, joined two by two: union by size with halving of paths (Tarjan and van Leeuwen, 1984)."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}
        self._size: dict[int, int] = {}

    def head(self, member: int) -> int:
        """The one that stands for the group of a member."""
        above = self._above
        above.setdefault(member, member)
        while above[member] != member:
            above[member] = above[above[member]]
            member = above[member]
        return member

    def join(self, one: int, other: int) -> None:
        """Make one group of the groups of two."""
        one, other = self.head(one), self.head(other)
        if one == other:
            return
        small, large = sorted((one, other), key=lambda head: (self._size.get(head, 1), -head))
        self._above[small] = large
        self._size[large] = self._size.get(large, 1) + self._size.get(small, 1)

    def many(self) -> Iterator[list[int]]:
        """Every group of at least two, its members in order."""
        found: dict[int, list[int]] = defaultdict(list)
        for member in sorted(self._above):
            found[self.head(member)].append(member)
        yield from (members for members in found.values() if len(members) > 1)


def ties(session: Session, kinds: Collection[str]) -> dict[tuple[str, str], list[Tie]]:
    """Every value of these kinds that two or more living members stand by: hints they share, and identities that one
    has and another came with."""
    shared = (select(Hint.kind, Hint.value).where(among(Hint.kind, list(kinds)))
              .group_by(Hint.kind, Hint.value).having(func.count() > 1).subquery())
    rows = [Tie(*row) for row in session.execute(
        select(Hint.member_id, Hint.kind, Hint.value, literal("hints"), Hint.id, Hint.created_at)
        .join(shared, (shared.c.kind == Hint.kind) & (shared.c.value == Hint.value)).order_by(Hint.id))]
    seen = session.execute(select(MergeProposal).where(
        among(MergeProposal.kind, list(kinds)), MergeProposal.state != "rejected").order_by(MergeProposal.id)).scalars()
    for proposal in seen:
        rows += [Tie(member, proposal.kind, proposal.value, "merge_proposals", proposal.id, proposal.created_at)
                 for member in (proposal.member_id, proposal.other_id)]
    living = follow(session, {row.member_id for row in rows})
    found: dict[tuple[str, str], dict[int, Tie]] = defaultdict(dict)
    for row in rows:
        member = living[row.member_id]
        found[row.kind, row.value].setdefault(
            member, Tie(member, row.kind, row.value, row.table, row.row_id, row.at))
    return {name: list(by_member.values()) for name, by_member in found.items() if len(by_member) > 1}


def groups_of(shared: Mapping[tuple[str, str], Collection[Tie]], policy: FraudPolicy) -> Groups:
    """Members in groups by what they share; what a crowd shares ties nobody."""
    groups = Groups()
    for held in shared.values():
        if len(held) <= policy.crowd:
            _chain(groups, [tie.member_id for tie in held])
    return groups


def _chain(groups: Groups, members: Iterable[int]) -> None:
    first: int | None = None
    for member in members:
        first = member if first is None else first
        groups.join(first, member)

