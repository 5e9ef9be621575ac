"""Made-up scores and differences for the tests of the statistics, seeded."""

from __future__ import annotations

import math

import numpy as np


def scores(seed: int, n: int, per_document: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F1-like scores of two correlated methods and the documents that their questions come from."""
    rng = np.random.default_rng(seed)
    documents = np.arange(n) // per_document
    shared = rng.normal(size=documents.max() + 1)[documents] + rng.normal(size=n)
    one, two = (np.clip(0.5 + 0.3 * shared + 0.4 * rng.normal(size=n), 0, 1) for _ in range(2))
    return one, two, documents


def simulated(repeats: int, documents: int, per_document: int, effect: float = 0.0):
    """Paired differences between F1-like columns whose documents share a mood, correlation 0.3 inside."""
    rng = np.random.default_rng(20)
    n = documents * per_document
    labels = np.arange(n) // per_document
    for _ in range(repeats):
        mood = rng.normal(0, math.sqrt(0.3), documents)[labels]
        yield effect + 0.4 * (mood + rng.normal(0, math.sqrt(0.7), n)), labels
