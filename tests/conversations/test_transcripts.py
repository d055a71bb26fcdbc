"""Every conversation of this folder, played as it is, with every message delivered twice, and killed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.database import Database
from bot.player import Player, Way
from bot.transcripts import Transcript
from bot.transcripts_cli import Scratch, play_in_ways
from bot.yaml_files import read
from handlers.brand import Brand
from tests.thorough import IS_THOROUGH

FILES = sorted(Path(__file__).parent.glob("*.yaml"))
IN_ALL_WAYS = FILES[::3]
"""Some of every kind, as the files of one kind follow each other; make thorough plays all of them in all ways."""
SAMPLE = FILES[::8] if IS_THOROUGH else FILES[::24]
"""Played on PostgreSQL too, where emptying every table between two costs more than the conversation."""


@pytest.fixture(scope="module")
def scratch() -> Iterator[Scratch]:
    """A database on SQLite that is emptied for each conversation."""
    with Scratch() as scratch:
        yield scratch


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_conversation_goes_as_written(path: Path, scratch: Scratch, brand: Brand) -> None:
    """What is said, kept back, prompted and counted is what the file says, and the same in all ways."""
    ways = list(Way) if IS_THOROUGH or path in IN_ALL_WAYS else [Way.AS_IT_IS]
    stories = list(play_in_ways(scratch, brand, read(path, Transcript), ways))
    if stories:
        pytest.fail("\n\n".join(stories), pytrace=False)


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.stem)
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_conversation_goes_as_written_on_postgresql(path: Path, database: Database, brand: Brand) -> None:
    """A sample on the database of production, killed on the way."""
    player = Player(database, brand, read(path, Transcript), Way.KILLED)
    if player.play():
        pytest.fail(player.story(), pytrace=False)
