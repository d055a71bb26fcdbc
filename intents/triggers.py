"""Which of many patterns can match a text at all, told by the characters their matches begin with.

Nearly every message holds the beginning of none or two of them; searching only those costs a tenth.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from itertools import product
from operator import add
from typing import Any

# A beginning is at most two characters; None stands for a character that is not known.
Beginning = tuple[str | None, ...]
Search = Callable[[str], re.Match[str] | None]

_DEPTH = 2
_ANYTHING: frozenset[Beginning] = frozenset({(), (None,), (None, None)})
_NOTHING: frozenset[Beginning] = frozenset({()})
# A set of more characters than this (a range of letters) is as good as any character.
_WIDEST = 64
_MOST_CHOSEN = 4096


def beginnings(pattern: re.Pattern[str]) -> frozenset[Beginning]:
    """First two characters of whatever the pattern can match; too many rather than too few."""
    try:
        parsed = import_module("re._parser").parse(pattern.pattern, pattern.flags)
    except (ImportError, AttributeError):
        return _ANYTHING
    return _of_sequence(parsed)


class Triggers:
    """Names of the patterns worth searching in a text, in the order they were given."""

    def __init__(self, patterns: Mapping[str, re.Pattern[str]]) -> None:
        self._patterns = list(patterns.items())
        self._always = 0
        self._by_sign: dict[str, int] = {}
        self._by_pair: dict[str, int] = {}
        self._chosen: dict[int, tuple[tuple[str, Search], ...]] = {}
        for bit, (_, pattern) in enumerate(self._patterns):
            for beginning in beginnings(pattern):
                self._note(1 << bit, beginning)

    def _note(self, bit: int, beginning: Beginning) -> None:
        known = [sign for sign in beginning if sign is not None]
        if not known:
            self._always |= bit
        elif len(known) == _DEPTH:
            self._by_pair["".join(known)] = self._by_pair.get("".join(known), 0) | bit
        else:
            self._by_sign[known[0]] = self._by_sign.get(known[0], 0) | bit

    def search(self, text: str) -> dict[str, re.Match[str]]:
        """What `pattern.search(text)` finds, by name, for every pattern that is found."""
        bits = self._always
        for found in filter(None, map(self._by_sign.get, text)):
            bits |= found
        for found in filter(None, map(self._by_pair.get, map(add, text, text[1:]))):
            bits |= found
        matches = {}
        for name, search in self._chosen.get(bits) or self._worth(bits):
            match = search(text)
            if match is not None:
                matches[name] = match
        return matches

    def _worth(self, bits: int) -> tuple[tuple[str, Search], ...]:
        chosen = tuple((name, pattern.search) for at, (name, pattern) in enumerate(self._patterns) if bits >> at & 1)
        if len(self._chosen) < _MOST_CHOSEN:
            self._chosen[bits] = chosen
        return chosen


def _of_sequence(parsed: Iterable[tuple[Any, Any]]) -> frozenset[Beginning]:
    heads = _NOTHING
    for operator, argument in parsed:
        if all(len(head) == _DEPTH for head in heads):
            break
        heads = _joined(heads, _of_one(str(operator), argument))
    return heads


def _joined(first: frozenset[Beginning], second: frozenset[Beginning]) -> frozenset[Beginning]:
    return frozenset((left + right)[:_DEPTH] for left, right in product(first, second))


def _of_one(operator: str, argument: Any) -> frozenset[Beginning]:
    if operator == "LITERAL":
        return frozenset({(chr(argument),)})
    if operator == "ANY":
        return frozenset({(None,)})
    if operator == "IN":
        return _of_set(argument)
    if operator == "BRANCH":
        return frozenset().union(*(_of_sequence(branch) for branch in argument[1]))
    if operator == "SUBPATTERN":
        return _of_sequence(argument[3]) if not argument[1] else _ANYTHING
    if operator in ("MAX_REPEAT", "MIN_REPEAT"):
        return _of_repeat(*argument)
    # What looks ahead or behind takes no character of its own.
    return _NOTHING if operator in ("AT", "ASSERT", "ASSERT_NOT") else _ANYTHING


def _of_set(members: Iterable[tuple[Any, Any]]) -> frozenset[Beginning]:
    heads: set[Beginning] = set()
    for operator, argument in members:
        if str(operator) == "LITERAL":
            heads.add((chr(argument),))
        elif str(operator) == "RANGE" and argument[1] - argument[0] < _WIDEST:
            heads.update((chr(code),) for code in range(argument[0], argument[1] + 1))
        else:
            heads.add((None,))
    return frozenset(heads)


def _of_repeat(least: int, most: int, parsed: Iterable[tuple[Any, Any]]) -> frozenset[Beginning]:
    once = _of_sequence(parsed)
    times, heads = _NOTHING, set(_NOTHING if least == 0 else ())
    for number in range(1, min(int(most), _DEPTH) + 1):
        times = _joined(times, once)
        if number >= least or number == _DEPTH:
            heads |= times
    return frozenset(heads)
