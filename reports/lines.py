"""Scores by bucket as lines, one a method: accuracy against the number of facts, and against length.

Exercised by ``python -m reports RUN_DIR``, which writes the CSV of every picture beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reports.analysis import ALL, Analysis
from reports.collect import Run, TaskInfo, bucket_order
from reports.drawing import Picture, extent, figure, look, method_name, panels, rule, save, short, style
from reports.statistics import FEW_CLUSTERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_TICKS = 12
COLUMNS = 4
_LENGTH = re.compile(r"\s*\d+(\.\d+)?\s*([kKM]\b|\+|[-\u2013]\s*\d)")
"""How a bucket begins that names a length by itself: "4k", "0-4000", "8000+"; a bare number may be anything."""


def draw_facts(run: Run, analysis: Analysis, folder: Path) -> Picture | None:
    """``recall.png``: accuracy against the number of facts; None where no task varies it."""
    tasks = [task for task in _several(run) if run.bucket_names[task.name] == "facts"]
    return _draw(run, analysis, tasks, folder / "recall.png", "facts", "number of facts")


def draw_lengths(run: Run, analysis: Analysis, folder: Path) -> Picture | None:
    """``length.png``: accuracy by length, by the records' tag or where all buckets are such as "0-4k" or "8k+";
    None without any."""
    tasks = [task for task in _several(run) if _is_length(run, task)]
    return _draw(run, analysis, tasks, folder / "length.png", "length", "length")


def _several(run: Run) -> list[TaskInfo]:
    return [task for task in run.tasks if len(run.buckets[task.name]) > 1]


def _is_length(run: Run, task: TaskInfo) -> bool:
    name, buckets = run.bucket_names[task.name], run.buckets[task.name]
    return name == "length" or (name == "bucket" and all(map(_LENGTH.match, buckets)))


def _draw(
    run: Run, analysis: Analysis, tasks: Sequence[TaskInfo], path: Path, column: str, words: str
) -> Picture | None:
    if not tasks:
        return None
    columns = min(COLUMNS, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    with style():
        drawn = figure((1.8 + 3.0 * columns, 0.4 + 2.8 * rows))
        axes = panels(drawn, len(tasks), columns, sharey=True)
        for place, (panel, task) in enumerate(zip(axes, tasks, strict=True)):
            _draw_lines(panel, run, analysis, task, words)
            if place % columns and task.confirmatory:
                panel.set_ylabel("")
        shown = {line.get_gid(): line for panel in axes for line in panel.get_lines()}
        order = sorted(run.methods, key=lambda method: method.control)
        handles = [shown[method.label] for method in order if method.label in shown]
        drawn.legend(handles=handles, loc="outside right center", handlelength=3.2)
        save(drawn, path)
    names = tuple(task.name for task in tasks)
    points = {place: one for place, one in analysis.results.items() if place[2] != ALL and place[1] in names}
    return Picture(
        name=path.name,
        title=f"Accuracy against {'the ' if column == 'facts' else ''}{words}, by method",
        caption=f"Accuracy by {words} {'of' if column == 'length' else 'in'} the context, by method "
        f"({extent([one.n for one in points.values()])} questions a point); bands: clustered 95 % intervals, between "
        f"neighbouring points of {FEW_CLUSTERS} clusters or more that have one. Lines that coincide cover each other.",
        tasks=names,
        header=("model", "method", "task", column, "n", "clusters", "mean", "low", "high"),
        rows=[(run.model, *place, one.n, one.clusters, *one.in_points) for place, one in points.items()],
    )


def _draw_lines(panel: Axes, run: Run, analysis: Analysis, task: TaskInfo, words: str) -> None:
    found = run.buckets[task.name]
    # Numbers of facts lie where they belong; lengths double from one to the next and are spaced evenly.
    numeric = run.bucket_names[task.name] == "facts"
    places = {bucket: bucket_order(bucket)[0] if numeric else i for i, bucket in enumerate(found)}
    for method in run.methods:
        every = [(bucket, analysis.results.get((method.label, task.name, bucket))) for bucket in found]
        shown = [(places[bucket], one) for bucket, one in every if one]
        if not shown:
            continue
        x, own = [place for place, _ in shown], look(run, method)
        panel.plot(
            x, [100 * one.mean for _, one in shown], label=method_name(run, method), gid=method.label, **own
        )
        if not method.control:
            low = np.clip([100 * one.low for _, one in shown], 0, 100)
            high = np.clip([100 * one.high for _, one in shown], 0, 100)
            enough = [not one.few for _, one in shown]
            panel.fill_between(x, low, high, where=enough, color=own["color"], alpha=0.15, linewidth=0)
    panel.set(title=short(task.name), xlabel=words, ylim=(-3, 103))
    panel.set_ylabel("accuracy (points)" if task.confirmatory else "says Error (points)")
    if len(found) <= MOST_TICKS:
        panel.set_xticks(list(places.values()), [short(bucket) for bucket in found])
    rule(panel, "y")
