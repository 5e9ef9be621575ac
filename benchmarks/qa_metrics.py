"""F1 and exact match of short answers: LongBench's and InfiniteBench's (English and Chinese), HotpotQA's,
2WikiMultihopQA's and MuSiQue's.

All normalise alike (lower case, no ASCII punctuation, no articles, single blanks) and differ in what they do
with yes and no and with texts of which nothing is left. Every function takes one prediction and one answer.
Exercised by ``python -m pytest tests/benchmarks/test_qa_metrics.py``.
"""

from __future__ import annotations

import logging
import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

ARTICLES = re.compile(r"\b(a|an|the)\b")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
CHINESE_PUNCTUATION = "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠"
CHINESE_PUNCTUATION += "｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏."
NO_CHINESE_PUNCTUATION = str.maketrans("", "", string.punctuation + CHINESE_PUNCTUATION)
WHOLE_ANSWERS = ("yes", "no", "noanswer")
"""HotpotQA gives these no credit for part of an answer."""


class Overlap(NamedTuple):
    """The words that a prediction and an answer share, as fractions."""

    f1: float
    precision: float
    recall: float


NOTHING = Overlap(0.0, 0.0, 0.0)


def normalise(text: str) -> str:
    """Lower case without ASCII punctuation and articles, single blanks (SQuAD's)."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(NO_PUNCTUATION)).split())


def normalise_chinese(text: str) -> str:
    """Lower case without ASCII and Chinese punctuation and without blanks."""
    return "".join(text.lower().translate(NO_CHINESE_PUNCTUATION).split())


def overlap(prediction: Sequence[str], answer: Sequence[str]) -> Overlap:
    """Of two bags of words; nothing shared is 0, also where both are empty."""
    shared = sum((Counter(prediction) & Counter(answer)).values())
    if not shared:
        return NOTHING
    precision, recall = shared / len(prediction), shared / len(answer)
    return Overlap((2 * precision * recall) / (precision + recall), precision, recall)


def exact_match(prediction: str, answer: str) -> float:
    """1 if nothing but case, punctuation, articles and blanks tells the two apart."""
    return float(normalise(prediction) == normalise(answer))


def qa_f1(prediction: str, answer: str) -> float:
    """LongBench's and InfiniteBench's F1: no rule for yes and no, 0 where both normalise to nothing."""
    return overlap(normalise(prediction).split(), normalise(answer).split()).f1


def hotpotqa_overlap(prediction: str, answer: str) -> Overlap:
    """HotpotQA's and 2WikiMultihopQA's: nothing if either is yes, no or noanswer and the other is not."""
    said, gold = normalise(prediction), normalise(answer)
    if said != gold and (said in WHOLE_ANSWERS or gold in WHOLE_ANSWERS):
        return NOTHING
    return overlap(said.split(), gold.split())


def hotpotqa_f1(prediction: str, answer: str) -> float:
    """The F1 of `hotpotqa_overlap`."""
    return hotpotqa_overlap(prediction, answer).f1


def musique_f1(prediction: str, answer: str) -> float:
    """MuSiQue's: 1 where both normalise to nothing, as in SQuAD 2.0."""
    said, gold = normalise(prediction).split(), normalise(answer).split()
    return overlap(said, gold).f1 if said or gold else 1.0


def qa_f1_chinese(prediction: str, answer: str) -> float:
    """LongBench's Chinese F1, over the words that jieba cuts. `MissingPackage` without jieba."""
    said, gold = ([normalise_chinese(word) for word in chinese_words(text)] for text in (prediction, answer))
    return overlap([word for word in said if word], [word for word in gold if word]).f1


def character_f1_chinese(prediction: str, answer: str) -> float:
    """InfiniteBench's Chinese F1, over characters."""
    return overlap(normalise_chinese(prediction), normalise_chinese(answer)).f1


def chinese_words(text: str) -> list[str]:
    """The words of a Chinese text by jieba's default dictionary in its accurate mode."""
    return list(_jieba().cut(text, cut_all=False))


@lru_cache(maxsize=1)
def _jieba() -> ModuleType:
    try:
        import jieba
    except ModuleNotFoundError as error:
        raise MissingPackage("Chinese tasks are scored", "jieba") from error
    jieba.setLogLevel(logging.WARNING)  # it announces its dictionary on stderr
    return jieba


class MissingPackage(ValueError):
    """An optional package that a metric cannot do without."""

    def __init__(self, what: str, package: str) -> None:
        super().__init__(f"{what} with the package {package}, which is not installed: pip install {package}")
