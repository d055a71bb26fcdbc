"""How words sound: what many speakers do not tell apart is one."""

from __future__ import annotations

import pytest

from intents import sounds


@pytest.mark.parametrize(
    ("one", "other"), [("保温杯", "保问杯"), ("随行杯", "水行杯"), ("拿铁", "拉铁"), ("贴纸", "贴子"), ("城市", "程式")]
)
def test_what_sounds_alike_is_alike(one: str, other: str) -> None:
    """Tones, zh and z, ng and n, l and n make no difference."""
    assert sounds.syllables(one) == sounds.syllables(other)


@pytest.mark.parametrize(("one", "other"), [("保温杯", "帆布袋"), ("拿铁", "贴纸"), ("积分", "鸡翅")])
def test_other_words_sound_otherwise(one: str, other: str) -> None:
    """Folding goes no further than that."""
    assert sounds.syllables(one) != sounds.syllables(other)


@pytest.mark.parametrize("text", ["baowenbei", "bao wen bei", "BAO WEN BEI", "积分换bao-wen-bei"])
def test_typed_pinyin_is_read_without_gaps(text: str) -> None:
    """Spaces, dashes, case and Chinese around it do not matter."""
    assert sounds.typed(text) == "baowenbei"


def test_parts_stand_at_syllables() -> None:
    """A part is found as a row of whole syllables only."""
    whole = sounds.syllables("保温杯")
    assert sounds.holds(whole, sounds.syllables("温杯")) and not sounds.holds(whole, sounds.syllables("保杯"))
    assert sounds.initials(whole) == "bwb"
