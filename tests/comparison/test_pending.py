"""The key of an answer: what is in it, and that it stays what it was, so that old run folders are found again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.base import Example, Task, digest
from comparison.answering import Traits
from comparison.grid import PlannedTask
from comparison.pending import Contender, record_key
from comparison.plan import resolve
from models.revision import LOCAL

SETTINGS = {
    "path": "owner/name",
    "revision": "c0ffee",
    "dtype": "float32",
    "kernel": "numba",
    "device": "cpu",
}
TASK = Task("t", "Read.\n", "\nQ: {question} A:", "value", 8)
EXAMPLE = Example("e", "one two", "Which?", ("two",), 2, "a", ("one", "two"), ((4, 7),), slots={"extra": "x"})
METHOD = resolve("method", "comparison_fakes:Last:wrong=true")
BENCHMARK = resolve("benchmark", "comparison_fakes:words")


def key_of(*takes, task=TASK, example=EXAMPLE, **settings):
    contender = Contender(METHOD, Traits(frozenset(takes), control=False, version="v"))
    planned = PlannedTask(BENCHMARK, task, [example], [], {}, 1, True)
    return record_key(
        SETTINGS | settings, contender, planned, example, digest(example.context, example.question)
    )


@pytest.mark.parametrize("takes", [(), ("task",)])
def test_the_key_of_a_method_that_does_not_see_the_answer_key_never_changes(takes):
    assert key_of(*takes) == "e193c589603d29bc0a3c2f86370f5ca3d9f6dc92bcd2b30d4053d091b4024fcf"
    plain = key_of(*takes, example=replace(EXAMPLE, slots={}))
    assert plain == "01e0ceb76a1a8bbb7603ec452159342db871ee9a7898a60fc2a5e6e86164ad07"


@pytest.mark.parametrize(
    ("task", "example"),
    [
        ({"metric": "qa_f1"}, {}),
        ({"first_line": True}, {}),
        ({"renamed": ("Error", "none")}, {}),
        ({}, {"answers": ("two", "2")}),
        ({}, {"choices": ("two",)}),
        ({}, {"evidence": ((0, 3),)}),
    ],
)
def test_what_scores_an_answer_is_in_the_key_of_a_method_that_sees_it_alone(task, example):
    other = {"task": replace(TASK, **task), "example": replace(EXAMPLE, **example)}
    assert key_of("example") != key_of("example", **other)
    assert key_of() == key_of(**other)


@pytest.mark.parametrize(("revision", "same"), [("c0ffee", False), (f"{LOCAL}c0ffee", True)])
def test_a_local_folder_is_known_by_what_is_in_it_wherever_it_lies(revision, same):
    here, there = (key_of(path=path, revision=revision) for path in ("/here/reader", "/there/reader"))
    assert (here == there) == same
    assert key_of(revision=revision) != key_of(revision=f"{revision}1")


def test_the_version_of_a_metric_is_in_the_key_too(monkeypatch):
    before = key_of(), key_of("example")
    monkeypatch.setattr("benchmarks.metrics.version", lambda name: "9")
    assert (key_of() == before[0], key_of("example") == before[1]) == (True, False)
