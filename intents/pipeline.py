"""The same features as scikit-learn sees them: what training fits and what serving is held against."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import FeatureUnion
from sklearn.svm import LinearSVC

from intents.cues import cue_features
from intents.features import BLOCKS, Block, char_grams, framed, shorten, word_grams
from intents.words import Cutter

Analysers = dict[str, Callable[[str], list[str]]]


def analysers(cutter: Cutter) -> Analysers:
    """One function per block, normalised text -> feature names; each remembers what it has cut."""
    return {
        "chars": cache(lambda text: char_grams(framed(text))),
        "words": cache(lambda text: word_grams(framed(text), cutter)),
        "cues": cache(lambda text: cue_features(shorten(text))),
    }


def vectorisers(by_block: Analysers) -> FeatureUnion:
    """One scikit-learn vectoriser per block of features, over normalised texts; float32."""
    return FeatureUnion(
        [(block.name, _vectoriser(block, by_block[block.name])) for block in BLOCKS],
        transformer_weights={block.name: block.share for block in BLOCKS},
    )


def _vectoriser(block: Block, analyser: Callable[[str], list[str]]) -> Any:
    if not block.scaled:
        return CountVectorizer(analyzer=analyser, binary=True, dtype=np.float32)
    return TfidfVectorizer(analyzer=analyser, sublinear_tf=True, use_idf=block.idf, dtype=np.float32)


def learner(seed: int, positive_weight: float) -> LinearSVC:
    """The binary model of one label; positives weigh more because they are few."""
    return LinearSVC(C=0.5, class_weight={True: positive_weight}, random_state=seed, max_iter=3000)
