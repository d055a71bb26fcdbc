from __future__ import annotations

import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intents.classes import skeleton_grams
from intents.cues import cue_features
from intents.features import BLOCKS, char_grams, framed, shorten, word_grams
from intents.lookup import Present, Table
from intents.model import LinearModel
from intents.scenarios import Labelled
from intents.text import normalise, normalise_all
from intents.words import Cutter

ODD = [
    "",
    "^$",
    "  ",
    "\n",
    "快\n吃完了",
    "😂",
    "\ud800",
    "积分" * 5000,
    "第3天打卡",
    "$^",
    "a b",
    "\x00",
    "咖啡 快 喝完",
]


def by_name(model: LinearModel, cutter: Cutter, text: str) -> dict[int, float]:
    """Row -> value of one text, name after name as the blocks define them."""
    plain = shorten(normalise(text))
    words = cutter.cut(framed(plain))
    values: dict[int, float] = {}
    names = char_grams(framed(plain)), word_grams(words), skeleton_grams(words), cue_features(plain)
    for block, known, own in zip(BLOCKS, model.vocabulary, names, strict=True):
        counts = Counter(known[name] for name in own if name in known)
        damped = {row: 1 + math.log(count) for row, count in counts.items()}
        length = math.sqrt(sum((value * float(model.idf[row])) ** 2 for row, value in damped.items()))
        values |= {row: value / length for row, value in damped.items()} if block.scaled else dict.fromkeys(counts, 1.0)
    return values


def values_of(present: Present, at: int) -> dict[int, float]:
    """Row -> value of one message of a batch."""
    own = slice(present.starts[at], present.starts[at + 1])
    return dict(zip(present.rows[own].tolist(), present.values[own].tolist(), strict=True))


def test_a_batch_holds_what_its_messages_hold(model: LinearModel, sentences: list[Labelled]) -> None:
    """Looked up as numbers or as names, alone, in threes or in one batch, a message has the same features."""
    texts = [*ODD, *(item.text for item in sentences[::3])]
    together, cutter = model.read(texts), Cutter(model.dictionary, model.lexicon)
    for at, text in enumerate(texts):
        expected = by_name(model, cutter, text)
        few = values_of(model.read([text, "快吃完了", text]), 2)
        for found in (values_of(together, at), values_of(model.read([text]), 0), few):
            assert found.keys() == expected.keys()
            np.testing.assert_allclose([found[row] for row in expected], list(expected.values()), rtol=1e-5)


@given(st.dictionaries(st.integers(1, 2**64 - 1), st.integers(0, 2**31 - 1), max_size=200), st.integers(1, 2**64 - 1))
def test_a_table_is_a_dictionary(entries: dict[int, int], other: int) -> None:
    """Every key is found with its row, and nothing else is."""
    asked = [*entries, other, *entries]
    table = Table(np.array(list(entries), np.uint64), np.array(list(entries.values()), np.int64))
    places, rows = table.find(np.array(asked, np.uint64))
    found = dict(zip(places.tolist(), rows.tolist(), strict=True))
    assert found == {at: entries[key] for at, key in enumerate(asked) if key in entries}


@given(st.lists(st.text(st.characters(codec=None), max_size=20), max_size=8))
def test_normalised_together_as_alone(texts: list[str]) -> None:
    """The written form of a message does not depend on the messages beside it."""
    assert normalise_all(texts) == [normalise(text) for text in texts]
