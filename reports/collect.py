"""A run folder read into columns: what was planned (``run.json``), what was answered (``records/``), where
the evidence lies (``examples/``). Nothing else is looked at, so a report can be made again anywhere and at
any time.

Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from comparison.records import (
    Kinds,
    Record,
    RecordError,
    canonical_digest,
    check_kinds,
    read_lines,
    read_records,
    task_file,
)

Span = tuple[int, int]

BUCKET_TAGS = ("facts", "length", "hops")
SIZES = ("short", "medium", "long")
MACRO = "macro"
ALL = "all"
FAILURES = ("zero", "exclude")
RUN_KINDS: Kinds = (
    (dict, "an object", "settings versions sessions machine"),
    (list, "a list", "methods benchmarks"),
)


class ReportError(ValueError):
    """A run folder that no report can be made from; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class MethodInfo:
    """A planned method; a control is shown in every table and tested in none. The answers of an `imported`
    one were made elsewhere, so that their cost is not known."""

    label: str
    control: bool
    imported: bool = False


@dataclass(frozen=True)
class TaskInfo:
    """A planned task: `n` examples; only confirmatory tasks enter the macro mean. `left_out` rows of its data
    could not be used; `left_out_first` says which and why of the first of them, `import_losses` what was not taken
    of imported predictions (label, what)."""

    name: str
    n: int
    confirmatory: bool = True
    revision: str = ""
    metric: str = ""
    trained_length: int | None = None
    left_out: int = 0
    left_out_first: str = ""
    import_losses: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ExampleInfo:
    """What a run folder keeps of an example: `evidence` holds the gold spans in the context (characters) and
    `around` for each of them the text about it; `digest` stands for the context."""

    question: str
    answers: tuple[str, ...]
    evidence: tuple[Span, ...]
    around: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Column:
    """The scored answers of one method on one task: ids [n], scores 0 to 1 [n], clusters [n], buckets [n].

    Which answers count is `Run.scores`: an example that the method is not defined for never does.
    """

    ids: tuple[str, ...]
    scores: np.ndarray
    clusters: np.ndarray
    buckets: np.ndarray

    @cached_property
    def places(self) -> dict[str, int]:
        return {example: place for place, example in enumerate(self.ids)}

    @property
    def size(self) -> int:
        return len(self.ids)

    def among(self, ids: Collection[str]) -> Column:
        """The column of those examples alone."""
        kept = [place for place, example in enumerate(self.ids) if example in ids]
        chosen = tuple(self.ids[place] for place in kept)
        return Column(chosen, self.scores[kept], self.clusters[kept], self.buckets[kept])


@dataclass(frozen=True)
class Run:
    """One run folder. `records[method, task]` maps an example's id to its current record; `examples[task]` an
    example's id to what was asked; `notes` says what was left out while reading; `failures` whether a failed
    answer scores "zero" or is left out ("exclude"); `called` what the model is called where its name would not
    do."""

    folder: Path
    info: Mapping[str, Any]
    methods: tuple[MethodInfo, ...]
    tasks: tuple[TaskInfo, ...]
    records: Mapping[tuple[str, str], Mapping[str, Record]]
    examples: Mapping[str, Mapping[str, ExampleInfo]]
    notes: tuple[str, ...] = ()
    failures: str = "zero"
    called: str = ""

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.info["settings"]

    @property
    def model(self) -> str:
        return self.called or str(self.settings["model"])

    @property
    def baseline(self) -> str:
        """The label named before the run; "" where it is not among the methods."""
        wanted = self.settings.get("baseline")
        return next((method.label for method in self.methods if method.label == wanted), "")

    @property
    def key(self) -> str:
        """What seeds the resampling: the same run on another machine or in another folder draws the same
        signs."""
        names = ("model", "revision", "dtype", "seed")
        return canonical_digest({name: self.settings.get(name) for name in names})

    @cached_property
    def sessions(self) -> list[Mapping[str, Any]]:
        """What gave the answers that are read here, the latest last: entries of `sessions` in ``run.json``, or
        the whole of that where no answer names one (an old folder)."""
        named = {record.session for rows in self.records.values() for record in rows.values()}
        known = [one for name, one in (self.info.get("sessions") or {}).items() if name in named]
        return sorted(known, key=lambda one: str(one.get("created"))) or [self.info]

    @property
    def commands(self) -> list[str]:
        """The command lines of the sessions."""
        known = [str(one["command"]) for one in self.sessions if "command" in one]
        return list(dict.fromkeys(known)) or [str(self.info.get("command", "unknown"))]

    @property
    def confirmatory(self) -> tuple[TaskInfo, ...]:
        return tuple(task for task in self.tasks if task.confirmatory)

    def answers(self, method: str, task: str) -> Mapping[str, Record]:
        return self.records.get((method, task), {})

    def scores(self, record: Record) -> bool:
        """Whether an answer counts in the means: all but the undefined ones, and the failed ones as asked."""
        return record.error is None or (record.failed and self.failures == "zero")

    @cached_property
    def columns(self) -> dict[tuple[str, str], Column]:
        """One column for every method and task that has scored answers."""
        return {place: column for place, rows in self.records.items() if (column := _column(self, rows)).size}

    @cached_property
    def buckets(self) -> dict[str, tuple[str, ...]]:
        """The buckets of every task in numeric order, over all methods."""
        found: dict[str, set[str]] = {task.name: set() for task in self.tasks}
        for (_, task), column in self.columns.items():
            found[task].update(column.buckets)
        return {task: tuple(sorted(names, key=bucket_order)) for task, names in found.items()}

    @cached_property
    def bucket_names(self) -> dict[str, str]:
        """What every task's buckets count: "facts", "length" or "hops" where all its records have a tag of
        that name that says the same as the bucket, else "bucket"."""
        return {task.name: _bucket_name(self, task.name) for task in self.tasks}


def read_run(run_dir: Path | str, failures: str = "zero") -> Run:
    """Read a run folder. Raises `ReportError` (one line) where it is missing, malformed or still without
    records."""
    if failures not in FAILURES:
        raise ReportError(f"failures is {failures!r}, expected one of {', '.join(FAILURES)}")
    folder = Path(run_dir)
    info = _run_json(folder)
    try:
        methods = tuple(
            MethodInfo(str(row["label"]), bool(row["control"]), bool(row.get("imported")))
            for row in info["methods"]
        )
        tasks = tuple(_task(row) for benchmark in info["benchmarks"] for row in benchmark["tasks"])
        str(info["settings"]["model"])
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise ReportError(
            f"{folder / 'run.json'} is malformed: {_why(problem)}; make the run again"
        ) from problem
    if kept := {MACRO, ALL} & {task.name for task in tasks}:
        raise ReportError(
            f"{folder} has a task called {min(kept)!r}, which stands for all tasks together: name its benchmark "
            "(LABEL=SPEC) and run it again"
        )
    records, unplanned = _sorted_records(folder, methods, tasks)
    if not records:
        raise ReportError(f"{folder} has no records yet: run the comparison first, then make its report")
    notes = _torn_lines(folder) + unplanned
    return Run(folder, info, methods, tasks, records, _examples(folder, tasks), tuple(notes), failures)


def bucket_order(bucket: str) -> tuple[float, str]:
    """Sorts buckets by the number they begin with ("10", "4k", "8000-"), the others after them: short, medium,
    long, and by name."""
    number = re.match(r"\s*(-?\d+(?:\.\d+)?)\s*([kKM])?", bucket)
    if not number:
        return float("inf"), str(SIZES.index(bucket)) if bucket in SIZES else bucket
    return float(number[1]) * {None: 1.0, "k": 1e3, "K": 1e3, "M": 1e6}[number[2]], bucket


def _bucket_name(run: Run, task: str) -> str:
    records = [record for method in run.methods for record in run.answers(method.label, task).values()]
    for name in BUCKET_TAGS:
        pairs = {(str(record.tags.get(name, "")), record.bucket) for record in records}
        numbers = [(bucket_order(tag)[0], bucket_order(bucket)[0]) for tag, bucket in pairs]
        if numbers and all(math.isfinite(tag) and tag == bucket for tag, bucket in numbers):
            return name
    return "bucket"


def _run_json(folder: Path) -> Mapping[str, Any]:
    if not folder.is_dir():
        raise ReportError(f"{folder} is not a folder: expected a run folder such as runs/demo")
    path = folder / "run.json"
    if not path.is_file():
        raise ReportError(f"{folder} has no run.json: expected a run folder such as runs/demo")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise ReportError(f"{path} is not JSON ({problem}): make the run again") from problem
    if not isinstance(info, dict):
        raise ReportError(
            f"{path} is malformed: expected an object, found a {type(info).__name__}; make the run again"
        )
    try:
        check_kinds(info, RUN_KINDS)
        for name, session in info.get("sessions", {}).items():
            check_kinds({name: session}, ((dict, "an object", name),), "sessions.")
            check_kinds(session, RUN_KINDS, f"sessions.{name}.")
    except RecordError as problem:
        raise ReportError(f"{path} is malformed: {problem}; make the run again") from problem
    return info


def _task(row: Mapping[str, Any]) -> TaskInfo:
    left_out, imports = row.get("left_out") or {}, row.get("import_losses") or {}
    return TaskInfo(
        name=str(row["name"]),
        n=int(row["n"]),
        confirmatory=bool(row["confirmatory"]),
        revision=str(row.get("revision", "")),
        metric=str(row.get("metric", "")),
        trained_length=row.get("trained_length"),
        left_out=int(left_out.get("rows", 0)),
        left_out_first=str(next(iter(left_out.get("first", ())), "")),
        import_losses=tuple((str(label), str(loss)) for label, losses in imports.items() for loss in losses),
    )


def _why(problem: Exception) -> str:
    return f"{problem} is missing" if isinstance(problem, KeyError) else str(problem)


def _sorted_records(
    folder: Path, methods: tuple[MethodInfo, ...], tasks: tuple[TaskInfo, ...]
) -> tuple[dict[tuple[str, str], dict[str, Record]], list[str]]:
    """The records by method and task in the order of the plan, and a note on those that the plan doesn't
    name."""
    planned: dict[tuple[str, str], dict[str, Record]] = {
        (method.label, task.name): {} for method in methods for task in tasks
    }
    models, strangers = set(), 0
    try:
        for record in read_records(folder):
            rows = planned.get((record.method, record.task))
            if rows is None:
                strangers += 1
                continue
            rows[record.example] = record
            models.add(record.model)
    except (RecordError, OSError) as problem:
        raise ReportError(str(problem)) from problem
    if len(models) > 1:
        raise ReportError(
            f"{folder} holds records of several models ({', '.join(sorted(models))}): expected one"
        )
    notes = (
        [f"{strangers} records of methods or tasks that run.json does not name were left out."]
        if strangers
        else []
    )
    return {place: dict(sorted(rows.items())) for place, rows in planned.items() if rows}, notes


def _torn_lines(folder: Path) -> list[str]:
    """One note for every record file whose last line was cut off by a killed process."""
    notes = []
    for path in sorted((folder / "records").glob("*/*/*.jsonl")):
        text = path.read_bytes()
        if text and not text.endswith(b"\n"):
            name = path.relative_to(folder)
            notes.append(
                f"{name}: the torn last line was dropped; the same command again redoes its example."
            )
    return notes


def _examples(folder: Path, tasks: tuple[TaskInfo, ...]) -> dict[str, dict[str, ExampleInfo]]:
    """What was asked, by task and example; a task without such a file (an old folder) has no entry."""
    examples: dict[str, dict[str, ExampleInfo]] = {}
    for task in tasks:
        path = folder / "examples" / f"{task_file(task.name)}.jsonl"
        if not path.is_file():
            continue
        try:
            examples[task.name] = {str(row["id"]): _example(row) for row in read_lines(path)}
        except (RecordError, KeyError, TypeError, ValueError) as problem:
            raise ReportError(f"{path} is malformed: {_why(problem)}; make the run again") from problem
    return examples


def _example(row: Mapping[str, Any]) -> ExampleInfo:
    return ExampleInfo(
        evidence=tuple((int(start), int(end)) for start, end in row["evidence"] or ()),
        question=str(row["question"]),
        answers=tuple(str(answer) for answer in row["answers"]),
        around=tuple(str(text) for text in row.get("around") or ()),
        digest=str(row.get("digest", "")),
    )


def _column(run: Run, rows: Mapping[str, Record]) -> Column:
    scored = {example: record for example, record in rows.items() if run.scores(record)}
    for example, record in scored.items():
        if record.bucket == ALL:
            raise ReportError(
                f"task {record.task} has a bucket called {ALL!r}, which stands for all of a task's buckets: "
                "give the bucket another name and run it again"
            )
        if not (isinstance(record.score, int | float) and 0.0 <= record.score <= 1.0):
            raise ReportError(
                f"record of {record.method}, {record.task}, {example}: score {record.score!r} is not 0-1"
            )
    return Column(
        ids=tuple(scored),
        scores=np.array([record.score for record in scored.values()]),
        clusters=np.array([record.cluster or example for example, record in scored.items()], dtype=object),
        buckets=np.array([record.bucket for record in scored.values()], dtype=object),
    )
