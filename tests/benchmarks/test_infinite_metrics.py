"""InfiniteBench's rules: ``python -m pytest tests/benchmarks/test_infinite_metrics.py``."""

from __future__ import annotations

import sys

import pytest

from benchmarks.infinite_metrics import METRICS
from benchmarks.qa_metrics import MissingPackage


@pytest.mark.parametrize(
    ("task", "prediction", "answers", "expected"),
    [
        ("passkey", "is 12345. 9", ("12345",), 1.0),
        ("number_string", "9 12345", ("12345",), 0.0),
        ("passkey", "", ("1",), 0.0),
        ("kv_retrieval", '"a-b": "c-d".', ("c-d",), 1.0),
        ("kv_retrieval", "c-de", ("c-d",), 0.0),
        ("longdialogue_qa_eng", "It is Lee.", ("LEE", "ANN"), 1.0),
        ("longdialogue_qa_eng", "Ann", ("LEE", "ANN"), 0.0),
        ("longbook_qa_eng", "the red house", ("house", "red house"), 1.0),
        ("longbook_qa_chn", "宝玉。", ("贾宝玉", "王"), 0.8),
        ("longbook_choice_eng", " B. because", ("x", "B"), 1.0),
        ("longbook_choice_eng", "\nBecause the answer is: A", ("x", "B"), 1.0),
        ("longbook_choice_eng", "in the park", ("in the park", "B"), 1.0),
        ("longbook_choice_eng", "I think the answer is: B", ("x", "B"), 1.0),
        ("longbook_choice_eng", "Surely the answer is", ("x", "B"), 0.0),
        ("longbook_choice_eng", "not B, the answer is C", ("x", "B"), 0.0),
        ("longbook_choice_eng", "maybe AB or B", ("x", "B"), 0.0),
        ("longbook_choice_eng", "maybe B", ("x", "B"), 1.0),
        ("longbook_choice_eng", "", ("x", "B"), 0.0),
        ("code_debug", "\nB. foo", ("foo", "B"), 1.0),
        ("code_debug", "B", ("foo", "B"), 0.0),
        ("code_debug", "The answer is: `foo`", ("foo", "B"), 1.0),
        ("code_debug", "answer: foo", ("foo", "B"), 1.0),
        ("code_debug", "The answer is: Option B", ("foo", "B"), 1.0),
        ("code_debug", "The answer is:B", ("foo", "B"), 0.0),
        ("code_run", "The return value is: -12.", ("-12",), 1.0),
        ("code_run", "12 or so", ("12",), 0.0),
        ("code_run", "", ("12",), 0.0),
        ("code_run", "It is 05", ("5",), 1.0),
        ("math_find", "number 12", ("12",), 1.0),
        ("math_find", "3.5!", ("3.5",), 1.0),
        ("math_find", "3.14", ("3",), 0.0),
        ("math_find", "none", ("3",), 0.0),
        ("math_calc", "[1, 4, 9]", ("1", "4", "8"), 2 / 3),
        ("math_calc", "1", ("1", "4"), 0.5),
        ("math_calc_gpt4", "7, 1, 4", ("1", "4"), 1.0),
    ],
)
def test_each_task_has_the_official_rule(task, prediction, answers, expected):
    assert METRICS[task](prediction, answers) == pytest.approx(expected)


def test_a_debug_answer_is_a_name_and_a_letter():
    with pytest.raises(ValueError, match="name and its letter"):
        METRICS["code_debug"]("A", ("foo",))


def test_summaries_have_the_best_rouge_lsum_of_rouge_score(monkeypatch):
    pytest.importorskip("rouge_score")
    # rouge-score 0.1.2: 3 of 4 and of 6 words in common with the second.
    answers = ("nothing of it", "the cats sat\non the green mat")
    assert METRICS["longbook_sum_eng"]("the cat sat\nmat", answers) == pytest.approx(6 / 11)
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(MissingPackage, match="pip install rouge-score"):
        METRICS["longbook_sum_eng"]("a", answers)
