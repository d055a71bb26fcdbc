"""Everything a brand configured, as one value that is checked and swapped whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from handlers.appointment_book import Plan
from handlers.followup.definition import Sops
from handlers.knowledge import Knowledge
from handlers.talk.replies import Replies
from intents.classifier import Verdict
from intents.scenarios import Scenario
from loyalty.handover import Links
from loyalty.identities import Identifier
from loyalty.programme import Programme

SHANGHAI = ZoneInfo("Asia/Shanghai")


class Understanding(Protocol):
    """What can tell the scenarios of a batch of texts; `intents.classifier.Classifier` is one."""

    def classify(self, texts: Sequence[str], chats: Sequence[str]) -> list[Verdict]:
        """One verdict a text; `chats` says for each in which kind of chat it was written."""

    def cut(self, label: str, chat: str) -> float:
        """The score from which a scenario counts in a kind of chat."""


@dataclass(frozen=True, slots=True)
class Staff:
    """Who is prompted where nobody serves the customer, and who hears of a complaint besides."""

    default_rep: str = ""
    supervisor: str = ""


@dataclass(frozen=True, slots=True)
class DialogRules:
    """How long a prompt or list lives without a word, and how long the bot keeps still after a person wrote.

    Short messages of one person in one chat that come within `burst` of each other are read together.
    """

    silence: timedelta = timedelta(minutes=30)
    human_pause: timedelta = timedelta(minutes=30)
    survey_every: timedelta = timedelta(days=30)
    burst: timedelta = timedelta(seconds=1.5)


@dataclass(frozen=True, slots=True)
class Restraint:
    """When a customer may be touched, and how often; hours are local to `zone`.

    `allow` and `deny` hold external_userids: with `allow` nobody else is touched, whom `deny` names never is.
    A follow-up is no more than the `kf_per_window`-th message since the customer wrote, of the five the platform takes.
    """

    quiet_from_h: int = 21
    quiet_to_h: int = 9
    per_day: int = 2
    same_within: timedelta = timedelta(days=7)
    per_week: int = 5
    per_month: int = 12
    mass_per_month: int = 4
    kf_per_window: int = 3
    quiet_weekends: bool = False
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    later: timedelta = timedelta(minutes=120)
    no_selling_after_complaint: timedelta = timedelta(hours=72)
    zone: ZoneInfo = SHANGHAI


@dataclass(frozen=True, slots=True)
class Brand:
    """Programme, scenarios, replies, classifier and rules of one brand."""

    programme: Programme
    scenarios: Mapping[str, Scenario]
    replies: Replies
    understanding: Understanding
    staff: Staff = field(default_factory=Staff)
    dialog: DialogRules = field(default_factory=DialogRules)
    restraint: Restraint = field(default_factory=Restraint)
    sops: Sops = field(default_factory=Sops)
    knowledge: Mapping[str, Knowledge] = field(default_factory=dict)
    appointments: Plan = field(default_factory=Plan)
    identifier: Identifier = field(default_factory=lambda: Identifier(""))
    links: Links | None = None

    def title(self, scenario_id: str) -> str:
        """The Chinese name of a scenario."""
        scenario = self.scenarios.get(scenario_id)
        return scenario.title if scenario else scenario_id
