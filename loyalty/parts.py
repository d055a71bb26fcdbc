"""What every piece of the programme file is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Text = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """A piece of the programme: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def refuse_doubles(place: str, field: str, values: Iterable[str]) -> None:
    """Raise ValueError naming the first value that stands twice."""
    doubled = [value for value, count in Counter(values).items() if count > 1]
    if doubled:
        raise ValueError(f"{place}: {field} {doubled[0]!r} stands twice; give each its own")
