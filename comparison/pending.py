"""What a run has still to answer: the keys of the grid that the run folder has no final record of.

Exercised by ``pytest tests/comparison/test_run.py tests/comparison/test_shard.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.base import Example, Task, digest
from comparison import provenance, records
from comparison.answering import Facts, Traits
from comparison.folder import wording
from comparison.grid import PlannedTask
from comparison.imports import Imported
from comparison.plan import Plan, Resolved, Shard

IMPORTED = Traits(frozenset(), control=False, version="imported")


@dataclass(frozen=True)
class Contender:
    """A method of the comparison, or a folder of imported predictions. `number` is its place among the methods
    that the reader answers with (-1 for an import, which is never asked)."""

    resolved: Resolved
    traits: Traits
    number: int

    @property
    def label(self) -> str:
        return self.resolved.label

    @property
    def imported(self) -> bool:
        return self.number < 0

    def version(self, planned: PlannedTask) -> str:
        """What the answers to a task depend on beside its examples: the method's code, or the predictions."""
        return planned.predictions[self.label].version if self.imported else self.traits.version


@dataclass(frozen=True, eq=False)
class Group:
    """What one method still has to answer of one task: keys and places of the examples, in order. `found`
    examples have a record; `again` of the pending ones have an answer of older code, or of another import."""

    contender: Contender
    planned: PlannedTask
    pending: tuple[tuple[str, int], ...]
    found: int
    again: int = 0


@dataclass(frozen=True, eq=False)
class Job:
    """One answer to be given. The example is read when it is asked for, since a task may lie on disk."""

    group: Group
    key: str
    place: int

    @property
    def number(self) -> int:
        return self.group.contender.number

    @property
    def task(self) -> Task:
        return self.group.planned.task

    def example(self) -> Example:
        return self.group.planned.examples[self.place]


def asked_methods(plan: Plan) -> list[Resolved]:
    """The methods that need the reader: all but the imported ones."""
    return [one for one in plan.methods if one.factory is not Imported]


def contenders_of(plan: Plan, facts: Facts) -> list[Contender]:
    """The plan's methods with what a loaded reader says of them."""
    asked = asked_methods(plan)
    traits = dict(zip((one.label for one in asked), enumerate(facts.methods), strict=True))
    return [
        Contender(one, traits[one.label][1], traits[one.label][0])
        if one.label in traits
        else Contender(one, IMPORTED, -1)
        for one in plan.methods
    ]


def record_key(settings: dict[str, Any], contender: Contender, planned: PlannedTask, example: Example) -> str:
    """The key of one answer: everything that can change it, and nothing that cannot."""
    reader = {name: settings[name] for name in ("path", "revision", "dtype", "kernel", "device")}
    if settings["revision"].startswith(provenance.LOCAL):
        del reader["path"]  # a local folder is what is in it, wherever it lies
    method = {
        "name": contender.resolved.name,
        "options": dict(contender.resolved.settings),
        "version": contender.version(planned),
    }
    task = {"name": planned.task.name, "revision": planned.task.revision, "wording": wording(planned)}
    seen: dict[str, Any] = {"id": example.id, "input": digest(example.context, example.question)}
    if "example" in contender.traits.takes:  # the answer key can change a control's answer, and no other's
        seen |= {"answers": list(example.answers), "evidence": [list(span) for span in example.evidence]}
    if example.slots:
        seen["slots"] = dict(example.slots)
    return records.key(
        {"reader": reader, "method": method, "task": task, "example": seen, "decoding": "greedy"}
    )


def find_pending(
    run_dir: Path,
    run: dict[str, Any],
    contenders: Sequence[Contender],
    planned: PlannedTask,
    shard: Shard | None = None,
) -> list[Group]:
    """What is left of one task (of one shard's part of it), by method; every example is read once for all."""
    pending: list[list[tuple[str, int]]] = [[] for _ in contenders]
    again = [0] * len(contenders)
    done = [
        {record.key: record.example for record in found if record.final}
        for one in contenders
        for found in [records.read_group(run_dir, run["settings"]["model"], one.label, planned.task.name)]
    ]
    answered = [set(keys.values()) for keys in done]
    places = range(len(planned.examples)) if shard is None else shard.places(len(planned.examples))
    for place in places:
        example = planned.examples[place]
        for number, contender in enumerate(contenders):
            key = record_key(run["settings"], contender, planned, example)
            if key not in done[number]:
                pending[number].append((key, place))
                again[number] += example.id in answered[number]
    return [
        Group(one, planned, tuple(left), len(places) - len(left), old)
        for one, left, old in zip(contenders, pending, again, strict=True)
    ]


def count_missing(
    run_dir: Path, run: dict[str, Any], contenders: Sequence[Contender], planned: PlannedTask
) -> int:
    """Answers of one task that no writer has a record of, by this version of their methods: neither an answer
    nor a failure."""
    ids = {planned.examples[place].id for place in range(len(planned.examples))}
    missing = 0
    for one in contenders:
        found = records.read_group(run_dir, run["settings"]["model"], one.label, planned.task.name)
        version = one.version(planned)
        missing += len(ids - {record.example for record in found if record.version == version})
    return missing
