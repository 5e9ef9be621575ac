"""What a method is asked and may return: read by the runner and by the conformance kit from one place."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from comparison.provenance import ROOMS, imported_modules
from methods.base import Answer
from methods.conformance import verdicts
from methods.contract import ask, check_answer, explain, glimpse, takes
from methods.trial import TASK, Trial, example

ROOT = Path(__file__).parents[2]


class Number(float):
    """A number of a plugin's own."""


def method(answer):
    return SimpleNamespace(answer=answer)


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (lambda context, question: [], []),
        (lambda context, question, task=None: ["task"] if task else [], ["task"]),
        (lambda context, question, *, example: ["example"] if example else [], ["example"]),
        (lambda context, question, **told: sorted(told), ["task"]),
        (lambda context, question, example, **told: sorted([*told, "example"]), ["example", "task"]),
    ],
)
def test_a_method_is_told_what_its_signature_takes_and_sees_the_answer_key_only_by_its_name(answer, taken):
    assert sorted(takes(method(answer))) == taken
    assert ask(method(answer), TASK, example(0)) == taken


def test_a_method_is_told_its_task_with_the_example_s_own_words():
    one = example(0)
    assert ask(method(lambda context, question, *, task: task), TASK, one) == TASK.about(one) != TASK


@pytest.mark.parametrize(
    ("made", "part"),
    [
        (SimpleNamespace(reply=len), "made SimpleNamespace namespace(reply=<built-in"),
        (method("an answer"), "expected a method: answer(context, question)"),
        (
            method(lambda context: context),
            "answer(context) cannot be called as answer(context, question): too",
        ),
        (method(lambda context, question, *, engine: context), "missing a required argument: 'engine'"),
        (method(lambda task, context, question: context), "multiple values for argument 'task'"),
    ],
)
def test_what_cannot_be_asked_is_no_method(made, part):
    with pytest.raises(ValueError, match=re.escape(part)):
        takes(made)


def test_an_answer_holds_plain_values_that_any_process_can_read():
    checked = check_answer(Answer("x", [(True, 2)], {1: (2, Number(3.5))}, truncated=1), 5)
    assert checked == Answer("x", ((1, 2),), {"1": [2, 3.5]}, truncated=True)
    assert (type(checked.details["1"][1]), type(checked.truncated)) == (float, bool)
    assert {type(place) for span in checked.spans for place in span} == {int}
    assert check_answer("x", 0) == Answer("x")
    assert check_answer(Answer("x", ()), 0).spans == ()


LENGTH = len(example(0).context)


@pytest.mark.parametrize(
    ("given", "check", "part"),
    [
        (None, "type", "returned NoneType None, expected Answer or str"),
        (Answer(1.0), "type", "text is float 1.0, expected str"),
        (Answer("x", details={"chunks": {1}}), "details", "set is not JSON"),
        (Answer("x", details={"entropy": float("nan")}), "details", "not JSON compliant"),
        (Answer("x", details=3), "details", "'int' object is not iterable"),
        (
            Answer("x", ((0, 9), (0, LENGTH + 1))),
            "spans",
            f"span (0, {LENGTH + 1}) is not inside the context",
        ),
        (
            Answer("x", ((20, 10),)),
            "spans",
            f"(20, 10) is not inside the context (0 to {LENGTH}), start before",
        ),
        (Answer("x", (1, 2)), "spans", "spans are tuple (1, 2), expected pairs of whole numbers"),
        (Answer("x", (("a\nb", "c"),)), "spans", "expected pairs of whole numbers"),
    ],
)
def test_the_kit_says_of_an_answer_what_the_runner_says(given, check, part):
    with pytest.raises((TypeError, ValueError)) as refused:
        check_answer(given, LENGTH)
    reader = SimpleNamespace(model=SimpleNamespace(eval=lambda: None))
    trial = Trial(reader, lambda: method(lambda context, question: given))
    failed = next(one for one in verdicts(trial) if one.status == "FAILED")
    assert failed == (check, "FAILED", str(refused.value))
    assert part in failed.why
    assert "\n" not in failed.why


def test_an_exception_is_one_line_that_ends_with_the_place_that_raised_it():
    def fail(problem):
        raise problem

    def said(problem):
        with pytest.raises(type(problem)) as caught:
            fail(problem)
        return explain(caught.value)

    place = f"(test_contract.py:{fail.__code__.co_firstlineno + 1})"
    assert said(ValueError("two\n  lines")) == f"ValueError: two lines {place}"
    assert said(KeyboardInterrupt()) == f"KeyboardInterrupt {place}"
    assert explain(ValueError("y" * 900)) == f"ValueError: {'y' * 500}"


def test_a_value_is_shown_by_its_type_and_its_beginning():
    assert glimpse("z" * 58) == f"str '{'z' * 58}'"
    assert glimpse("z" * 59) == f"str '{'z' * 59}..."


def test_no_method_s_version_holds_the_contract():
    """Nothing imports it of what a method may be made of, so that a change of it asks no question again."""
    sources = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    importers = {path.name for path in sources if "methods.contract" in imported_modules(path.read_text())}
    assert importers == {"conformance.py", "trial.py"}
