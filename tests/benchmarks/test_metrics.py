"""What counts as an answer: ``python -m pytest tests/benchmarks/test_metrics.py``."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import english
from benchmarks.base import PLAIN_QA, Example
from benchmarks.metrics import METRICS, score, version

STEADY = settings(derandomize=True, deadline=None)
CITIES = english.CITIES
cities = st.sampled_from(CITIES)
# Marks and words that hold no city.
padding = st.lists(
    st.sampled_from(["it", "is", "in", ",", "the", "office", '"', "*", "_", "(", " "]), max_size=6
)


@STEADY
@given(gold=cities, before=padding, after=padding, rest=st.text(max_size=40), upper=st.booleans())
def test_the_gold_value_scores_one_whatever_stands_around_it_and_below_it(gold, before, after, rest, upper):
    said = gold.upper() if upper else gold.lower()
    prediction = "\n \n" + " ".join([*before, said, *after]) + "\n" + rest
    assert score("value", prediction, (gold,), CITIES) == 1.0


@STEADY
@given(gold=cities, other=cities, first=st.booleans())
def test_naming_a_second_value_scores_zero(gold, other, first):
    prediction = f"{gold} or {other}" if first else f"{other}, no, {gold}"
    assert score("value", prediction, (gold,), CITIES) == float(gold == other)


@STEADY
@given(gold=cities, letters=st.text("abcxyzäé0", min_size=1, max_size=3), before=st.booleans())
def test_a_value_inside_a_longer_word_does_not_count(gold, letters, before):
    assert score("value", letters + gold if before else gold + letters, (gold,), ()) == 0.0


@STEADY
@given(prediction=st.text(), metric=st.sampled_from(["value", "absent"]))
def test_any_text_scores_zero_or_one(prediction, metric):
    assert score(metric, prediction, ("Paris",), CITIES) in (0.0, 1.0)


@STEADY
@given(prediction=st.text() | cities, order=st.permutations(CITIES[:8]))
def test_the_order_of_the_choices_does_not_matter(prediction, order):
    wanted = score("value", prediction, (CITIES[0],), CITIES[:8])
    assert score("value", prediction, (CITIES[0],), tuple(order)) == wanted


@STEADY
@given(value=st.text(min_size=1).filter(lambda text: any(c.isalnum() for c in text)))
def test_a_value_of_any_script_and_marks_is_found_when_it_stands_alone(value):
    line = " ".join(value.split())
    assert score("value", f" {line} ", (value,), ()) == 1.0


def test_only_the_first_line_with_text_is_read():
    assert score("value", "\n\nParis\nRome", ("Paris",), CITIES) == 1.0
    assert score("value", "unknown\nParis", ("Paris",), CITIES) == 0.0


@pytest.mark.parametrize("prediction", ["", " ", "\n\n", "Error", "pari"])
def test_an_empty_or_wrong_prediction_scores_zero(prediction):
    assert score("value", prediction, ("Paris",), CITIES) == 0.0


def test_of_values_that_begin_together_the_longest_counts():
    choices = ("York", "New York", "New York City")
    assert score("value", "in new  york city.", ("New York City",), choices) == 1.0
    assert score("value", "in New York", ("New York",), choices) == 1.0
    assert score("value", "in New York", ("York",), choices) == 0.0


def test_any_of_several_answers_will_do_and_none_of_them_is_another_value():
    answers = ("Kiev", "Kyiv")
    assert score("value", "Kyiv, also spelt Kiev", answers, ("Kiev", "Kyiv", "Rome")) == 1.0
    assert score("value", "Kyiv or Rome", answers, ("Kiev", "Kyiv", "Rome")) == 0.0


def test_case_and_composition_of_letters_do_not_matter():
    assert score("value", unicodedata.normalize("NFD", "ZÜRICH"), ("Zürich",), ()) == 1.0
    assert score("value", "STRASSE", ("Straße",), ()) == 1.0


def test_signs_of_regular_expressions_are_plain_text():
    assert score("value", "it is C++.", ("C++",), ("C", "C++")) == 1.0
    assert score("value", "abc", ("a.c",), ()) == 0.0


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("Error", 1.0),
        ("error.", 1.0),
        ("The answer is Error, it is unknown", 1.0),
        ("\nError\nParis", 1.0),
        ("Error Paris", 0.0),
        ("Paris", 0.0),
        ("", 0.0),
        ("Errors", 0.0),
        ("unknown", 0.0),
        ("x\nError", 0.0),
    ],
)
def test_a_refusal_counts_where_the_word_stands_and_no_value_does(prediction, expected):
    assert score("absent", prediction, ("Error",), CITIES) == expected


PURE = sorted(
    METRICS.keys()
    - {"qa_f1_zh", "rouge_l_zh", "code_similarity_levenshtein", "infinitebench_longbook_sum_eng"}
)
"""What needs no optional package."""
KEYS = {
    "classification": ("Food", ("Food", "Fast food")),
    "retrieval": ("Paragraph 7", ()),
    "retrieval_zh": ("段落7", ()),
}
"""Answers of the form that a metric asks for, and all labels."""


def keys(metric):
    if "code_debug" in metric or "choice" in metric:
        return ("main", "B"), ()
    answer, labels = KEYS.get(metric, ("7", ()))
    return (answer,), labels


@STEADY
@given(
    prediction=st.text()
    | st.text(alphabet="ABfFod7. \n:")
    | st.text(alphabet="0123456789", min_size=5000, max_size=5001),
    metric=st.sampled_from(PURE),
)
def test_every_metric_gives_a_number_from_0_to_1_for_any_text(prediction, metric):
    assert 0.0 <= score(metric, prediction, *keys(metric)) <= 1.0


@pytest.mark.parametrize("metric", sorted(METRICS.keys() - {"absent", "value"}))
def test_an_example_without_an_answer_is_an_error_and_no_zero(metric):
    with pytest.raises(ValueError, match="without an answer"):
        score(metric, "x", ())


@pytest.mark.parametrize(
    ("metric", "answer", "labels"),
    [
        ("qa_f1", "the Eiffel Tower", ()),
        ("hotpotqa_f1", "yes", ()),
        ("hotpotqa_em", "Yes.", ()),
        ("2wikimqa_f1", "no", ()),
        ("2wikimqa_em", "1984", ()),
        ("musique_f1", "An apple", ()),
        ("musique_em", "An apple", ()),
        ("classification", "Food", ("Food", "Date")),
        ("count", "12", ()),
        ("retrieval", "Paragraph 3", ()),
        ("retrieval_zh", "段落3", ()),
        ("code_similarity_difflib", "    return x", ()),
        ("ruler", "7432", ()),
        ("ruler_qa", "Denver", ()),
    ],
)
def test_the_answer_itself_scores_one(metric, answer, labels):
    assert score(metric, answer, (answer,), labels) == 1.0


def test_the_best_of_several_answers_counts():
    assert score("qa_f1", "Denver", ("Boston", "Denver, Colorado", "denver")) == 1.0
    assert score("ruler", "one and TWO", ("one", "two", "three", "four")) == 0.5
    assert score("ruler_qa", "one", ("none such", "One")) == 1.0


def test_an_unknown_metric_is_an_error_with_the_nearest_match():
    for call in (lambda: score("vlaue", "", ("x",)), lambda: version("vlaue")):
        with pytest.raises(ValueError, match="unknown metric 'vlaue': did you mean value"):
            call()
    with pytest.raises(ValueError, match="use one of value, absent"):
        version("zzz")


@pytest.mark.parametrize("answers", [(), ("",), (" ",)])
def test_an_example_without_an_answer_is_an_error_and_no_silent_zero(answers):
    with pytest.raises(ValueError, match="without an answer"):
        score("value", "Paris", answers, CITIES)


def test_every_metric_has_a_version():
    assert {version(name) for name in METRICS} == {"1"}


def test_a_task_scores_by_its_metric():
    example = Example("e", "text", "where?", ("Paris",), 1, "all", choices=CITIES)
    assert PLAIN_QA.score("Paris.", example) == 1.0
    assert PLAIN_QA.score("Rome.", example) == 0.0
