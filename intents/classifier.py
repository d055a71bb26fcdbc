"""The one door to understanding: texts in, verdicts out, the whole batch in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intents.cues import find_cues, keywords_verdict
from intents.features import framed, shorten
from intents.model import Floats, LinearModel, Present
from intents.text import normalise

FALLBACK_MODEL = "keywords"
FALLBACK_SCORE = 0.6
# Only a chat with one customer is answered boldly; anything else is treated as a group.
PRIVATE_CHATS = frozenset({"private", "kf", "oa"})
# Below this score a scenario is not even worth asking about.
_FAINTEST = 0.15
_CLOSE = 0.1
_EXPLAINED = 3
_SHOWN_MARKS = str.maketrans("", "", "^$ ")


@dataclass(frozen=True, slots=True)
class Scored:
    """A scenario and its calibrated score between 0 and 1."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one message carries, best first, and why.

    `near`: at most two scenarios just below their threshold. `unsure`: a question is worth more than an answer.
    `degraded`: judged by keywords because no model was at hand.
    """

    scenarios: tuple[Scored, ...]
    unsure: bool
    reasons: tuple[str, ...]
    near: tuple[Scored, ...]
    model: str
    degraded: bool


class Classifier:
    """Holds no state between calls; safe to share between threads."""

    def __init__(self, model: LinearModel | None, version: str) -> None:
        self._model = model
        self.version = version

    @classmethod
    def load(cls, folder: Path, lexicon: Sequence[str] = ()) -> Classifier:
        """A classifier over a model folder and further brand words. Raises ModelMissing, ModelBroken."""
        return cls(LinearModel.load(folder, lexicon), folder.name)

    @classmethod
    def fallback(cls) -> Classifier:
        """A classifier without a model: keywords and cues, every verdict marked degraded."""
        return cls(None, FALLBACK_MODEL)

    def classify(self, texts: Sequence[str], chats: Sequence[str]) -> list[Verdict]:
        """One verdict per text, in order; `chats` says where each was written (group, private, kf, oa).

        Never raises on odd text. Raises ValueError when the two sequences differ in length.
        """
        if len(texts) != len(chats):
            raise ValueError(f"{len(texts)} texts came with {len(chats)} chats; pass one chat per text")
        if self._model is None:
            return [_by_keywords(text) for text in texts]
        messages = [self._model.present(text) for text in texts]
        scores = self._model.calibrate(self._model.margins_of(messages))
        if not np.isfinite(scores).all():
            # Weights that went bad must not stop a dialog; the degraded mark raises the alarm.
            return [_by_keywords(text) for text in texts]
        judged = zip(texts, chats, messages, scores, strict=True)
        return [self._judge(self._model, *one) for one in judged]

    def _judge(self, model: LinearModel, text: str, chat: str, message: Present, row: Floats) -> Verdict:
        cuts = model.private if chat in PRIVATE_CHATS else model.group
        order = [at for at in (-row).argsort(kind="stable").tolist() if row[at] >= min(_FAINTEST, cuts[at])]
        scenarios = _scored(model, row, [at for at in order if row[at] >= cuts[at]])
        near = _scored(model, row, [at for at in order if row[at] < cuts[at]][:2])
        return Verdict(
            scenarios=scenarios,
            unsure=_is_unsure(scenarios, near),
            reasons=_reasons(model, text, message, scenarios, near),
            near=near,
            model=self.version,
            degraded=False,
        )


def _scored(model: LinearModel, row: Floats, places: Sequence[int]) -> tuple[Scored, ...]:
    return tuple(Scored(model.labels[at], round(float(row[at]), 4)) for at in places)


def _is_unsure(scenarios: Sequence[Scored], near: Sequence[Scored]) -> bool:
    if not near:
        return False
    return not scenarios or scenarios[-1].score - near[0].score < _CLOSE


def _reasons(
    model: LinearModel, text: str, message: Present, scenarios: Sequence[Scored], near: Sequence[Scored]
) -> tuple[str, ...]:
    if not scenarios and not near:
        return ()
    plain = shorten(normalise(text))
    frame = framed(plain)
    told = [f"{one.id} {one.score:.2f}: {_weighed(model, message, frame, one.id)}" for one in scenarios]
    told += [f"{one.id} {one.score:.2f} 不够: {_weighed(model, message, frame, one.id)}" for one in near[:1]]
    return (*told, *(f"{cue.kind}: {cue.words}" for cue in find_cues(plain)))


def _weighed(model: LinearModel, message: Present, frame: str, label: str) -> str:
    """The words that weighed most, without those that stand inside one another."""
    shown: list[str] = []
    for name, _ in model.explain(message, label, most=20):
        word = name.translate(_SHOWN_MARKS)
        # Classes of words and cues weigh too, but only what the person wrote is shown.
        if not word or word not in frame or any(word in other or other in word for other in shown):
            continue
        shown.append(word)
        if len(shown) == _EXPLAINED:
            break
    return " ".join(shown)


def _by_keywords(text: str) -> Verdict:
    found, cues = keywords_verdict(shorten(normalise(text)))
    reasons = [f"{scenario}: 关键词 {words}" for scenario, words in found]
    reasons += [f"{cue.kind}: {cue.words}" for cue in cues]
    scored = tuple(Scored(scenario, FALLBACK_SCORE) for scenario, _ in found)
    return Verdict(scored, len(scored) > 2, tuple(reasons), (), FALLBACK_MODEL, degraded=True)
