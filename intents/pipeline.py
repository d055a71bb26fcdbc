"""The features by name, and as scikit-learn sees them: what training counts and what serving is held against."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import FeatureUnion
from sklearn.svm import LinearSVC

from intents.classes import skeleton_grams
from intents.cues import cue_features
from intents.features import BLOCKS, Block, char_grams, framed, shorten, word_grams
from intents.words import Cutter

Analysers = dict[str, Callable[[str], list[str]]]


def analysers(cutter: Cutter, remember: bool = True) -> Analysers:
    """One function per block, normalised text -> feature names; where told to, each remembers what it cut."""
    kept: Callable[[Callable[[str], list[str]]], Callable[[str], list[str]]] = cache if remember else _same
    words = kept(lambda text: cutter.cut(framed(text)))
    return {
        "chars": kept(lambda text: char_grams(framed(text))),
        "words": kept(lambda text: word_grams(words(text))),
        "bones": kept(lambda text: skeleton_grams(words(text))),
        "cues": kept(lambda text: cue_features(shorten(text))),
    }


def _same(function: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    return function


def vectorisers(by_block: Analysers, fewest: int = 1) -> FeatureUnion:
    """One scikit-learn vectoriser per block of features, over normalised texts; float32.

    Features in fewer than `fewest` messages are left out (cues never are).
    """
    return FeatureUnion(
        [(block.name, _vectoriser(block, by_block[block.name], fewest)) for block in BLOCKS],
        transformer_weights={block.name: block.share for block in BLOCKS},
    )


def _vectoriser(block: Block, analyser: Callable[[str], list[str]], fewest: int) -> Any:
    if not block.scaled:
        return CountVectorizer(analyzer=analyser, lowercase=False, binary=True, dtype=np.float32)
    return TfidfVectorizer(
        analyzer=analyser,
        lowercase=False,
        sublinear_tf=True,
        use_idf=block.idf,
        min_df=fewest,
        dtype=np.float32,
    )


def learner(seed: int, positive_weight: float) -> LinearSVC:
    """The binary model of one label; positives weigh more because they are few."""
    return LinearSVC(C=1.0, class_weight={True: positive_weight}, random_state=seed, max_iter=3000, tol=1e-2)
