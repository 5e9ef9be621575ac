"""The contract of a method (``methods/base.py``) in code: how the runner asks it, and what it takes for an answer.

The runner and the conformance kit both call this, so that the kit promises what a run does. No method imports it:
a change here leaves the versions of all methods as they are. Exercised by ``python -m methods check oprm`` and
``pytest tests/methods/test_contract.py``.
"""

from __future__ import annotations

import inspect
import json
import traceback
from pathlib import Path
from typing import Any

from benchmarks.base import Example, Span, Task
from methods.base import Answer

ERROR_LENGTH = 500


def takes(method: Any) -> frozenset[str]:
    """Which of `task` and `example` the method's signature takes: under ``**anything`` it is told the task, and
    nobody sees the answer key who does not name it. ValueError for what cannot be asked."""
    if not callable(getattr(method, "answer", None)):
        raise ValueError(f"the factory made {glimpse(method)}, expected a method: answer(context, question)")
    signature = inspect.signature(method.answer)
    anything = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in signature.parameters.values())
    taken = {"example", "task"} & set(signature.parameters) | ({"task"} if anything else set())
    try:
        signature.bind("", "", **dict.fromkeys(taken))
    except TypeError as problem:
        raise ValueError(
            f"answer{signature} cannot be called as answer(context, question): {problem}"
        ) from problem
    return frozenset(taken)


def ask(method: Any, task: Task, example: Example) -> Any:
    """What the method returns to one example, told what its signature takes. Raises what it raises."""
    told = {"task": task.about(example), "example": example}
    return method.answer(example.context, example.question, **{name: told[name] for name in takes(method)})


def check_answer(given: Any, length: int) -> Answer:
    """What a method returned as an `Answer` of plain values, which pickles and is JSON; `length` is the context's,
    in characters. TypeError or ValueError that says what came back instead."""
    answer = as_answer(given)
    return Answer(
        answer.text, plain_spans(answer, length), plain_details(answer), truncated=bool(answer.truncated)
    )


def as_answer(given: Any) -> Answer:
    """An `Answer` or a str as an `Answer` whose text is one."""
    answer = Answer(given) if isinstance(given, str) else given
    if not isinstance(answer, Answer):
        raise TypeError(f"the method returned {glimpse(given)}, expected Answer or str")
    if not isinstance(answer.text, str):
        raise TypeError(f"the answer's text is {glimpse(answer.text)}, expected str")
    return answer


def plain_spans(answer: Answer, length: int) -> tuple[Span, ...] | None:
    """The answer's spans as pairs of int inside the context, in any order: a ranker's is one too."""
    try:
        spans = None if answer.spans is None else tuple((int(a), int(b)) for a, b in answer.spans)
    except (TypeError, ValueError) as problem:
        raise TypeError(
            f"the answer's spans are {glimpse(answer.spans)}, expected pairs of whole numbers"
        ) from problem
    for start, end in spans or ():
        if not 0 <= start <= end <= length:
            raise ValueError(
                f"the answer's span {(start, end)} is not inside the context (0 to {length}), start before end"
            )
    return spans


def plain_details(answer: Answer) -> dict[str, Any]:
    """The answer's details as JSON reads them back."""
    try:
        return json.loads(json.dumps(dict(answer.details), allow_nan=False))
    except (TypeError, ValueError) as problem:
        raise TypeError(f"the answer's details do not serialise to JSON: {problem}") from problem


def explain(problem: BaseException) -> str:
    """An exception in one line: its type, its message, and the line of code that raised it."""
    frames = traceback.extract_tb(problem.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    message = " ".join(str(problem).split())[:ERROR_LENGTH]
    return f"{type(problem).__name__}: {message}{place}" if message else f"{type(problem).__name__}{place}"


def glimpse(value: Any) -> str:
    """A value in a few words, for a message: its type and the beginning of its repr."""
    shown = " ".join(repr(value).split())
    return f"{type(value).__name__} {shown[:60]}{'...' if len(shown) > 60 else ''}"
