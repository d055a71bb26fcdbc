"""Speed of understanding against the same model as a scikit-learn Pipeline, in the same run.

Run: python -m benchmarks.bench_classify [--seconds 2]. Prints CPU microseconds per message and the ratio.
The sentences are synthetic: those of config/scenarios.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from intents.classifier import Classifier
from intents.pipeline import analysers, learner, vectorisers
from intents.scenarios import Labelled, Scenario, training_set
from intents.text import normalise
from intents.training import fewest_messages, train
from intents.words import Cutter

CONFIG = Path(__file__).parent.parent / "config" / "scenarios"


def read_examples(folder: Path) -> list[Labelled]:
    yaml = YAML(typ="safe", pure=True)
    scenarios, none = [], []
    for path in sorted(folder.glob("*.yaml")):
        content = yaml.load(path.read_text(encoding="utf-8"))
        if content["id"] == "none":
            none = list(content["examples"])
        else:
            scenarios.append(Scenario(**content))
    return training_set(scenarios, none)


def normalise_all(texts: Sequence[str]) -> list[str]:
    return [normalise(text) for text in texts]


def pipeline_of(examples: Sequence[Labelled], labels: Sequence[str], cutter: Cutter) -> Pipeline:
    truth = np.array([[label in item.labels for label in labels] for item in examples], int)
    steps: list[tuple[str, Any]] = [
        ("normalise", FunctionTransformer(normalise_all)),
        ("features", vectorisers(analysers(cutter, remember=False), fewest_messages(len(examples)))),
        ("learners", OneVsRestClassifier(learner(1, 3.0))),
    ]
    return Pipeline(steps).fit([item.text for item in examples], truth)


def us_per_message(judge: Callable[[list[str]], object], texts: list[str], batch: int, seconds: float) -> float:
    batches = [texts[at : at + batch] for at in range(0, len(texts) - batch + 1, batch)]
    for few in batches[: max(1, 20 // batch)]:
        judge(few)
    done, started = 0, time.process_time()
    while time.process_time() - started < seconds:
        judge(batches[(done // batch) % len(batches)])
        done += batch
    return (time.process_time() - started) / done * 1e6


def p99_us(judge: Callable[[list[str]], object], texts: list[str]) -> float:
    took = []
    for text in texts * 3:
        started = time.perf_counter()
        judge([text])
        took.append(time.perf_counter() - started)
    return float(np.quantile(took, 0.99)) * 1e6


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=2.0, help="time for each figure")
    seconds = arguments.parse_args().seconds
    examples = read_examples(CONFIG)
    known = {label for item in examples for label in item.labels}
    started = time.perf_counter()
    model = train(examples, [], 1, [])
    print(f"{len(examples)} examples, {len(known)} scenarios, {model.weights.shape[0]} features, "
          f"trained in {time.perf_counter() - started:.1f} s")  # fmt: skip
    pipeline = pipeline_of(examples, model.labels, Cutter(model.dictionary))
    classifier = Classifier(model, "bench")
    texts = [item.text for item in examples]
    np.random.default_rng(1).shuffle(texts)
    judges: dict[str, Callable[[list[str]], object]] = {
        "pipeline (floor)": pipeline.decision_function,
        "arrays, scores": model.score,
        "classify, verdicts": lambda few: classifier.classify(few, ["group"] * len(few)),
    }
    floors: dict[int, float] = {}
    print(f"{'':<20}{'batch':>6}{'us/message':>12}{'messages/s':>12}{'/ pipeline':>12}")
    for batch in (1, 100):
        for name, judge in judges.items():
            cost = us_per_message(judge, texts, batch, seconds)
            floors.setdefault(batch, cost)
            print(f"{name:<20}{batch:>6}{cost:>12.1f}{1e6 / cost:>12.0f}{cost / floors[batch]:>12.3f}")
    print(f"single classify p99 {p99_us(judges['classify, verdicts'], texts):.0f} us")


if __name__ == "__main__":
    main()
