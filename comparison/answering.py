"""What one process does with a loaded reader: builds the methods on it, asks them, checks what comes back.

The driver of a serial run holds a `Bench` itself; with ``--timeout`` or ``--executor ray`` every worker holds
one. Whatever goes wrong inside a method is the answer's error, in one line. Imports no torch: the engine is
handed in. Exercised by ``pytest tests/comparison/test_run.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.base import Example, Task
from comparison import provenance
from comparison.plan import PlanError, Resolved, rankers_of
from comparison.records import UNDEFINED
from methods.base import Answer, Undefined, generate
from methods.contract import ask, check_answer, explain, takes
from models.specs import ReaderSpec

if TYPE_CHECKING:
    from comparison.pending import Job


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
    kernel, device), the traits of the methods by label, the place of the device ("cuda:0") and its GPU's name."""

    settings: Mapping[str, str]
    methods: Mapping[str, Traits]
    place: str
    gpu: str = ""


class Built(NamedTuple):
    """A method on its reader, ready to answer."""

    method: Any
    traits: Traits


class Bench:
    """A loaded reader with the methods built on it: what one process answers with.

    Raises `PlanError` where a factory makes no method, and what the factory raises."""

    def __init__(self, reader: ReaderSpec, engine: Any, methods: Iterable[Resolved]) -> None:
        self.engine = engine
        self._built = {resolved.label: prepare(resolved, engine) for resolved in methods}
        self._warm: set[tuple[str, str]] = set()
        self.facts = Facts(
            settings={
                "revision": provenance.reader_revision(reader, engine),
                "dtype": str(engine.dtype).removeprefix("torch."),
                "kernel": engine.kernel,
                "device": str(engine.device).partition(":")[0],
            },
            methods={label: built.traits for label, built in self._built.items()},
            place=str(engine.device),
            gpu=provenance.gpu_name(str(engine.device)),
        )

    def answer(self, label: str, task: Task, example: Example) -> Given:
        """Ask and meter one method. What fails in it is the error of what is given."""
        cold = (label, task.name) not in self._warm
        self._warm.add((label, task.name))
        answer, error = Answer(""), None
        with self.engine.meter() as cost:
            try:
                given = ask(self._built[label].method, task, example)
                answer = check_answer(given, len(example.context))
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
            yield job, self.answer(job.label, job.task, job.example())


def prepare(resolved: Resolved, engine: Any) -> Built:
    """Build a method and read from its signature what it wants to be told. ValueErrors of its factory, and what is
    no method, are `PlanError`s that name it."""
    try:
        method = resolved.factory(engine, **resolved.options)
        taken = takes(method)
    except ValueError as problem:
        raise PlanError(f"method {resolved.label}: {problem}") from problem
    control = "example" in taken or bool(getattr(method, "control", False))
    weights = getattr(method, "weights", None)
    known = weights if isinstance(weights, Mapping) else {}
    version = provenance.method_version(resolved.factory, known, rankers_of(resolved))
    return Built(method, Traits(taken, control, version))


def conclude(engine: Any, task: Task, first: Answer, example: Example) -> Answer:
    """The answer of a second turn, whose context is the first one's, which the details keep."""
    said = generate(engine, task.about(example), first.text.strip(), example.question)
    return replace(
        first,
        text=said.text,
        details={**first.details, "first_turn": first.text},
        truncated=first.truncated or said.truncated,
    )
