"""What one process does with a loaded reader: builds the methods on it, asks them, checks what comes back.

The driver of a serial run holds a `Bench` itself; with ``--timeout`` or ``--executor ray`` every worker holds
one. Whatever goes wrong inside a method is the answer's error, in one line. Imports no torch: the engine is
handed in. Exercised by ``pytest tests/comparison/test_run.py``.
"""

from __future__ import annotations

import inspect
import json
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.base import Example, Task
from comparison import provenance
from comparison.plan import PlanError, Resolved
from comparison.records import UNDEFINED
from methods.base import Answer, Undefined, generate
from models.specs import ReaderSpec

if TYPE_CHECKING:
    from comparison.pending import Job

ERROR_LENGTH = 500


@dataclass(frozen=True)
class Given:
    """What came of asking: the answer, or the error in one line. `cost` is `models.meter.Cost.to_json()`;
    `cold` marks the first answer of a method and task in a process."""

    answer: Answer = field(default_factory=lambda: Answer(""))
    error: str | None = None
    cost: Mapping[str, Any] = field(default_factory=dict)
    cold: bool = False


class Traits(NamedTuple):
    """What a built method says of itself: which of `task` and `example` its signature takes, whether it is a
    control (shown in every table, tested in none), and the version of its code and weights."""

    takes: frozenset[str]
    control: bool
    version: str


class Facts(NamedTuple):
    """What is known once the reader is loaded: the settings that enter keys and `run.json` (revision, dtype,
    kernel, device), the traits of the methods, in order, and the place of the device ("cuda:0")."""

    settings: Mapping[str, str]
    methods: tuple[Traits, ...]
    place: str


class Built(NamedTuple):
    """A method on its reader, ready to answer."""

    method: Any
    traits: Traits


class Bench:
    """A loaded reader with the methods built on it: what one process answers with.

    Raises `PlanError` where a factory makes no method, and what the factory raises."""

    def __init__(self, reader: ReaderSpec, engine: Any, methods: Iterable[Resolved]) -> None:
        self.engine = engine
        self._built = [prepare(resolved, engine) for resolved in methods]
        self._warm: set[tuple[int, str]] = set()
        self.facts = Facts(
            settings={
                "revision": provenance.reader_revision(reader, engine),
                "dtype": str(engine.dtype).removeprefix("torch."),
                "kernel": engine.kernel,
                "device": str(engine.device).partition(":")[0],
            },
            methods=tuple(built.traits for built in self._built),
            place=str(engine.device),
        )

    def answer(self, number: int, task: Task, example: Example) -> Given:
        """Ask and meter one method, by its number. What fails in it is the error of what is given."""
        cold = (number, task.name) not in self._warm
        self._warm.add((number, task.name))
        answer, error = Answer(""), None
        with self.engine.meter() as cost:
            try:
                answer = ask(self._built[number], task, example)
                if task.second is not None:
                    answer = conclude(self.engine, task.second, answer, example)
            except Undefined as reason:
                error = f"{UNDEFINED}{reason}"
            except (Exception, SystemExit) as problem:  # a library's command line may call exit
                error = explain(problem)
        return Given(answer, error, cost.to_json(), cold)

    def answers(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Given]]:
        """Every job's answer, in order, given in this process."""
        for job in jobs:
            yield job, self.answer(job.number, job.task, job.example())


def prepare(resolved: Resolved, engine: Any) -> Built:
    """Build a method and read from its signature what it wants to be told."""
    method = resolved.factory(engine, **resolved.options)
    if not callable(getattr(method, "answer", None)):
        raise PlanError(
            f"{resolved.name} made {_glimpse(method)}, expected a method: answer(context, question)"
        )
    asked = inspect.signature(method.answer).parameters
    anything = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in asked.values())
    takes = {"example"} & set(asked) | ({"task"} if anything or "task" in asked else set())
    control = "example" in takes or bool(getattr(method, "control", False))
    weights = getattr(method, "weights", None)
    known = weights if isinstance(weights, Mapping) else {}
    version = provenance.method_version(resolved.factory, known)
    return Built(method, Traits(frozenset(takes), control, version))


def ask(built: Built, task: Task, example: Example) -> Answer:
    """The method's answer, checked. Raises what the method raises, TypeError for what is no answer."""
    extra = {"task": task.about(example), "example": example}
    given = built.method.answer(
        example.context, example.question, **{name: extra[name] for name in built.traits.takes}
    )
    return check_answer(given, len(example.context))


def conclude(engine: Any, task: Task, first: Answer, example: Example) -> Answer:
    """The answer of a second turn, whose context is the first one's, which the details keep."""
    said = generate(engine, task.about(example), first.text.strip(), example.question)
    return replace(first, text=said.text, details={**first.details, "first_turn": first.text})


def check_answer(given: Any, length: int) -> Answer:
    """An `Answer` or a str as an `Answer` of plain values, which pickles and is JSON. TypeError or ValueError
    that says what came back instead."""
    if isinstance(given, str):
        return Answer(given)
    if not isinstance(given, Answer):
        raise TypeError(f"the method returned {_glimpse(given)}, expected Answer or str")
    if not isinstance(given.text, str):
        raise TypeError(f"the answer's text is {_glimpse(given.text)}, expected str")
    spans = None if given.spans is None else tuple((int(start), int(end)) for start, end in given.spans)
    if spans and not all(0 <= start <= end <= length for start, end in spans):
        raise ValueError(
            f"the answer's spans {_glimpse(given.spans)} are not inside the context (0 to {length})"
        )
    try:
        details = json.loads(json.dumps(dict(given.details), allow_nan=False))
    except (TypeError, ValueError) as problem:
        raise TypeError(f"the answer's details do not serialise to JSON: {problem}") from problem
    return Answer(given.text, spans, details, bool(given.truncated))


def explain(problem: BaseException) -> str:
    """An exception in one line: its type, its message, and the line of code that raised it."""
    frames = traceback.extract_tb(problem.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    message = " ".join(str(problem).split())[:ERROR_LENGTH]
    return f"{type(problem).__name__}: {message}{place}" if message else f"{type(problem).__name__}{place}"


def _glimpse(value: Any) -> str:
    shown = repr(value)
    return f"{type(value).__name__} {shown[:60]}{'...' if len(shown) > 60 else ''}"
