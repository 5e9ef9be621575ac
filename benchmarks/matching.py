"""Metrics that look for something in the prediction: a label, a number, a letter, a line of code.

LongBench's classification, count, retrieval and edit similarity, LongBench v2's letter, RULER's words, and what
Kamradt's needle test and DeciMamba's passkey look for.
Exercised by ``python -m pytest tests/benchmarks/test_matching.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Literal, get_args

from benchmarks.qa_metrics import MissingPackage

CodeSimilarity = Literal["difflib", "levenshtein"]
"""The two measures that fuzzywuzzy's `ratio` is, without and with python-Levenshtein installed."""
CODE_SIMILARITIES: tuple[CodeSimilarity, ...] = get_args(CodeSimilarity)
NOT_CODE = ("`", "#", "//")
"""Signs of a line that is a fence or a comment; the first line without any is taken as the code."""
CONTROL = re.compile(r"[\x00-\x1f]")
ANSWER_PHRASES = (
    re.compile(r"The correct answer is \(([A-D])\)"),
    re.compile(r"The correct answer is ([A-D])"),
)


def classification(prediction: str, answer: str, labels: Sequence[str]) -> float:
    """1 over the number of `labels` that occur in the prediction, 0 if `answer` is not among them.

    Case counts. Labels inside the answer's own name do not, though of two such neighbours only the first is
    dropped, since LongBench deletes from the list that it walks over. ValueError without labels.
    """
    if not labels:
        raise ValueError("classification needs the list of all labels: give all_classes")
    found = [label for label in labels if label in prediction]
    for label in found:
        if label in answer and label != answer:
            found.remove(label)
    return 1.0 / len(found) if answer in found else 0.0


def count(prediction: str, answer: str) -> float:
    """The fraction of the prediction's runs of digits that are the answer."""
    numbers = re.findall(r"\d+", prediction)
    return numbers.count(answer) / len(numbers) if numbers else 0.0


def retrieval(prediction: str, answer: str) -> float:
    """The fraction of the prediction's runs of digits that are the number in the answer "Paragraph N"."""
    return _retrieval(prediction, answer, "Paragraph ")


def retrieval_chinese(prediction: str, answer: str) -> float:
    """`retrieval` with the answer "段落N"."""
    return _retrieval(prediction, answer, "段落")


def _retrieval(prediction: str, answer: str, label: str) -> float:
    number = re.search(label + r"(\d+)", answer)
    if number is None:
        raise ValueError(f"the answer {answer[:40]!r} names no paragraph: expected {label}N")
    return count(prediction, number[1])


def code_line(prediction: str) -> str:
    """The first line that is neither a fence nor holds a comment, line breaks before it dropped."""
    lines = prediction.lstrip("\n").split("\n")
    return next((line for line in lines if not any(sign in line for sign in NOT_CODE)), "")


def code_similarity_difflib(prediction: str, answer: str) -> float:
    """Ratcliff and Obershelp's similarity of the line of code and the answer, in hundredths.

    Not symmetric; answers of 200 characters and more lose their frequent characters (`autojunk`)."""
    return _code_similarity(prediction, answer, lambda *pair: 100 * SequenceMatcher(None, *pair).ratio())


def code_similarity_levenshtein(prediction: str, answer: str) -> float:
    """The similarity by insertions and deletions, in hundredths. `MissingPackage` without rapidfuzz."""
    try:
        from rapidfuzz import fuzz
    except ModuleNotFoundError as error:
        raise MissingPackage("code_similarity_levenshtein is computed", "rapidfuzz") from error
    return _code_similarity(prediction, answer, fuzz.ratio)


def _code_similarity(prediction: str, answer: str, ratio: Callable[[str, str], float]) -> float:
    line = code_line(prediction)
    if line == answer:
        return 1.0
    return round(ratio(line, answer)) / 100


def longbench_v2(prediction: str, answer: str) -> float:
    """1 if the letter after "The correct answer is" is the answer; without the phrase there is none."""
    text = prediction.replace("*", "")
    found = next((match[1] for pattern in ANSWER_PHRASES if (match := pattern.search(text))), None)
    return float(found == answer)


def ruler(prediction: str, answers: Sequence[str]) -> float:
    """The share of `answers` that the prediction contains, in any case."""
    text = _printable(prediction)
    return sum(answer.lower() in text for answer in answers) / len(answers)


def ruler_qa(prediction: str, answers: Sequence[str]) -> float:
    """1 if the prediction contains any of `answers`, in any case."""
    text = _printable(prediction)
    return float(any(answer.lower() in text for answer in answers))


def _printable(prediction: str) -> str:
    return CONTROL.sub("\n", prediction.strip()).strip().lower()


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
