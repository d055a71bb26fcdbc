"""What the benchmarks of follow-ups share: a database of their own, and the sample brand with nothing to understand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bot.brands import read_programme, read_replies, read_scenarios, read_sops
from handlers.brand import Brand, Staff
from intents.classifier import Verdict

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
