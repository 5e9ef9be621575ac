"""What an answer scores by its task's metric, and again where the metric has changed since.

A metric is in the key of a control that sees how answers are scored (`comparison.pending`), which is asked again,
and in no other's: a folder that is extended after a change of it keeps its answers, and their scores are made anew
from the predictions that are there.
Exercised by ``pytest tests/comparison/test_scoring.py``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.base import Example
from comparison import records
from comparison.grid import PlannedTask
from comparison.records import Record, RecordFile, RunVersions
from methods.contract import explain


def score_text(
    planned: PlannedTask, text: str, example: Example, *, imported: bool
) -> tuple[float, str | None]:
    """The score of a prediction, 0 to 1, or 0 with what failed, in one line. An imported one is never read as
    OPRM's no-answer word, which nobody told it of: it scores what ``python -m benchmarks.longbench score`` gives."""
    task = replace(planned.task, renamed=None) if imported else planned.task
    try:
        return check_score(task.score(text, example)), None
    except Exception as problem:
        return 0.0, f"while scoring: {explain(problem)}"


def check_score(score: Any) -> float:
    """A metric's result as a float. ValueError unless it is 0 to 1."""
    value = float(score)
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"the metric gave {value}, expected 0 to 1")
    return value


def score_again(run_dir: Path, run: Mapping[str, Any], planned: PlannedTask, writer: str) -> int:
    """Append a new record for every answer to a task, by any method that would give it under the present metric too,
    that has none of it; returns how many. The caller holds the folder's lock, so that no two writers do it."""
    model = run["settings"]["model"]
    imports = {one["label"] for one in run["methods"] if one.get("imported")}
    by_example = defaultdict(list)
    for record in _outdated(run_dir, run, planned):
        by_example[record.example].append(record)
    renewed = defaultdict(list)
    for example in planned.examples if by_example else ():
        for record in by_example[example.id]:
            imported = record.method in imports
            score, error = score_text(planned, record.prediction, example, imported=imported)
            renewed[record.method].append(replace(record, score=score, error=error, metric=planned.metric))
    for method, group in renewed.items():
        with RecordFile(records.record_path(run_dir, model, method, planned.task.name, writer)) as file:
            for record in group:
                file.append(record)
    return sum(map(len, renewed.values()))


def _outdated(run_dir: Path, run: Mapping[str, Any], planned: PlannedTask) -> list[Record]:
    """The task's answers whose scores are all of another metric."""
    versions = RunVersions(run)
    found = records.read_task(run_dir, run["settings"]["model"], planned.task.name)
    final = [
        record
        for record in found
        if record.final and versions.same_code(record) and versions.answer_stands(record)
    ]
    done = {(record.method, record.example) for record in final if versions.same_metric(record)}
    return [record for record in records.latest(final) if (record.method, record.example) not in done]
