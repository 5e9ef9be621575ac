"""Scoring functions, pure: a prediction and its answer key in, a number from 0 to 1 out.

A metric is a name, a function and a version; the version goes up whenever the function could score any
prediction differently, so that old records can be told from new ones. ``value`` and ``absent`` score the
synthetic sets; the others are the published ones of the field, each under a name that says which variant it
is. Exercised by ``python -m pytest tests/benchmarks/test_metrics.py``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple

from benchmarks import infinite_metrics, matching, qa_metrics
from benchmarks.rouge import rouge_l


class Metric(NamedTuple):
    """``score(prediction, answers, choices)`` gives 0 to 1, the best over the answers."""

    score: Callable[[str, Sequence[str], Sequence[str]], float]
    version: str


def value(prediction: str, answers: Sequence[str], choices: Sequence[str]) -> float:
    """1 if the first line with text holds an answer as a whole word and no other value of `choices`.

    Case-folded; of values that begin together the longest counts, and none inside another ("New York" does
    not hold "York"). An empty prediction scores 0. ValueError if `answers` hold no text.
    """
    golden = set(_some([folded for answer in answers if (folded := _fold(answer))]))
    line = next((line for line in prediction.splitlines() if line.strip()), "")
    found = set(_pattern(tuple(answers), tuple(choices)).findall(_fold(line)))
    return float(bool(found) and found <= golden)


def rouge_l_chinese(prediction: str, answer: str) -> float:
    """`rouge_l` over the words that jieba cuts. `qa_metrics.MissingPackage` without jieba."""
    said, gold = (" ".join(qa_metrics.chinese_words(text)) for text in (prediction, answer))
    return rouge_l(said, gold)


def _classification(prediction: str, answers: Sequence[str], choices: Sequence[str]) -> float:
    return max(matching.classification(prediction, answer, choices) for answer in _some(answers))


def _best(pair: Callable[[str, str], float]) -> Metric:
    """A metric of one prediction and one answer, its best value over the answers."""
    return Metric(lambda prediction, answers, _: max(pair(prediction, one) for one in _some(answers)), "1")


def _whole(metric: Callable[[str, Sequence[str]], float]) -> Metric:
    """A metric that has a rule of its own for several answers."""
    return Metric(lambda prediction, answers, _: metric(prediction, _some(answers)), "1")


def _some(answers: Sequence[str]) -> Sequence[str]:
    if not answers:
        raise ValueError("an example without an answer cannot be scored: give at least one answer")
    return answers


METRICS: dict[str, Metric] = {
    "value": Metric(value, "1"),
    "absent": Metric(value, "1"),  # of the no-answer word: a refusal is never averaged with a value found
    "qa_f1": _best(qa_metrics.qa_f1),
    "qa_f1_zh": _best(qa_metrics.qa_f1_chinese),
    "rouge_l": _best(rouge_l),
    "rouge_l_zh": _best(rouge_l_chinese),
    "classification": Metric(_classification, "1"),
    "count": _best(matching.count),
    "retrieval": _best(matching.retrieval),
    "retrieval_zh": _best(matching.retrieval_chinese),
    "code_similarity_difflib": _best(matching.code_similarity_difflib),
    "code_similarity_levenshtein": _best(matching.code_similarity_levenshtein),
    "longbench_v2": _best(matching.longbench_v2),
    "hotpotqa_f1": _best(qa_metrics.hotpotqa_f1),
    "hotpotqa_em": _best(qa_metrics.exact_match),
    "2wikimqa_f1": _best(qa_metrics.hotpotqa_f1),
    "2wikimqa_em": _best(qa_metrics.exact_match),
    "musique_f1": _best(qa_metrics.musique_f1),
    "musique_em": _best(qa_metrics.exact_match),
    "ruler": _whole(matching.ruler),
    "ruler_qa": _whole(matching.ruler_qa),
    "keywords": _whole(matching.keywords),
    "blank_word": _whole(matching.blank_word),
    **{f"infinitebench_{task}": _whole(metric) for task, metric in infinite_metrics.METRICS.items()},
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
