"""One customer message in the hands of a handler: what it gets, and what it may ask for.

A handler is a scene: a generator that is given a `Turn` and yields steps; `handlers.react` applies them and sends
the result of a step back into the scene.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from handlers.brand import Brand
from handlers.facts import Facts
from handlers.talk.messages import AUTOMATIC_CHANNELS, Incoming
from intents.classifier import Verdict


@dataclass(frozen=True, slots=True)
class OpenDialog:
    """What a customer was asked in a chat; `state` is the step's own small memory."""

    step: str
    state: dict[str, Any]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Say:
    """Answer the customer where the channel is automatic; `menu` are entries to tap, (id, words)."""

    text: str
    menu: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """Open, or keep open, a dialog step with its memory."""

    step: str
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Close:
    """End the dialog of this person in this chat."""


@dataclass(frozen=True, slots=True)
class Redeem:
    """Settle a redemption; sends back `loyalty.redemptions.Redeemed`, or the `LoyaltyError` that refused it."""

    reward_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Undo:
    """Take a redemption back; sends back the outcome, or the `LoyaltyError` that refused it."""

    redemption_id: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """Set off a follow-up for the rep; sends back the `Decision` of the rules of restraint.

    `quote` is the text to send by one tap; `private` says that it must not go into a group; `title` names an occasion
    that is no scenario, such as one case or one appointment.
    """

    sop: str
    why: str
    quote: str
    rows: tuple[tuple[str, str], ...] = ()
    private: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """Let something be written in the message's own transaction; sends back what `work` gives.

    `work` gets the session and a key that is the same however often the message is handled.
    """

    note: str
    work: Callable[[Session, str], Any]


@dataclass(frozen=True, slots=True)
class HandOver:
    """Give the chat to a person and keep still here for a while."""

    say: str


@dataclass(frozen=True, slots=True)
class OptOut:
    """No more follow-ups for this person, at once."""


@dataclass(frozen=True, slots=True)
class OptIn:
    """Follow-ups are welcome again."""


@dataclass(frozen=True, slots=True)
class Hush:
    """Remember that something was said here, so that it is not said again before `until`."""

    topic: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Silent:
    """Decide to do nothing, with the reason that is stored."""

    why: str


Step = Say | Ask | Close | Redeem | Undo | Write | Prompt | HandOver | OptOut | OptIn | Hush | Silent
Scene = Generator[Step, Any, None]


@dataclass(frozen=True, slots=True)
class Turn:
    """A customer's message with everything a handler may look at."""

    message: Incoming
    member_id: int
    verdict: Verdict
    brand: Brand
    facts: Facts
    now: datetime
    dialog: OpenDialog | None = None
    text: str = field(default="")
    received_at: datetime | None = None
    is_early: bool = False
    """A yes that was on its way before the question it seems to answer could be read."""

    @property
    def is_automatic(self) -> bool:
        """Whether a program may answer here by itself."""
        return self.message.channel in AUTOMATIC_CHANNELS

    def reply(self, name: str, /, **variables: Any) -> str:
        """A configured text with the customer's name and the programme's words filled in."""
        return self.brand.replies.render(name, **(self._known() | variables))

    def reply_text(self, template: str) -> str:
        """A text from a scenario file, filled in the same way."""
        return self.brand.replies.render_text(template, **self._known())

    def _known(self) -> dict[str, Any]:
        programme = self.brand.programme
        return {
            "name": self.facts.name(self.member_id),
            "points_name": programme.points_name,
            "points_per_yuan": programme.earning.points_per_yuan,
            "brand": programme.name,
        }
