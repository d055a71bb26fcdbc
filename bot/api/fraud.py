"""/fraud: what looks like abuse, on what evidence, and the decision on the points at stake."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy.orm import Session

from bot.api.endpoints import Asked, Call, Endpoint, Nothing, Told
from loyalty import fraud

Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


class FindingAddress(Asked):
    """Which finding."""

    finding_id: Id


class FindingsQuery(Asked):
    """Findings in one state; none: those that wait for a decision."""

    state: Literal["open", "held", "dismissed", "released", "confiscated"] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class DecideIn(Asked):
    """Why, for those who read it later."""

    note: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=500)] = ""


class FindingShown(Told):
    """Something that looks like abuse; the score says how sure the rule is, of 100."""

    id: int
    rule: str
    score: int
    state: str
    said: str
    mend: str
    found_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    note: str | None


class FindingsShown(Told):
    """The most certain first."""

    findings: list[FindingShown]


class SuspectShown(Told):
    """A member a finding is about: the points at stake, and those of them that are held."""

    member_id: int
    points: int
    held: int


class ProofShown(Told):
    """A row that a finding rests on."""

    table_name: str
    row_id: int
    said: str
    at: datetime | None


class CaseShown(Told):
    """A finding with whom it is about and what it rests on."""

    finding: FindingShown
    suspects: list[SuspectShown]
    evidence: list[ProofShown]


class Looked(Told):
    """Numbers of what the rules found new."""

    finding_ids: list[int]


class DecidedShown(Told):
    """A decision, and how many points it moved."""

    id: int
    state: str
    points: int


def show_findings(session: Session, call: Call[Nothing, FindingsQuery, None]) -> tuple[int, Told]:
    """What waits for a decision, or was decided."""
    states = (fraud.OPEN, fraud.HELD) if call.query.state is None else (call.query.state,)
    found = fraud.findings(session, states, call.query.limit)
    return 200, FindingsShown(findings=[FindingShown.model_validate(one) for one in found])


def show(session: Session, call: Call[FindingAddress, Nothing, None]) -> tuple[int, Told]:
    """One finding with its evidence."""
    case = fraud.case_of(session, call.path.finding_id)
    return 200, CaseShown(finding=FindingShown.model_validate(case.finding),
                          suspects=[SuspectShown.model_validate(one) for one in case.suspects],
                          evidence=[ProofShown.model_validate(one) for one in case.evidence])


def look(session: Session, call: Call[Nothing, Nothing, None]) -> tuple[int, Told]:
    """Let every rule look now."""
    return 200, Looked(finding_ids=fraud.look(session, call.programme, call.at))


def hold(session: Session, call: Call[FindingAddress, Nothing, None]) -> tuple[int, Told]:
    """Hold the points at stake for review."""
    number = call.path.finding_id
    points = fraud.hold(session, number, call.programme, by=f"api {call.client}", at=call.at)
    return 200, DecidedShown(id=number, state=fraud.HELD, points=points)


def release(session: Session, call: Call[FindingAddress, Nothing, DecideIn]) -> tuple[int, Told]:
    """Give held points back."""
    number = call.path.finding_id
    points = fraud.release(session, number, by=f"api {call.client}", at=call.at, note=call.body.note)
    return 200, DecidedShown(id=number, state=fraud.RELEASED, points=points)


def confiscate(session: Session, call: Call[FindingAddress, Nothing, DecideIn]) -> tuple[int, Told]:
    """Take held points for good."""
    number = call.path.finding_id
    points = fraud.confiscate(session, number, by=f"api {call.client}", at=call.at, note=call.body.note)
    return 200, DecidedShown(id=number, state=fraud.CONFISCATED, points=points)


def dismiss(session: Session, call: Call[FindingAddress, Nothing, DecideIn]) -> tuple[int, Told]:
    """Close a finding; held points go back."""
    number = call.path.finding_id
    points = fraud.dismiss(session, number, by=f"api {call.client}", at=call.at, note=call.body.note)
    return 200, DecidedShown(id=number, state=fraud.DISMISSED, points=points)


_ONE = "/api/v1/fraud/findings/{finding_id}"
ENDPOINTS = (
    Endpoint("GET", "/api/v1/fraud/findings", "fraud:read", "What looks like abuse", show_findings, FindingsShown,
             query=FindingsQuery),
    Endpoint("GET", _ONE, "fraud:read", "One finding with its evidence", show, CaseShown, params=FindingAddress,
             part="finding_id"),
    Endpoint("POST", "/api/v1/fraud/looks", "fraud:write", "Let every rule look now", look, Looked),
    Endpoint("POST", f"{_ONE}/hold", "fraud:write", "Hold the points at stake for review", hold, DecidedShown,
             params=FindingAddress, part="finding_id"),
    Endpoint("POST", f"{_ONE}/release", "fraud:write", "Give held points back", release, DecidedShown,
             params=FindingAddress, body=DecideIn, part="finding_id"),
    Endpoint("POST", f"{_ONE}/confiscate", "fraud:write", "Take held points for good", confiscate, DecidedShown,
             params=FindingAddress, body=DecideIn, part="finding_id"),
    Endpoint("POST", f"{_ONE}/dismiss", "fraud:write", "Close a finding; held points go back", dismiss, DecidedShown,
             params=FindingAddress, body=DecideIn, part="finding_id"),
)
