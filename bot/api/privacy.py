"""What a person may ask for: all that is kept of them, and to be forgotten."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from bot.api.endpoints import Call, Endpoint, Nothing, Told
from bot.api.people import MemberRef, member_of
from loyalty.erasure import erase
from loyalty.exports import export


class ExportShown(Told):
    """Everything kept of a person: rows by table, transfers, lots, balance."""

    member_id: int
    data: dict[str, Any]


class ErasedShown(Told):
    """Whom an erasure made nameless (a member and all merged into them), how many names went, the points lapsed."""

    member_ids: list[int]
    identities: int
    points: int
    at: datetime


def show_export(session: Session, call: Call[MemberRef, Nothing, None]) -> tuple[int, Told]:
    """All that is kept of a person."""
    member_id = member_of(session, call.path)
    return 200, ExportShown(member_id=member_id, data=export(session, member_id, call.at))


def forget(session: Session, call: Call[MemberRef, Nothing, None]) -> tuple[int, Told]:
    """Forget a person; the ledger stays balanced under a number nobody can lead back."""
    gone = erase(session, member_of(session, call.path), key=call.key, at=call.at)
    return 200, ErasedShown(member_ids=list(gone.member_ids), identities=len(gone.identities), points=gone.points,
                            at=gone.at)


_ONE = "/api/v1/members/{kind}/{value}"
ENDPOINTS = (
    Endpoint("GET", f"{_ONE}/export", "privacy:read", "All that is kept of a person", show_export, ExportShown,
             params=MemberRef, part="value"),
    Endpoint("DELETE", _ONE, "privacy:write", "Forget a person", forget, ErasedShown, params=MemberRef, part="value"),
)
