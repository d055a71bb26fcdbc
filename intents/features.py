"""What the model sees of a normalised text: blocks of names, each weighed and scaled on its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

LONGEST_GRAM = 4
LONGEST_TEXT = 600
_DIGITS = re.compile("[0-9]+")


@dataclass(frozen=True, slots=True)
class Block:
    """A kind of feature. Counts are dampened, multiplied by idf where `idf`, scaled to length `share`."""

    name: str
    share: float
    idf: bool
    scaled: bool


BLOCKS: tuple[Block, ...] = (
    Block("chars", 1.0, idf=True, scaled=True),
    Block("words", 0.7, idf=True, scaled=True),
    Block("bones", 1.0, idf=True, scaled=True),
    Block("cues", 0.2, idf=False, scaled=False),
)


def shorten(text: str) -> str:
    """At most `LONGEST_TEXT` characters: the need stands at the head or the tail of a long message."""
    if len(text) <= LONGEST_TEXT:
        return text
    return text[: LONGEST_TEXT // 2 - 1] + " " + text[-LONGEST_TEXT // 2 :]


def framed(text: str) -> str:
    """The shortened text between boundary marks, every number as one sign."""
    return framed_all([shorten(text)])[0]


def framed_all(texts: Sequence[str]) -> list[str]:
    """Shortened texts without line feeds, each between boundary marks, every number as one sign."""
    return [f"^{text}$" for text in _DIGITS.sub("0", "\n".join(texts)).split("\n")] if texts else []


def char_grams(frame: str) -> list[str]:
    """Every run of 1 to 4 characters of a framed text, as often as it stands there."""
    size = len(frame)
    return [
        frame[start : start + length] for length in range(1, LONGEST_GRAM + 1) for start in range(size - length + 1)
    ]


def word_grams(words: Sequence[str]) -> list[str]:
    """Cut words and pairs of neighbours, boundaries included."""
    return [*words, *(f"{left} {right}" for left, right in pairwise(["^", *words, "$"]))]
