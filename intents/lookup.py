"""Features of a whole batch looked up at once: names become numbers, numbers are found in one flat table.

A run of characters, or of words, is packed into 64 bits: what kind of run in the highest bits, then its parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intents.classes import PARTICLES, class_of, skeleton_grams
from intents.cues import Marks, cue_features, read_marks
from intents.features import BLOCKS, LONGEST_GRAM, char_grams, framed_all, shorten, word_grams
from intents.text import normalise_all
from intents.words import Cutter

Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]
Parts = Callable[[str], tuple[str, ...]]

_KIND_BITS = 60
_CHAR_BITS, _WORD_BITS = 15, 20
# Kinds 1 to 4 are runs of so many characters, then pairs of words, pairs and triples of classes.
_WORD_PAIR, _BONE_PAIR, _BONE_TRIPLE = LONGEST_GRAM + 1, LONGEST_GRAM + 2, LONGEST_GRAM + 3
_WORD_MASK = (1 << _WORD_BITS) - 1
_PARTICLE = 1 << (2 * _WORD_BITS)
_MOST_KEPT = 50_000
# Up to so many messages, one dictionary after another costs less than starting numpy's functions.
_FEW = 4
_TINY = 1e-12
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
# 1 + ln(count), as scikit-learn's sublinear_tf has it.
_DAMPED = np.array([0.0, *(1.0 + math.log(count) for count in range(1, 1024))])


@dataclass(frozen=True, slots=True)
class Present:
    """What a batch of texts holds: message i has `rows[starts[i]:starts[i + 1]]` and their `values`, in step."""

    lines: list[str]
    frames: list[str]
    marks: list[Marks]
    rows: Ints
    values: NDArray[np.float32]
    starts: Ints


class Table:
    """An unchanging map from 64-bit keys to rows, asked for many keys in one call; 0 is no key."""

    def __init__(self, keys: Keys, rows: Ints) -> None:
        bits = max(4, math.ceil(math.log2(4 * len(keys) + 1)))
        self._shift, self._last = np.uint64(64 - bits), (1 << bits) - 1
        self._keys: Keys = np.zeros(1 << bits, np.uint64)
        self._rows: NDArray[np.int32] = np.zeros(1 << bits, np.int32)
        slots = self._slots(keys)
        while len(keys):
            # Of those that want the same free slot the first takes it; the others move one on.
            slots, firsts = slots & self._last, np.zeros(len(keys), np.bool_)
            firsts[np.unique(slots, return_index=True)[1]] = True
            firsts &= self._keys[slots] == 0
            self._keys[slots[firsts]], self._rows[slots[firsts]] = keys[firsts], rows[firsts]
            keys, rows, slots = keys[~firsts], rows[~firsts], slots[~firsts] + 1

    def _slots(self, keys: Keys) -> Ints:
        return np.asarray((keys * _SPREAD) >> self._shift, np.int64)

    def find(self, keys: Keys) -> tuple[Ints, Ints]:
        """Places of the known ones among the keys, and their rows."""
        slots, places = self._slots(keys), np.arange(len(keys))
        found_places, found_rows = [], []
        while len(places):
            there = self._keys[slots]
            hit = there == keys[places]
            found_places.append(places[hit])
            found_rows.append(self._rows[slots[hit]])
            onward = (there != 0) & ~hit
            slots, places = (slots[onward] + 1) & self._last, places[onward]
        if not found_places:
            return places, places
        return np.concatenate(found_places), np.concatenate(found_rows).astype(np.int64)


class Lookup:
    """The features of one model: its vocabulary as numbers, and the texts of a batch as rows and values.

    What it keeps from call to call (tokens of words) changes no answer; threads may share it.
    """

    def __init__(self, vocabulary: Sequence[dict[str, int]], idf: NDArray[Any], cutter: Cutter) -> None:
        self._vocabulary = chars, words, bones, _ = tuple(vocabulary)
        self._cut = cutter.cut
        self._size = max(1, sum(map(len, vocabulary)))
        self._squares = idf.astype(np.float64) ** 2
        self._blocks = np.repeat(np.arange(len(BLOCKS)), [len(block) for block in vocabulary])
        self._scaled = np.repeat([block.scaled for block in BLOCKS], [len(block) for block in vocabulary])
        word_codes, bone_codes = _numbered(words), _numbered(bones)
        self._tokens = _Tokens(word_codes, bone_codes)
        self._word_rows, self._bone_rows = _single_rows(words, word_codes), _single_rows(bones, bone_codes)
        letters = _numbered(chars, parts=tuple)
        self._letters: NDArray[np.uint16] = np.zeros(0x110000, np.uint16)
        self._letters[[ord(letter) for letter in letters]] = list(letters.values())
        if len(letters) >> _CHAR_BITS or max(len(word_codes), len(bone_codes)) >> _WORD_BITS:
            raise ValueError("more distinct characters or words than a model can number")
        keys = _packed(chars, letters, _CHAR_BITS, tuple, dict.fromkeys(range(1, LONGEST_GRAM + 1), 0))
        keys |= _packed(words, word_codes, _WORD_BITS, _parted, {2: _WORD_PAIR})
        keys |= _packed(bones, bone_codes, _WORD_BITS, _parted, {2: _BONE_PAIR, 3: _BONE_TRIPLE})
        self._table = Table(np.array(list(keys), np.uint64), np.array(list(keys.values()), np.int64))

    def read(self, texts: Sequence[str]) -> Present:
        """The known features of any strings: counts dampened and scaled as `BLOCKS` has it.

        Scaling takes idf into account; the values themselves leave idf and share to the weights.
        """
        lines = [shorten(text) for text in normalise_all(texts)]
        frames = framed_all(lines)
        marks = [read_marks(line) for line in lines]
        cues = [cue_features(line, own) for line, own in zip(lines, marks, strict=True)]
        found = self._found(frames, cues) if len(texts) > _FEW else self._found_by_name(frames, cues)
        found.sort()
        ends = _ends(found)
        owners, rows = np.divmod(found[ends], self._size)
        counts = ends.copy()
        counts[1:] -= ends[:-1]
        counts[:1] += 1
        values = _DAMPED[counts]
        bins = owners * len(BLOCKS) + self._blocks[rows]
        powers = np.bincount(bins, values * values * self._squares[rows], len(texts) * len(BLOCKS))
        # What is not scaled is not counted either: it stands there or not.
        lengths = np.where(self._scaled[rows], np.sqrt(np.maximum(powers, _TINY))[bins], values)
        starts = owners.searchsorted(np.arange(len(texts) + 1))
        return Present(lines, frames, marks, rows, (values / lengths).astype(np.float32), starts)

    def _found_by_name(self, frames: Sequence[str], cues: Sequence[list[str]]) -> Ints:
        """As `_found`, name by name: quicker for a message or two."""
        found: list[int] = []
        for at, (frame, own_cues) in enumerate(zip(frames, cues, strict=True)):
            words = self._cut(frame)
            names = char_grams(frame), word_grams(words), skeleton_grams(words), own_cues
            base = at * self._size
            for known, own in zip(self._vocabulary, names, strict=True):
                found += [base + row for row in map(known.get, own) if row is not None]
        return np.array(found, np.int64)

    def _found(self, frames: Sequence[str], cues: Sequence[list[str]]) -> Ints:
        """Every known feature as often as it stands there, as message number * features + row."""
        owners, keys = self._char_keys(frames)
        singles, word_owners, word_keys = self._word_keys(frames)
        places, rows = self._table.find(np.concatenate([*keys, *word_keys]))
        by_key = np.concatenate([*owners, *word_owners])[places] * self._size + rows
        get, size = self._vocabulary[-1].get, self._size
        cue_rows = [at * size + row for at, own in enumerate(cues) for row in map(get, own) if row is not None]
        return np.concatenate([by_key, *singles, np.array(cue_rows, np.int64)])

    def _char_keys(self, frames: Sequence[str]) -> tuple[list[Ints], list[Keys]]:
        # A line feed stands in no name, so that no run reaches from one message into the next.
        signs = np.frombuffer("\n".join(frames).encode("utf-32-le"), np.uint32)
        owner = np.repeat(np.arange(len(frames)), [len(frame) + 1 for frame in frames])[:-1]
        run = codes = self._letters[signs].astype(np.uint64)
        owners, keys = [], []
        for length in range(1, min(LONGEST_GRAM, len(codes)) + 1):
            if length > 1:
                run = run[:-1] | codes[length - 1 :] << np.uint64(_CHAR_BITS * (length - 1))
            owners.append(owner[: len(run)])
            keys.append(run | np.uint64(length << _KIND_BITS))
        return owners, keys

    def _word_keys(self, frames: Sequence[str]) -> tuple[list[Ints], list[Ints], list[Keys]]:
        token = self._tokens.__getitem__
        first, last = token("^"), token("$")
        tokens, sizes = [], []
        for frame in frames:
            words = self._cut(frame)
            tokens.append(first)
            tokens += map(token, words)
            tokens.append(last)
            sizes.append(len(words) + 2)
        packed = np.array(tokens, np.int64)
        owner = np.repeat(np.arange(len(frames)), sizes)
        words_at = packed & _WORD_MASK
        kept = packed < _PARTICLE
        bones_at, bone_owner = (packed[kept] >> _WORD_BITS) & _WORD_MASK, owner[kept]
        singles = [
            own[rows >= 0] * self._size + rows[rows >= 0]
            for own, rows in ((owner, self._word_rows[words_at]), (bone_owner, self._bone_rows[bones_at]))
        ]
        pairs = bones_at[:-1] | bones_at[1:] << _WORD_BITS
        triples = pairs[:-1] | bones_at[2:] << (2 * _WORD_BITS)
        runs = (
            (words_at[:-1] | words_at[1:] << _WORD_BITS, _WORD_PAIR),
            (pairs, _BONE_PAIR),
            (triples, _BONE_TRIPLE),
        )
        keys = [(run | (kind << _KIND_BITS)).astype(np.uint64) for run, kind in runs]
        return singles, [owner[:-1], bone_owner[: len(pairs)], bone_owner[: len(triples)]], keys


class _Tokens(dict[str, int]):
    """A word as one number: its own code, the code of its class, and whether it is a particle."""

    def __init__(self, words: dict[str, int], bones: dict[str, int]) -> None:
        self._words, self._bones = words, bones

    def __missing__(self, word: str) -> int:
        token = self._words.get(word, 0) | self._bones.get(class_of(word), 0) << _WORD_BITS
        if word in PARTICLES:
            token |= _PARTICLE
        if len(self) < _MOST_KEPT:
            self[word] = token
        return token


def _ends(ordered: Ints) -> Ints:
    """The last place of each run of equal numbers."""
    last = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=last[:-1])
    return np.asarray(last.nonzero()[0])


def _parted(name: str) -> tuple[str, ...]:
    return tuple(name.split(" "))


def _numbered(names: Iterable[str], parts: Parts = _parted) -> dict[str, int]:
    """The parts of all names, numbered from 1; 0 is for what no name has."""
    return {part: number for number, part in enumerate(sorted({part for name in names for part in parts(name)}), 1)}


def _single_rows(names: dict[str, int], codes: dict[str, int]) -> Ints:
    rows = np.full(len(codes) + 1, -1, np.int64)
    for part, code in codes.items():
        rows[code] = names.get(part, -1)
    return rows


def _packed(
    names: dict[str, int], codes: dict[str, int], bits: int, parts: Parts, kinds: dict[int, int]
) -> dict[int, int]:
    """Key -> row of the names of so many parts as `kinds` has; kind 0 stands for the number of parts."""
    keys = {}
    for name, row in names.items():
        parted = parts(name)
        if len(parted) in kinds:
            key = (kinds[len(parted)] or len(parted)) << _KIND_BITS
            for at, part in enumerate(parted):
                key |= codes[part] << (bits * at)
            keys[key] = row
    return keys
