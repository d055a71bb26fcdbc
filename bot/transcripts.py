"""Transcripts: a conversation as a file. Who takes part stands on top, then who says what, and what must come of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from handlers.talk.messages import Incoming

Channel = Literal["kf", "oa", "group", "private"]
Contact = Literal["added", "customer_deleted", "rep_deleted", "group_joined", "group_left"]
CHANGES: Final = {
    "added": "add_external_contact", "customer_deleted": "del_follow_user", "rep_deleted": "del_external_contact",
    "group_joined": "add_member", "group_left": "del_member",
}  # fmt: skip
"""What the platform calls it."""
CHATS: Final = {"kf": "kf:wkAAA0001", "oa": "oa:gh_000000000001", "group": "wrGROUP0001", "group2": "wrGROUP0002"}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Moved(_Part):
    """Points that came (above 0) or were spent (below 0) at a moment of the past."""

    points: int
    at: AwareDatetime


class Person(_Part):
    """A customer: ids, the rep who serves them, points with the days until they lapse, and what else they have."""

    external_userid: str
    openid: str = ""
    rep: str = ""
    points: int = 0
    lapse_in_days: int = 365
    moved: list[Moved] = Field(default=[], description="in the order it happened")
    joined: bool = False
    topped_up_yuan: int = 0
    plan: str = ""
    birthday: str = Field(default="", pattern=r"^(\d\d-\d\d)?$", description="MM-DD")


class Parcel(_Part):
    """What was told of the parcel of an order."""

    carrier: str = "顺丰"
    number: str = "SF1234567890"
    state: Literal["packed", "shipped", "moving", "delivering", "delivered", "problem", "returned"]
    note: str = ""
    hours_ago: int = 2


class Bought(_Part):
    """An order of the past, or one placed in the middle of the conversation, with its parcel where there is one."""

    by: str
    sku: str
    days_ago: int = 0
    amount_yuan: int = 100
    number: str = ""
    parcel: Parcel | None = None


class Quotas(_Part):
    """Limits of follow-ups for this conversation alone; what is left out is as in the settings."""

    per_day: int | None = None
    mass_per_month: int | None = None
    kf_per_window: int | None = None


class Step(_Part):
    """One thing that happens, and what must come of it; all expectations of a step are looked at together."""

    who: str = ""
    at: Literal["kf", "oa", "group", "group2", "private"] = "kf"
    say: str | None = None
    burst: list[str] = Field(default=[], description="several short messages within a moment")
    kind: str = "text"
    data: dict[str, str] = Field(default={}, description="what a message that is no text carries")
    recalls: bool = Field(default=False, description="takes back the last message of this person")
    staff_says: str | None = None
    to_whom: str = Field(default="", description="whom a member of staff writes to; empty: the first person")
    tap: Literal["done", "no", "later"] | None = None
    wait_min: int = 0
    wait_s: int = 0
    until: AwareDatetime | None = Field(default=None, description="the clock is pushed to this moment")
    order: Bought | None = None
    contact: Contact | None = Field(default=None, description="what the platform tells of this customer")
    rep: str = Field(default="", description="with whom; empty: the person's own rep")
    leaves: str = Field(default="", description="this member of staff leaves the company")
    twice: bool = False
    restart: bool = Field(default=False, description="the process is killed before each commit of this step")
    held: bool = Field(default=False, description="the platform is away: what is decided waits for the next step")
    answered: list[str] = Field(default=[], description="each stands in what the person is told")
    answered_in: Channel | None = Field(default=None, description="where all of it is told")
    answers: int | None = Field(default=None, description="how many messages are told")
    never: list[str] = Field(default=[], description="none stands in anything that leaves")
    silent: bool = False
    prompted: list[str] | None = Field(default=None, description="each stands in the card; empty: no card")
    to: str = ""
    points: int | None = None
    dialog: str | None = Field(default=None, description="the step that is open afterwards; empty: none")
    why: str = ""
    refused: list[str] | None = Field(default=None, description="each stands in a reason of a follow-up; empty: none")

    @property
    def channel(self) -> Channel:
        """The kind of chat it is said in."""
        return "group" if self.at == "group2" else self.at

    def describe(self) -> str:
        """What happens, in one line."""
        if self.tap:
            return f"{self.who} taps “{self.tap}”"
        if self.recalls:
            return f"{self.who} takes back the last message"
        if self.staff_says is not None:
            return f"{self.who} (staff) in {self.at}: {self.staff_says}"
        if self.contact:
            return f"{self.who}: {self.contact}"
        if self.leaves:
            return f"{self.leaves} leaves the company"
        said = " / ".join(self.burst) or self.say
        if said is not None:
            return f"{self.who} in {self.at}: {said or ''}" + ("" if self.kind == "text" else f"[{self.kind}]")
        return f"{self.order.by} buys {self.order.sku}" if self.order else "time passes"


class Transcript(_Part):
    """A whole conversation."""

    title: str
    now: AwareDatetime
    people: dict[str, Person]
    default_rep: str = "liuyang"
    supervisor: str = "wangli"
    quotas: Quotas = Quotas()
    orders: list[Bought] = []
    talk: list[Step]

    @model_validator(mode="after")
    def _names_are_known(self) -> Transcript:
        buyers = [bought.by for bought in self.orders] + [step.order.by for step in self.talk if step.order]
        acting = [step for step in self.talk if step.say is not None or step.burst or step.recalls or step.contact]
        speakers = [step.who for step in acting]
        addressed = [step.to_whom for step in self.talk if step.to_whom]
        for name in [*buyers, *speakers, *addressed]:
            if name not in self.people:
                raise ValueError(f"{name!r} is not among the people ({', '.join(self.people)}); add them or correct it")
        return self


def messages_of(transcript: Transcript, step: Step, key: str, task: str, last_key: str) -> Iterator[Incoming]:
    """The messages of a step, as the edge hands them over, without their moments."""
    at, person = transcript.now, transcript.people.get(step.who)
    if step.leaves:
        told = {"Event": "change_contact", "ChangeType": "delete_user", "UserID": step.leaves}
        yield Incoming(key=key, channel="other", kind="event", sender="sys", identity="none", at=at, data=told)
    elif step.contact and person is not None:
        yield _contact_event(step, person, key, at)
    elif step.tap:
        yield Incoming(
            key=key, channel="staff", kind="tap", sender=step.who, identity="userid", is_staff=True, at=at,
            data={"task_id": task, "button": step.tap, "response_code": key},
        )  # fmt: skip
    elif step.staff_says is not None:
        addressed = transcript.people[step.to_whom or next(iter(transcript.people))].external_userid
        yield Incoming(
            key=key, channel=step.channel, kind="text", sender=step.who, identity="userid", is_staff=True, at=at,
            chat=chat_of(step, addressed, step.who), text=step.staff_says, data={"to": addressed},
        )  # fmt: skip
    elif person is not None and (step.say is not None or step.burst or step.recalls):
        said = step.burst or [step.say or ""]
        for place, text in enumerate(said):
            is_oa = step.at == "oa"
            data = {"pre_msgid": last_key} if step.recalls else step.data
            yield Incoming(
                key=f"{key}.{place}" if step.burst else key, channel=step.channel, at=at, text=text, data=data,
                kind="recall" if step.recalls else step.kind,
                sender=person.openid if is_oa else person.external_userid,
                identity="openid" if is_oa else "external_userid",
                chat=chat_of(step, person.external_userid, person.rep),
                staff=(person.rep,) if person.rep and step.channel in {"group", "private"} else (),
            )  # fmt: skip


def _contact_event(step: Step, person: Person, key: str, at: datetime) -> Incoming:
    change, external, contact = CHANGES[str(step.contact)], person.external_userid, str(step.contact)
    if contact.startswith("group_"):
        chat = CHATS["group"]
        told = {"event": "change_external_chat", "change": "update", "detail": change, "members": external}
        return Incoming(key=key, channel="contact", kind="event", sender=chat, chat=chat, identity="none", at=at,
                        data=told)  # fmt: skip
    told = {"event": "change_external_contact", "change": change, "userid": step.rep or person.rep,
            "external_userid": external, "welcome_code": key if contact == "added" else ""}  # fmt: skip
    return Incoming(key=key, channel="contact", kind="event", sender=external, at=at, data=told)


def chat_of(step: Step, external_userid: str, rep: str) -> str:
    """The chat something is said in."""
    return f"{rep}|{external_userid}" if step.at == "private" else CHATS[step.at]
