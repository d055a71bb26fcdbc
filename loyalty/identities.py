"""What names a person: kinds of identities, one form for each value, and phones kept as keyed hashes only."""

from __future__ import annotations

import hmac
import re
import unicodedata
from typing import Final

from loyalty.customers import Identity
from loyalty.errors import BadIdentity
from loyalty.parts import Part, Slug

PHONE: Final = "phone"
KINDS: Final = ("unionid", "external_userid", "openid", PHONE, "tmall_buyer", "jd_buyer", "douyin_buyer")
"""Kinds known by name; a brand may use others, such as the card number of its old till."""
NAME_ADDRESS, UNVERIFIED_PHONE = "name_address", "unverified_phone"
HINTS: Final = (NAME_ADDRESS, UNVERIFIED_PHONE)
"""What several persons may share; it proposes, and never names anybody."""

class Matching(Part):
    """Which shared names prove that two members are one person, which only suggest it, and which nobody has twice."""

    automatic: tuple[Slug, ...] = ("unionid", "phone")
    proposed: tuple[Slug, ...] = HINTS
    single: tuple[Slug, ...] = ("unionid",)


_kind = re.compile(r"[a-z][a-z0-9_]{0,39}").fullmatch
_printable = re.compile(r"[^\x00-\x1f\x7f]{1,200}").fullmatch
_hashed = re.compile(r"[0-9a-f]{64}").fullmatch
_mobile = re.compile(r"(?:\+?86|0086)?(1[3-9][0-9]{9})").fullmatch
_abroad = re.compile(r"(?:\+|00)([1-9][0-9]{6,14})").fullmatch
_between = re.compile(r"[\s\-()./·]+")


class Identifier:
    """Gives identities their one form; `secret` is the key of the phone hash and comes from the settings."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        # A copy of what has taken the key in costs half of taking it in.
        self._keyed = hmac.new(self._secret, digestmod="sha256")

    def __reduce__(self) -> tuple[type[Identifier], tuple[str]]:
        """Another process makes its own."""
        return Identifier, (self._secret.decode(),)

    def identity(self, kind: str, value: str) -> Identity:
        """The identity as it is stored; raises BadIdentity. A phone that is hashed already stays as it is."""
        if kind in (PHONE, UNVERIFIED_PHONE):
            return Identity(kind, value if _hashed(value) else self._hash(PHONE, normal_phone(value)))
        if not _kind(kind):
            raise BadIdentity(kind, "a kind is small letters, digits and _", f"write it like {KINDS[0]}")
        value = value.strip()
        if not _printable(value):
            raise BadIdentity(kind, "empty, over 200 characters or with control characters", "send the plain value")
        return Identity(kind, value)

    def name_address(self, name: str, address: str) -> Identity:
        """The hint that name and address give together: spaces, width and punctuation do not matter."""
        plain = "|".join(_bare(text) for text in (name, address))
        return Identity(NAME_ADDRESS, self._hash(NAME_ADDRESS, plain))

    def _hash(self, kind: str, value: str) -> str:
        if not self._secret:
            raise BadIdentity(kind, "no secret to hash it with", "set HUITOU_IDENTITY__SECRET to a long random text")
        keyed = self._keyed.copy()
        keyed.update(f"{kind}:{value}".encode())
        return keyed.hexdigest()


def normal_phone(value: str) -> str:
    """A phone in its one form: 11 digits at home, + and country code abroad; raises BadIdentity."""
    plain = _mobile(value.replace(" ", "").replace("-", ""))
    if plain is None:
        bare = _between.sub("", unicodedata.normalize("NFKC", value))
        plain = _mobile(bare)
        abroad = None if plain else _abroad(bare)
        if abroad is not None and not abroad[1].startswith("86"):
            return "+" + abroad[1]
    if plain is None:
        raise BadIdentity(PHONE, "not a phone number",
                          "write 11 digits such as 13800138000, or + and the country code")
    return plain[1]


def _bare(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKC", text).casefold() if letter.isalnum())
