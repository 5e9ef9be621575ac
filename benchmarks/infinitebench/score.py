"""Score what others predicted on InfiniteBench, as its own ``compute_scores.py`` does.

A file holds one task, a row a line: prediction (or pred) and ground_truth (or label). Exercised by
``python -m benchmarks.infinitebench score --task NAME FILE``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.infinitebench import templates
from benchmarks.metrics import score
from benchmarks.qa_metrics import MissingPackage
from benchmarks.sources import Source, read_rows

PREDICTION, LABEL = ("prediction", "pred"), ("ground_truth", "label")
GPT4 = "gpt4"
"""The folder of GPT-4's predictions: its first value is dropped from math_calc, as officially."""


def score_file(task: str, path: Path) -> tuple[dict[str, Any], list[str]]:
    """What the program prints (the score is 100 times the mean, two decimals), and a line for every row that
    was left out or is empty. ValueError for an unknown task or a file without a row that can be scored."""
    templates.row(task)
    gpt4 = task == "math_calc" and path.resolve().parent.name == GPT4
    metric = f"infinitebench_{task}" + f"_{GPT4}" * gpt4
    bad: list[str] = []
    empty: list[str] = []
    scores: list[float] = []
    for place, row in read_rows(Source(path, ""), bad):
        try:
            prediction = _prediction(row)
            answers = templates.answers(task, _field(row, LABEL), row.get("options"))
            scores.append(score(metric, prediction, answers))
        except MissingPackage:
            raise
        except ValueError as problem:
            bad.append(f"{place}: {problem}")
            continue
        if not prediction.strip():
            empty.append(place.rpartition(":")[2])
    if not scores:
        first = f"; {bad[0]}" if bad else ""
        raise ValueError(f"{path} holds no row of {task} that can be scored{first}")
    notes = [f"{line}; row left out" for line in bad]
    if bad:
        notes.append(f"{path}: {len(bad)} rows left out, {len(scores)} scored")
    if empty:
        notes.append(f"{path}: {len(empty)} empty predictions on lines {', '.join(empty)}")
    mean = round(100 * sum(scores) / len(scores), 2)
    return {"task": task, "score": mean, "metric": metric, "n": len(scores)}, notes


def _prediction(row: Mapping[str, Any]) -> str:
    prediction = _field(row, PREDICTION)
    if not isinstance(prediction, str):
        raise ValueError(f"{PREDICTION[0]} is of type {type(prediction).__name__}, expected a text")
    return prediction


def _field(row: Mapping[str, Any], names: tuple[str, str]) -> Any:
    for name in names:
        if name in row:
            return row[name]
    raise ValueError(f"the row lacks {names[0]} (or {names[1]})")
