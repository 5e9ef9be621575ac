"""Wordings and their slots: ``python -m pytest tests/benchmarks/test_base.py``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.base import Example, Task

TASK = Task("t", "Reply {like: this} and {} or {0}.\n", "\n{question}{clause} {OPTION}", "value", 8, " or {}")


def test_a_brace_that_is_no_slot_stays_in_the_wording():
    assert TASK.prompt("C", "Why?") == "Reply {like: this} and {} or {0}.\nC\nWhy? {OPTION}"


def test_what_fills_a_slot_is_not_searched_for_slots():
    task = replace(TASK, slots={"OPTION": "{question} \\1 $0"})
    before, after = task.wrap("is {clause} {OPTION}?", clause=True)
    assert before == TASK.before
    assert after == "\nis {clause} {OPTION}? or {} {question} \\1 $0"


def test_a_bare_text_is_no_tuple_of_stop_strings():
    wanted = r"^the stop of task t is the text 'So:': expected a tuple of texts, \('So:',\)$"
    with pytest.raises(ValueError, match=wanted):
        replace(TASK, stop="So:")


def test_a_bare_text_is_no_tuple_of_answers():
    with pytest.raises(
        ValueError, match=r"^the answers of example e are the text 'no': expected a tuple of texts$"
    ):
        Example("e", "a text", "q", "no", 1, "")
