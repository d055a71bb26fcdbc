from __future__ import annotations

from intents.explanation import explain
from intents.model import LinearModel


def test_a_told_scenario_has_its_grounds(model: LinearModel) -> None:
    """Score over threshold, the words that spoke for it as they were written."""
    told = explain(model, "0003", "咖啡快喝完了", "private")
    best = told.weighed[0]
    assert best.id == "running_out" and best.told and best.score >= best.threshold
    words = [word for word in best.speaking_for if not word.startswith("[")]
    assert words and all(word in "咖啡快喝完了" for word in words)
    assert told.verdict.model == "0003"


def test_silence_has_its_grounds_too(model: LinearModel) -> None:
    """The best of what was not told, below its threshold, with what spoke against it and the cue."""
    told = explain(model, "0001", "上周喝完就补了", "group")
    assert not told.verdict.scenarios and not any(one.told for one in told.weighed)
    assert told.weighed[0].score < told.weighed[0].threshold
    assert "over" in {cue.kind for cue in told.cues}
    assert any(one.speaking_against for one in told.weighed)


def test_a_text_with_nothing_known_is_explained(model: LinearModel) -> None:
    """No feature, no grounds, no error."""
    assert explain(model, "0001", "", "group").verdict.scenarios == ()
