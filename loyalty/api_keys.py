"""Keys of the brand's own systems: made once, shown once, kept as a hash, revoked for good."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from loyalty.storage import Base, Id, Moment
from loyalty.tables import table_of
from loyalty.writing import insert_new

PREFIX = "huitou_"
"""Every key begins with it, so that a key in a log or in a repository is found by its form."""


class ApiKey(Base):
    """A bearer key of one system. Several keys of one `name` may live at once: that is how a key is changed."""

    __tablename__ = "api_keys"

    id: Mapped[Id]
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[Any]] = mapped_column(JSON)
    requests_per_s: Mapped[int | None]
    created_at: Mapped[Moment]
    revoked_at: Mapped[datetime | None]


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What is known of a key; the key itself is not."""

    id: int
    name: str
    digest: str
    scopes: tuple[str, ...]
    requests_per_s: int | None
    created_at: datetime
    revoked_at: datetime | None


def digest_of(key: str) -> str:
    """SHA-256 of a key. A slow hash guards what people choose; 256 random bits cannot be guessed however fast the
    hash is, and it is computed for every request."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def create_key(session: Session, name: str, scopes: Collection[str], at: datetime,
               requests_per_s: int | None = None) -> tuple[int, str]:
    """A new key for a system: its number, and the key, which nobody can read again."""
    key = PREFIX + secrets.token_urlsafe(32)
    row = {"name": name, "digest": digest_of(key), "scopes": sorted(set(scopes)), "requests_per_s": requests_per_s,
           "created_at": at, "revoked_at": None}
    return insert_new(session, ApiKey, [row], ["id"])[0].id, key


def list_keys(session: Session, *, with_revoked: bool = True) -> list[KeyEntry]:
    """Every key, oldest first."""
    k = ApiKey
    wanted = select(k.id, k.name, k.digest, k.scopes, k.requests_per_s, k.created_at, k.revoked_at).order_by(k.id)
    if not with_revoked:
        wanted = wanted.where(k.revoked_at.is_(None))
    return [KeyEntry(row.id, row.name, row.digest, tuple(row.scopes), *row[4:]) for row in session.execute(wanted)]


def revoke_key(session: Session, key_id: int, at: datetime) -> bool:
    """Let a key open nothing any more; False where there is no such key or it was revoked before."""
    keys = table_of(ApiKey)
    statement = update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None)).values(revoked_at=at)
    return session.execute(statement.returning(keys.c.id)).first() is not None
