from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intents.errors import ModelBroken, ModelMissing, TrainingRefused
from intents.model import ARRAYS_FILE, TEXTS_FILE, LinearModel
from intents.pipeline import analysers, vectorisers
from intents.scenarios import Labelled
from intents.text import normalise
from intents.training import train
from intents.words import Cutter

ODD = ["", "^$", "快吃完了", "  ", "😂", "\ud800", "积分" * 5000, "I want 3 boxes", "第3天打卡"]


def test_same_seed_same_bytes(sentences: list[Labelled], model: LinearModel, tmp_path: Path) -> None:
    """Training again on the same data gives the same files to the bit."""
    # The dictionary is read anew: it is part of the promise.
    train(sentences, [], seed=7, lexicon=["冻干咖啡"]).save(tmp_path / "again")
    model.save(tmp_path / "first")
    for name in (ARRAYS_FILE, TEXTS_FILE):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_scores_survive_the_folder(model: LinearModel, sentences: list[Labelled], tmp_path: Path) -> None:
    """A loaded model says exactly what the saved one said."""
    model.save(tmp_path)
    texts = [*ODD, *(item.text for item in sentences)]
    np.testing.assert_array_equal(LinearModel.load(tmp_path).score(texts), model.score(texts))


def test_by_hand_as_scikit_learn(model: LinearModel, sentences: list[Labelled]) -> None:
    """The arrays give the margins that scikit-learn's vectorisers and the learnt coefficients give."""
    union = vectorisers(analysers(Cutter(model.dictionary)))
    for (_, vectoriser), vocabulary in zip(union.transformer_list, model.vocabulary, strict=True):
        first = min(vocabulary.values())
        vectoriser.vocabulary = {name: row - first for name, row in vocabulary.items()}
        vectoriser.fit([""])
        if hasattr(vectoriser, "idf_"):
            vectoriser.idf_ = model.idf[first : first + len(vocabulary)].astype(np.float64)
    shares = np.concatenate(
        [np.full(len(v), union.transformer_weights[name]) for (name, _), v in zip(
            union.transformer_list, model.vocabulary, strict=True)]
    )  # fmt: skip
    coefficients = model.weights / (model.idf * shares)[:, None]
    texts = [*ODD, *(item.text for item in sentences)]
    expected = union.transform([normalise(text) for text in texts]) @ coefficients + model.intercepts
    np.testing.assert_allclose(model.margins(texts), expected, atol=2e-4)


def test_one_by_one_as_in_a_batch(model: LinearModel, sentences: list[Labelled]) -> None:
    """A message's score does not depend on its neighbours in the batch."""
    texts = [*ODD, *(item.text for item in sentences)] * 3
    single = np.concatenate([model.score([text]) for text in texts])
    np.testing.assert_allclose(model.score(texts), single, atol=1e-5)
    assert model.score([]).shape == (0, len(model.labels))


def test_a_correction_is_the_last_word(
    sentences: list[Labelled], model: LinearModel, dictionary: dict[str, int]
) -> None:
    """A correction is learnt against the example that said otherwise; progress is told; input stays as it was."""
    place, kept = model.labels.index("running_out"), list(sentences)
    told: list[tuple[int, int]] = []
    before = model.score(["粮快没了"])[0, place]
    corrected = train(
        sentences,
        [Labelled("粮快没了", frozenset())],
        seed=7,
        lexicon=["冻干咖啡"],
        progress=lambda done, steps: told.append((done, steps)),
        dictionary=dictionary,
    )
    assert corrected.score(["粮快没了"])[0, place] < before - 0.2
    assert [done for done, _ in told] == list(range(1, told[-1][1] + 1))
    assert sentences == kept


@pytest.mark.parametrize(
    "examples",
    [
        [],
        [Labelled("早上好", frozenset())] * 9,
        [Labelled(f"快吃完{n}了吗", frozenset({"running_out"})) for n in "一二三四"],
        [Labelled("快吃完了", frozenset({"running_out"})), Labelled("早", frozenset())],
    ],
)
def test_thin_data_is_refused(examples: list[Labelled]) -> None:
    """Nothing, none only, no none at all, or one example: no model comes of it, and the error says why."""
    with pytest.raises(TrainingRefused):
        train(examples, [], seed=1, lexicon=[])


def test_no_model_is_named(tmp_path: Path) -> None:
    """A missing folder is told apart from a broken one."""
    with pytest.raises(ModelMissing, match="train one"):
        LinearModel.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [ARRAYS_FILE, TEXTS_FILE])
@pytest.mark.parametrize("damage", [b"", b"{}", b"PK\x03\x04 cut short"])
def test_a_damaged_model_is_refused(model: LinearModel, tmp_path: Path, name: str, damage: bytes) -> None:
    """Half a file is not half a model; the error names the folder and the way out."""
    model.save(tmp_path)
    (tmp_path / name).write_bytes(damage)
    with pytest.raises(ModelBroken, match="roll back"):
        LinearModel.load(tmp_path)


def test_files_of_two_models_do_not_mix(
    model: LinearModel, sentences: list[Labelled], dictionary: dict[str, int], tmp_path: Path
) -> None:
    """Weights of one model beside the words of another are noticed."""
    train(sentences[:60], [], seed=7, lexicon=[], dictionary=dictionary).save(tmp_path / "other")
    model.save(tmp_path / "mine")
    (tmp_path / "other" / ARRAYS_FILE).replace(tmp_path / "mine" / ARRAYS_FILE)
    with pytest.raises(ModelBroken, match="features"):
        LinearModel.load(tmp_path / "mine")
