"""A follow-up as its file in config/followups says it: triggers, audience, entry, stops and steps, checked whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import time
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from handlers.followup import words
from handlers.followup.conditions import condition
from handlers.followup.trials import Experiment

CALENDAR: Final = {
    "元旦": (1, 1), "情人节": (2, 14), "女神节": (3, 8), "520": (5, 20), "618": (6, 18), "七夕前": (8, 1),
    "国庆": (10, 1), "双11": (11, 11), "双12": (12, 12), "圣诞": (12, 25),
}  # fmt: skip
"""Days of the trade by name; any other day is written as MM-DD."""
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CARD_BYTES, KF_BYTES, MASS_BYTES, WELCOME_BYTES, SMS_BYTES = 1024, 2048, 4000, 4000, 600


def _condition(source: str) -> str:
    condition(source)
    return source


def _month_day(value: str) -> str:
    if value in CALENDAR:
        return value
    month, _, day = value.partition("-")
    if not (month.isdigit() and day.isdigit() and 1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        raise ValueError(f"{value!r} is no day; write MM-DD or one of: {', '.join(CALENDAR)}")
    return value


def _as_library(value: Any) -> Any:
    return [{"text": value}] if isinstance(value, str) else value


def _hour(value: Any) -> Any:
    return time.fromisoformat(value) if isinstance(value, str) else value


Expression = Annotated[str, AfterValidator(_condition)]
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Day = Annotated[str, BeforeValidator(str), AfterValidator(_month_day)]
Clock = Annotated[time, BeforeValidator(_hour)]


class Part(BaseModel):
    """A piece of a follow-up's file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(Part):
    """One text of a library; `when` says for whom, none for everybody else."""

    when: Expression | None = None
    text: str


Library = Annotated[tuple[Text, ...], BeforeValidator(_as_library), Field(min_length=1)]


class Spoken(Part):
    """Anything with words: a text, or a library of texts of which the first that fits is taken."""

    LIMIT_BYTES: ClassVar[int] = KF_BYTES
    text: Library

    @model_validator(mode="after")
    def _texts_fit(self) -> Self:
        for entry in self.text:
            words.check(entry.text, self.LIMIT_BYTES)
        if all(entry.when is not None for entry in self.text):
            raise ValueError("text: the last one needs no `when`, so that everybody gets one")
        return self


class Trigger(Part):
    """What sets a follow-up off; exactly one of the first seven, the rest narrows it."""

    scenario: str | None = None
    loyalty: Literal["points_earned", "points_lapsing", "tier_reached", "tier_at_risk", "redeemed", "plan_expiring",
                     "plan_expired", "stored_value_dormant"] | None = None  # fmt: skip
    order: Literal["any", "first", "nth", "refund"] | None = None
    contact: Literal["added", "group_joined", "group_left", "customer_deleted", "rep_deleted"] | None = None
    date: Literal["birthday", "anniversary"] | None = None
    calendar: Day | None = None
    cycle: Literal["product", "own"] | None = None
    segment: Expression | None = None
    event: Slug | None = None
    n: PositiveInt = 2
    within_days: PositiveInt = 14
    days_before: NonNegativeInt = 0
    after_days: int = 0
    factor: PositiveFloat = 1.0
    catch_up_days: PositiveInt = 7
    channel_codes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Which of the kinds it is."""
        return next(name for name in KINDS if getattr(self, name) is not None)

    @property
    def event_kind(self) -> str:
        """The happening that sets it off, "" for one that time sets off."""
        named = {
            "scenario": f"scenario:{self.scenario}", "loyalty": self.loyalty or "", "event": f"api:{self.event}",
            "order": "refund" if self.order == "refund" else "order", "contact": self.contact or "",
        }  # fmt: skip
        return named.get(self.kind, "")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        named = [name for name in KINDS if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"name exactly one of {', '.join(KINDS)}; there are {len(named)}")
        return self


KINDS: Final = ("scenario", "loyalty", "order", "contact", "date", "calendar", "cycle", "segment", "event")


class Entry(Part):
    """Who may enter again: `once` in a life, or again after so many days; never twice at the same time."""

    once: bool = False
    again_after_days: NonNegativeInt = 0


class Stop(Part):
    """A fact, looked at before each step, that ends the follow-up; `why` is what the report says."""

    when: Expression
    why: str


class Until(Part):
    """The next such weekday and hour."""

    weekday: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] | None = None
    at: Clock = time(10)


class Wait(Part):
    """For a time, until a moment of the week, or until something happens at most so many days."""

    days: NonNegativeInt = 0
    hours: NonNegativeInt = 0
    minutes: NonNegativeInt = 0
    until: Until | None = None
    event: str | None = None
    at_most_days: PositiveInt = 7

    @model_validator(mode="after")
    def _says_how_long(self) -> Self:
        if not (self.days or self.hours or self.minutes or self.until or self.event):
            raise ValueError("say how long: days, hours, minutes, until, or event with at_most_days")
        return self


class Prompt(Part):
    """A card for the rep with reason, facts and a text; without one, the words the scenario proposes."""

    text: Library | None = None
    why: str = ""
    to: str = "rep"
    also_to: Literal["", "supervisor"] = ""
    escalate_after_h: PositiveInt | None = None
    escalate_to: str = "supervisor"
    reassign: bool = False
    go_on_after_h: PositiveInt | None = None

    @model_validator(mode="after")
    def _texts_fit(self) -> Self:
        for entry in self.text or ():
            words.check(entry.text, CARD_BYTES)
        if self.why:
            words.check(self.why, CARD_BYTES)
        return self


class Message(Spoken):
    """A message of the service itself, in the first of these channels that is open; else the rep is prompted."""

    channels: tuple[Literal["kf", "oa"], ...] = ("kf", "oa")
    otherwise: Literal["prompt", "skip"] = "prompt"


class Mass(Spoken):
    """A 企业群发 task the rep confirms by one tap; its result is fetched later."""

    LIMIT_BYTES: ClassVar[int] = MASS_BYTES
    link_title: str = ""
    link_url: str = ""
    result_after_h: PositiveInt = 24


class Welcome(Spoken):
    """The one greeting a new contact gets, within twenty seconds."""

    LIMIT_BYTES: ClassVar[int] = WELCOME_BYTES


class Tag(Part):
    """Tags to set and to take away; with `wecom` the corp tags of the same names too."""

    wecom: bool = False
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class Points(Part):
    """Points, once a run."""

    amount: PositiveInt
    to: Literal["member", "friend"] = "member"


class Coupon(Part):
    """A coupon of a type of the programme, or one of its rewards, as a gift, once a run."""

    type: Slug | None = None
    reward: Slug | None = None

    @property
    def named(self) -> str:
        """What it gives, by its id."""
        return self.type or self.reward or ""

    @model_validator(mode="after")
    def _one_gift(self) -> Self:
        if (self.type is None) == (self.reward is None):
            raise ValueError("give either type (a coupon of programme.yaml) or reward")
        return self


class Invite(Spoken):
    """A contact-way link of the rep's own that says who brought the friend; the rep sends it."""


class Appointment(Spoken):
    """An invitation to come: the rep sends the text with the address."""

    url: str = ""


class Call(Spoken):
    """A call or an SMS by the brand's own system, asked by a signed request; its answer comes back by the API."""

    LIMIT_BYTES: ClassVar[int] = SMS_BYTES
    adapter: Slug
    way: Literal["call", "sms"] = "sms"


class Branch(Part):
    """One way or the other, by a fact."""

    when: Expression
    then: tuple[Step, ...] = ()
    otherwise: tuple[Step, ...] = ()


ACTIONS: Final = ("wait", "prompt", "message", "mass", "welcome", "tag", "points", "coupon", "invite", "appointment",
                  "call", "branch", "go", "end")  # fmt: skip


class Step(Part):
    """One step: exactly one thing to do, and what follows where it was not allowed."""

    wait: Wait | None = None
    prompt: Prompt | None = None
    message: Message | None = None
    mass: Mass | None = None
    welcome: Welcome | None = None
    tag: Tag | None = None
    points: Points | None = None
    coupon: Coupon | None = None
    invite: Invite | None = None
    appointment: Appointment | None = None
    call: Call | None = None
    branch: Branch | None = None
    go: Slug | None = None
    end: str | None = None
    refused: Literal["next", "end", "tomorrow"] = "next"

    @property
    def action(self) -> str:
        """Which of the actions it is."""
        return next(name for name in ACTIONS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        named = [name for name in ACTIONS if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"a step does exactly one of {', '.join(ACTIONS)}; there are {len(named)}")
        return self


class Sop(Part):
    """A whole follow-up."""

    id: Slug
    title: str
    kind: Literal["selling", "care", "service", "urgent"] = "selling"
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    enabled: bool = True
    triggers: Annotated[tuple[Trigger, ...], Field(min_length=1)]
    audience: Expression | None = None
    entry: Entry = Entry()
    stop_when: tuple[Stop, ...] = ()
    experiment: Experiment | None = None
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]

    @property
    def weighs(self) -> bool:
        """Whether its touches count against a person's budget."""
        return self.kind in ("selling", "care")

    @field_validator("steps")
    @classmethod
    def _welcome_first(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        for place, step in enumerate(steps):
            if step.welcome is not None and any(one.wait is not None for one in steps[:place]):
                raise ValueError("welcome: must come before any wait, the platform takes it for 20 seconds")
        return steps


@dataclass(frozen=True, slots=True)
class Place:
    """A step in its place and the path of the one after it, "" for none."""

    path: str
    step: Step
    after: str


def program(sop: Sop) -> dict[str, Place]:
    """Every step by its path (`0`, `2.then.0`), in order; the first one comes first."""
    return {place.path: place for place in _places(sop.steps, "", "")}


def _places(steps: tuple[Step, ...], prefix: str, after: str) -> Iterator[Place]:
    for number, step in enumerate(steps):
        following = f"{prefix}{number + 1}" if number + 1 < len(steps) else after
        yield Place(f"{prefix}{number}", step, following)
        if step.branch is not None:
            for name in ("then", "otherwise"):
                yield from _places(getattr(step.branch, name), f"{prefix}{number}.{name}.", following)


class Sops:
    """Every follow-up of a brand, with what sets off which."""

    def __init__(self, files: Mapping[str, Sop] | None = None) -> None:
        self.by_id: dict[str, Sop] = dict(files or {})
        self.programs = {name: program(sop) for name, sop in self.by_id.items()}
        self._by_event: dict[str, list[tuple[Sop, Trigger]]] = {}
        ranked = sorted(self.by_id.values(), key=lambda sop: (-sop.priority, sop.id))
        for sop in ranked:
            for trigger in sop.triggers if sop.enabled else ():
                self._by_event.setdefault(trigger.event_kind, []).append((sop, trigger))

    def set_off_by(self, event_kind: str) -> list[tuple[Sop, Trigger]]:
        """The follow-ups an event sets off, the most important first; "" for those that time sets off."""
        return self._by_event.get(event_kind, [])

    def waits_for(self) -> set[str]:
        """Every kind of event that sets something off or that a step waits for."""
        places = (place for steps in self.programs.values() for place in steps.values())
        awaited = {place.step.wait.event for place in places if place.step.wait is not None}
        return {kind for kind in (*self._by_event, *awaited) if kind}
