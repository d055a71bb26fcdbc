"""What an endpoint is: its address, who may call it, what goes in and out, and the work; pure description."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from bot.api.problems import Problem
from loyalty.errors import LoyaltyError
from loyalty.handover import Links
from loyalty.programme import Programme


class Asked(BaseModel):
    """What comes in: unknown fields are refused, so that a misspelt one is not silently without effect."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Told(BaseModel):
    """What goes out; made from values of the loyalty core that have the same fields."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Nothing(Asked):
    """No parameters."""


P = TypeVar("P")
Q = TypeVar("Q")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Call(Generic[P, Q, B]):
    """A request that was let in: everything checked, nothing done.

    `key` is the ledger key of a write: the caller's own behind the caller's name. `at` is the present moment.
    """

    client: str
    key: str
    at: datetime
    programme: Programme
    path: P
    query: Q
    body: B
    links: Links | None = None


Work = Callable[[Session, Call[Any, Any, Any]], tuple[int, Told]]
"""Does what was asked in the transaction it is handed and gives status and answer; raises LoyaltyError, Problem."""


Together = Callable[[Session, Sequence[Call[Any, Any, Any]]], Sequence[tuple[int, Told] | LoyaltyError | Problem]]
"""Does the work of many requests in one transaction; a refusal of one is given in its place and leaves no trace."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one address. `body` is None where none is taken; `part` is what a refusal speaks about unless
    `parts` knows its kind better. With `together`, those that come at the same time are committed in one go."""

    method: str
    path: str
    scope: str
    summary: str
    work: Work
    answer: type[Told]
    params: type[Asked] = Nothing
    query: type[Asked] = Nothing
    body: type[BaseModel] | None = None
    statuses: tuple[int, ...] = (200,)
    part: str = "body"
    parts: Mapping[type[LoyaltyError], str] = field(default_factory=dict)
    together: Together | None = None

    @property
    def writes(self) -> bool:
        """Whether it changes anything, so that it needs an Idempotency-Key."""
        return self.method != "GET"

    @property
    def name(self) -> str:
        """What generated clients call it: post_points_holds_settle."""
        words = [part.strip("{}") for part in self.path.removeprefix("/api/v1/").split("/")]
        return "_".join([self.method.lower(), *words]).replace(".", "_").replace("-", "_")

    def part_of(self, error: LoyaltyError) -> str:
        """The part of the request that a refusal speaks about."""
        return next((name for kind, name in self.parts.items() if isinstance(error, kind)), self.part)
