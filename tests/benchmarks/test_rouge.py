"""ROUGE-L as the package rouge 1.0.1 has it: ``python -m pytest tests/benchmarks/test_rouge.py``."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.rouge import longest_common_subsequence, rouge_l

STEADY = settings(derandomize=True, deadline=None)
words = st.lists(st.sampled_from("abcd"), max_size=9)
texts = st.text(alphabet="abc. \n", max_size=25)


def table_walk(reference, sentence):
    """The same by the full table of lengths, as textbooks have it."""
    table = [[0] * (len(sentence) + 1) for _ in range(len(reference) + 1)]
    for i, word in enumerate(reference):
        for j, other in enumerate(sentence):
            same = table[i][j] + 1
            table[i + 1][j + 1] = same if word == other else max(table[i][j + 1], table[i + 1][j])
    i, j, found = len(reference), len(sentence), []
    while i and j:
        if reference[i - 1] == sentence[j - 1]:
            found.insert(0, reference[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found


@STEADY
@given(reference=words, sentence=words)
def test_the_subsequence_is_the_one_that_the_table_gives(reference, sentence):
    assert longest_common_subsequence(reference, sentence) == table_walk(reference, sentence)


# Computed with rouge 1.0.1, Rouge().get_scores([prediction], [answer], avg=True)["rouge-l"]["f"].
GOLDEN = [
    ("the cat sat on the mat", "a cat was on the mat", 0.7272727223140496),
    ("The report covers x. It ends.", "The report ends. It covers y.", 0.8333333283333335),
    ("a b c a b", "b a c", 0.6666666616666668),
    ("", "a", 0.0),
    ("...", "a b", 0.0),
    (" . ", "a. ", 0.6666666622222223),
    ("Hi. ", "Hi.", 0.6666666622222223),
    ("a.b.c 3.5", "3.5 b", 0.7499999953125),
    ("one two three. four five", "four one. two five three", 0.999999995),
    ("line one\nline two", "line two\nline one.", 0.6666666616666668),
]


@pytest.mark.parametrize(("prediction", "answer", "expected"), GOLDEN)
def test_the_values_are_those_of_the_package(prediction, answer, expected):
    assert rouge_l(prediction, answer) == expected


@STEADY
@given(text=texts)
def test_a_text_against_itself_is_nearly_one(text):
    assert rouge_l(text, text) == pytest.approx(float(bool(text.replace(".", ""))), abs=1e-6)


@STEADY
@given(first=texts, second=texts)
def test_scores_lie_between_0_and_1(first, second):
    assert 0.0 <= rouge_l(first, second) < 1.0


def test_repetition_is_free_and_case_counts():
    assert rouge_l("the cat the cat the cat", "the cat") == rouge_l("the cat", "the cat")
    assert rouge_l("The Cat", "the cat") == 0.0


def test_a_sentence_longer_than_the_recursion_limit_is_scored():
    text = " ".join(f"w{n}" for n in range(2 * sys.getrecursionlimit()))
    assert rouge_l(text, text) > 0.99
