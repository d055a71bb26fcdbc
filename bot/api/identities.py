"""What people are called: tags, and who is one person with whom."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy.orm import Session

from bot.api.cursors import cursor_of, read_cursor
from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from bot.api.people import Kind, MemberRef, Value, member_of
from bot.api.problems import Problem
from loyalty import matching, merging, tags
from loyalty.customers import Identity
from loyalty.errors import NotMergeable, UnknownMember
from loyalty.orders import Name, PlausibleMoment

Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Tag = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f/]+$", max_length=100)]


class TagsIn(Asked):
    """Tags to put on a member, until a moment or for good."""

    tags: Annotated[tuple[Tag, ...], Field(min_length=1, max_length=50)]
    expires_at: PlausibleMoment | None = None


class TagAddress(Asked):
    """Which tag of which member."""

    kind: Kind
    value: Value
    tag: Tag


class TagShown(Told):
    """A tag, who set it and until when it stands."""

    tag: str
    source: str
    set_at: datetime
    expires_at: datetime | None


class TagsShown(Told):
    """A member's tags in the order they were set."""

    member_id: int
    tags: list[TagShown]


class MergeIn(Asked):
    """Two members who are one person; `keep` is who lives on."""

    keep: MemberRef
    other: MemberRef
    evidence: Name


class MergeAddress(Asked):
    """Which merge."""

    merge_id: Id


class ProposalAddress(Asked):
    """Which proposal."""

    proposal_id: Id


class ProposalsQuery(Asked):
    """Which part of the open proposals."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=60, description="next_cursor of the page before")] | None = None


class MergeShown(Told):
    """A merge; `keep_id` is who lives on, `undone_at` stands where it was taken back."""

    id: int
    keep_id: int
    other_id: int
    evidence: str
    at: datetime
    undone_at: datetime | None


class ProposalShown(Told):
    """Two members who may be one person: what kind of identity they share, and how that was seen."""

    id: int
    member_id: int
    other_id: int
    kind: str
    evidence: str
    at: datetime
    state: str


class ProposalsPage(Told):
    """Oldest first; `next_cursor` is null on the last page."""

    proposals: list[ProposalShown]
    next_cursor: str | None


class MergesShown(Told):
    """The merges a member took part in, newest first."""

    merges: list[MergeShown]


class HintsShown(Told):
    """How many members share this now, the one it was told of included."""

    member_id: int
    kind: str
    sharing: int


class Decided(Told):
    """A proposal that was turned down."""

    id: int
    state: str


def show_tags(session: Session, call: Call[MemberRef, Nothing, None]) -> tuple[int, Told]:
    """A member's tags."""
    return 200, _tags(session, member_of(session, call.path), call.at)


def set_tags(session: Session, call: Call[MemberRef, Nothing, TagsIn]) -> tuple[int, Told]:
    """Put tags on a member; again renews their end."""
    if call.body.expires_at is not None and call.body.expires_at <= call.at:
        raise Problem(422, "Fields are wrong", "the tags would be over at once",
                      [("expires_at", "send a moment to come, or leave it out")])
    member_id = member_of(session, call.path)
    tags.set_tags(session, [(member_id, tag) for tag in dict.fromkeys(call.body.tags)], f"api:{call.client}", call.at,
                  call.body.expires_at)
    return 200, _tags(session, member_id, call.at)


def remove_tag(session: Session, call: Call[TagAddress, Nothing, None]) -> tuple[int, Told]:
    """Take a tag off a member, whoever set it."""
    member_id = member_of(session, MemberRef(kind=call.path.kind, value=call.path.value))
    tags.remove_tags(session, [member_id], [call.path.tag])
    return 200, _tags(session, member_id, call.at)


def merge(session: Session, call: Call[Nothing, Nothing, MergeIn]) -> tuple[int, Told]:
    """Make two members one, with everything they have."""
    keep_id, other_id = member_of(session, call.body.keep), member_of(session, call.body.other)
    if keep_id == other_id:
        raise NotMergeable("both are the same member", "name two members")
    done = merging.merge(session, keep_id, other_id, evidence=call.body.evidence, key=call.key, at=call.at,
                         programme=call.programme)
    return 200, MergeShown.model_validate(done)


def unmerge(session: Session, call: Call[MergeAddress, Nothing, None]) -> tuple[int, Told]:
    """Take a merge back."""
    return 200, MergeShown.model_validate(merging.unmerge(session, call.path.merge_id, key=call.key, at=call.at))


def show_merges(session: Session, call: Call[MemberRef, Nothing, None]) -> tuple[int, Told]:
    """The merges a member took part in."""
    found = merging.merges_of(session, member_of(session, call.path))
    return 200, MergesShown(merges=[MergeShown.model_validate(item) for item in found])


def note_hint(session: Session, call: Call[MemberRef, Nothing, MemberRef]) -> tuple[int, Told]:
    """Note what a person stands by and may share with others: a device, an address, a phone nobody checked."""
    member_id, hint = member_of(session, call.path), Identity(call.body.kind, call.body.value)
    matching.note_hints(session, [(member_id, hint, f"api {call.client}")], call.at, call.programme.matching)
    return 200, HintsShown(member_id=member_id, kind=hint.kind, sharing=matching.sharing(session, hint))


def show_proposals(session: Session, call: Call[Nothing, ProposalsQuery, None]) -> tuple[int, Told]:
    """Who may be one person and waits for somebody to decide."""
    page = call.query
    found = matching.proposals(session, page.limit + 1, read_cursor(page.cursor) or 0)
    shown = found[:page.limit]
    return 200, ProposalsPage(proposals=[ProposalShown.model_validate(item) for item in shown],
                              next_cursor=cursor_of(shown[-1].id) if len(found) > page.limit else None)


def accept(session: Session, call: Call[ProposalAddress, Nothing, None]) -> tuple[int, Told]:
    """They are one person."""
    done = matching.accept(session, call.path.proposal_id, by=f"api {call.client}", at=call.at,
                           programme=call.programme)
    return 200, MergeShown.model_validate(done)


def reject(session: Session, call: Call[ProposalAddress, Nothing, None]) -> tuple[int, Told]:
    """They are two."""
    matching.reject(session, call.path.proposal_id, by=f"api {call.client}", at=call.at)
    return 200, Decided(id=call.path.proposal_id, state="rejected")


def _tags(session: Session, member_id: int, now: datetime) -> TagsShown:
    found = tags.tags_of(session, [member_id], now).get(member_id, ())
    return TagsShown(member_id=member_id, tags=[TagShown.model_validate(tag) for tag in found])


_TAGS = "/api/v1/members/{kind}/{value}/tags"
_PROPOSALS = "/api/v1/merge-proposals"
ENDPOINTS = (
    Endpoint("GET", _TAGS, "members:read", "A member's tags", show_tags, TagsShown, params=MemberRef, part="value"),
    Endpoint("POST", _TAGS, "members:write", "Put tags on a member", set_tags, TagsShown, params=MemberRef,
             body=TagsIn, part="value"),
    Endpoint("DELETE", f"{_TAGS}/{{tag}}", "members:write", "Take a tag off a member", remove_tag, TagsShown,
             params=TagAddress, part="value"),
    Endpoint("POST", "/api/v1/members/{kind}/{value}/hints", "members:write",
             "Note a device or address a person may share with others", note_hint, HintsShown, params=MemberRef,
             body=MemberRef, part="value"),
    Endpoint("GET", "/api/v1/members/{kind}/{value}/merges", "members:read", "The merges a member took part in",
             show_merges, MergesShown, params=MemberRef, part="value"),
    Endpoint("POST", "/api/v1/merges", "members:write", "Make two members one", merge, MergeShown, body=MergeIn,
             part="other", parts={UnknownMember: "keep, other"}),
    Endpoint("POST", "/api/v1/merges/{merge_id}/undo", "members:write", "Take a merge back", unmerge, MergeShown,
             params=MergeAddress, part="merge_id"),
    Endpoint("GET", _PROPOSALS, "members:read", "Members who may be one person", show_proposals, ProposalsPage,
             query=ProposalsQuery),
    Endpoint("POST", f"{_PROPOSALS}/{{proposal_id}}/accept", "members:write", "They are one person", accept,
             MergeShown, params=ProposalAddress, part="proposal_id"),
    Endpoint("POST", f"{_PROPOSALS}/{{proposal_id}}/reject", "members:write", "They are two", reject, Decided,
             params=ProposalAddress, part="proposal_id"),
)
