"""What the benchmarks of follow-ups share: a database of their own, and the sample brand with nothing to understand."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bot.brands import read_programme, read_replies, read_scenarios, read_sops
from handlers.brand import Brand, Staff
from intents.classifier import Verdict

POSTGRES = os.environ.get("HUITOU_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
CONFIG = Path(__file__).resolve().parents[1] / "config"


class Deaf:
    """The understanding seam: nothing is understood here."""

    def classify(self, texts: Sequence[str], chats: Sequence[str]) -> list[Verdict]:
        """No scenario in anything."""
        return [Verdict((), False, (), (), "", degraded=False) for _ in texts]

    def cut(self, label: str, chat: str) -> float:
        """Nothing is ever sure."""
        return 1.0


def sample_brand() -> Brand:
    """The brand of config/, without a model."""
    programme, scenarios = read_programme(CONFIG), read_scenarios(CONFIG)
    sops = read_sops(CONFIG, programme, frozenset(scenarios), frozenset({"sms"}))
    return Brand(programme, scenarios, read_replies(CONFIG), Deaf(), Staff("liuyang", "wangli"), sops=sops)


@contextmanager
def own_postgres() -> Iterator[str]:
    """A database of this run's own, dropped afterwards."""
    name = f"bench_{uuid.uuid4().hex[:10]}"
    with psycopg.connect(POSTGRES, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        try:
            yield POSTGRES.rsplit("/", 1)[0] + "/" + name
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
