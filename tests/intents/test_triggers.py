from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intents.keywords import KEYWORDS
from intents.triggers import Triggers, beginnings

PATTERNS = {name: re.compile(pattern.pattern, pattern.flags) for name, pattern in KEYWORDS.items()}
SIGNS = sorted({sign for pattern in PATTERNS.values() for sign in pattern.pattern} | set("x3 ,"))
KEPT = Triggers(PATTERNS)


def found_by_all(patterns: dict[str, re.Pattern[str]], text: str) -> dict[str, str]:
    """What searching every pattern finds."""
    return {name: match.group() for name, pattern in patterns.items() if (match := pattern.search(text))}


@given(st.text(alphabet=SIGNS, max_size=25))
def test_nothing_is_overlooked(text: str) -> None:
    """Searching only the patterns that can match finds what searching all finds, in the same order."""
    found = {name: match.group() for name, match in KEPT.search(text).items()}
    assert list(found.items()) == list(found_by_all(PATTERNS, text).items())


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("a?b?c", ["abc", "ac", "bc", "c"]),
        ("(?:ab|cd)*x|y$", ["x", "abx", "cdcdx", "zy"]),
        ("(?!no)n.|^q", ["na", "q"]),
        ("(?P<one>k)(?P=one)", ["kk"]),
        ("[^a]b", ["xb"]),
        ("(?i:W)", ["w", "W"]),
        ("[\u4e00-\u9fff]{2,3}完", ["快吃完"]),
        ("\\d点|", ["3点", ""]),
        ("(?<=a)b|a{0}z", ["ab", "z"]),
        (".{0,2}k", ["k", "--k"]),
    ],
)
def test_any_kind_of_pattern_is_found(pattern: str, texts: list[str]) -> None:
    """Options, repeats, looks ahead, classes and back references never hide a match."""
    patterns = {"one": re.compile(pattern)}
    for text in texts:
        assert "one" in found_by_all(patterns, text)
        assert "one" in Triggers(patterns).search(text)


def test_a_beginning_is_two_characters_at_most() -> None:
    """The beginnings of a pattern are what its matches can begin with."""
    assert beginnings(re.compile("ab?c|d")) == {("a", "b"), ("a", "c"), ("d",)}
