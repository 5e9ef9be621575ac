"""The loop of one comparison: every example without a record is answered, scored, appended, synced.

One driver, task by task and method by method, so that a stopped run has whole tasks to report. Whatever goes
wrong inside a method is a record with an error; five in a row stop the run. Imports no torch: the engine is
handed in. Exercised by ``python run_compare.py`` and ``pytest tests/comparison/test_run.py``.
"""

from __future__ import annotations

import inspect
import json
import math
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.base import Example, digest
from comparison import provenance, records
from comparison.folder import check_folder, task_entry, wording, write_examples, write_run
from comparison.grid import PlannedTask
from comparison.imports import Imported
from comparison.plan import Plan, PlanError, Resolved
from comparison.records import Record, RecordFile
from methods.base import Answer, Undefined

FAILURES_IN_A_ROW = 5
ERROR_LENGTH = 500
SCHEMA = 1


class RunStopped(ValueError):
    """So many answers in a row failed that the run would only fill the folder with errors."""


@dataclass(frozen=True)
class Contender:
    """A method that is built and ready to answer, or one whose predictions were imported. A control is shown
    in every table and tested in none."""

    resolved: Resolved
    method: Any
    takes: frozenset[str]
    control: bool
    version: str
    imported: bool = False

    @property
    def label(self) -> str:
        return self.resolved.label

    def answer(self, planned: PlannedTask, example: Example) -> Answer:
        """The method's answer, checked. Raises what the method raises, TypeError for what is no answer."""
        if self.imported:
            return planned.predictions[self.label].answer(example.id)
        extra = {"task": planned.task.about(example), "example": example}
        given = self.method.answer(
            example.context, example.question, **{name: extra[name] for name in self.takes}
        )
        return check_answer(given, len(example.context))


@dataclass
class Tally:
    """How a run went: answers given now, answers that were there already, failures among the new ones."""

    answered: int = 0
    found: int = 0
    failed: int = 0
    undefined: int = 0
    in_a_row: int = field(default=0, repr=False)

    def count(self, record: Record) -> None:
        """Add one new record. Raises `RunStopped` at the fifth failure in a row."""
        self.answered += 1
        self.undefined += record.final and record.error is not None
        self.failed += record.failed
        self.in_a_row = self.in_a_row + 1 if record.failed else 0
        if self.in_a_row == FAILURES_IN_A_ROW:
            raise RunStopped(
                f"{FAILURES_IN_A_ROW} answers in a row failed, the last by {record.method} on {record.task} "
                f"({record.example}): {record.error}; mend it and run the same command again to go on"
            )

    def describe(self) -> str:
        """One line for the end of a run."""
        parts = [f"{self.answered:,} answers"]
        parts += [f"{self.found:,} found in the run folder"] if self.found else []
        parts += [f"{self.undefined:,} undefined for their method"] if self.undefined else []
        parts += [f"{self.failed:,} failed (the same command tries them again)"] if self.failed else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Group:
    """What one method still has to answer of one task: keys and places of the examples, in order. `again` of
    them have an answer of older code, or of another import."""

    contender: Contender
    planned: PlannedTask
    pending: tuple[tuple[str, int], ...]
    again: int = 0


def run(plan: Plan, tasks: Sequence[PlannedTask], command: str) -> tuple[Tally, Path]:
    """Load the reader, answer what is left of the plan (`compare`), make the report and return its path."""
    from models.engine import Engine
    from reports import write_report

    check_folder(plan.out, known_settings(plan, tasks))
    engine = Engine.load(
        plan.reader.name,
        device=plan.device,
        dtype=plan.dtype,
        trust_remote_code=plan.trust_remote_code,
    )
    tally = compare(plan, tasks, engine, command=command)
    return tally, write_report(plan.out)


def compare(
    plan: Plan, tasks: Sequence[PlannedTask], engine: Any, *, command: str, writer: str = "serial"
) -> Tally:
    """Answer everything in the plan that the run folder has no record of.

    Raises `FolderError` where the folder was made under other settings, `RecordError` where it is locked or
    cannot be written, `RunStopped` after too many failures. Interrupted at any point, the same call goes on.
    """
    contenders = [prepare(resolved, engine) for resolved in plan.methods]
    with records.writer_lock(plan.out, writer):
        run = write_run(plan.out, describe_run(plan, tasks, contenders, engine, command))
        for planned in tasks:
            write_examples(plan.out, planned)
        groups = [group for planned in tasks for group in _groups(plan.out, run, contenders, planned)]
        tally = Tally(found=sum(len(group.planned.examples) - len(group.pending) for group in groups))
        if again := sum(group.again for group in groups):
            print(
                f"{again:,} answers in {plan.out} are of code that has changed since: given again", flush=True
            )
        _answer_all(plan.out, run, groups, engine, writer, tally)
    return tally


def prepare(resolved: Resolved, engine: Any) -> Contender:
    """Build a method and read from its signature what it wants to be told."""
    if resolved.factory is Imported:
        return Contender(resolved, None, frozenset(), control=False, version="imported", imported=True)
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
    return Contender(resolved, method, frozenset(takes), control, version)


def known_settings(plan: Plan, tasks: Sequence[PlannedTask]) -> dict[str, Any]:
    """The part of `run.json` that is known before the reader is loaded, to refuse a folder early."""
    settings = {
        "model": plan.reader.name,
        "path": plan.reader.path,
        "seed": plan.seed,
        "baseline": plan.baseline,
    }
    if Path(plan.reader.path).is_dir():
        settings["revision"] = provenance.folder_revision(Path(plan.reader.path))
    if plan.device != "auto":
        settings["device"] = plan.device
    if plan.dtype != "auto":
        settings["dtype"] = plan.dtype
    return {
        "schema": SCHEMA,
        "settings": settings,
        "limit": plan.limit,
        "methods": [{"label": one.label, "spec": one.spec} for one in plan.methods],
        "benchmarks": [
            {
                "label": benchmark.label,
                "spec": benchmark.spec,
                "tasks": [task_entry(planned) for planned in tasks if planned.benchmark is benchmark],
            }
            for benchmark in plan.benchmarks
        ],
    }


def describe_run(
    plan: Plan, tasks: Sequence[PlannedTask], contenders: Sequence[Contender], engine: Any, command: str
) -> dict[str, Any]:
    """What `run.json` holds: the settings that must not change, then what was planned, then provenance."""
    commit, dirty = provenance.commit()
    known = known_settings(plan, tasks)
    return {
        **known,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": known["settings"]
        | {
            "revision": provenance.reader_revision(plan.reader, engine),
            "dtype": str(engine.dtype).removeprefix("torch."),
            "kernel": engine.kernel,
            "device": str(engine.device).partition(":")[0],
        },
        "methods": [_method_entry(contender) for contender in contenders],
        "trained_length": plan.reader.trained_length,
        "versions": provenance.versions(),
        "commit": commit,
        "dirty": dirty,
        "machine": provenance.machine() | {"device": str(engine.device)},
    }


def _method_entry(one: Contender) -> dict[str, Any]:
    entry = {
        "label": one.label,
        "spec": one.resolved.spec,
        "control": one.control,
        "version": one.version,
    }
    return entry | ({"imported": True} if one.imported else {})


def record_key(settings: dict[str, Any], contender: Contender, planned: PlannedTask, example: Example) -> str:
    """The key of one answer: everything that can change it, and nothing that cannot."""
    reader = {name: settings[name] for name in ("path", "revision", "dtype", "kernel", "device")}
    if settings["revision"].startswith(provenance.LOCAL):
        del reader["path"]  # a local folder is what is in it, wherever it lies
    method = {
        "name": contender.resolved.name,
        "options": dict(contender.resolved.settings),
        "version": contender.version,
    }
    task = {"name": planned.task.name, "revision": planned.task.revision, "wording": wording(planned)}
    seen: dict[str, Any] = {"id": example.id, "input": digest(example.context, example.question)}
    if "example" in contender.takes:  # the answer key can change a control's answer, and no other method's
        seen |= {"answers": list(example.answers), "evidence": [list(span) for span in example.evidence]}
    if example.slots:
        seen["slots"] = dict(example.slots)
    if contender.imported:
        found = planned.predictions[contender.label]
        seen["prediction"] = found.texts.get(example.id)
    return records.key(
        {"reader": reader, "method": method, "task": task, "example": seen, "decoding": "greedy"}
    )


def _groups(
    run_dir: Path, run: dict[str, Any], contenders: Sequence[Contender], planned: PlannedTask
) -> list[Group]:
    """What is left of one task, by method; every example is read once for all of them."""
    pending: list[list[tuple[str, int]]] = [[] for _ in contenders]
    again = [0] * len(contenders)
    done = [
        {record.key: record.example for record in found if record.final}
        for one in contenders
        for found in [records.read_group(run_dir, run["settings"]["model"], one.label, planned.task.name)]
    ]
    answered = [set(keys.values()) for keys in done]
    for place, example in enumerate(planned.examples):
        for number, contender in enumerate(contenders):
            key = record_key(run["settings"], contender, planned, example)
            if key not in done[number]:
                pending[number].append((key, place))
                again[number] += example.id in answered[number]
    return [
        Group(one, planned, tuple(left), old)
        for one, left, old in zip(contenders, pending, again, strict=True)
    ]


def _answer_all(
    run_dir: Path, run: dict[str, Any], groups: Iterable[Group], engine: Any, writer: str, tally: Tally
) -> None:
    waiting = [group for group in groups if group.pending]
    visible = sys.stderr.isatty()
    total = sum(len(group.pending) for group in waiting)
    with tqdm(total=total, unit="answer", disable=not visible, dynamic_ncols=True) as bar:
        for group in waiting:
            task, label = group.planned.task.name, group.contender.label
            bar.set_description(f"{task}, {label}")
            path = records.record_path(run_dir, run["settings"]["model"], label, task, writer)
            with RecordFile(path) as file:
                for number, (key, place) in enumerate(group.pending):
                    example = group.planned.examples[place]
                    record = answer_one(run, group, key, example, engine, cold=number == 0)
                    file.append(record)
                    bar.update()
                    tally.count(record)
            if not visible:
                print(f"{task}, {label}: {len(group.pending)} answers", flush=True)


def answer_one(
    run: dict[str, Any], group: Group, key: str, example: Example, engine: Any, *, cold: bool
) -> Record:
    """Ask, meter and score one example. What fails in the method or its score is the record's error."""
    contender, planned = group.contender, group.planned
    answer, score, error = Answer(""), 0.0, None
    with engine.meter() as cost:
        try:
            answer = contender.answer(planned, example)
        except Undefined as reason:
            error = f"{records.UNDEFINED}{reason}"
        except Exception as problem:
            error = explain(problem)
    if error is None:
        try:
            score = check_score(planned.task.score(answer.text, example))
        except Exception as problem:
            error = f"while scoring: {explain(problem)}"
    return Record(
        key=key,
        model=run["settings"]["model"],
        method=contender.label,
        control=contender.control,
        task=planned.task.name,
        example=example.id,
        cluster=example.cluster,
        bucket=example.bucket,
        tags=dict(example.tags),
        length=example.length,
        prediction=answer.text,
        answers=tuple(example.answers),
        score=score,
        metric=planned.metric,
        empty=error is None and not answer.text.strip(),
        truncated=answer.truncated,
        error=error,
        spans=answer.spans,
        cost={} if contender.imported else cost.to_json(),
        cold=cold,
        details=dict(answer.details),
        version=contender.version,
        commit=run["commit"],
    )


def check_answer(given: Any, length: int) -> Answer:
    """An `Answer` or a str as an `Answer`. TypeError or ValueError that says what came back instead."""
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
        json.dumps(dict(given.details), allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise TypeError(f"the answer's details do not serialise to JSON: {problem}") from problem
    return Answer(given.text, spans, given.details, bool(given.truncated))


def check_score(score: Any) -> float:
    """A metric's result as a float. ValueError unless it is 0 to 1."""
    value = float(score)
    if not (math.isfinite(value) and 0.0 <= value <= 1.0):
        raise ValueError(f"the metric gave {value}, expected 0 to 1")
    return value


def explain(problem: BaseException) -> str:
    """An exception in one line: its type, its message, and the line of code that raised it."""
    frames = traceback.extract_tb(problem.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    message = " ".join(str(problem).split())[:ERROR_LENGTH]
    return f"{type(problem).__name__}: {message}{place}" if message else f"{type(problem).__name__}{place}"


def _glimpse(value: Any) -> str:
    shown = repr(value)
    return f"{type(value).__name__} {shown[:60]}{'...' if len(shown) > 60 else ''}"
