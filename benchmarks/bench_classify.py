"""Speed of understanding against the same model as a scikit-learn Pipeline, in the same run.

Run: python -m benchmarks.bench_classify [--seconds 2]. Prints CPU microseconds per message and the ratio.
No message is judged twice within a figure.
The sentences are synthetic: those of config/scenarios.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from intents.classifier import Classifier
from intents.model import LinearModel
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
    """One pass over distinct messages, cut short after `seconds` of CPU; those of the warming-up are left out."""
    batches = [texts[at : at + batch] for at in range(0, len(texts) - batch + 1, batch)]
    warm = max(1, 20 // batch)
    for few in batches[:warm]:
        judge(few)
    done, started = 0, time.process_time()
    for few in batches[warm:]:
        judge(few)
        done += batch
        if time.process_time() - started > seconds:
            break
    return (time.process_time() - started) / done * 1e6


def p99_us(judge: Callable[[list[str]], object], texts: list[str]) -> float:
    took = []
    for text in texts:
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
    started = time.process_time()
    model = train(examples, [], 1, [])
    print(f"{len(examples)} examples, {len(known)} scenarios, {model.weights.shape[0]} features, "
          f"trained in {time.process_time() - started:.1f} s of CPU")  # fmt: skip
    pipeline = pipeline_of(examples, model.labels, Cutter(model.dictionary))
    texts = list(dict.fromkeys(item.text for item in examples))
    np.random.default_rng(1).shuffle(texts)
    quiet = {item.text for item in examples if not item.labels}
    with TemporaryDirectory() as name:
        folder = Path(name) / "bench"
        model.save(folder)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        print(f"model {size:.1f} MB; {len(texts)} distinct messages, {len(quiet)} with none, each judged once a figure")
        compare(pipeline, folder, {"all": texts, "none": [text for text in texts if text in quiet]}, seconds)


def compare(pipeline: Pipeline, folder: Path, sets: dict[str, list[str]], seconds: float) -> None:
    floors: dict[int, float] = {}
    print(f"{'':<22}{'texts':>6}{'batch':>6}{'us/message':>12}{'messages/s':>12}{'/ pipeline':>12}")
    for batch in (1, 100):
        for label, kind in (("pipeline (floor)", "all"), ("scores", "all"), ("verdicts", "all"), ("verdicts", "none")):
            # A model just loaded has cut nothing yet: no figure profits from the one before.
            fresh = Classifier.load(folder)
            judges: dict[str, Callable[[list[str]], object]] = {
                "pipeline (floor)": pipeline.decision_function,
                "scores": LinearModel.load(folder).score,
                "verdicts": lambda few, judge=fresh: judge.classify(few, ["group"] * len(few)),
            }
            cost = us_per_message(judges[label], sets[kind], batch, seconds)
            floors.setdefault(batch, cost)
            print(f"{label:<22}{kind:>6}{batch:>6}{cost:>12.1f}{1e6 / cost:>12.0f}{cost / floors[batch]:>12.3f}")
    judge = Classifier.load(folder)
    print(f"single verdict p99 {p99_us(lambda few: judge.classify(few, ['group']), sets['all'][:3000]):.0f} us")


if __name__ == "__main__":
    main()
