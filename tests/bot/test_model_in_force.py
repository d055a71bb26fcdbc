"""Model and lexicon while the service runs: another one is taken up, a broken one is refused, none is no end."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bot.brands import BrandHolder
from bot.settings import Settings, load_settings
from bot.work_metrics import WorkMetrics
from intents import shelf
from intents.scenarios import Labelled
from intents.training import train
from tests.bot.small_brand import NONE, SENTENCES
from tests.conftest import CONFIG

SAID, WORD = "挂耳咖啡快喝完了", "耳咖啡快喝完"


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample configuration with two examples a scenario: reading all of them takes its time."""
    folder = tmp_path_factory.mktemp("light") / "config"
    shutil.copytree(CONFIG, folder, ignore=shutil.ignore_patterns("heldout", "none.yaml"))
    for path in (folder / "scenarios").glob("*.yaml"):
        lines, kept, is_in = [], 0, False
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith((" ", "#")):
                is_in, kept = line.startswith("examples:"), 0
            kept += is_in and line.startswith("  - ")
            if not is_in or kept <= 2:
                lines.append(line)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a few sentences and words, on a shelf of its own."""
    root = tmp_path_factory.mktemp("small")
    examples = [Labelled(text, frozenset({name})) for name, texts in SENTENCES.items() for text in texts]
    examples += [Labelled(text, frozenset()) for text in NONE]
    words = dict.fromkeys(("咖啡", "快", "喝完", "吃完", "见底", "最后", "人工", "手机", "外卖"), 1000)
    shelf.publish(root, train(examples, [], 7, [], dictionary=words), {})
    return root / "0001"


@pytest.fixture
def settings(light: Path, small: Path, tmp_path: Path) -> Settings:
    """A configuration and a shelf with one promoted model, both to spoil."""
    shutil.copytree(light, tmp_path / "config")
    shutil.copytree(small, tmp_path / "models/0001")
    shelf.promote(tmp_path / "models", 1)
    return load_settings(paths={"config": tmp_path / "config", "models": tmp_path / "models"})


def score(holder: BrandHolder) -> float:
    """How sure the brand in force is of a sentence."""
    [verdict] = holder().understanding.classify([SAID], ["private"])
    assert not verdict.degraded
    return max((one.score for one in (*verdict.scenarios, *verdict.near) if one.id == "running_out"), default=0.0)


def write_words(settings: Settings, *words: str, name: str = "words.txt") -> Path:
    """Save the lexicon as an editor does."""
    path = settings.paths.config / "lexicon" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return path


def test_a_changed_lexicon_is_taken_up(settings: Settings) -> None:
    """A word that is added is cut as one at the next look; taken away again it is not; no change costs nothing."""
    holder = BrandHolder(settings)
    before, unchanged = score(holder), holder()
    assert holder.follow() == "" and holder() is unchanged
    write_words(settings, "# nickname", WORD)
    assert holder.follow() == ""
    assert score(holder) != before
    write_words(settings, name="words.txt")
    holder.follow()
    assert score(holder) == before


def test_the_rest_of_the_configuration_stays(settings: Settings) -> None:
    """A programme that is half edited does not come in with a new word."""
    holder = BrandHolder(settings)
    programme = holder().programme
    (settings.paths.config / "programme.yaml").write_text("name: half", encoding="utf-8")
    write_words(settings, WORD)
    assert holder.follow() == ""
    assert holder().programme is programme


def test_a_lexicon_that_cannot_be_read_is_refused(settings: Settings) -> None:
    """The old words stay, the log names the file, and it is told once."""
    holder = BrandHolder(settings)
    before = score(holder)
    write_words(settings).write_bytes("挂耳".encode("gbk"))
    with capture_logs() as lines:
        assert holder.follow() == "lexicon refused"
        assert holder.follow() == ""
    assert score(holder) == before
    [problem] = [line["problems"] for line in lines if line["log_level"] == "error"]
    assert "words.txt: not UTF-8" in problem[0] and "save it as UTF-8" in problem[0]
    write_words(settings, WORD)
    assert holder.follow() == "" and score(holder) != before


def test_a_signal_takes_it_up_as_well(settings: Settings) -> None:
    """SIGHUP reads everything at once, the lexicon with it; the next look finds nothing new."""
    holder = BrandHolder(settings)
    before = score(holder)
    write_words(settings, WORD)
    assert holder.reload() and score(holder) != before
    taken = holder()
    assert holder.follow() == "" and holder() is taken


def test_another_model_is_taken_up(settings: Settings) -> None:
    """Promoted or rolled back, it judges from the next look on."""
    holder = BrandHolder(settings)
    root = settings.paths.models
    shutil.copytree(root / "0001", root / "0002")
    shelf.promote(root, 2)
    assert holder.follow() == ""
    assert holder().understanding.version == "0002"
    shelf.rollback(root)
    assert holder.follow() == "" and holder().understanding.version == "0001"


@pytest.mark.parametrize("damage", ["weights", "texts", "pointer", "gone"])
def test_a_broken_model_does_not_take_the_good_one_away(settings: Settings, damage: str) -> None:
    """While running, the model in force stays, with an alarm; a repaired one is taken up."""
    holder = BrandHolder(settings)
    before, root = score(holder), settings.paths.models
    shutil.copytree(root / "0001", root / "0002")
    shelf.promote(root, 2)
    if damage == "weights":
        os.truncate(root / "0002/weights.npz", 1000)
    elif damage == "texts":
        (root / "0002/model.json").write_text("{}", encoding="utf-8")
    elif damage == "pointer":
        (root / "current.json").write_text("{", encoding="utf-8")
    else:
        shutil.rmtree(root / "0002")
    with capture_logs() as lines:
        assert holder.follow() == "model refused"
        assert holder.follow() == ""
        assert holder.reload()
    assert not holder.is_degraded and score(holder) == before
    assert any("stays" in line["event"] for line in lines)
    (root / "current.json").write_text(json.dumps({"promoted": [1]}), encoding="utf-8")
    assert holder.follow() == "" and score(holder) == before


def test_without_a_model_keywords_answer_until_there_is_one(settings: Settings) -> None:
    """A start without a model is degraded and says so; the first model that is promoted ends it without a restart."""
    root = settings.paths.models
    (root / "current.json").unlink()
    with capture_logs():
        holder = BrandHolder(settings)
    assert holder.is_degraded
    [verdict] = holder().understanding.classify([SAID], ["private"])
    assert verdict.degraded and [one.id for one in verdict.scenarios] == ["running_out"]
    shelf.promote(root, 1)
    assert holder.follow() == "" and not holder.is_degraded and score(holder) > 0.3


def test_being_without_a_model_is_shown() -> None:
    """The gauge tells it as long as it lasts, the alarm rings once each time it begins."""
    registry, alarms = CollectorRegistry(), list[str]()
    metrics = WorkMetrics(registry, alarms.append)
    seen = []
    for is_degraded in (False, True, True, False, True):
        metrics.set_degraded(is_degraded)
        seen.append(registry.get_sample_value("model_degraded"))
    assert seen == [0, 1, 1, 0, 1]
    assert alarms == ["no model", "no model"]
