"""The metrics of MuSiQue, 2Wiki, HotpotQA, LongBench and RULER against formulas derived a second time in another
way: ``python -m pytest tests/benchmarks/test_official_formulas.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import groupby

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.metrics import score
from benchmarks.qa_metrics import Overlap, hotpotqa_overlap, normalise

STEADY = settings(derandomize=True, deadline=None, max_examples=300)
PIECES = (
    *("the", "The", "a", "AN", "an", "cat", "Cat", "cats", "yes", "No", "noanswer", "1,000", "3.5", "no-one"),
    *(
        "e\u0301",
        "\u00e9",
        "a\u0301",
        "\u0130",
        "stra\u00dfe",
        "STRASSE",
        "\uff54\uff48\uff45",
        "\u0394\u03a3",
    ),
    *("!", "?", "_", "\u2013", "\u3002", "\u200b", "'", "\U0001f600", "\u00bd", "\u0661"),
)
SEPARATORS = (" ", "  ", "", "\n", "\t", "\u00a0", "-", "\u2009")
pieces = st.tuples(st.sampled_from(PIECES), st.sampled_from(SEPARATORS)).map("".join)
texts = st.lists(pieces, max_size=7).map("".join) | st.text(max_size=12)
answers = st.lists(texts, min_size=1, max_size=3)


def ascii_punctuation(sign: str) -> bool:
    return sign.isascii() and sign.isprintable() and not sign.isalnum() and not sign.isspace()


def words_of(text: str) -> list[str]:
    """SQuAD's words, found by walking over runs of signs: no pattern, no table."""
    kept = [sign for sign in text.lower() if not ascii_punctuation(sign)]
    runs = ["".join(run) for _, run in groupby(kept, key=str.isalnum)]
    plain = "".join(" " if run in ("a", "an", "the") else run for run in runs)
    return ["".join(run) for blank, run in groupby(plain, key=str.isspace) if not blank]


def shared(said: Sequence[str], gold: Sequence[str]) -> int:
    """How many words pair up, each once."""
    left = list(gold)
    for word in said:
        if word in left:
            left.remove(word)
    return len(gold) - len(left)


def dice(said: Sequence[str], gold: Sequence[str]) -> Fraction:
    """F1 as twice the shared words over all words; 0 where there are none."""
    return Fraction(2 * shared(said, gold), max(1, len(said) + len(gold)))


def plain_f1(said: list[str], gold: list[str]) -> Fraction:
    return dice(said, gold)


def musique_f1(said: list[str], gold: list[str]) -> Fraction:
    return Fraction(1) if not said and not gold else dice(said, gold)


def whole_f1(said: list[str], gold: list[str]) -> Fraction:
    whole = [["yes"], ["no"], ["noanswer"]]
    return Fraction(0) if said != gold and (said in whole or gold in whole) else dice(said, gold)


def equal(said: list[str], gold: list[str]) -> Fraction:
    return Fraction(said == gold)


FORMULAS: dict[str, Callable[[list[str], list[str]], Fraction]] = {
    "qa_f1": plain_f1,
    "hotpotqa_f1": whole_f1,
    "2wikimqa_f1": whole_f1,
    "musique_f1": musique_f1,
    "hotpotqa_em": equal,
    "2wikimqa_em": equal,
    "musique_em": equal,
}


@STEADY
@given(text=texts)
@example("a-n apple\u00a0the\u200bend")
def test_words_are_lower_case_without_ascii_punctuation_and_articles(text):
    assert normalise(text).split() == words_of(text)
    assert normalise(text) == " ".join(words_of(text))


@pytest.mark.parametrize("metric", FORMULAS)
@STEADY
@given(prediction=texts, golden=answers)
@example("", ["", "cat"])
@example("the", ["a!"])
@example("yes it is", ["yes", "it is"])
@example("noanswer", ["no answer", "noanswer."])
@example("no", ["no way"])
@example("No way", ["way", "no"])
@example("Port Stanley", ["Stanley", "the Port-Stanley", "port stanley"])
def test_answers_are_scored_by_the_published_formula_best_over_the_aliases(metric, prediction, golden):
    expected = max(FORMULAS[metric](words_of(prediction), words_of(gold)) for gold in golden)
    assert score(metric, prediction, golden) == pytest.approx(float(expected), abs=1e-12)


@STEADY
@given(prediction=texts, gold=texts)
def test_precision_and_recall_are_shares_of_the_shared_words(prediction, gold):
    said, wanted = words_of(prediction), words_of(gold)
    if not whole_f1(said, wanted):
        assert hotpotqa_overlap(prediction, gold) == Overlap(0.0, 0.0, 0.0)
        return
    found = hotpotqa_overlap(prediction, gold)
    assert found.precision == shared(said, wanted) / len(said)
    assert found.recall == shared(said, wanted) / len(wanted)


CONTROL = "".join(map(chr, range(32)))
ruler_texts = st.lists(
    st.sampled_from(("1234567", "12345", "ALPHA-beta", "alpha", "\u0130", "\u0131", "-", " ", ","))
    | st.sampled_from(CONTROL),
    max_size=8,
).map("".join)
ruler_answers = st.lists(
    st.sampled_from(("1234567", "2345", "Alpha-Beta", "alpha", "beta\nalpha", "i\u0307", "", " ")),
    min_size=1,
    max_size=4,
)


def contains(text: str, part: str) -> bool:
    """Sign by sign."""
    return any(
        all(place + i < len(text) and text[place + i] == sign for i, sign in enumerate(part))
        for place in range(len(text) + 1)
    )


@STEADY
@given(prediction=ruler_texts, golden=ruler_answers)
def test_ruler_takes_the_share_of_the_values_and_its_questions_any_of_them(prediction, golden):
    cleaned = "".join("\n" if ord(sign) < 32 else sign for sign in prediction.strip())
    while cleaned[:1].isspace():
        cleaned = cleaned[1:]
    while cleaned[-1:].isspace():
        cleaned = cleaned[:-1]
    found = [contains(cleaned.lower(), answer.lower()) for answer in golden]
    assert score("ruler", prediction, golden) == pytest.approx(sum(found) / len(found))
    assert score("ruler_qa", prediction, golden) == float(any(found))
