"""Playing transcript files, each on a database of its own that is thrown away."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bot.brands import load_brand
from bot.database import Database
from bot.migrations import migrate
from bot.settings import Settings
from bot.transcripts import Player, Transcript
from bot.yaml_files import read


def play_files(settings: Settings, files: Sequence[Path]) -> list[str]:
    """The problems of all conversations; raises `ConfigError` for a file that is not a transcript."""
    transcripts = [read(path, Transcript) for path in files]
    brand = load_brand(settings)
    problems: list[str] = []
    for transcript in transcripts:
        with TemporaryDirectory() as folder:
            database = Database(f"sqlite:///{folder}/talk.db")
            try:
                migrate(database)
                problems += Player(database, brand, transcript).play()
            finally:
                database.dispose()
    return problems
