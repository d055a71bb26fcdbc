"""Training runs: the same data and seed give the same model and card; corrections change what is learnt."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from bot.settings import Settings, load_settings
from bot.trainings import train_model
from intents import shelf
from intents.scenarios import Labelled

ROOT = Path(__file__).resolve().parents[2]


def digest(folder: Path) -> str:
    """One hash over every file of a model folder."""
    whole = sha256()
    for path in sorted(folder.rglob("*")):
        whole.update(path.name.encode() + path.read_bytes())
    return whole.hexdigest()


@pytest.mark.faults
@pytest.mark.timeout(180)
def test_the_same_seed_gives_the_same_model(models: Path, tmp_path: Path) -> None:
    """Trained again on another shelf: card and weights are the same to the byte; a correction makes another model."""
    settings: Settings = load_settings(paths={"config": ROOT / "config", "models": tmp_path})
    again = train_model(settings, lambda _done, _all: None)
    assert digest(tmp_path / f"{again:04d}") == digest(models / "0001")
    corrected = train_model(settings, lambda _done, _all: None, [Labelled("手机快没电了", frozenset())])
    assert shelf.card(tmp_path, corrected)["corrections"] == 1
    assert digest(tmp_path / f"{corrected:04d}") != digest(models / "0001")


def test_the_card_says_what_the_model_was_made_of(models: Path) -> None:
    """Seed, data hash, counts and figures with the word synthetic beside them; nothing is promoted by itself."""
    card = shelf.card(models, 1)
    assert card["seed"] and len(card["data_sha256"]) == 64 and card["corrections"] == 0
    assert card["examples"] > 1000 and card["heldout_messages"] > 100
    assert 0 < card["heldout_micro_f1_group"] <= 1 and "synthetic" in card["heldout_note"]
