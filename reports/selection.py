"""Selection and reading: whether a method picked the evidence, and how well the reader answered when it had.

A gold span counts as picked only if it lies wholly inside the union of the picked spans: a span that a
chunk's border cuts is missed, and reported as cut. Splitting accuracy by whether all the evidence was there
separates the errors of selection from those of reading. Exercised by ``python -m reports RUN_DIR``, which
writes ``selection.csv``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reports import statistics
from reports.collect import Run, Span
from reports.statistics import Estimate


@dataclass(frozen=True)
class SelectionRow:
    """One method on one task: shares and scores 0 to 1. `recall` is the share of an example's gold spans that
    were picked whole, `cut` the share picked in part, `complete` how often all were picked; `inside` and
    `outside` are the score where all the evidence was there and where it was not (None where that never
    happened)."""

    method: str
    task: str
    recall: Estimate
    complete: Estimate
    cut: float
    inside: Estimate | None
    outside: Estimate | None


def selection_rows(run: Run) -> list[SelectionRow]:
    """A row for every method that picks text, on every task whose evidence is known."""
    rows = (_row(run, method.label, task.name) for method in run.methods for task in run.tasks)
    return [row for row in rows if row]


def coverage(evidence: Sequence[Span], picked: Iterable[Span]) -> tuple[float, float]:
    """The shares of the gold spans that lie wholly, and only partly, inside the union of the picked spans."""
    union = merge(picked)
    whole = sum(any(low <= start and end <= high for low, high in union) for start, end in evidence)
    touched = sum(any(low < end and start < high for low, high in union) for start, end in evidence)
    return whole / len(evidence), (touched - whole) / len(evidence)


def merge(spans: Iterable[Span]) -> list[Span]:
    """The union of character spans as disjoint spans in order; spans that touch become one."""
    union: list[Span] = []
    for start, end in sorted(spans):
        if union and start <= union[-1][1]:
            union[-1] = union[-1][0], max(end, union[-1][1])
        else:
            union.append((start, end))
    return union


def _row(run: Run, method: str, task: str) -> SelectionRow | None:
    gold = {example: one.evidence for example, one in run.examples.get(task, {}).items() if one.evidence}
    found = [
        (*coverage(gold[example], record.spans), record.score, record.cluster or example)
        for example, record in run.answers(method, task).items()
        if record.error is None and record.spans is not None and example in gold
    ]
    if not found:
        return None
    recall, cut, scores = (np.array([float(entry[place]) for entry in found]) for place in range(3))
    clusters = np.array([entry[3] for entry in found], dtype=object)
    complete = recall == 1.0
    return SelectionRow(
        method=method,
        task=task,
        recall=statistics.mean_interval(recall, clusters),
        complete=statistics.mean_interval(complete.astype(float), clusters),
        cut=float(cut.mean()),
        inside=_mean_where(complete, scores, clusters),
        outside=_mean_where(~complete, scores, clusters),
    )


def _mean_where(chosen: np.ndarray, scores: np.ndarray, clusters: np.ndarray) -> Estimate | None:
    return statistics.mean_interval(scores[chosen], clusters[chosen]) if chosen.any() else None
