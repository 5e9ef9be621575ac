"""A task of two turns: the second reads what the method answered to the first, and nothing of the context."""

from __future__ import annotations

from dataclasses import replace

import pytest
from comparison_fakes import FakeEngine

from benchmarks.base import Example, Task
from comparison import folder
from comparison.answering import Bench
from comparison.plan import resolve
from models.specs import ReaderSpec

SECOND = Task(
    "t", "Asked: {question} {option}\nThoughts: ", "\nSo?", metric="value", max_new_tokens=3, stop=("!",)
)
FIRST = Task("t", "Read: ", "\n{question}", metric="value", max_new_tokens=9, second=SECOND)
EXAMPLE = Example("e", "the context ends with word", "Which?", ("word",), 4, "b", slots={"option": "(A) one"})


class Generating(FakeEngine):
    """Says what it is told to, and keeps what it was asked."""

    window = None

    def __init__(self):
        super().__init__()
        self.asked = []

    def encode(self, text, *, chat=False):
        return text

    def generate(self, ids, new_tokens, *, stop=()):
        self._cost.calls += 1
        self.asked.append((ids, new_tokens, stop))
        return "so word"


@pytest.fixture
def bench():
    methods = [resolve("method", f"comparison_fakes:{name}") for name in ("Last", "Says", "Says:what=empty")]
    return Bench(ReaderSpec(name="fake/reader", path="fake/reader"), Generating(), methods)


def test_the_second_turn_reads_the_first_one_s_answer_and_its_own_is_the_prediction(bench):
    given = bench.answer(0, FIRST, EXAMPLE)
    assert bench.engine.asked == [("Asked: Which? (A) one\nThoughts: word\nSo?", 3, ("!",))]
    assert (given.answer.text, given.error) == ("so word", None)
    assert given.answer.details == {"first_turn": "word"}
    assert given.cost["calls"] == 2


def test_the_first_one_s_answer_loses_the_blanks_at_its_ends_and_may_be_empty(bench):
    given = bench.answer(2, FIRST, EXAMPLE)
    assert bench.engine.asked[0][0] == "Asked: Which? (A) one\nThoughts: \nSo?"
    assert (given.answer.text, given.answer.details) == ("so word", {"first_turn": "  "})


def test_a_task_of_one_turn_and_a_method_that_fails_have_no_second(bench):
    assert bench.answer(0, replace(FIRST, second=None), EXAMPLE).answer.text == "word"
    assert "no answer to Which?" in bench.answer(1, FIRST, EXAMPLE).error
    assert bench.engine.asked == []


def test_the_second_turn_s_wording_is_part_of_the_task_s(monkeypatch):
    def words(task):
        return folder.wording(type("Planned", (), {"task": task}))

    assert "second" not in words(replace(FIRST, second=None))
    assert words(FIRST) == words(replace(FIRST, second=None)) | {"second": words(SECOND)}
    assert words(FIRST) != words(replace(FIRST, second=replace(SECOND, after="?")))
