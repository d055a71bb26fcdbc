"""A training run: examples and corrections in, a numbered model with its card on the shelf, held to the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from random import Random
from typing import Any

import structlog

from bot.brands import Corpus, read_corpus, read_programme
from bot.settings import Settings
from intents import shelf
from intents.assessment import Judged, Message, assess, joined, judge
from intents.comparison import publish_gate
from intents.errors import IntentsError, PublishRefused
from intents.model import LinearModel
from intents.scenarios import Labelled, training_set

log = structlog.get_logger("trainings")
SEED = 20261122
Progress = Callable[[int, int], None]


def train_model(settings: Settings, progress: Progress, corrections: Sequence[Labelled] = (), seed: int = SEED) -> int:
    """Train, judge on the held-out messages and put on the shelf; gives the number. Promoting is another step.

    Where a model is in force, the card says under `gate` how the new one compares with it.
    """
    from intents.training import train  # brings scikit-learn, which promoting does without

    corpus = _corpus(settings)
    examples = training_set(corpus.scenarios, corpus.none)
    model = train(examples, list(corrections), seed, corpus.lexicon, progress)
    judged = judge(model, heldout(corpus))
    by_chat = assess(judged).as_dict()["by_chat"]
    card = {
        "seed": seed,
        "examples": len(examples),
        "corrections": len(corrections),
        "data_sha256": _hash(examples),
        "heldout_messages": len(corpus.heldout),
        "heldout_micro_f1_group": round(by_chat["group"]["micro_f1"], 4),
        "heldout_macro_f1_group": round(by_chat["group"]["macro_f1"], 4),
        "heldout_false_triggers_per_1000_group": round(by_chat["group"]["false_triggers_per_1000"], 1),
        "heldout_micro_f1_private": round(by_chat["private"]["micro_f1"], 4),
        "heldout_macro_f1_private": round(by_chat["private"]["macro_f1"], 4),
        "heldout_note": "synthetic held-out messages",
    }
    return shelf.publish(settings.paths.models, model, card | _gate(settings, corpus, judged))


def put_in_force(settings: Settings, number: int, force: bool = False) -> None:
    """Promote a model. Raises PublishRefused where its card says that it does worse than the one it was held to.

    With `force` it is promoted all the same, and the card says so.
    """
    refusals = shelf.card(settings.paths.models, number).get("gate", {}).get("refusals", [])
    if refusals and not force:
        raise PublishRefused(f"model {number} is not promoted: {'; '.join(refusals)}")
    shelf.promote(settings.paths.models, number)
    if refusals:
        shelf.annotate(settings.paths.models, number, f"promoted by force although {'; '.join(refusals)}")


def has_learnt(settings: Settings) -> bool:
    """Whether the model in force has learnt from the examples as they stand now."""
    current = shelf.current(settings.paths.models)
    if current is None:
        return False
    corpus = _corpus(settings)
    card = shelf.card(settings.paths.models, int(current.name))
    return bool(card.get("data_sha256") == _hash(training_set(corpus.scenarios, corpus.none)))


def heldout(corpus: Corpus, chat: str = "group") -> list[Message]:
    """The held-out messages as if they were written in one kind of chat."""
    return [Message(item.text, item.labels, chat) for item in corpus.heldout]


def cross_validate(settings: Settings, folds: int, chat: str, progress: Progress, seed: int = SEED) -> Judged:
    """Judge each example by a model that has learnt from the other folds alone."""
    from intents.training import train
    from intents.words import base_dictionary

    corpus, dictionary = _corpus(settings), base_dictionary()
    examples = training_set(corpus.scenarios, corpus.none)
    Random(seed).shuffle(examples)
    parts = []
    for fold in range(folds):
        rest = [item for at, item in enumerate(examples) if at % folds != fold]
        own = [Message(item.text, item.labels, chat) for item in examples[fold::folds]]

        def tell(done: int, steps: int, fold: int = fold) -> None:
            progress(fold * steps + done, folds * steps)

        model = train(rest, [], seed, corpus.lexicon, progress=tell, dictionary=dictionary)
        parts.append(judge(model, own))
    return joined(parts)


def _corpus(settings: Settings) -> Corpus:
    return read_corpus(settings.paths.config, read_programme(settings.paths.config))


def _gate(settings: Settings, corpus: Corpus, after: Judged) -> dict[str, Any]:
    try:
        current = shelf.current(settings.paths.models)
        before = None if current is None else LinearModel.load(current, corpus.lexicon)
    except IntentsError as error:
        # Nobody is served worse than by a model that cannot be read.
        log.warning("the model in force cannot be read: nothing to compare the new one with", error=str(error))
        return {}
    if current is None or before is None:
        return {}
    limits = settings.training
    gate = publish_gate(
        judge(before, after.messages), after, limits.protected, limits.margin, limits.false_triggers_margin
    )
    return {
        "gate": {
            "compared_with": int(current.name),
            "refusals": list(gate.refusals),
            "newly_wrong": list(map(str, gate.newly_wrong)),
        }
    }


def _hash(examples: Sequence[Labelled]) -> str:
    lines = (f"{item.text}\t{','.join(sorted(item.labels))}" for item in examples)
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()
