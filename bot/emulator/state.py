"""Everything the emulated platform remembers, in memory, and the few acts all parts share."""

from __future__ import annotations

import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bot.emulator.callbacks import LOG_KEPT, Callback, CallbackSender, CallbackSettings
from bot.emulator.clock import VirtualClock
from bot.emulator.config import EmulatorConfig
from bot.emulator.errors import PhoneError
from bot.emulator.limits import Frequency, Limits
from bot.emulator.tokens import TokenShelf

Json = dict[str, Any]
Part = TypeVar("Part")


@dataclass
class Customer:
    """A WeChat user as the platform knows him; `agreed` is the consent to archiving."""

    external_userid: str
    name: str
    unionid: str = ""
    openid: str = ""
    gender: int = 0
    agreed: bool = True
    subscribed: bool = False
    rejects_kf: bool = False


@dataclass
class Staff:
    """A member of staff; `serving` is the state as kf servicer (接待中)."""

    userid: str
    name: str
    title: str = ""
    archived: bool = True
    serving: bool = True


@dataclass
class Follow:
    """The relation of one member to one customer; it outlives a deletion by the customer alone."""

    userid: str
    external_userid: str
    createtime: int
    remark: str = ""
    description: str = ""
    state: str = ""
    add_way: int = 1
    remark_mobiles: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    left_by_customer: bool = False


@dataclass
class Group:
    """A customer group; `members` maps an id to the time of joining."""

    chat_id: str
    name: str
    owner: str
    create_time: int
    notice: str = ""
    members: dict[str, int] = field(default_factory=dict)
    version: int = 1

    @property
    def member_version(self) -> str:
        """The version as the API and the callbacks write it."""
        return f"v{self.version:04x}"


@dataclass
class Tag:
    """A corp tag in its group."""

    tag_id: str
    name: str
    group_id: str
    group_name: str


@dataclass
class Line:
    """One bubble in a chat; `extra` holds a menu or the like."""

    number: int
    at: float
    sender: str
    kind: str
    text: str
    extra: Json = field(default_factory=dict)


class State:
    """The platform's memory; `touch` marks a change so that pages know to look again."""

    def __init__(self, config: EmulatorConfig, clock: VirtualClock) -> None:
        self.config = config
        self.clock = clock
        self.boot = secrets.token_hex(4)
        self.version = 0
        self.limits = Limits()
        self.callbacks = CallbackSender(dict(config.receivers), clock, self.touch)
        first = config.first_number
        self._number = first if first is not None else int(time.time() * 1000)
        self.parts: dict[type, Any] = {}
        self.reset()

    def reset(self) -> None:
        """Back to the seed people with empty chats; numbers go on so that old cursors stay behind."""
        self.limits = Limits()
        self.frequency = Frequency()
        self.tokens = TokenShelf(self.clock, self.limits, "tok")
        self.oa_tokens = TokenShelf(self.clock, self.limits, "oa")
        self.trusted_ips = list(self.config.trusted_ips)
        self.chats: dict[str, list[Line]] = {}
        self.api_log: deque[Json] = deque(maxlen=LOG_KEPT)
        self.parts = {}
        self.callbacks.settings = CallbackSettings()
        self.callbacks.log.clear()
        self._seed()
        self.touch()

    def _seed(self) -> None:
        now, people = int(self.clock.now()), self.config.people
        self.customers = {
            seed.external_userid: Customer(
                seed.external_userid, seed.name, seed.unionid, seed.openid, seed.gender, True, bool(seed.openid)
            )
            for seed in people.customers
        }
        self.staff = {
            seed.userid.lower(): Staff(seed.userid, seed.name, seed.title, seed.archived) for seed in people.staff
        }
        self.follows = {
            (seed.userid.lower(), seed.external_userid): Follow(
                seed.userid, seed.external_userid, now, seed.remark, "", seed.state
            )
            for seed in people.follows
        }
        self.groups = {
            seed.chat_id: Group(seed.chat_id, seed.name, seed.owner, now, seed.notice, dict.fromkeys(seed.members, now))
            for seed in people.groups
        }
        self.tags = {seed.tag_id: Tag(seed.tag_id, seed.name, seed.group_id, seed.group_name) for seed in people.tags}

    def part(self, kind: type[Part]) -> Part:
        """The memory of one part (kf, archive, ...), made on first use and dropped by a reset."""
        if kind not in self.parts:
            self.parts[kind] = kind()
        found: Part = self.parts[kind]
        return found

    def touch(self) -> None:
        """Note that something visible changed."""
        self.version += 1

    def next_number(self) -> int:
        """The next of the ever-growing numbers used for msgids, positions and lines."""
        self._number += 1
        return self._number

    def customer(self, external_userid: str) -> Customer:
        """The customer; PhoneError when nobody has this id."""
        if external_userid not in self.customers:
            raise PhoneError(f"no customer {external_userid!r}; known: {', '.join(self.customers)}")
        return self.customers[external_userid]

    def member(self, userid: str) -> Staff:
        """The member of staff, whatever the case of the id; PhoneError when there is none."""
        if userid.lower() not in self.staff:
            raise PhoneError(f"no staff {userid!r}; known: {', '.join(self.staff)}")
        return self.staff[userid.lower()]

    def group(self, chat_id: str) -> Group:
        """The customer group; PhoneError when there is none."""
        if chat_id not in self.groups:
            raise PhoneError(f"no group {chat_id!r}; known: {', '.join(self.groups)}")
        return self.groups[chat_id]

    def follow(self, userid: str, external_userid: str) -> Follow | None:
        """The relation of a member to a customer, or None."""
        return self.follows.get((userid.lower(), external_userid))

    def is_staff(self, person: str) -> bool:
        """Whether an id belongs to staff."""
        return person.lower() in self.staff

    def name_of(self, person: str) -> str:
        """The display name of anybody; the id itself for an unknown one."""
        if person in self.customers:
            return self.customers[person].name
        return self.staff[person.lower()].name if self.is_staff(person) else person

    def write(self, chat: str, sender: str, kind: str, text: str, extra: Json | None = None) -> Line:
        """Put a bubble into a chat."""
        line = Line(self.next_number(), self.clock.now(), sender, kind, text, extra or {})
        self.chats.setdefault(chat, []).append(line)
        self.touch()
        return line

    def send(self, receiver: str, kind: str, inner: str, agent_id: int | None = None) -> None:
        """Send a WeCom callback to the named receiver."""
        agent = None if agent_id is None else str(agent_id)
        self.callbacks.post(Callback(receiver, kind, inner, self.config.corp_id, agent))
