"""What a run has still to answer: the keys of the grid that the run folder has no final record of.

Exercised by ``pytest tests/comparison/test_run.py tests/comparison/test_shard.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.base import Example, Task, digest
from comparison import records
from comparison.answering import Facts, Traits
from comparison.folder import wording
from comparison.grid import PlannedTask
from comparison.plan import Plan, Resolved, Shard
from comparison.records import Record
from models.revision import LOCAL

IMPORTED = Traits(frozenset(), control=False, version="imported")


@dataclass(frozen=True)
class Contender:
    """A method of the comparison, or a folder of imported predictions, which is never asked."""

    resolved: Resolved
    traits: Traits

    @property
    def label(self) -> str:
        return self.resolved.label

    @property
    def imported(self) -> bool:
        return self.resolved.imported

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
    def label(self) -> str:
        return self.group.contender.label

    @property
    def task(self) -> Task:
        return self.group.planned.task

    def example(self) -> Example:
        return self.group.planned.examples[self.place]


def asked_methods(plan: Plan) -> list[Resolved]:
    """The methods that need the reader: all but the imported ones."""
    return [one for one in plan.methods if not one.imported]


def contenders_of(plan: Plan, facts: Facts) -> list[Contender]:
    """The plan's methods with what a loaded reader says of them."""
    return [Contender(one, IMPORTED if one.imported else facts.methods[one.label]) for one in plan.methods]


def record_key(
    settings: dict[str, Any], contender: Contender, planned: PlannedTask, example: Example, read: str
) -> str:
    """The key of one answer: everything that can change it, and nothing that cannot. `read` is the digest of the
    example's context and question, which takes milliseconds for a long one and is the same for every method."""
    reader = {name: settings[name] for name in ("path", "revision", "dtype", "kernel", "device")}
    if settings["revision"].startswith(LOCAL):
        del reader["path"]  # a local folder is what is in it, wherever it lies
    method = {
        "name": contender.resolved.name,
        "options": dict(contender.resolved.settings),
        "version": contender.version(planned),
    }
    task: dict[str, Any] = {
        "name": planned.task.name,
        "revision": planned.task.revision,
        "wording": wording(planned.task),
    }
    seen: dict[str, Any] = {"id": example.id, "input": read}
    if "example" in contender.traits.takes:  # how answers are scored can change a control's, and no other's
        seen |= {
            "answers": list(example.answers),
            "choices": list(example.choices),
            "evidence": [list(span) for span in example.evidence],
        }
        task |= {
            "metric": planned.metric,
            "first_line": planned.task.first_line,
            "renamed": planned.task.renamed,
        }
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
    shard: Shard | None,
) -> list[Group]:
    """What is left of one task (of one shard's part of it), by method."""
    count = len(planned.examples)
    asked = _keys(run, contenders, planned, range(count) if shard is None else shard.places(count))
    groups = []
    for one in contenders:
        final = [record for record in _recorded(run_dir, run, one, planned) if record.final]
        done, answered = {record.key for record in final}, {record.example for record in final}
        left = {key: example for key, example in asked[one.label].items() if key not in done}
        pending = tuple((key, place) for key, (place, _) in left.items())
        again = sum(name in answered for _, name in left.values())
        groups.append(Group(one, planned, pending, len(asked[one.label]) - len(left), again))
    return groups


def count_missing(
    run_dir: Path, run: dict[str, Any], contenders: Sequence[Contender], planned: PlannedTask
) -> int:
    """Answers of one task that no writer has a record of: neither an answer nor a failure."""
    asked = _keys(run, contenders, planned, range(len(planned.examples)))
    return sum(
        len(asked[one.label].keys() - {record.key for record in _recorded(run_dir, run, one, planned)})
        for one in contenders
    )


def _keys(
    run: dict[str, Any], contenders: Sequence[Contender], planned: PlannedTask, places: Iterable[int]
) -> dict[str, dict[str, tuple[int, str]]]:
    """By the method's label and the answer's key: the example's place and id. Each is read once for all."""
    asked: dict[str, dict[str, tuple[int, str]]] = {one.label: {} for one in contenders}
    for place in places:
        example = planned.examples[place]
        read = digest(example.context, example.question)
        for one in contenders:
            asked[one.label][record_key(run["settings"], one, planned, example, read)] = place, example.id
    return asked


def _recorded(run_dir: Path, run: dict[str, Any], one: Contender, planned: PlannedTask) -> list[Record]:
    return records.read_group(run_dir, run["settings"]["model"], one.label, planned.task.name)
