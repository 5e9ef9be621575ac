"""Labels, numbers, letters and lines of code: ``python -m pytest tests/benchmarks/test_matching.py``."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.matching import (
    classification,
    code_line,
    code_similarity_difflib,
    code_similarity_levenshtein,
    count,
    longbench_v2,
    retrieval,
    retrieval_chinese,
    ruler,
    ruler_qa,
)
from benchmarks.qa_metrics import MissingPackage

STEADY = settings(derandomize=True, deadline=None)
lines = st.text(alphabet="abc(){};= ", max_size=20)


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [("Food", 1.0), ("Food or Date", 0.5), ("food", 0.0), ("Date", 0.0), ("", 0.0), ("Food Food", 1.0)],
)
def test_classification_divides_by_the_labels_named(prediction, expected):
    assert classification(prediction, "Food", ("Food", "Date", "Speed")) == expected


def test_of_two_neighbours_inside_the_answer_only_the_first_is_dropped():
    # As in LongBench's walk over the list that it deletes from.
    assert classification("Fast food place", "Fast food place", ("Fast", "food", "Fast food place")) == 0.5
    assert classification("Fast food", "Fast food", ("Fast", "Fast food")) == 1.0


def test_classification_without_labels_is_an_error():
    with pytest.raises(ValueError, match="all_classes"):
        classification("Food", "Food", ())


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [("8", 1.0), ("of 30, 8", 0.5), ("08", 0.0), ("1\n2\n8\n8", 0.5), ("none", 0.0), ("", 0.0)],
)
def test_counts_and_retrievals_are_shares_of_all_numbers(prediction, expected):
    assert count(prediction, "8") == expected
    assert retrieval(prediction, "Paragraph 8") == expected
    assert retrieval_chinese(prediction, "段落8") == expected


def test_an_answer_that_names_no_paragraph_is_an_error():
    with pytest.raises(ValueError, match="names no paragraph: expected Paragraph N"):
        retrieval("Paragraph 3", "three")


@pytest.mark.parametrize(
    ("prediction", "line"),
    [
        ("\n\n    x = 1\ny", "    x = 1"),
        ("```python\n# note\nx = 1", "x = 1"),
        ("// a\nreturn; // b\nreturn;", "return;"),
        ("# only a comment", ""),
        (" \nx", " "),
        ("", ""),
    ],
)
def test_the_line_of_code_is_the_first_without_a_sign_of_a_comment(prediction, line):
    assert code_line(prediction) == line


# fuzzywuzzy 0.18.0 without python-Levenshtein, and with python-Levenshtein 0.27.5.
@pytest.mark.parametrize(
    ("prediction", "answer", "difflib", "levenshtein"),
    [
        ("    int x = getValue();", "    int y = getValues(a);", 0.92, 0.92),
        ("return self.name", "        return self._name", 0.78, 0.78),
        ("public void run() {", "private static void main(String[] args) {", 0.47, 0.47),
        ("abc", "cba", 0.33, 0.33),
        ("```", "x", 0.0, 0.0),
        ("x", "", 0.0, 0.0),
    ],
)
def test_similarities_are_those_of_fuzzywuzzy(prediction, answer, difflib, levenshtein):
    assert code_similarity_difflib(prediction, answer) == difflib
    pytest.importorskip("rapidfuzz")
    assert code_similarity_levenshtein(prediction, answer) == levenshtein


@STEADY
@given(first=lines, second=lines)
def test_similarities_lie_between_0_and_1_and_equal_lines_have_1(first, second):
    pytest.importorskip("rapidfuzz")
    for similarity in (code_similarity_difflib, code_similarity_levenshtein):
        assert similarity(first, first) == 1.0
        assert 0.0 <= similarity(first, second) <= 1.0
    assert code_similarity_levenshtein(first, second) == code_similarity_levenshtein(second, first)


def test_difflib_drops_frequent_characters_of_long_answers():
    assert code_similarity_difflib("ba" * 30, "ab" * 120) == 0.0
    assert code_similarity_difflib("ba" * 30, "ab" * 99) > 0.0


def test_levenshtein_without_rapidfuzz_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    with pytest.raises(MissingPackage, match="pip install rapidfuzz"):
        code_similarity_levenshtein("a", "b")


@pytest.mark.parametrize(
    ("prediction", "letter"),
    [
        ("The correct answer is (B)", "B"),
        ("**The correct answer is B**", "B"),
        ("The correct answer is **(B)**.", "B"),
        ("The correct answer is C. The correct answer is (B).", "B"),
        ("The correct answer is (A). The correct answer is (B).", "A"),
        ("the correct answer is (B)", None),
        ("B", None),
        ("", None),
    ],
)
def test_the_letter_of_longbench_v2_stands_behind_the_phrase(prediction, letter):
    assert [longbench_v2(prediction, one) for one in "ABCD"] == [float(one == letter) for one in "ABCD"]


def test_ruler_takes_shares_and_questions_take_any():
    assert ruler("\x00 ALPHA\x01beta ", ("alpha", "beta", "gamma", "delta")) == 0.5
    assert ruler("alpha beta", ("alpha\nbeta",)) == 0.0
    assert ruler("alpha\x02beta", ("alpha\nbeta",)) == 1.0
    assert ruler_qa("in denver", ("Denver", "Boston")) == 1.0
    assert ruler_qa("", ("Denver",)) == 0.0
