"""What the emulator is told at the start: secrets, receivers, accounts and the first people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

RECEIVER_NAMES = ("app", "contact", "kf", "archive", "oa")


@dataclass(frozen=True)
class Receiver:
    """Where one kind of callback goes, with its own token, AES key and receive id."""

    url: str
    token: str
    aes_key: str
    receive_id: str


@dataclass(frozen=True)
class KfAccount:
    """A 微信客服 account and the staff who may serve in it."""

    open_kfid: str
    name: str
    servicers: tuple[str, ...] = ()


@dataclass(frozen=True)
class OfficialAccount:
    """A 公众号; its callback token and AES key stand in the receiver named "oa"."""

    appid: str
    secret: str
    gh_id: str
    name: str = "公众号"
    mode: str = "plain"


@dataclass(frozen=True)
class TillButton:
    """One button: what is posted, with $customer, $number and the like in their places; a sale is remembered."""

    label: str
    method: str
    path: str
    body: dict[str, Any]
    is_sale: bool = False


@dataclass(frozen=True)
class Till:
    """A shop's own system beside the platform: where it posts, its key, and what it can do."""

    url: str
    api_key: str
    buttons: tuple[TillButton, ...] = ()


@dataclass(frozen=True)
class CustomerSeed:
    """A WeChat user; `openid` is empty for one who does not follow the 公众号."""

    external_userid: str
    name: str
    unionid: str = ""
    openid: str = ""
    gender: int = 0


@dataclass(frozen=True)
class StaffSeed:
    """A member of staff; `archived` says whether the conversations are kept by the archive."""

    userid: str
    name: str
    title: str = ""
    archived: bool = True


@dataclass(frozen=True)
class GroupSeed:
    """A customer group with its members (staff and customers)."""

    chat_id: str
    name: str
    owner: str
    members: tuple[str, ...]
    notice: str = ""


@dataclass(frozen=True)
class FollowSeed:
    """One staff member follows one customer."""

    userid: str
    external_userid: str
    remark: str = ""
    state: str = ""


@dataclass(frozen=True)
class TagSeed:
    """A corp tag and the name of its group."""

    tag_id: str
    name: str
    group_id: str
    group_name: str


@dataclass(frozen=True)
class People:
    """Everybody the emulator knows when it starts."""

    customers: tuple[CustomerSeed, ...] = ()
    staff: tuple[StaffSeed, ...] = ()
    groups: tuple[GroupSeed, ...] = ()
    follows: tuple[FollowSeed, ...] = ()
    tags: tuple[TagSeed, ...] = ()


@dataclass
class EmulatorConfig:
    """A corp, its app, its archive, its kf accounts, its 公众号 and where callbacks go.

    `receivers` is keyed by the names app, contact, kf, archive, oa; contact and kf fall back to app.
    `archive_public_keys` holds RSA public keys (PEM) by publickey_ver; the highest version is in use.
    `is_clock_shared` says that the service beside it lives by the same clock; only then can the page push it.
    `first_number` starts msgids and seqs; None takes the real time, so that they grow over restarts.
    """

    corp_id: str
    agent_id: int
    app_secret: str
    contact_secret: str = ""
    archive_secret: str = ""
    kf_accounts: tuple[KfAccount, ...] = ()
    oa: OfficialAccount | None = None
    till: Till | None = None
    receivers: dict[str, Receiver] = field(default_factory=dict)
    archive_public_keys: dict[int, str] = field(default_factory=dict)
    people: People = field(default_factory=People)
    trusted_ips: tuple[str, ...] = ()
    first_number: int | None = None
    is_clock_shared: bool = True

    def __post_init__(self) -> None:
        unknown = set(self.receivers) - set(RECEIVER_NAMES)
        if unknown:
            raise ValueError(f"unknown receivers {sorted(unknown)}; the names are {RECEIVER_NAMES}")
        if self.oa is not None and self.oa.mode not in ("plain", "compatible", "safe"):
            raise ValueError(f"公众号 mode {self.oa.mode!r} is not plain, compatible or safe")

    def scopes_of(self, secret: str) -> frozenset[str]:
        """What a token of this secret may call: app, contact, kf, archive; empty for a wrong secret."""
        scopes: set[str] = set()
        if secret and secret == self.app_secret:
            scopes |= {"app", "kf"} | ({"contact"} if not self.contact_secret else set())
        if secret and secret == self.contact_secret:
            scopes.add("contact")
        if secret and secret == self.archive_secret:
            scopes.add("archive")
        return frozenset(scopes)
