"""Playing transcript files, each on a database of its own that is thrown away."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from bot.brands import load_brand
from bot.database import Database
from bot.player import Player, Way
from bot.settings import Settings
from bot.tables import METADATA
from bot.transcripts import Transcript
from bot.yaml_files import read
from handlers.brand import Brand


def play_files(settings: Settings, files: Sequence[Path], ways: Sequence[Way]) -> list[str]:
    """The stories of all conversations that did not go as written; raises `ConfigError` for a faulty file."""
    transcripts = {path: read(path, Transcript) for path in files}
    brand = load_brand(settings)
    with Scratch() as scratch:
        return [
            f"{path}\n{story}"
            for path, transcript in transcripts.items()
            for story in play_in_ways(scratch, brand, transcript, ways)
        ]


def play_in_ways(scratch: Scratch, brand: Brand, transcript: Transcript, ways: Sequence[Way]) -> Iterator[str]:
    """The story of each way that went wrong, or whose outcome is not that of the first way."""
    first: dict[str, object] | None = None
    for way in ways:
        player = Player(scratch.emptied(), brand, transcript, way)
        problems = player.play()
        outcome = player.outcome()
        if problems:
            yield player.story()
        elif first is not None and outcome != first:
            was = {name: value for name, value in first.items() if value != outcome[name]}
            now = {name: outcome[name] for name in was}
            yield f"{player.story()}\n       - {ways[0].value}: {was}\n       + {way.value}: {now}"
        first = first or outcome


class Scratch:
    """A database that is emptied between conversations; one engine for all, as each learns every statement anew."""

    def __enter__(self) -> Scratch:
        self._folder = TemporaryDirectory()
        self._empty = sqlite3.connect(":memory:")
        self._database = Database(f"sqlite:///{self._folder.name}/talk.db", sqlite_synchronous="OFF")
        METADATA.create_all(self._database.engine)
        with closing(self._database.engine.raw_connection()) as connection:
            connection.driver_connection.backup(self._empty)  # type: ignore[union-attr]
        return self

    def __exit__(self, *_error: object) -> None:
        self._database.dispose()
        self._empty.close()
        self._folder.cleanup()

    def emptied(self) -> Database:
        """The database with every table and nothing in them."""
        with closing(self._database.engine.raw_connection()) as connection:
            self._empty.backup(connection.driver_connection)  # type: ignore[arg-type]
        return self._database
