"""How a request names a member, and how the member behind it is found."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from bot.api.endpoints import Asked
from loyalty.customers import PRINTABLE, Identity, find, profiles
from loyalty.errors import UnknownMember
from loyalty.identities import Identifier
from loyalty.merging import follow

OWN_ID = "id"
"""The kind of identity that is our own member id, as answers show it."""

Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40, examples=["phone"],
                            description="kind of identity: phone, unionid, openid, taobao …; `id` is our member id")]
Value = Annotated[str, Field(pattern=PRINTABLE, max_length=200, examples=["13800138000"],
                             description="the identity itself")]


class MemberRef(Asked):
    """A member by one of their identities."""

    kind: Kind
    value: Value


A = TypeVar("A", bound=BaseModel)


def in_one_form(asked: A, identifier: Identifier) -> A:
    """What was asked with every identity in the form it is stored in; raises BadIdentity."""
    if isinstance(asked, MemberRef):
        if asked.kind == OWN_ID:
            return asked
        named = identifier.identity(asked.kind, asked.value)
        return asked.model_copy(update={"kind": named.kind, "value": named.value})
    changes = {name: found for name, value in asked if (found := _in_one_form(value, identifier)) is not value}
    return asked.model_copy(update=changes) if changes else asked


def _in_one_form(value: Any, identifier: Identifier) -> Any:
    if isinstance(value, MemberRef):
        return in_one_form(value, identifier)
    if isinstance(value, Identity):
        return identifier.identity(*value)
    if isinstance(value, tuple) and value and isinstance(value[0], MemberRef | Identity):
        return tuple(_in_one_form(one, identifier) for one in value)
    return value


def member_of(session: Session, ref: MemberRef) -> int:
    """Id of the member; raises UnknownMember without the value, which is personal and stays out of logs."""
    if ref.kind != OWN_ID:
        found = find(session, ref.kind, ref.value)
    else:
        number = int(ref.value) if ref.value.isdecimal() and len(ref.value) < 19 else 0
        found = follow(session, [number])[number] if profiles(session, [number]) else None
    if found is None:
        raise UnknownMember(ref.kind)
    return found
