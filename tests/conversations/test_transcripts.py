"""Every conversation of this folder, played as it is and with every message delivered twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.database import Database
from bot.transcripts import Player, Transcript
from bot.yaml_files import read
from handlers.brand import Brand

FILES = sorted(Path(__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize("deliver_twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_conversation_goes_as_written(path: Path, deliver_twice: bool, database: Database, brand: Brand) -> None:
    """What is said, kept back, prompted and counted is what the file says, on either database."""
    transcript = read(path, Transcript)
    assert Player(database, brand, transcript, deliver_twice).play() == []
