"""All pictures of a report, and of them the needle heat map: one map a method.

The maps are in cividis on a scale fixed to [0, 1] with the number written in every cell. Exercised by
``python -m reports RUN_DIR``, which writes the CSV of every picture beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reports import charts, lines
from reports.analysis import Analysis
from reports.charts import Costs
from reports.collect import MethodInfo, Run, TaskInfo, bucket_order
from reports.drawing import Picture, extent, figure, method_name, panels, save, short, style
from reports.tables import Value, code

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAP_COLUMNS = 4
TRAINED: dict[str, Any] = {"color": "#D55E00", "linewidth": 1.8, "linestyle": "--"}


@dataclass(frozen=True)
class Grid:
    """Mean scores of one method by depth (rows) and length (columns); nan where nothing was answered."""

    method: MethodInfo
    task: TaskInfo
    lengths: tuple[str, ...]
    depths: tuple[float, ...]
    means: np.ndarray
    counts: np.ndarray


def draw(run: Run, analysis: Analysis, costs: Costs, folder: Path) -> list[Picture]:
    """Draw every picture that the run has the records for into `folder`; the needle map comes last."""
    drawn = [lines.draw_facts(run, analysis, folder), lines.draw_lengths(run, analysis, folder)]
    drawn += [charts.draw_quality(run, analysis, costs, folder), charts.draw_forest(run, analysis, folder)]
    grids = [grid for task in run.tasks for method in run.methods if (grid := needle_grid(run, method, task))]
    drawn += [charts.draw_cost(run, folder), _draw_needle(run, grids, folder) if grids else None]
    return [picture for picture in drawn if picture]


def needle_grid(run: Run, method: MethodInfo, task: TaskInfo) -> Grid | None:
    """The cells of a method on a task of lengths and depths (percent); None for every other task."""
    if run.bucket_names[task.name] != "length":
        return None
    cells: dict[tuple[float, str], list[float]] = {}
    for record in run.answers(method.label, task.name).values():
        depth = record.tags.get("depth")
        if isinstance(depth, int | float) and run.scores(record):
            cells.setdefault((float(depth), record.bucket), []).append(record.score)
    if not cells:
        return None
    depths = tuple(sorted({depth for depth, _ in cells}))
    lengths = tuple(sorted({length for _, length in cells}, key=bucket_order))
    shape = len(depths), len(lengths)
    means, counts = np.full(shape, np.nan), np.zeros(shape, dtype=int)
    for (depth, length), scores in cells.items():
        place = depths.index(depth), lengths.index(length)
        means[place], counts[place] = np.mean(scores), len(scores)
    return Grid(method, task, lengths, depths, means, counts)


def _draw_needle(run: Run, grids: Sequence[Grid], folder: Path) -> Picture:
    columns = min(MAP_COLUMNS, len(grids))
    rows = math.ceil(len(grids) / columns)
    with style():
        wide, high = max(len(grid.lengths) for grid in grids), max(len(grid.depths) for grid in grids)
        drawn = figure((1.2 + columns * (0.7 + 0.45 * wide), 0.6 + rows * (0.7 + 0.28 * high)))
        axes = panels(drawn, len(grids), columns)
        images = [_draw_map(panel, run, grid) for panel, grid in zip(axes, grids, strict=True)]
        for place, (panel, grid) in enumerate(zip(axes, grids, strict=True)):
            if place % columns == 0:
                panel.set_ylabel("depth of the needle")
            elif grid.depths == grids[place - 1].depths:
                panel.set_yticklabels([])
        bar = drawn.colorbar(
            images[0], ax=drawn.axes, shrink=0.8, ticks=[0, 0.25, 0.5, 0.75, 1], format=_percent
        )
        bar.set_label("accuracy (points)")
        bar.outline.set_visible(False)
        marks = [line for panel in axes for line in panel.get_lines()]
        if marks:
            drawn.legend(handles=marks[:1], loc="outside lower center", handlelength=3.2)
        save(drawn, folder / "needle.png")
    return Picture(
        name="needle.png",
        title="Needle in a haystack: accuracy by length and depth, by method",
        caption=_needle_caption(run, grids),
        tasks=tuple(dict.fromkeys(grid.task.name for grid in grids)),
        header=("model", "method", "task", "length", "depth", "n", "mean"),
        rows=[row for grid in grids for row in _cells(run, grid)],
    )


def _draw_map(panel: Axes, run: Run, grid: Grid) -> Any:
    """One method's cells, depth 0 at the top, with the number in each; hatched where nothing was answered."""
    panel.set_facecolor("#FFFFFF")
    panel.patch.set(hatch="////", edgecolor="#BBBBBB")
    image = panel.imshow(grid.means, cmap="cividis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for (row, column), mean in np.ndenumerate(grid.means):
        if not math.isnan(mean):
            # Cividis is dark below about the middle of the scale.
            ink = "white" if mean < 0.55 else "black"
            panel.text(column, row, f"{100 * mean:.0f}", ha="center", va="center", color=ink, fontsize=8)
    panel.set_xticks(range(len(grid.lengths)), [_thousands(length) for length in grid.lengths])
    panel.set_yticks(range(len(grid.depths)), [f"{depth:g} %" for depth in grid.depths])
    panel.set(title=method_name(run, grid.method), xlabel=f"{short(grid.task.name)}: length (tokens)")
    panel.tick_params(which="both", length=0)
    panel.spines[:].set_visible(False)
    # White lines between the cells, on the minor ticks.
    panel.set_xticks(np.arange(1, len(grid.lengths)) - 0.5, minor=True)
    panel.set_yticks(np.arange(1, len(grid.depths)) - 0.5, minor=True)
    panel.grid(which="minor", color="white", linewidth=1.2)
    place = trained_place(grid, _trained_length(run, grid.task))
    if place is not None:
        panel.axvline(place, label="length the model was trained on", **TRAINED)
    return image


def trained_place(grid: Grid, trained: int | None) -> float | None:
    """Where the trained length lies on the map's axis, whose columns are evenly spaced: between the two
    nearest lengths on a logarithmic scale; None where it lies outside of them."""
    lengths = [bucket_order(length)[0] for length in grid.lengths]
    if not trained or not lengths[0] <= trained <= lengths[-1]:
        return None
    return float(np.interp(math.log(trained), np.log(lengths), np.arange(len(lengths))))


def _trained_length(run: Run, task: TaskInfo) -> int | None:
    return task.trained_length or run.info.get("trained_length")


def _needle_caption(run: Run, grids: Sequence[Grid]) -> str:
    counts = [int(n) for grid in grids for n in grid.counts.flat]
    caption = (
        "Mean accuracy by length (across) and depth of the needle (down, 0 % comes first), by method "
        f"({extent(counts)} questions a cell{'; hatched: none' if 0 in counts else ''})."
    )
    if any(np.ptp(grid.counts, axis=0).any() for grid in grids):
        caption += " Depths are not equally many, so a mean by length weighs some of them more."
    trained = {_trained_length(run, grid.task) for grid in grids}
    if any(trained_place(grid, _trained_length(run, grid.task)) is not None for grid in grids):
        named = " and ".join(str(length) for length in sorted(length for length in trained if length))
        return f"{caption} Dashed line: the length that {code(run.model)} was trained on ({named})."
    return caption


def _cells(run: Run, grid: Grid) -> list[tuple[Value, ...]]:
    own = (run.model, grid.method.label, grid.task.name)
    return [
        (*own, length, depth, int(grid.counts[row, column]), 100 * float(grid.means[row, column]))
        for column, length in enumerate(grid.lengths)
        for row, depth in enumerate(grid.depths)
        if grid.counts[row, column]
    ]


def _thousands(length: str) -> str:
    value = bucket_order(length)[0]
    return f"{value / 1000:g}k" if value >= 1000 and math.isfinite(value) else length


def _percent(value: float, _: object = None) -> str:
    return f"{100 * value:.0f}"
