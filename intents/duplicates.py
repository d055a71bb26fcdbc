"""Sentences that are nearly the same: the share of their character pairs that they have in common.

Only sentences that share one of their rarest pairs are compared, so that tens of thousands take a second.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from intents.text import normalise_all

NEAR = 0.8
_SHORT = 5
_PAUSES = re.compile(r"[\s,.!?;:~…、。·—\-\"'“”‘’()]+")


def pairs_of(text: str) -> frozenset[str]:
    """The pairs of neighbouring signs of a normalised text, without pauses unless it is short (明天 is not 明天?)."""
    bare = _PAUSES.sub("", text)
    if len(bare) < _SHORT:
        bare = text
    return frozenset(bare[at : at + 2] for at in range(len(bare) - 1)) or frozenset({bare})


def near_duplicates(texts: Sequence[str], above: float = NEAR) -> Iterator[tuple[int, int, float]]:
    """Places of two sentences and their Jaccard index where it is higher than `above`, each pair once."""
    sets = [pairs_of(text) for text in normalise_all(texts)]
    often = Counter(pair for own in sets for pair in own)
    holders: dict[str, list[int]] = {}
    # From the shortest to the longest: what was met before is never longer.
    for at in sorted(range(len(sets)), key=lambda place: (len(sets[place]), place)):
        own = sets[at]
        size = len(own)
        rarest = sorted(own, key=lambda pair: (often[pair], pair))[: size - int(above * size)]
        met = {other for pair in rarest for other in holders.get(pair, ()) if len(sets[other]) >= above * size}
        for other in sorted(met):
            shared = len(own & sets[other])
            alike = shared / (size + len(sets[other]) - shared)
            if alike > above:
                yield min(at, other), max(at, other), alike
        for pair in rarest:
            holders.setdefault(pair, []).append(at)
