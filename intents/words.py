"""Cutting Chinese into words: jieba's dictionary and jieba's best path, with the brand's own words.

A model keeps the dictionary it was trained with, so serving loads no jieba and cuts the same everywhere.
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from operator import add

_RUNS = re.compile("[\u3400-\u9fff]+|[a-z]+|[0-9]+")
# Rarer words of jieba's dictionary cost load time and memory, and are names of people and places.
_RAREST = 30
_BRAND_WORD_FREQUENCY = 100_000
# Stretches that need weighing recur (几包, 有没有): what was cut once is kept, up to this many.
_MOST_KEPT = 30_000


def base_dictionary() -> dict[str, int]:
    """Words of jieba's dictionary with their frequencies, without the rarest ones."""
    return dict(_jieba_words())


@cache
def _jieba_words() -> dict[str, int]:
    with warnings.catch_warnings():
        # jieba asks for pkg_resources and has unescaped patterns; neither is ours to mend.
        warnings.simplefilter("ignore")
        import jieba
    logging.getLogger("jieba").handlers.clear()
    tokenizer = jieba.Tokenizer()
    words, _ = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    return {word: int(count) for word, count in words.items() if count >= _RAREST or len(word) == 1}


class Cutter:
    """Cuts normalised text by the most probable path over one dictionary; shares nothing with other cutters."""

    def __init__(self, dictionary: Mapping[str, int], lexicon: Sequence[str] = ()) -> None:
        self.dictionary = dict(dictionary)
        self.dictionary.update((word, _BRAND_WORD_FREQUENCY) for word in lexicon if len(word) > 1)
        total = math.log(sum(self.dictionary.values()) or 1)
        self._weight = {word: math.log(count or 1) - total for word, count in self.dictionary.items()}
        self._unknown = -total
        self._longest = min(8, max(map(len, self._weight), default=1))
        self._kept: dict[str, list[str]] = {}
        # Two characters tell whether any longer word can start here.
        self._openings = {word[:2]: 0 for word in self._weight if len(word) > 1}
        for word in self._weight:
            if len(word) > 1:
                self._openings[word[:2]] = max(self._openings[word[:2]], min(len(word), self._longest))

    def cut(self, text: str) -> list[str]:
        """Words in order; Han by the dictionary, letters and digits as runs, all else left out."""
        words: list[str] = []
        for run in _RUNS.findall(text):
            if run[0] < "\u3400":
                words.append(run)
            else:
                self._part_run(run, words)
        return words

    def _part_run(self, run: str, words: list[str]) -> None:
        """Part a run where no word of the dictionary can stand across; only what is left is weighed."""
        openings, kept = self._openings.get, self._kept.get
        start, end = 0, 1
        for at, reach in enumerate([*map(openings, map(add, run, run[1:])), None]):
            if at == end:
                stretch = run[start:at]
                words += (stretch,) if at - start == 1 else kept(stretch) or self._cut_stretch(stretch)
                start, end = at, at + 1
            if reach is not None and at + reach > end:
                end = at + reach
        stretch = run[start:]
        words += (stretch,) if len(stretch) == 1 else kept(stretch) or self._cut_stretch(stretch)

    def _cut_stretch(self, stretch: str) -> list[str]:
        cut: list[str] = []
        self._cut_run(stretch, cut)
        if len(stretch) <= self._longest:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[stretch] = cut
        return cut

    def _cut_run(self, run: str, words: list[str]) -> None:
        weight, unknown, openings = self._weight.get, self._unknown, self._openings.get
        size = len(run)
        best = [0.0] * (size + 1)
        ends = [0] * size
        for start in range(size - 1, -1, -1):
            top, end = weight(run[start], unknown) + best[start + 1], start + 1
            reach = start + openings(run[start : start + 2], 0)
            for stop in range(start + 2, min(reach, size) + 1):
                found = weight(run[start:stop])
                if found is not None and found + best[stop] >= top:
                    top, end = found + best[stop], stop
            best[start], ends[start] = top, end
        start = 0
        while start < size:
            words.append(run[start : ends[start]])
            start = ends[start]
