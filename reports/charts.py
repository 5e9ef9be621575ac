"""Pictures of quality and cost: score against latency with the frontier, differences from the baseline as a
forest, time against length.

Exercised by ``python -m reports RUN_DIR``, which writes the CSV of every picture beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.analysis import ALL, MACRO, Analysis, Contrast
from reports.collect import MethodInfo, Run
from reports.cost import CostRow, octave, warm_seconds
from reports.drawing import Picture, extent, figure, look, method_name, panels, rule, save, short, style
from reports.statistics import FEW_CLUSTERS, Estimate
from reports.tables import code

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

Costs = Mapping[tuple[str, str], CostRow]
Point = tuple[MethodInfo, Estimate, Estimate]
CostPoint = tuple[str, str, float, int, float]
FOREST_COLUMNS = 4
MARGIN: dict[str, Any] = {"color": "#0072B2", "linewidth": 0.9, "linestyle": (0, (4, 2)), "zorder": 1}


def draw_quality(run: Run, analysis: Analysis, costs: Costs, folder: Path) -> Picture | None:
    """``quality.png``: the mean over tasks against time relative to the baseline, both with their intervals."""
    points = _quality_points(run, analysis, costs)
    if len(points) < 2:
        return None
    best = frontier(points)
    with style():
        drawn = figure((6.6, 3.4))
        panel = drawn.subplots()
        for method, time, score in points:
            _draw_point(panel, run, method, time, score)
        steps = sorted((time.mean, 100 * score.mean) for one, time, score in points if one.label in best)
        panel.plot(*zip(*steps, strict=True), color="#BBBBBB", linewidth=4, zorder=0.5, label="frontier")
        panel.set(xscale="log", ylim=(-3, 103), ylabel="macro mean (points)")
        panel.set_xlabel(f"time per question / {short(run.baseline)} (logarithmic)")
        panel.axvline(1.0, color="#DDDDDD", linewidth=0.8, zorder=0)
        _plain_ticks(panel.xaxis, (1, 2, 3, 5), "g")
        rule(panel, "y")
        drawn.legend(loc="outside right center", handlelength=1.6)
        save(drawn, folder / "quality.png")
    names = tuple(task.name for task in run.tasks)
    header = "model,method,time_ratio,time_low,time_high,mean,low,high,frontier"
    return Picture(
        name="quality.png",
        title="Quality against latency, by method",
        caption="Up and to the left is better. Across: time per question relative to "
        f"{code(run.baseline)} (geometric mean over the same questions of all tasks); up: the macro mean; both with "
        f"clustered 95 % intervals, left out where fewer than {FEW_CLUSTERS} clusters carry them. Grey line: the "
        "frontier, the methods that no other beats in one without losing in the other, controls aside.",
        tasks=names,
        header=tuple(header.split(",")),
        rows=[
            (
                *(run.model, method.label, time.mean, time.low, time.high),
                *score.in_points,
                int(method.label in best),
            )
            for method, time, score in points
        ],
    )


def frontier(points: Iterable[Point]) -> set[str]:
    """The labels of the methods, controls aside, to which no other is at once no slower and no worse (and
    better in one of the two)."""
    rivals = [(one.label, time.mean, score.mean) for one, time, score in points if not one.control]
    return {
        label
        for label, time, score in rivals
        if not any(
            other_time <= time and other_score >= score and (other_time, other_score) != (time, score)
            for _, other_time, other_score in rivals
        )
    }


def draw_forest(run: Run, analysis: Analysis, folder: Path) -> Picture | None:
    """``forest.png``: every method's difference from the baseline, the macro row first, then by task."""
    shown = {
        place: one
        for place, one in analysis.contrasts.items()
        if place[2] == ALL and (place[1] != MACRO or len(run.confirmatory) > 1)
    }
    every = [MACRO, *(task.name for task in run.tasks)]
    names = [name for name in every if any(task == name for _, task, _ in shown)]
    methods = [one for one in run.methods if any(label == one.label for label, _, _ in shown)]
    if not shown:
        return None
    rows = math.ceil(len(names) / FOREST_COLUMNS)
    columns = math.ceil(len(names) / rows)
    with style():
        drawn = figure((1.8 + 2.1 * columns, rows * (0.9 + 0.26 * len(methods))))
        axes = panels(drawn, len(names), columns, sharex=True, sharey=True)
        for panel, name in zip(axes, names, strict=True):
            _draw_panel(panel, run, analysis, methods, name)
        for panel in axes[-columns:]:
            panel.set_xlabel("Δ (points)")
            panel.tick_params(labelbottom=True)
        save(drawn, folder / "forest.png")
    return Picture(
        name="forest.png",
        title="Differences from the baseline, by method and task",
        caption=_forest_caption(run, analysis),
        tasks=tuple(task.name for task in run.tasks if task.name in names or MACRO in names),
        header=tuple("model,method,task,n,clusters,delta,low,high,p_adjusted,family".split(",")),
        rows=[(run.model, method, task, *_forest_row(one)) for (method, task, _), one in shown.items()],
    )


def draw_cost(run: Run, folder: Path) -> Picture | None:
    """``cost_length.png``: median seconds by the length of the context, in octaves, on the tasks whose contexts
    lie in more than one; None where there is no such task."""
    tasks, rows = _cost_points(run)
    if not tasks:
        return None
    with style():
        drawn = figure((6.6, 3.2))
        panel = drawn.subplots()
        for one in sorted(run.methods, key=lambda one: one.control):
            points = [(length, seconds) for _, method, length, _, seconds in rows if method == one.label]
            if points:
                panel.plot(*zip(*points, strict=True), label=method_name(run, one), **look(run, one))
        panel.set(xscale="log", yscale="log", ylabel="median seconds")
        panel.set_xlabel("mean length of the contexts (tokens)")
        _plain_ticks(panel.xaxis, (1, 2, 4), ",.0f")
        _plain_ticks(panel.yaxis, (1, 2, 4), "g")
        rule(panel, "y")
        drawn.legend(loc="outside right center", handlelength=3.2)
        save(drawn, folder / "cost_length.png")
    return Picture(
        name="cost_length.png",
        title="Cost against length, by method",
        caption=_cost_caption(run, tasks, rows),
        tasks=tasks,
        header=("model", "method", "length", "n", "seconds_median"),
        rows=rows,
    )


def _cost_points(run: Run) -> tuple[tuple[str, ...], list[CostPoint]]:
    """The tasks of several octaves, and on them every method's points, in order of length: mean length, number
    of warm answers, median seconds."""
    answers = [
        (method, task, record.length, seconds)
        for (method, task), records in run.records.items()
        for record in records.values()
        if record.error is None and record.length > 0 and (seconds := warm_seconds(record))
    ]
    octaves = {(task, octave(length)) for _, task, length, _ in answers}
    tasks = tuple(one.name for one in run.tasks if sum(task == one.name for task, _ in octaves) > 1)
    cells: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for method, task, length, seconds in answers:
        if task in tasks:
            cells.setdefault((method, octave(length)), []).append((length, seconds))
    rows: list[CostPoint] = []
    for (method, _), cell in sorted(cells.items()):
        lengths, times = zip(*cell, strict=True)
        rows.append((run.model, method, float(np.mean(lengths)), len(cell), float(np.median(times))))
    return tasks, rows


def _quality_points(run: Run, analysis: Analysis, costs: Costs) -> list[Point]:
    points = []
    for method in run.methods:
        score, row = analysis.results.get((method.label, MACRO, ALL)), costs.get((method.label, ALL))
        if score and row and row.ratio:
            points.append((method, row.ratio, score))
    return points


def _draw_point(panel: Axes, run: Run, method: MethodInfo, time: Estimate, score: Estimate) -> None:
    own = look(run, method) | {"linestyle": "none", "label": method_name(run, method)}
    own["elinewidth"] = 0.8 if method.control else 1.4
    panel.errorbar(time.mean, 100 * score.mean, xerr=_arms(time, 1.0), yerr=_arms(score, 100.0), **own)


def _arms(estimate: Estimate, scale: float) -> np.ndarray | None:
    """How far the interval reaches below and above the mean [2, 1]; None for one from fewer than 20 clusters, nothing
    where there is no interval."""
    if estimate.few:
        return None
    reach = [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]
    return scale * np.nan_to_num(np.maximum(np.array(reach), 0.0))


def _plain_ticks(axis: Axis, steps: Sequence[int], shape: str) -> None:
    """Numbers without powers of ten along a logarithmic axis, at these steps of every decade, or evenly spaced where
    fewer than three of them would stand there."""
    from matplotlib.ticker import AutoLocator, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    places = np.asarray(LogLocator(10, subs=steps).tick_values(low, high))
    few = np.count_nonzero((places >= low) & (places <= high)) < 3
    axis.set_major_locator(AutoLocator() if few else LogLocator(10, subs=steps))
    axis.set_major_formatter(lambda value, _: f"{value:{shape}}")
    axis.set_minor_formatter(NullFormatter())


def _draw_panel(panel: Axes, run: Run, analysis: Analysis, methods: list[MethodInfo], name: str) -> None:
    for place, method in enumerate(methods):
        contrast = analysis.contrasts.get((method.label, name, ALL))
        if not contrast:
            continue
        estimate, own = contrast.difference.estimate, look(run, method) | {"linestyle": "none"}
        if not contrast.significant:
            own["markerfacecolor"] = "white"
        panel.errorbar(100 * estimate.mean, place, xerr=_arms(estimate, 100.0), elinewidth=1.2, **own)
    panel.axvline(0.0, color="#000000", linewidth=0.7, zorder=1)
    if analysis.margin is not None:
        panel.axvline(-100 * analysis.margin, **MARGIN)
    panel.set_title(short(name), fontweight="bold" if name == MACRO else "normal")
    panel.set_yticks(range(len(methods)), [method_name(run, method) for method in methods])
    panel.set_ylim(len(methods) - 0.5, -0.5)
    rule(panel, "x")


def _forest_row(contrast: Contrast) -> tuple[int, int, float, float, float, float | None, str]:
    one = contrast.difference.estimate
    return one.n, one.clusters, *one.in_points, contrast.p_adjusted, contrast.family


def _forest_caption(run: Run, analysis: Analysis) -> str:
    margin = ""
    if analysis.margin is not None:
        margin = f" Dashed: the margin, {100 * analysis.margin:g} points below {code(run.baseline)}."
    return (
        f"Each method minus {code(run.baseline)} with its clustered 95 % interval; right of zero the method is better. "
        f"Filled: adjusted p below 0.05, from {FEW_CLUSTERS} clusters or more and with an interval (the arrows of the "
        f"tables); hollow: all others, and controls. No bar: fewer than {FEW_CLUSTERS} clusters, or nothing is known "
        f"of the spread.{margin}"
    )


def _cost_caption(run: Run, tasks: Sequence[str], rows: Sequence[CostPoint]) -> str:
    named = code(tasks[0]) if len(tasks) == 1 else f"{len(tasks)} tasks"
    left_out = " (tasks whose contexts are all near one power of two are left out)"
    slope = (
        "Where the seconds double with the length, the cost is in proportion to it."
        if len(tasks) == 1
        else "The points mix these tasks in the shares that they have at that length, so a slope can also be a "
        "difference between tasks."
    )
    return (
        f"Median seconds per question (warm answers) on {named}{left_out if len(tasks) < len(run.tasks) else ''}. "
        "A point gathers the contexts that are nearest to one power of two and stands at their mean length "
        f"({extent([n for _, _, _, n, _ in rows])} questions a point). Both axes are logarithmic. {slope}"
    )
