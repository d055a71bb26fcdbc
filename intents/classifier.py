"""The one door to understanding: texts in, verdicts out, the whole batch in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from intents.cues import find_cues, keywords_verdict
from intents.features import shorten
from intents.lookup import Present
from intents.model import CHUNK, LinearModel
from intents.text import normalise

FALLBACK_MODEL = "keywords"
FALLBACK_SCORE = 0.6
# Only a chat with one customer is answered boldly; anything else is treated as a group.
PRIVATE_CHATS = frozenset({"private", "kf", "oa"})
# Below this score a scenario is not even worth asking about.
_FAINTEST = 0.15
_CLOSE = 0.1
_EXPLAINED = 3
_LOOKED_AT = 20


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
    """Answers do not depend on earlier calls; safe to share between threads."""

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

    def cut(self, label: str, chat: str) -> float:
        """The score from which a scenario counts in a chat; raises ValueError for a label the model does not know."""
        if self._model is None:
            return FALLBACK_SCORE
        cuts = self._model.private if chat in PRIVATE_CHATS else self._model.group
        return float(cuts[self._model.labels.index(label)])

    def classify(self, texts: Sequence[str], chats: Sequence[str]) -> list[Verdict]:
        """One verdict per text, in order; `chats` says where each was written (group, private, kf, oa).

        Never raises on odd text. Raises ValueError when the two sequences differ in length.
        """
        if len(texts) != len(chats):
            raise ValueError(f"{len(texts)} texts came with {len(chats)} chats; pass one chat per text")
        if self._model is None:
            return [_by_keywords(text) for text in texts]
        verdicts: list[Verdict] = []
        for at in range(0, len(texts), CHUNK):
            verdicts += self._judge_or_guess(self._model, texts[at : at + CHUNK], chats[at : at + CHUNK])
        return verdicts

    def _judge_or_guess(self, model: LinearModel, texts: Sequence[str], chats: Sequence[str]) -> list[Verdict]:
        try:
            return self._judge(model, texts, chats)
        except Exception as error:
            # A model that was damaged in a way no check foresaw must not stop a dialog; the mark raises the alarm.
            why = f"模型出错: {type(error).__name__}"
            return [replace(found, reasons=(*found.reasons, why)) for found in map(_by_keywords, texts)]

    def _judge(self, model: LinearModel, texts: Sequence[str], chats: Sequence[str]) -> list[Verdict]:
        present = model.read(texts)
        scores = model.calibrate(model.margins_of(present))
        if not np.isfinite(scores).all():
            # Weights that went bad must not stop a dialog; the degraded mark raises the alarm.
            return [_by_keywords(text) for text in texts]
        told: list[list[_Heard]] = [[] for _ in texts]
        cuts = np.where([[chat in PRIVATE_CHATS] for chat in chats], model.private, model.group)
        loud = scores >= cuts
        heard = (loud | (scores >= _FAINTEST)).nonzero()
        columns = (heard[0], -scores[heard], heard[1], loud[heard])
        for at, below, place, is_loud in zip(*(column.tolist() for column in columns), strict=True):
            told[at].append(_Heard(below, place, is_loud))
        return self._verdicts(model, present, told)

    def _verdicts(self, model: LinearModel, present: Present, told: Sequence[list[_Heard]]) -> list[Verdict]:
        asked = []
        for at, heard in enumerate(told):
            heard.sort()
            asked += [(at, one.place) for one in _explained(heard)]
        names = iter(model.explain(present, asked, _LOOKED_AT))
        silent = Verdict((), False, (), (), self.version, degraded=False)
        return [self._verdict(model, present, at, heard, names) if heard else silent for at, heard in enumerate(told)]

    def _verdict(
        self, model: LinearModel, present: Present, at: int, heard: Sequence[_Heard], names: Iterator[list[str]]
    ) -> Verdict:
        scenarios = tuple(Scored(model.labels[one.place], round(-one.below, 4)) for one in heard if one.loud)
        near = tuple(Scored(model.labels[one.place], round(-one.below, 4)) for one in heard if not one.loud)[:2]
        frame = present.frames[at]
        reasons = [f"{one.id} {one.score:.2f}: {_weighed(next(names), frame)}" for one in scenarios]
        reasons += [f"{one.id} {one.score:.2f} 不够: {_weighed(next(names), frame)}" for one in near[:1]]
        reasons += [f"{cue.kind}: {cue.words}" for cue in find_cues(present.lines[at], present.marks[at])]
        return Verdict(scenarios, _is_unsure(scenarios, near), tuple(reasons), near, self.version, degraded=False)


class _Heard(NamedTuple):
    """A scenario worth a word in one message; sorts best first, equals in the order of labels."""

    below: float
    place: int
    loud: bool


def _explained(heard: Sequence[_Heard]) -> list[_Heard]:
    return [one for one in heard if one.loud] + [one for one in heard if not one.loud][:1]


def _is_unsure(scenarios: Sequence[Scored], near: Sequence[Scored]) -> bool:
    if not near:
        return False
    return not scenarios or scenarios[-1].score - near[0].score < _CLOSE


def _weighed(words: Sequence[str], frame: str) -> str:
    """The words that weighed most, without those that stand inside one another."""
    shown: list[str] = []
    for word in words:
        # Classes of words and cues weigh too, but only what the person wrote is shown.
        if word not in frame:
            continue
        for other in shown:
            if word in other or other in word:
                break
        else:
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
