"""What a brand may set about insights: rhythms, stages, RFM classes and scores. Every key has a sane default."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from loyalty.parts import Part, Slug

Days = Annotated[float, Field(gt=0, le=3650)]
Cuts = tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]


class RfmPolicy(Part):
    """Four cuts for each measure make five classes; what is not given is cut so that each class has a fifth of all.

    `recency_days` falls from class 5 (bought within the first cut) to 1; the others rise: class 2 begins at the first.
    """

    recency_days: Cuts | None = None
    frequency: Cuts | None = None
    amount_fen: Cuts | None = None

    @model_validator(mode="after")
    def _rise(self) -> Self:
        for name in ("recency_days", "frequency", "amount_fen"):
            cuts = getattr(self, name)
            if cuts is not None and sorted(set(cuts)) != list(cuts):
                raise ValueError(f"insights.rfm.{name}: {list(cuts)} must rise from cut to cut, none twice")
        return self


class ScorePolicy(Part):
    """How scores are read: which behaviour shows how much attachment, and how fast that fades."""

    brand_weights: dict[Slug, NonNegativeInt] = {
        "referral": 5, "ugc": 4, "survey": 2, "share": 2, "topic": 2, "form": 1, "quiz": 1, "link": 1, "check_in": 1}
    brand_half_at: PositiveInt = 10
    brand_fades_in_days: Days = 90
    value_half_fen: PositiveInt | None = None


class InsightPolicy(Part):
    """Where a member's own rhythm starts from, and what is early, late and lost, in multiples of it.

    `rhythm_days` is expected of somebody of whom nothing else is known and counts as much as `prior_weight` gaps.
    """

    rhythm_days: Days = 30
    prior_weight: Annotated[float, Field(gt=0, le=100)] = 2
    cooling_factor: Annotated[float, Field(gt=1, le=100)] = 1.5
    lost_factor: Annotated[float, Field(gt=1, le=100)] = 3
    loyal_from: Annotated[int, Field(ge=2)] = 5
    horizon_days: Annotated[int, Field(ge=7, le=1095)] = 365
    rfm: RfmPolicy = RfmPolicy()
    scores: ScorePolicy = ScorePolicy()

    @model_validator(mode="after")
    def _in_turn(self) -> Self:
        if self.lost_factor <= self.cooling_factor:
            raise ValueError(f"insights: lost_factor {self.lost_factor:g} must be above cooling_factor "
                             f"{self.cooling_factor:g}: one cools before one is lost")
        return self
