"""The engine on other people's labelled sets, beside plain baselines: accuracy, macro F1, speed, training time.

Run: python benchmarks/bench_public.py FOLDER [FOLDER ...]. A folder holds train.jsonl and test.jsonl, one object with
`text` and `label` a line. Nothing of them is kept or shown. fastText takes part where it is installed
(pip install fasttext-numpy2-wheel). Seconds are of CPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from intents.general import Score, Sentence, fit, score_of
from intents.text import normalise_all
from intents.words import Cutter, base_dictionary

SEED = 1
Predict = Callable[[list[str]], list[str]]
Train = Callable[[list[Sentence]], Predict]


def read(path: Path) -> list[Sentence]:
    rows = map(json.loads, path.read_text(encoding="utf-8-sig").splitlines())
    return [Sentence(str(row["text"]), str(row["label"])) for row in rows]


def engine(learnt: list[Sentence]) -> Predict:
    return fit(learnt, SEED).predict


def most_frequent(learnt: list[Sentence]) -> Predict:
    [(label, _)] = Counter(item.label for item in learnt).most_common(1)
    return lambda texts: [label] * len(texts)


def characters(reach: int) -> Train:
    """What a page of scikit-learn gives: TF-IDF over runs of characters, LinearSVC."""

    def train(learnt: list[Sentence]) -> Predict:
        pipeline = make_pipeline(
            TfidfVectorizer(analyzer="char", ngram_range=(1, reach)), LinearSVC(random_state=SEED)
        )
        pipeline.fit([item.text for item in learnt], [item.label for item in learnt])
        return lambda texts: [str(label) for label in pipeline.predict(texts)]

    return train


def words(learnt: list[Sentence]) -> Predict:
    cutter = Cutter(base_dictionary())
    pipeline = make_pipeline(TfidfVectorizer(analyzer=cutter.cut), LinearSVC(random_state=SEED))
    pipeline.fit(normalise_all([item.text for item in learnt]), [item.label for item in learnt])
    return lambda texts: [str(label) for label in pipeline.predict(normalise_all(texts))]


def fast_text(learnt: list[Sentence]) -> Predict:
    """fastText over characters, its supervised mode with bigrams; one thread, so that it can be repeated."""
    import fasttext

    labels = sorted({item.label for item in learnt})

    def spaced(text: str) -> str:
        return " ".join("".join(text.split()))

    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "train.txt"
        lines = [f"__label__{labels.index(item.label)} {spaced(item.text)}" for item in learnt]
        file.write_text("\n".join(lines), encoding="utf-8")
        model = fasttext.train_supervised(str(file), epoch=50, lr=0.5, wordNgrams=2, thread=1, seed=SEED, verbose=0)
    # Its Python side asks numpy 2 for what numpy 1 allowed; the compiled one is asked itself.
    return lambda texts: [
        labels[int(model.f.predict(spaced(text) + "\n", 1, 0.0, "strict")[0][1].removeprefix("__label__"))]
        for text in texts
    ]


def measured(train: Train, learnt: list[Sentence], asked: list[Sentence]) -> tuple[Score, float, float, float]:
    """Score, seconds of training, microseconds a single message, messages a second in one batch."""
    texts = [item.text for item in asked]
    started = time.process_time()
    predict = train(learnt)
    took_s = time.process_time() - started
    predict(texts[:20])
    singles = texts[: min(500, len(texts))]
    started = time.process_time()
    for text in singles:
        predict([text])
    single_us = (time.process_time() - started) / len(singles) * 1e6
    started = time.process_time()
    told = predict(texts)
    rate = len(texts) / max(time.process_time() - started, 1e-9)
    return score_of([item.label for item in asked], told), took_s, single_us, rate


def compare(folder: Path) -> None:
    learnt, asked = read(folder / "train.jsonl"), read(folder / "test.jsonl")
    print(f"{folder.name}: {len(learnt)} to learn from, {len(asked)} to judge, "
          f"{len({item.label for item in learnt})} labels")  # fmt: skip
    print(f"{'':<28}{'accuracy':>9}{'95 %':>17}{'macro F1':>10}{'train s':>9}{'us single':>11}{'batch/s':>10}")
    subjects: dict[str, Train] = {
        "this engine": engine, "characters 1-2, LinearSVC": characters(2), "characters 1-3, LinearSVC": characters(3),
        "words, LinearSVC": words, "fastText": fast_text, "most frequent label": most_frequent,
    }  # fmt: skip
    for name, train in subjects.items():
        try:
            score, took_s, single_us, rate = measured(train, learnt, asked)
        except ImportError:
            print(f"{name:<28}not installed: pip install fasttext-numpy2-wheel")
            continue
        low, high = score.accuracy_interval
        print(f"{name:<28}{score.accuracy:>9.4f}{f'[{low:.3f}, {high:.3f}]':>17}{score.macro_f1:>10.4f}"
              f"{took_s:>9.1f}{single_us:>11.0f}{rate:>10.0f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    folders = parser.parse_args().folders
    if not folders:
        print("no set given; python benchmarks/bench_public.py FOLDER with train.jsonl and test.jsonl in it")
    for folder in folders:
        compare(folder)


if __name__ == "__main__":
    main()
