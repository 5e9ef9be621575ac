"""InfiniteBench's metrics (arXiv:2402.13718), by task, as its own scorer computes them.

Each takes the prediction and the row's answers as texts: numbers in digits, one a value for math_calc;
for longbook_choice_eng and code_debug the option's text and its letter.
Exercised by ``python -m pytest tests/benchmarks/test_infinite_metrics.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import takewhile

from benchmarks.qa_metrics import MissingPackage, character_f1_chinese, qa_f1

LETTERS = "ABCD"
CHOICE_CUES = ("answer is:", "answer:", "answer is", "option is")
DEBUG_CUES = ("answer is:", "is:", "answer:", "correct option is:")
NUMBER = re.compile(r"\d+\.\d+|\d+")


def passkey(prediction: str, answers: Sequence[str]) -> float:
    """1 if the first run of digits is the answer (passkey, number_string)."""
    found = re.search(r"[0-9]+", prediction)
    return float((found[0] if found else "") == answers[0])


def kv_retrieval(prediction: str, answers: Sequence[str]) -> float:
    """1 if the answer is one of the words, punctuation taken as blanks."""
    return float(answers[0] in _blank(prediction, "\n:\"'.,?!{}").split())


def longdialogue_qa_eng(prediction: str, answers: Sequence[str]) -> float:
    """1 if the first answer, a name in capitals, is one of the words in capitals."""
    return float(answers[0] in _blank(prediction, "\n:\"'.,?!{}").upper().split())


def longbook_qa_eng(prediction: str, answers: Sequence[str]) -> float:
    """The best F1 over the answers."""
    return max(qa_f1(prediction, answer) for answer in answers)


def longbook_qa_chn(prediction: str, answers: Sequence[str]) -> float:
    """The best F1 over the answers, by characters."""
    return max(character_f1_chinese(prediction, answer) for answer in answers)


def longbook_sum_eng(prediction: str, answers: Sequence[str]) -> float:
    """rougeLsum of the package rouge-score without stemming, the best over the answers.

    `MissingPackage` without rouge-score."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ModuleNotFoundError as error:
        raise MissingPackage("longbook_sum_eng is scored", "rouge-score") from error
    return RougeScorer(["rougeLsum"]).score_multi(answers, prediction)["rougeLsum"].fmeasure


def longbook_choice_eng(prediction: str, answers: Sequence[str]) -> float:
    """A first letter A to D decides; else an option's whole text; else what follows a cue, where there is
    one; else the first word that is one of the letters."""
    text = prediction.strip()
    if not text:
        return 0.0
    if text[0] in LETTERS:
        return float(text[0] in answers)
    if text in answers:
        return 1.0
    text = _single_blanks(_blank(text, "\n\"'.,?!{}"))
    cued = _after_cue(text, CHOICE_CUES)
    if cued is not None:
        return float(cued.startswith(tuple(answers)))
    # Any run of the letters counts as one, as in the official test: "AB" is a wrong answer.
    return float(next((word for word in text.split() if word in LETTERS), "") in answers)


def code_debug(prediction: str, answers: Sequence[str]) -> float:
    """1 if the prediction begins with the letter and a full stop or colon, or has the letter or the
    function's name behind the first cue that occurs."""
    if len(answers) != 2:
        raise ValueError(f"code_debug needs the function's name and its letter, not {len(answers)} answers")
    name, letter = answers
    text = prediction.strip()
    if text[:2] in (f"{letter}.", f"{letter}:"):
        return 1.0
    text = _blank(text, "\n`'\"-*").replace("Option", " ").replace("option", " ")
    cued = _after_cue(_single_blanks(text), DEBUG_CUES)
    return float(cued is not None and cued.startswith((letter, name)))


def code_run(prediction: str, answers: Sequence[str]) -> float:
    """1 if the last word is the number, punctuation taken as blanks."""
    words = _blank(prediction, "\n.`'\":").split()
    try:
        return float(bool(words) and int(words[-1]) == int(answers[0]))
    except ValueError:
        return 0.0


def math_find(prediction: str, answers: Sequence[str]) -> float:
    """1 if the first number is the answer."""
    found = NUMBER.search(prediction)
    return float(found is not None and float(found[0]) == float(answers[0]))


def math_calc(prediction: str, answers: Sequence[str]) -> float:
    """The share of the values that the prediction's numbers agree with before the first that differs."""
    return _leading(re.findall(r"[0-9]+", prediction), answers)


def math_calc_gpt4(prediction: str, answers: Sequence[str]) -> float:
    """`math_calc` without the prediction's first number, which GPT-4 repeats from its prompt."""
    return _leading(re.findall(r"[0-9]+", prediction)[1:], answers)


def _leading(numbers: Sequence[str], answers: Sequence[str]) -> float:
    pairs = zip(numbers, answers, strict=False)
    # Compared as texts: Python reads no integer of more than 4,300 digits, and readers write such.
    agreeing = takewhile(lambda pair: (pair[0].lstrip("0") or "0") == pair[1], pairs)
    return sum(1 for _ in agreeing) / len(answers)


def _blank(text: str, signs: str) -> str:
    return text.translate(dict.fromkeys(map(ord, signs), " "))


def _single_blanks(text: str) -> str:
    return re.sub(" {2,}", " ", text)


def _after_cue(text: str, cues: Sequence[str]) -> str | None:
    """What follows the first cue of `cues` that occurs and the character behind it, None where none occurs.

    Nothing behind a cue at the end is the empty string, which begins with no answer."""
    for cue in cues:
        start = text.find(cue)
        if start >= 0:
            return text[start + len(cue) + 1 :]
    return None


METRICS: dict[str, Callable[[str, Sequence[str]], float]] = {
    "passkey": passkey,
    "number_string": passkey,
    "kv_retrieval": kv_retrieval,
    "longbook_sum_eng": longbook_sum_eng,
    "longbook_qa_eng": longbook_qa_eng,
    "longbook_qa_chn": longbook_qa_chn,
    "longbook_choice_eng": longbook_choice_eng,
    "longdialogue_qa_eng": longdialogue_qa_eng,
    "math_find": math_find,
    "math_calc": math_calc,
    "math_calc_gpt4": math_calc_gpt4,
    "code_run": code_run,
    "code_debug": code_debug,
}
"""By task; math_calc_gpt4 is for predictions of GPT-4 alone."""
