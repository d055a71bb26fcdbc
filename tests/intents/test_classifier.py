from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intents.classifier import FALLBACK_MODEL, Classifier, Verdict
from intents.model import LinearModel

CHATS = ["group", "private", "kf", "oa", "nowhere"]
ODD = ["", "   ", "😂😂😂", "\ud800\udfff\ud83d", "快吃完了" * 2500, "\x00\x1b[0m", "🫠", "^$", "1" * 10_000]


@pytest.fixture(scope="session")
def classifier(model: LinearModel) -> Classifier:
    """The session's model behind the door."""
    return Classifier(model, "0001")


def ids(verdict: Verdict) -> list[str]:
    """Scenario ids of a verdict, best first."""
    return [found.id for found in verdict.scenarios]


@pytest.mark.parametrize("kind", ["model", "keywords"])
@pytest.mark.parametrize("chat", CHATS)
def test_odd_texts_get_a_verdict(classifier: Classifier, kind: str, chat: str) -> None:
    """Empty, endless, broken and wordless messages are judged like any other."""
    judge = classifier if kind == "model" else Classifier.fallback()
    verdicts = judge.classify(ODD, [chat] * len(ODD))
    assert len(verdicts) == len(ODD)
    assert verdicts[0].scenarios == ()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.characters(codec=None), max_size=40), max_size=6), st.sampled_from(CHATS))
def test_never_raises(texts: list[str], chat: str) -> None:
    """Whatever people send, by keywords or by model, comes back as one verdict each."""
    for judge in (Classifier.fallback(), _small()):
        assert len(judge.classify(texts, [chat] * len(texts))) == len(texts)


def _small() -> Classifier:
    one = np.ones(1, np.float32)
    model = LinearModel(
        labels=("running_out",), vocabulary=({"完": 0}, {"吃 完": 1}, {"E": 2}, {"m:tiny": 3}), dictionary={"完": 5},
        idf=np.ones(4, np.float32), weights=np.ones((4, 1), np.float32), intercepts=-2.3 * one, slopes=one,
        offsets=0 * one, group=0.8 * one, private=0.4 * one,
    )  # fmt: skip
    return Classifier(model, "small")


def test_bold_in_private_careful_in_groups() -> None:
    """The same score is enough in a chat with one customer and not in a group or an unknown chat."""
    told = dict(zip(CHATS, _small().classify(["完"] * 5, CHATS), strict=True))
    assert [chat for chat in CHATS if told[chat].scenarios] == ["private", "kf", "oa"]
    assert told["group"].near[0].id == "running_out"
    assert told["group"].unsure
    assert not told["private"].unsure


def test_best_first_with_words_that_weighed(classifier: Classifier) -> None:
    """A verdict is ordered, between 0 and 1, and its reasons are words of the message."""
    [verdict] = classifier.classify(["咖啡快喝完了,顺便看下我还有多少积分"], ["private"])
    assert set(ids(verdict)) == {"running_out", "points_query"}
    scores = [found.score for found in verdict.scenarios]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    reason = next(text for text in verdict.reasons if text.startswith("running_out"))
    words = reason.split(": ")[1].split()
    assert words
    assert all(word in "咖啡快喝完了,顺便看下我还有多少积分" for word in words)
    assert (verdict.model, verdict.degraded) == ("0001", False)


def test_a_cue_stands_in_the_reasons(classifier: Classifier) -> None:
    """Why the bot kept still can be read: the words about another thing are named."""
    [verdict] = classifier.classify(["手机快没电了"], ["group"])
    assert verdict.scenarios == ()
    [plain] = Classifier.fallback().classify(["手机快没电了"], ["group"])
    assert plain.reasons == ("other_thing: 手机",)


def test_a_verdict_does_not_depend_on_its_neighbours(classifier: Classifier) -> None:
    """A batch gives what each message alone gives, in order."""
    texts = ["咖啡快喝完了", "早上好", "转人工", "我有多少积分", "外卖快吃完了"]
    together = classifier.classify(texts, ["group"] * 5)
    alone = [classifier.classify([text], ["group"])[0] for text in texts]
    assert [ids(verdict) for verdict in together] == [ids(verdict) for verdict in alone]
    assert classifier.classify([], []) == []


def test_without_a_model_every_verdict_says_so() -> None:
    """Keywords answer plainly, and are marked so that an alarm can ring."""
    plain, trap = Classifier.fallback().classify(["快吃完了", "外卖快吃完了"], ["group", "group"])
    assert ids(plain) == ["running_out"]
    assert trap.scenarios == ()
    assert plain.degraded
    assert plain.model == FALLBACK_MODEL
    assert plain.reasons == ("running_out: 关键词 快吃完",)


def test_weights_gone_bad_degrade(model: LinearModel, tmp_path: Path) -> None:
    """A model that answers no numbers is passed over, and the verdict says so."""
    model.save(tmp_path / "0009")
    bad = LinearModel.load(tmp_path / "0009")
    bad.intercepts[:] = np.nan
    [verdict] = Classifier(bad, "0009").classify(["快吃完了"], ["group"])
    assert ids(verdict) == ["running_out"]
    assert verdict.degraded


def test_a_loaded_classifier_bears_its_number(model: LinearModel, tmp_path: Path) -> None:
    """A verdict can be traced to the numbered folder it came from; brand words are added at loading."""
    model.save(tmp_path / "0042")
    classifier = Classifier.load(tmp_path / "0042", lexicon=["鲜炖燕窝"])
    [verdict] = classifier.classify(["转人工"], ["kf"])
    assert ids(verdict) == ["human_agent"]
    assert verdict.model == "0042"


def test_each_text_needs_its_chat(classifier: Classifier) -> None:
    """A caller that mixes up its lists hears of it."""
    with pytest.raises(ValueError, match="one chat per text"):
        classifier.classify(["转人工", "早"], ["kf"])


def test_a_model_that_breaks_while_judging_degrades(model: LinearModel, tmp_path: Path) -> None:
    """Damage that no check foresaw: keywords answer, the reason names what happened, the batch goes on."""
    model.save(tmp_path / "0009")
    broken = LinearModel.load(tmp_path / "0009")
    object.__setattr__(broken, "weights", broken.weights[:3])
    [plain, trap] = Classifier(broken, "0009").classify(["快吃完了", "外卖快吃完了"], ["private", "private"])
    assert ids(plain) == ["running_out"] and trap.scenarios == ()
    assert plain.degraded and plain.reasons[-1] == "模型出错: IndexError"
