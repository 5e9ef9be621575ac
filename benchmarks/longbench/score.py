"""Score what others predicted on LongBench, to the last digit that LongBench's own ``eval.py`` prints.

A folder holds one ``<task>.jsonl`` a task, a row a line: pred, answers, all_classes, length. Exercised by
``python -m benchmarks.longbench score DIR [--e] [--code-similarity difflib|levenshtein]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.longbench import templates
from benchmarks.matching import CodeSimilarity
from benchmarks.metrics import score
from benchmarks.qa_metrics import MissingPackage
from benchmarks.sources import Source, kind, read_rows, texts

Value = float | None
Buckets = dict[str, Value]


class ScoredRow(NamedTuple):
    """A prediction's score, 0 to 1, and the bucket of its length ("" where lengths are not asked for)."""

    score: float
    bucket: str


def score_folder(
    folder: Path, *, e: bool = False, code_similarity: CodeSimilarity = "difflib"
) -> tuple[dict[str, Any], list[str]]:
    """What the program prints, and a line for everything that was wrong: rows left out by file and line,
    empty predictions (they score 0, as they do officially), files that are no task's.

    With `e` a task's file may be called ``<task>_e.jsonl`` too, and is taken first. Averages are over the printed
    task scores. ValueError where the folder holds no prediction of a task;
    `MissingPackage` where a task needs one."""
    notes: list[str] = []
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*.jsonl"), key=lambda path: path.stem):
        name = path.stem.removesuffix("_e") if e else path.stem
        if name in files:
            notes.append(f"{files[name]}: {path.name} is there too; file left out")
        files[name] = path
    for name in sorted(files.keys() - templates.TASKS.keys()):
        try:
            templates.row(name)
        except ValueError as problem:
            notes.append(f"{files[name]}: {problem}; file left out")
    there = [name for name in templates.TASKS if name in files]
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: name one of <task>.jsonl files")
    if not there:
        first = f"; {notes[0]}" if notes else ""
        raise ValueError(
            f"{folder} holds no predictions: expected a file <task>.jsonl, such as hotpotqa.jsonl{first}"
        )
    scored = {
        name: score_task(name, files[name], notes, e=e, code_similarity=code_similarity) for name in there
    }
    if not any(scored.values()):
        raise ValueError(f"{folder} holds no row that can be scored; {notes[0]}")
    tasks: dict[str, Any] = {
        name: (bucket_scores if e else task_score)(rows) for name, rows in scored.items()
    }

    def over(average: Callable[[Mapping[str, Value]], Value]) -> Value | Buckets:
        if not e:
            return average(tasks)
        return {
            bucket: average({name: scores[bucket] for name, scores in tasks.items()})
            for bucket in templates.BUCKETS
        }

    return {
        "tasks": tasks,
        "average_tasks": over(average_tasks),
        "average_categories": over(average_categories),
        "code_similarity": code_similarity,
        "n": {name: len(rows) for name, rows in scored.items()},
    }, notes


def score_task(
    name: str, path: Path, notes: list[str], *, e: bool, code_similarity: CodeSimilarity = "difflib"
) -> list[ScoredRow]:
    """Every row's score in file order; a row that cannot be scored is none of them and noted."""
    # Somebody else's prediction is not read as OPRM's no-answer word.
    task = replace(templates.task(name, code_similarity=code_similarity), renamed=None)
    scored: list[ScoredRow] = []
    bad: list[str] = []
    empty: list[str] = []
    for place, fields in read_rows(Source(path, ""), bad):
        if wrong := _problem(fields, e=e, labels=task.metric == "classification"):
            bad.append(f"{place}: {wrong}")
            continue
        prediction: str = fields["pred"]
        if not prediction.strip():
            empty.append(place.rpartition(":")[2])
        try:
            value = score(
                task.metric, task.graded(prediction), fields["answers"], fields.get("all_classes") or ()
            )
        except MissingPackage:
            raise
        except ValueError as problem:
            bad.append(f"{place}: {problem}")
            continue
        scored.append(ScoredRow(value, templates.bucket(fields["length"]) if e else ""))
    notes += [f"{line}; row left out" for line in bad]
    if bad:
        notes.append(f"{path}: {len(bad)} rows left out, {len(scored)} scored")
    elif not scored:
        notes.append(f"{path}: the file holds no rows")
    if empty:
        notes.append(f"{path}: {len(empty)} empty predictions, scored 0, on lines {', '.join(empty)}")
    return scored


def _problem(fields: Mapping[str, Any], *, e: bool, labels: bool) -> str:
    """Why a row cannot be scored, empty if it can."""
    length = fields.get("length")
    if not isinstance(fields.get("pred"), str):
        return f"pred is {_kind(fields, 'pred')}, expected a text"
    if not texts(fields.get("answers")):
        return f"answers is {_kind(fields, 'answers')}, expected a list of at least one text"
    if labels and not texts(fields.get("all_classes")):
        return f"all_classes is {_kind(fields, 'all_classes')}, expected a list of at least one text"
    if e and (isinstance(length, bool) or not isinstance(length, int | float) or math.isnan(length)):
        return f"length is {_kind(fields, 'length')}, expected a number"
    return ""


def _kind(fields: Mapping[str, Any], field: str) -> str:
    if field not in fields:
        return "missing"
    return "an empty list" if fields[field] == [] else kind(fields[field])


def task_score(rows: Sequence[ScoredRow]) -> Value:
    """100 times the mean, two decimals; None without rows."""
    total = 0.0
    for row in rows:
        total += row.score  # as officially: from Python 3.12 on `sum` rounds less, which a tie would show
    return round(100 * total / len(rows), 2) if rows else None


def bucket_scores(rows: Sequence[ScoredRow]) -> Buckets:
    """`task_score` by bucket, rounded as numpy does: the official code takes numpy's mean here, and numpy's
    rounding (of the product, halves to even) differs from Python's in some last digits."""
    by_bucket = {name: [row.score for row in rows if row.bucket == name] for name in templates.BUCKETS}
    return {
        name: float(np.round(100 * np.mean(values), 2)) if values else None
        for name, values in by_bucket.items()
    }


def average_tasks(scores: Mapping[str, Value]) -> Value:
    """The mean over the tasks that have a score."""
    return _mean(scores.values())


def average_categories(scores: Mapping[str, Value]) -> Value:
    """The official English average: the mean over the categories of their English tasks' means. Where there
    are only Chinese tasks, the same over them."""
    english = [name for name in scores if templates.row(name).language == "en"]
    categories: dict[str, list[Value]] = {}
    for name in english or scores:
        categories.setdefault(templates.row(name).category, []).append(scores[name])
    return _mean(_mean(values, digits=None) for values in categories.values())


def _mean(values: Iterable[Value], digits: int | None = 2) -> Value:
    there = [value for value in values if value is not None]
    if not there:
        return None
    mean = sum(there) / len(there)
    return mean if digits is None else round(mean, digits)
