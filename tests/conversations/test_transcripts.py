"""Every conversation of this folder, played as it is and with every message delivered twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.database import Database
from bot.transcripts import Player, Transcript
from bot.yaml_files import read
from handlers.brand import Brand

FILES = sorted(Path(__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_conversation_goes_as_written(path: Path, database: Database, brand: Brand) -> None:
    """What is said, kept back, prompted and counted is what the file says; on PostgreSQL with each message twice."""
    transcript = read(path, Transcript)
    deliver_twice = not database.is_sqlite
    assert Player(database, brand, transcript, deliver_twice).play() == []
