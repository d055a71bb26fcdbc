"""The model of the repository's own scenario files: too long for the default run."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from intents.classifier import Classifier
from intents.evaluation import evaluate
from intents.scenarios import Labelled, Scenario, training_set
from intents.training import train

CONFIG = Path(__file__).parents[2] / "config"
NEEDS = [
    ("快吃完了", "running_out"),
    ("又见底了", "running_out"),
    ("最后两包啦", "running_out"),
    ("还够吃三天", "running_out"),
    ("同事问这是什么牌子", "buying_for_friend"),
    ("我有多少积分", "points_query"),
    ("积分换个杯子", "points_redeem"),
    ("转人工", "human_agent"),
    ("别再群发了", "opt_out"),
]
TRAPS = ["外卖快吃完了", "手机快没电了", "上周吃完就补了", "球队积分", "还没吃完", "快吃完饭了等我"]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """Trained on config/scenarios as `huitou train` does it."""
    yaml = YAML(typ="safe", pure=True)
    files = [yaml.load(path.read_text("utf-8")) for path in sorted((CONFIG / "scenarios").glob("*.yaml"))]
    scenarios = [Scenario.model_validate(content) for content in files if content["id"] != "none"]
    [none] = [content["examples"] for content in files if content["id"] == "none"]
    return Classifier(train(training_set(scenarios, none), [], seed=1, lexicon=[]), "shop")


@pytest.mark.faults
@pytest.mark.timeout(240)
@pytest.mark.parametrize("chat", ["group", "private", "kf", "oa"])
def test_needs_are_heard_and_traps_passed_over(classifier: Classifier, chat: str) -> None:
    """The words the product is sold with fire in every chat; the same words about another thing never do."""
    texts = [text for text, _ in NEEDS] + TRAPS
    verdicts = classifier.classify(texts, [chat] * len(texts))
    told = [[found.id for found in verdict.scenarios] for verdict in verdicts]
    assert told == [[name] for _, name in NEEDS] + [[] for _ in TRAPS]


@pytest.mark.faults
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("chat", "least_f1", "most_false"), [("group", 0.72, 80), ("private", 0.77, 230)])
def test_held_out_messages(classifier: Classifier, chat: str, least_f1: float, most_false: float) -> None:
    """On sentences of other writers the figures stay above what the first version reached."""
    report = evaluate(
        lambda texts: [
            frozenset(found.id for found in verdict.scenarios)
            for verdict in classifier.classify(texts, [chat] * len(texts))
        ],
        _held_out(),
    )
    assert report.micro_f1 >= least_f1, report.table()
    assert report.false_triggers_per_1000 <= most_false, report.table()


def _held_out() -> list[Labelled]:
    labelled = []
    for path in sorted((CONFIG / "heldout").glob("*.yaml")):
        content = YAML(typ="safe", pure=True).load(path.read_text("utf-8"))
        own = set() if content["id"] == "none" else {content["id"]}
        for message in content["messages"]:
            text, also = (message, ()) if isinstance(message, str) else (message["text"], message.get("also", ()))
            labelled.append(Labelled(text, frozenset(own | set(also))))
    return labelled
