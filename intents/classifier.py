"""The one door to understanding: texts in, verdicts out, the whole batch in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intents.cues import keywords_verdict
from intents.text import normalise

FALLBACK_MODEL = "keywords"
FALLBACK_SCORE = 0.6


@dataclass(frozen=True, slots=True)
class Scored:
    """A scenario and its calibrated score between 0 and 1."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one message carries, best first, and why."""

    scenarios: tuple[Scored, ...]
    unsure: bool
    reasons: tuple[str, ...]
    near: tuple[Scored, ...]
    model: str
    degraded: bool


class Classifier:
    """Texts in, verdicts out. Holds no state between calls; safe to share between threads."""

    @classmethod
    def fallback(cls) -> Classifier:
        """A classifier without a model: keywords and cues, every verdict marked degraded."""
        return cls()

    def classify(self, texts: Sequence[str], chats: Sequence[str]) -> list[Verdict]:
        """One verdict per text, in order; `chats` says where each was written (group, private, kf, oa).

        Never raises on odd text. Raises ValueError when the two sequences differ in length.
        """
        if len(texts) != len(chats):
            raise ValueError(f"{len(texts)} texts came with {len(chats)} chats; pass one chat per text")
        return [_by_keywords(text) for text in texts]


def _by_keywords(text: str) -> Verdict:
    found, cues = keywords_verdict(normalise(text))
    reasons = [f"{scenario}: 关键词 {words}" for scenario, words in found]
    reasons += [f"{cue.kind}: {cue.words}" for cue in cues]
    scored = tuple(Scored(scenario, FALLBACK_SCORE) for scenario, _ in found)
    return Verdict(scored, len(scored) > 2, tuple(reasons), (), FALLBACK_MODEL, degraded=True)
