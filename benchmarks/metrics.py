"""Scoring functions, pure: a prediction and its answer key in, a number from 0 to 1 out.

A metric is a name, a function and a version; the version goes up whenever the function could score any
prediction differently, so that old records can be told from new ones. ``value`` and ``absent`` score the
synthetic sets. Exercised by ``python -m pytest tests/benchmarks/test_metrics.py``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple


class Metric(NamedTuple):
    """``score(prediction, answers, choices)`` gives 0 to 1, the best over the answers."""

    score: Callable[[str, Sequence[str], Sequence[str]], float]
    version: str


def value(prediction: str, answers: Sequence[str], choices: Sequence[str]) -> float:
    """1 if the first line with text holds an answer as a whole word and no other value of `choices`.

    Case-folded; of values that begin together the longest counts, and none inside another ("New York" does
    not hold "York"). An empty prediction scores 0. ValueError if `answers` hold no text.
    """
    golden = {_fold(answer) for answer in answers} - {""}
    if not golden:
        raise ValueError("an example without an answer cannot be scored: give at least one answer")
    line = next((line for line in prediction.splitlines() if line.strip()), "")
    found = set(_pattern(tuple(answers), tuple(choices)).findall(_fold(line)))
    return float(bool(found) and found <= golden)


def absent(prediction: str, answers: Sequence[str], choices: Sequence[str]) -> float:
    """1 if the first line with text holds the no-answer word (the answer) and no value of `choices`.

    The rule of `value` under a name of its own: a refusal is no value found, and never averaged with one.
    """
    return value(prediction, answers, choices)


METRICS: dict[str, Metric] = {
    "value": Metric(value, "1"),
    "absent": Metric(absent, "1"),
}


def score(metric: str, prediction: str, answers: Sequence[str], choices: Sequence[str] = ()) -> float:
    """The named metric's score, 0 to 1. An unknown name raises ValueError with the nearest match."""
    return _find(metric).score(prediction, answers, choices)


def version(metric: str) -> str:
    """The named metric's version. An unknown name raises ValueError with the nearest match."""
    return _find(metric).version


def _find(name: str) -> Metric:
    if name not in METRICS:
        near = get_close_matches(name, METRICS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(METRICS)}"
        raise ValueError(f"unknown metric {name!r}: {hint}")
    return METRICS[name]


def _fold(text: str) -> str:
    """Composed, case-folded, single blanks: folding can decompose a letter, hence composed again after it."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return " ".join(folded.split())


@lru_cache(maxsize=256)
def _pattern(answers: tuple[str, ...], choices: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the values between borders of words, longer ones first, so that "New York" wins over "New"."""
    values = sorted({_fold(text) for text in answers + choices} - {""}, key=lambda text: (-len(text), text))
    # An underscore is a border too, for readers that answer in Markdown: _Paris_.
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, values))})(?![^\W_])")
