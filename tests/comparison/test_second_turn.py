"""A task of two turns: the second reads what the method answered to the first, and nothing of the context."""

from __future__ import annotations

from dataclasses import replace

import pytest
from comparison_fakes import FakeEngine

from benchmarks.base import Example, Task
from comparison.answering import Bench, conclude
from comparison.folder import wording
from comparison.plan import resolve
from methods.base import Answer
from models.specs import ReaderSpec

SECOND = Task(
    "t", "Asked: {question} {option}\nThoughts: ", "\nSo?", metric="value", max_new_tokens=3, stop=("!",)
)
FIRST = Task("t", "Read: ", "\n{question}", metric="value", max_new_tokens=9, second=SECOND)
LAST, SAYS, SAYS_NOTHING = (f"comparison_fakes:{name}" for name in ("Last", "Says", "Says:what=empty"))
EXAMPLE = Example("e", "the context ends with word", "Which?", ("word",), 4, "b", slots={"option": "(A) one"})


class Generating(FakeEngine):
    """Says what it is told to, and keeps what it was asked."""

    window = None

    def __init__(self):
        super().__init__()
        self.asked = []

    def text(self, ids):
        return ids

    def encode(self, text, *, chat=False):
        return text

    def generate(self, ids, new_tokens, *, stop=()):
        self._cost.calls += 1
        self.asked.append((ids, new_tokens, stop))
        return "so word"


@pytest.fixture
def bench():
    methods = [resolve("method", spec) for spec in (LAST, SAYS, SAYS_NOTHING)]
    return Bench(ReaderSpec(name="fake/reader", path="fake/reader"), Generating(), methods)


def test_the_second_turn_reads_the_first_one_s_answer_and_its_own_is_the_prediction(bench):
    given = bench.answer(LAST, FIRST, EXAMPLE)
    assert bench.engine.asked == [("Asked: Which? (A) one\nThoughts: word\nSo?", 3, ("!",))]
    assert (given.answer.text, given.error) == ("so word", None)
    assert given.answer.details == {"first_turn": "word"}
    assert given.cost["calls"] == 2


def test_the_first_one_s_answer_loses_the_blanks_at_its_ends_and_may_be_empty(bench):
    given = bench.answer(SAYS_NOTHING, FIRST, EXAMPLE)
    assert bench.engine.asked[0][0] == "Asked: Which? (A) one\nThoughts: \nSo?"
    assert (given.answer.text, given.answer.details) == ("so word", {"first_turn": "  "})


def test_a_cut_of_either_turn_is_recorded(bench):
    """A token is a character here: the second turn's prompt of 40 has room beside an answer of 3, or has not."""
    whole = bench.answer(LAST, FIRST, EXAMPLE).answer
    assert len(bench.engine.asked[0][0]) == 40
    for window, cut in ((43, False), (42, True)):
        bench.engine.window = window
        assert bench.answer(LAST, FIRST, EXAMPLE).answer == replace(whole, truncated=cut)
        first = conclude(bench.engine, SECOND, Answer("word", truncated=True), EXAMPLE)
        assert first.truncated
    assert len(bench.engine.asked[-1][0]) < 40


def test_a_task_of_one_turn_and_a_method_that_fails_have_no_second(bench):
    assert bench.answer(LAST, replace(FIRST, second=None), EXAMPLE).answer.text == "word"
    assert "no answer to Which?" in bench.answer(SAYS, FIRST, EXAMPLE).error
    assert bench.engine.asked == []


def test_the_second_turn_s_wording_is_part_of_the_task_s():
    assert "second" not in wording(replace(FIRST, second=None))
    assert wording(FIRST) == wording(replace(FIRST, second=None)) | {"second": wording(SECOND)}
    assert wording(FIRST) != wording(replace(FIRST, second=replace(SECOND, after="?")))
