"""How a redemption reaches its member: the sentence, the link with a token of theirs, the page, the codes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import jwt
from jwt.types import Options
from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from loyalty.codes import codes_of
from loyalty.errors import BadToken, ProgrammeError, UnknownCode
from loyalty.programme import Reward
from loyalty.tables import Redemption, table_of

ISSUER = "huitou"
LEAST_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Claim:
    """What a token says: whose redemption it opens."""

    member_id: int
    redemption_id: int
    code: str


@dataclass(frozen=True, slots=True)
class Page:
    """What the member's own page shows of a redemption."""

    redemption_id: int
    member_id: int
    name: str
    quantity: int
    value_fen: int
    state: str
    code: str
    codes: tuple[str, ...]
    handover: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Links:
    """Signs links: HS256 JSON Web Tokens, so that a shop that has the key checks them with any library.

    `page_url` is where our own page stands; the token is put behind it.
    """

    key: str
    page_url: str = ""
    valid_for: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        if len(self.key.encode()) < LEAST_KEY_BYTES:
            raise ValueError(f"the key for links has {len(self.key.encode())} bytes; give at least {LEAST_KEY_BYTES}")

    def token(self, claim: Claim, at: datetime, until: datetime | None = None) -> str:
        """A token of this member for this redemption, over at `until`."""
        over = min(until, at + self.valid_for) if until else at + self.valid_for
        return jwt.encode({
            "iss": ISSUER, "sub": str(claim.member_id), "jti": str(claim.redemption_id), "code": claim.code,
            "iat": int(at.timestamp()), "exp": int(over.timestamp()),
        }, self.key, algorithm="HS256")

    def read(self, token: str, now: datetime) -> Claim:
        """What a token says; raises BadToken where it is forged, of another kind, or over."""
        unclocked: Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False,
                     "require": ["exp", "sub", "jti", "code"]}
        try:
            body = jwt.decode(token, self.key, algorithms=["HS256"], issuer=ISSUER, options=unclocked)
            claim = Claim(int(body["sub"]), int(body["jti"]), str(body["code"]))
            over = datetime.fromtimestamp(int(body["exp"]), UTC)
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise BadToken(f"it is not ours ({type(error).__name__})") from error
        if over <= now:
            raise BadToken(f"it was good until {over}")
        return claim


def check_link(reward: Reward, links: Links | None) -> None:
    """Raise ProgrammeError where a reward's link wants a token and there is no key to sign it."""
    if links is None and reward.link is not None and "{token}" in reward.link:
        raise ProgrammeError(f"rewards: {reward.id!r}: link", "it has {token}, but no key for links is set; set one")


def sentence(session: Session, row: Row[Any], links: Links | None, at: datetime) -> str:
    """What the member reads: {link}, {code} and {codes} filled in, or put behind where the brand left them out."""
    link = address(row, links, at)
    codes = codes_of(session, row.id) if row.way == "exchange" else []
    filled = {"{link}": link, "{code}": row.code, "{codes}": " ".join(codes)}
    text = str(row.handover)
    behind = [value for field, value in filled.items() if value and field != "{code}" and field not in text]
    for field, value in filled.items():
        text = text.replace(field, value)
    return " ".join(filter(None, (text, *behind)))


def address(row: Row[Any], links: Links | None, at: datetime) -> str:
    """Where the member goes: the reward's link or our own page; empty for the other ways."""
    token = links.token(Claim(row.member_id, row.id, row.code), at, row.expires_at) if links else ""
    if row.way == "page":
        return links.page_url + token if links and links.page_url else ""
    if row.way != "link" or not row.link:
        return ""
    fields = {"token": token, "code": row.code, "member": row.member_id, "redemption": row.id,
              "reward": row.reward_id, "quantity": row.quantity}
    return str(row.link).format_map({name: quote(str(value), safe="") for name, value in fields.items()})


def link_of(session: Session, redemption_id: int, member_id: int, links: Links, now: datetime) -> str:
    """A fresh link for a redemption of this member, from their list; raises UnknownCode."""
    row = _row(session, redemption_id, member_id)
    return address(row, links, now)


def open_page(session: Session, token: str, links: Links, now: datetime, member_id: int | None = None) -> Page:
    """The page behind a token; where the visitor is known, it must be theirs. Raises BadToken, UnknownCode."""
    claim = links.read(token, now)
    if member_id is not None and member_id != claim.member_id:
        raise BadToken("it belongs to another member")
    row = _row(session, claim.redemption_id, claim.member_id)
    codes = tuple(codes_of(session, row.id)) if row.way == "exchange" else ()
    return Page(row.id, row.member_id, row.name, row.quantity, row.value_fen, row.state, row.code, codes,
                row.handover, row.expires_at)


def _row(session: Session, redemption_id: int, member_id: int) -> Row[Any]:
    row = session.execute(select(table_of(Redemption)).where(
        Redemption.id == redemption_id, Redemption.member_id == member_id)).first()
    if row is None:
        raise UnknownCode(redemption_id)
    return row
