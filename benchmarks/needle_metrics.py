"""How two published needle tests score, without a judge: a prediction and its answers in, 0 or 1 out.

Exercised by ``python -m pytest tests/benchmarks/test_needle_variants.py``.
"""

from __future__ import annotations

from collections.abc import Sequence


def keywords(prediction: str, answers: Sequence[str]) -> float:
    """1 if every keyword group is in the prediction, case aside.

    In place of the judge of Kamradt's test: the two groups are "sandwich" and "dolores park"."""
    said = prediction.casefold()
    return float(all(answer.casefold() in said for answer in answers))


def blank_word(prediction: str, answers: Sequence[str]) -> float:
    """1 if an answer is one of the prediction's words, cut at blanks alone and before the end of the text
    (DeciMamba's passkey, ``run_niah_evaluator``): "12345." is none."""
    words = prediction.split("<|endoftext|>")[0].split(" ")
    return float(any(answer in words for answer in answers))
