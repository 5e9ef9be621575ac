"""The conformance kit: the contract of a method (``methods/base.py``), one check for every way to break it.

A check that rests on another is skipped where that one failed, so that what is printed names the fault and not its
echoes. Exercised by ``python -m methods check oprm`` and ``pytest tests/methods/test_conformance.py``.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from benchmarks.base import Example, Task
from methods.base import Answer, Undefined
from methods.contract import as_answer, ask, check_answer, explain, plain_details, plain_spans, takes
from methods.trial import (
    OPEN,
    SUMMARY,
    TASK,
    UNICODE,
    Trial,
    changed,
    comparable,
    example,
    forwards,
    global_state,
)

LARGEST_DETAILS = 16_384
"""Characters of JSON: a record is one line, and a run has thousands of them."""


class Skip(Exception):
    """The check does not apply to this method or reader; the message says why."""


class Verdict(NamedTuple):
    """One check's result; `why` is one line, empty where all is well."""

    name: str
    status: Literal["ok", "FAILED", "skipped"]
    why: str = ""


@dataclass(frozen=True)
class Check:
    """`find` returns what is wrong in one line, the empty string where nothing is; it may raise `Skip`, and
    anything else that it raises is a fault too. `rests_on` names the checks without which it says nothing."""

    name: str
    line: str
    find: Callable[[Trial], str]
    rests_on: tuple[str, ...] = ()


def verdicts(trial: Trial) -> Iterator[Verdict]:
    """Every check in the order of `CHECKS`, as it is done."""
    failed: set[str] = set()
    for check in CHECKS:
        if broken := next((name for name in check.rests_on if name in failed), ""):
            failed.add(check.name)
            yield Verdict(check.name, "skipped", f"it rests on {broken}")
            continue
        try:
            fault = check.find(trial)
        except Skip as reason:
            yield Verdict(check.name, "skipped", str(reason))
            continue
        except Exception as problem:
            fault = explain(problem)
        if fault:
            failed.add(check.name)
        yield Verdict(check.name, "FAILED" if fault else "ok", fault)


def _refusal(check: Callable[..., object], *given: Any) -> str:
    """What one of the contract's checks has against what is given."""
    try:
        check(*given)
    except (TypeError, ValueError) as problem:
        return str(problem)
    return ""


# --- how it is called


def _builds(trial: Trial) -> str:
    return _refusal(takes, trial.build())


def _answers(trial: Trial) -> str:
    method = trial.build()
    for shift in (0, 1):
        trial.ask(method, example(shift))
    return ""


def _type(trial: Trial) -> str:
    method = trial.build()
    refusals = (_refusal(as_answer, trial.ask(method, example(shift))) for shift in (0, 1))
    return next(filter(None, refusals), "")


def _two_arguments(trial: Trial) -> str:
    method, one = trial.build(), example(0)
    asked = inspect.signature(method.answer).parameters
    if "example" in asked:
        raise Skip("a control that sees the answer key needs example=")
    if "task" in asked and asked["task"].default is inspect.Parameter.empty:
        raise Skip("task is a required keyword: a notebook gives one too (benchmarks.base.PLAIN_QA)")
    with trial.shelter():
        return _refusal(as_answer, method.answer(one.context, one.question))


# --- the same question, the same answer


def _random(trial: Trial) -> str:
    method = trial.build()
    first, second = (comparable(trial.ask(method, example(0), seed=seed)) for seed in (1, 2))
    return _unless_equal(first, second, "the answer hangs on a global random generator: seed one of your own")


def _again(trial: Trial) -> str:
    method = trial.build()
    first, second = (comparable(trial.ask(method, example(0))) for _ in range(2))
    return _unless_equal(first, second, "the same question twice gave two answers")


def _instance(trial: Trial) -> str:
    first, second = (comparable(trial.ask(trial.build(), example(0))) for _ in range(2))
    return _unless_equal(first, second, "two objects of the same options gave two answers")


def _order(trial: Trial) -> str:
    method = trial.build()
    after = [comparable(trial.ask(method, example(shift))) for shift in (1, 0)][1]
    alone = comparable(trial.ask(trial.build(), example(0)))
    return _unless_equal(alone, after, "the answer hangs on the question before it: keep nothing between two")


def _process(trial: Trial) -> str:
    if trial.elsewhere is None:
        raise Skip("no other process was asked")
    fault = "another process answered otherwise (hash() and sets of strings differ there)"
    return next(filter(None, map(_unless_equal, trial.answers(), trial.elsewhere(), [fault] * 2)), "")


def _unless_equal(first: str, second: str, fault: str) -> str:
    if first == second:
        return ""
    place = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), 0)
    cut = slice(max(0, place - 30), place + 30)
    return f"{fault}: ...{first[cut]!r} and ...{second[cut]!r}"


# --- odd texts


def _unicode(trial: Trial) -> str:
    method = trial.build()
    for name, text in UNICODE.items():
        for context in (text, f"{example(0).context[:300]} {text} " * 4):
            one = replace(example(0), context=context, question=f"{text}?", evidence=((0, len(text)),))
            if fault := _odd(trial, method, one):
                return f"{name}: {fault}"
    return ""


def _empty_context(trial: Trial) -> str:
    method = trial.build()
    empty = (replace(example(0), context=context, evidence=()) for context in ("", " \n"))
    return next(filter(None, (_odd(trial, method, one) for one in empty)), "")


def _short_context(trial: Trial) -> str:
    return _odd(
        trial, trial.build(), replace(example(0), context="Alden works in banking.", evidence=((0, 23),))
    )


def _empty_question(trial: Trial) -> str:
    one = replace(example(0), question="")
    return _odd(trial, trial.build(), one, SUMMARY)


def _odd(trial: Trial, method: Any, one: Example, task: Task = TASK) -> str:
    """What is wrong with the answer to an unusual example; that it is not defined there is right."""
    try:
        given = trial.ask(method, one, task)
    except Undefined:
        return ""
    except Exception as problem:
        return f"{explain(problem)}; expected an answer or Undefined"
    return _refusal(check_answer, given, len(one.context))


# --- what it must leave alone


def _inputs(trial: Trial) -> str:
    method = trial.build()
    if not takes(method):
        raise Skip("it is given two strings, which nobody can change")
    one, untouched = example(0), example(0)
    task, as_it_was = replace(TASK, slots=dict(one.slots)), replace(TASK, slots=dict(one.slots))
    with trial.shelter():
        ask(method, task, one)
    return (
        ""
        if (one, task) == (untouched, as_it_was)
        else "it changed a dict of its task or example: copy it first"
    )


def _settings(trial: Trial) -> str:
    found = _after_an_answer(trial, global_state)
    return f"it changed {found}: set back what you set" if found else ""


def _engine(trial: Trial) -> str:
    found = _after_an_answer(trial, trial.engine_state)
    return f"it left the engine with another {found}: set back what you set" if found else ""


def _after_an_answer(trial: Trial, state: Callable[[], Mapping[str, Any]]) -> str:
    """The names of what is another than before."""
    method = trial.build()
    with trial.shelter():
        before = state()
        ask(method, TASK, example(0))
        return ", ".join(changed(before, state()))


# --- what it says and costs


def _details(trial: Trial) -> str:
    given = trial.ask(trial.build(), example(0))
    if not isinstance(given, Answer):
        raise Skip("it returns a bare string")
    if fault := _refusal(plain_details, given):
        return fault
    size = len(json.dumps(plain_details(given)))
    if size > LARGEST_DETAILS:
        return f"the details take {size:,} characters of JSON: keep them below {LARGEST_DETAILS:,}"
    return ""


def _spans(trial: Trial) -> str:
    one = example(0)
    given = trial.ask(trial.build(), one)
    if not isinstance(given, Answer) or given.spans is None:
        raise Skip("it names no spans")
    return _refusal(plain_spans, given, len(one.context))


def _cost(trial: Trial) -> str:
    method, one = trial.build(), example(0)
    with trial.shelter(), forwards(trial.engine.model) as seen, trial.engine.meter() as cost:
        ask(method, TASK, one)
    phases = math.fsum(seconds for phase, seconds in cost.seconds.items() if phase != "total")
    if seen["calls"] != cost.calls:
        return f"the reader was called {seen['calls']} times and the meter knows of {cost.calls}: call the engine only"
    decoded = seen["tokens"] - cost.prompt_tokens  # the last new token of an answer is never read
    if not 0 <= decoded <= cost.new_tokens:
        return (
            f"the reader read {seen['tokens']} tokens and the meter knows of {cost.prompt_tokens} of prompts and "
            f"{cost.new_tokens} new ones"
        )
    if phases > cost.seconds["total"]:
        return f"the phases take {phases:.3f} s, more than the whole ({cost.seconds['total']:.3f} s)"
    return ""


def _limit(trial: Trial) -> str:
    method = trial.build()
    for task in OPEN:
        if trial.engine.count_tokens(_decoded(trial, method, task)) < 3:
            continue
        short = _decoded(trial, method, replace(task, max_new_tokens=1))
        count = trial.engine.count_tokens(short)
        # Encoded again, one token may come out as two.
        return f"{count} tokens where the task allows 1: pass on task.max_new_tokens" if count > 2 else ""
    raise Skip("this reader's answers are too short to see a limit")


def _stop(trial: Trial) -> str:
    method = trial.build()
    for task in OPEN:
        text = _decoded(trial, method, task).strip()
        stop = next((letter for letter in text[1:] if letter not in (text[0], " ")), "")
        if not stop:
            continue
        stopped = _decoded(trial, method, replace(task, stop=(stop,))).strip()
        return (
            f"{stopped[:40]!r} goes on after the stop string {stop!r}: pass on task.stop"
            if stop in stopped[1:]
            else ""
        )
    raise Skip("this reader's answers are too short to see a stop string")


def _decoded(trial: Trial, method: Any, task: Task) -> str:
    """The answer under an unusual task, where the reader decodes it."""
    if "task" not in takes(method):
        raise Skip("its signature takes no task")
    try:
        with trial.engine.meter() as cost:
            given = trial.ask(method, example(0), task)
    except Undefined as reason:
        raise Skip(f"not defined for such a task: {reason}") from None
    if not cost.new_tokens:
        raise Skip("the reader decodes nothing")
    return as_answer(given).text


_CALLED = ("builds", "answers", "type")
_PLAIN = (*_CALLED, "details", "spans")
_STEADY = (*_CALLED, "again", "random", "instance")
CHECKS: tuple[Check, ...] = (
    Check("builds", "the factory makes an object with answer(context, question)", _builds),
    Check("answers", "a benchmark's question is answered, asked as the runner asks", _answers, _CALLED[:1]),
    Check("type", "the answer is a str, or an Answer with a str in it", _type, _CALLED[:2]),
    Check(
        "two-arguments", "answer(context, question) works alone, as in a notebook", _two_arguments, _CALLED
    ),
    Check("details", f"details are JSON of at most {LARGEST_DETAILS:,} characters", _details, _CALLED),
    Check("spans", "spans lie inside the context, start before end", _spans, _CALLED),
    Check("again", "the same question again gives the same answer", _again, _CALLED),
    Check("random", "the answer does not hang on the global random generators", _random, _STEADY[:-2]),
    Check("instance", "a new object gives the same answer", _instance, _STEADY[:-1]),
    Check("order", "no question leaves a trace in the next", _order, _STEADY),
    Check("process", "another process gives the same answer", _process, _STEADY),
    Check("unicode", "emoji, combining marks, Chinese, right to left, line breaks", _unicode, _PLAIN),
    Check("empty-context", "an empty context is answered", _empty_context, _PLAIN),
    Check("short-context", "a context shorter than a chunk is answered", _short_context, _PLAIN),
    Check("empty-question", "a task without a question: an answer or Undefined", _empty_question, _PLAIN),
    Check("inputs", "the task and the example are left as they were", _inputs, _CALLED),
    Check("settings", "so are global random states, torch's settings, the folder", _settings, _STEADY[:-1]),
    Check("engine", "the engine reads a prompt as before", _engine, (*_CALLED, "settings")),
    Check("cost", "the meter sees every call and counts every token once", _cost, _CALLED),
    Check("limit", "task.max_new_tokens ends the answer", _limit, (*_CALLED, "cost")),
    Check("stop", "task.stop ends the answer", _stop, (*_CALLED, "cost")),
)
