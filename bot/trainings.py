"""A training run: examples and corrections in, a numbered model with its card on the shelf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from bot.brands import read_corpus, read_programme
from bot.settings import Settings
from intents import shelf
from intents.classifier import Classifier
from intents.evaluation import Report, evaluate
from intents.model import LinearModel
from intents.scenarios import Labelled, training_set
from intents.training import train

SEED = 20261122


def train_model(
    settings: Settings,
    progress: Callable[[int, int], None],
    corrections: Sequence[Labelled] = (),
    seed: int = SEED,
) -> int:
    """Train, judge on the held-out messages and put on the shelf; gives the number. Promoting is another step."""
    corpus = read_corpus(settings.paths.config, read_programme(settings.paths.config))
    examples = training_set(corpus.scenarios, corpus.none)
    model = train(examples, list(corrections), seed, corpus.lexicon, progress)
    report = judge(model, corpus.heldout, "group")
    card = {
        "seed": seed,
        "examples": len(examples),
        "corrections": len(corrections),
        "data_sha256": _hash(examples),
        "heldout_messages": len(corpus.heldout),
        "heldout_micro_f1_group": round(report.micro_f1, 4),
        "heldout_macro_f1_group": round(report.macro_f1, 4),
        "heldout_note": "synthetic held-out messages, thresholds of group chats",
    }
    return shelf.publish(settings.paths.models, model, card)


def has_learnt(settings: Settings) -> bool:
    """Whether the model in force has learnt from the examples as they stand now."""
    current = shelf.current(settings.paths.models)
    if current is None:
        return False
    corpus = read_corpus(settings.paths.config, read_programme(settings.paths.config))
    card = shelf.card(settings.paths.models, int(current.name))
    return bool(card.get("data_sha256") == _hash(training_set(corpus.scenarios, corpus.none)))


def judge(model: LinearModel, heldout: Sequence[Labelled], chat: str) -> Report:
    """How the model does on messages it has not seen, in one kind of chat."""
    classifier = Classifier(model, "candidate")

    def labels(texts: Sequence[str]) -> list[frozenset[str]]:
        verdicts = classifier.classify(texts, [chat] * len(texts))
        return [frozenset(scored.id for scored in verdict.scenarios) for verdict in verdicts]

    return evaluate(labels, heldout)


def _hash(examples: Sequence[Labelled]) -> str:
    lines = (f"{item.text}\t{','.join(sorted(item.labels))}" for item in examples)
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()
