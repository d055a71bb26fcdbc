"""The engine on other people's labels: learnt, judged, the same every time, and what serves is what was learnt."""

from __future__ import annotations

import numpy as np
import pytest

from intents.errors import TrainingRefused
from intents.general import Sentence, fit, score, score_of

SONGS = ["放一首歌", "来点音乐", "我想听周杰伦", "播放那首老歌", "换一首歌听听", "单曲循环这首"]
SKIES = ["明天下雨吗", "今天天气怎么样", "北京气温多少度", "周末会下雪吗", "外面冷不冷", "后天有没有台风"]
TRAINS = ["买张去上海的火车票", "订一张高铁票", "查一下车次", "火车几点发车", "去广州的动车票", "退掉那张车票"]
LEARNT = [
    Sentence(text, label) for label, texts in (("音乐", SONGS), ("天气", SKIES), ("火车", TRAINS)) for text in texts
]


def test_new_sentences_get_the_label_of_their_kind(dictionary: dict[str, int]) -> None:
    """Sentences nobody showed it; a slip of the keyboard that sounds the same; an empty one is no error."""
    model = fit(LEARNT, 1, dictionary=dictionary)
    assert model.predict(["放首老歌听", "明天气温", "订去北京的火车票", "定高贴票"]) == ["音乐", "天气", "火车", "火车"]
    assert model.predict([""])[0] in model.labels and model.predict([]) == []
    assert score(model, LEARNT).accuracy == 1.0


def test_two_labels_are_enough_and_one_is_not(dictionary: dict[str, int]) -> None:
    """scikit-learn keeps one line for two labels; both sides of it are told."""
    model = fit([item for item in LEARNT if item.label != "火车"], 1, dictionary=dictionary)
    assert model.predict(["听歌", "下雨"]) == ["音乐", "天气"]
    with pytest.raises(TrainingRefused, match="1 labels"):
        fit(LEARNT[:3], 1)


def test_the_same_sentences_and_seed_give_the_same_scores(dictionary: dict[str, int]) -> None:
    """To the bit; one by one or together."""
    texts = ["放首老歌听", "明天气温", "火车"]
    one, other = (fit(LEARNT, 5, dictionary=dictionary) for _ in range(2))
    assert np.array_equal(one.scores(texts), other.scores(texts))
    assert np.array_equal(one.scores(texts), np.vstack([one.scores([text]) for text in texts]))


def test_serving_scores_as_scikit_learn_does(dictionary: dict[str, int]) -> None:
    """The plain arrays give what the pipeline they were made of gives."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    from intents.general import SHARES, _Reader
    from intents.text import normalise_all
    from intents.words import Cutter

    texts, truth = [item.text for item in LEARNT], [item.label for item in LEARNT]
    reader = _Reader(Cutter(dictionary))

    def names(rows: list[str]) -> list[tuple[list[str], ...]]:
        return [reader.names(row) for row in normalise_all(rows)]

    union = make_union(
        *(TfidfVectorizer(analyzer=lambda own, at=at: own[at], sublinear_tf=True) for at in range(len(SHARES)))
    )
    union.transformer_weights = dict(zip([name for name, _ in union.transformer_list], SHARES.values(), strict=True))
    whole = sum(
        make_pipeline(union, LinearSVC(C=1.0, class_weight=weight, random_state=3))
        .fit(names(texts), truth)
        .decision_function(names(texts))
        for weight in (None, "balanced")
    )
    assert np.allclose(fit(LEARNT, 3, dictionary=dictionary).scores(texts), whole, atol=1e-3)


def test_figures_by_hand() -> None:
    """Accuracy over sentences, F1 over labels that occur."""
    found = score_of(["a", "a", "b", "c"], ["a", "b", "b", "d"])
    assert found.accuracy == 0.5 and found.sentences == 4
    assert found.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert found.accuracy_interval.low < 0.5 < found.accuracy_interval.high
