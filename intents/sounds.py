"""How words sound: pinyin without tones, with the sounds that many speakers do not tell apart made one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_RETROFLEX: Final = re.compile(r"(?<![a-z])([zcs])h|([zcs])h(?=[aeiou])")
_LATIN: Final = re.compile(r"[a-z]+")
Syllables = tuple[str, ...]


@lru_cache(maxsize=4096)
def syllables(text: str) -> Syllables:
    """The folded sound of each character; letters and digits stand as they are written."""
    from pypinyin import lazy_pinyin

    return tuple(fold(part) for part in lazy_pinyin(text.lower()) if part.strip())


def fold(pinyin: str) -> str:
    """zh, ch, sh as z, c, s; ang, eng, ing as an, en, in; l and n at the beginning as n."""
    folded = _RETROFLEX.sub(lambda found: found[1] or found[2], pinyin)
    folded = re.sub(r"(?<=[aei])ng(?![aeiou])", "n", folded)
    return re.sub(r"^l", "n", folded)


@lru_cache(maxsize=4096)
def typed(text: str) -> str:
    """The pinyin that stands in a text as letters, folded and without gaps: bao wen bei, BAOWENBEI."""
    return "".join(map(fold, _LATIN.findall(text.lower())))


def initials(sounds: Sequence[str]) -> str:
    """The first letter of each syllable, as people type who are in a hurry."""
    return "".join(sound[:1] for sound in sounds)


def holds(sounds: Syllables, part: Syllables) -> bool:
    """Whether a row of syllables stands in another, unbroken."""
    return any(sounds[at : at + len(part)] == part for at in range(len(sounds) - len(part) + 1))
