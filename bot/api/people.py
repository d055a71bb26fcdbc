"""How a request names a member, and how the member behind it is found."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from sqlalchemy.orm import Session

from bot.api.endpoints import Asked
from loyalty.customers import PRINTABLE, find, profiles
from loyalty.errors import UnknownMember

OWN_ID = "id"
"""The kind of identity that is our own member id, as answers show it."""

Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40, examples=["phone"],
                            description="kind of identity: phone, unionid, openid, taobao …; `id` is our member id")]
Value = Annotated[str, Field(pattern=PRINTABLE, max_length=200, examples=["13800138000"],
                             description="the identity itself; phone numbers as the brand stores them")]


class MemberRef(Asked):
    """A member by one of their identities."""

    kind: Kind
    value: Value


def member_of(session: Session, ref: MemberRef) -> int:
    """Id of the member; raises UnknownMember without the value, which is personal and stays out of logs."""
    if ref.kind != OWN_ID:
        found = find(session, ref.kind, ref.value)
    else:
        number = int(ref.value) if ref.value.isdecimal() and len(ref.value) < 19 else 0
        found = number if profiles(session, [number]) else None
    if found is None:
        raise UnknownMember(ref.kind)
    return found
