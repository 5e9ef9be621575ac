"""The pictures: accuracy against the number of facts, and the needle heat map, by method.

Made for print and for the colour-blind: Okabe and Ito's colours (2008) with a marker and a line style of its
own for each method, controls thin and grey, and cividis on a scale fixed to [0, 1] with the number written in
every cell. Exercised by ``python -m reports RUN_DIR``, which writes the CSV of every picture beside it.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.analysis import Analysis
from reports.collect import MethodInfo, Run, TaskInfo, bucket_order
from reports.tables import Value, code

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette without yellow, which vanishes on white paper; the baseline takes black.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
STYLES: tuple[Any, ...] = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)))
CONTROL_LOOK: dict[str, Any] = {"color": "#8A8A8A", "linestyle": ":", "linewidth": 0.9, "zorder": 1.5}
CONTROL_LOOK |= {"markersize": 4, "markerfacecolor": "white"}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "font.family": "DejaVu Sans",
}
MAP_COLUMNS = 4
LABEL_WIDTH = 30
MOST_TICKS = 12
TRAINED: dict[str, Any] = {"color": "#D55E00", "linewidth": 1.8, "linestyle": "--"}


@dataclass(frozen=True)
class Picture:
    """A picture in the run folder with the numbers that it shows, scores in points."""

    name: str
    title: str
    caption: str
    tasks: tuple[str, ...]
    header: tuple[str, ...]
    rows: Sequence[tuple[Value, ...]]

    @property
    def data_name(self) -> str:
        return f"{Path(self.name).stem}_picture.csv"


@dataclass(frozen=True)
class Grid:
    """Mean scores of one method by depth (rows) and length (columns); nan where nothing was answered."""

    method: MethodInfo
    task: TaskInfo
    lengths: tuple[str, ...]
    depths: tuple[float, ...]
    means: np.ndarray
    counts: np.ndarray


def draw(run: Run, analysis: Analysis) -> list[Picture]:
    """Draw every picture that the run has the records for."""
    several = [task for task in run.tasks if len(run.buckets[task.name]) > 1]
    facts = [task for task in several if run.bucket_names[task.name] == "facts"]
    grids = [grid for task in run.tasks for method in run.methods if (grid := needle_grid(run, method, task))]
    pictures = []
    if facts:
        pictures.append(_draw_recall(run, analysis, facts))
    if grids:
        pictures.append(_draw_needle(run, grids))
    return pictures


def needle_grid(run: Run, method: MethodInfo, task: TaskInfo) -> Grid | None:
    """The cells of a method on a task of lengths and depths (percent); None for every other task."""
    if run.bucket_names[task.name] != "length":
        return None
    cells: dict[tuple[float, str], list[float]] = {}
    for record in run.answers(method.label, task.name).values():
        depth = record.tags.get("depth")
        if isinstance(depth, int | float) and (record.error is None or record.failed):
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


def _draw_recall(run: Run, analysis: Analysis, tasks: Sequence[TaskInfo]) -> Picture:
    with _style():
        figure = _figure((1.6 + 3.6 * len(tasks), 3.2))
        axes = figure.subplots(1, len(tasks), squeeze=False, sharey=True)
        for panel, task in zip(axes[0], tasks, strict=True):
            _draw_lines(panel, run, analysis, task)
        lines = {line.get_gid(): line for panel in axes[0] for line in panel.get_lines()}
        order = sorted(run.methods, key=lambda method: method.control)
        shown = [lines[method.label] for method in order if method.label in lines]
        figure.legend(handles=shown, loc="outside right center", handlelength=3.2)
        _save(figure, run.folder / "recall.png")
    rows = [
        (run.model, method, task, bucket, one.n, one.clusters, 100 * one.mean, 100 * one.low, 100 * one.high)
        for (method, task, bucket), one in analysis.results.items()
        if bucket != "all" and task in [info.name for info in tasks]
    ]
    return Picture(
        name="recall.png",
        title="Accuracy against the number of facts, by method",
        caption="Accuracy by number of facts in the context, by method; bands: clustered 95 % intervals.",
        tasks=tuple(task.name for task in tasks),
        header=("model", "method", "task", "facts", "n", "clusters", "mean", "low", "high"),
        rows=rows,
    )


def _draw_lines(panel: Axes, run: Run, analysis: Analysis, task: TaskInfo) -> None:
    found = run.buckets[task.name]
    for place, method in enumerate(run.methods):
        places = [(bucket, analysis.results.get((method.label, task.name, bucket))) for bucket in found]
        shown = [(bucket, one) for bucket, one in places if one]
        if not shown:
            continue
        x = [bucket_order(bucket)[0] for bucket, _ in shown]
        look = _look(run, method, place)
        y = [100 * one.mean for _, one in shown]
        panel.plot(x, y, label=_name(run, method), gid=method.label, **look)
        if not method.control:
            low = np.clip([100 * one.low for _, one in shown], 0, 100)
            high = np.clip([100 * one.high for _, one in shown], 0, 100)
            panel.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
    panel.set(title=_short(task.name), xlabel="number of facts", ylim=(-3, 103))
    panel.set_ylabel("accuracy (points)" if task.confirmatory else "says Error (points)")
    if len(found) <= MOST_TICKS:
        panel.set_xticks([bucket_order(bucket)[0] for bucket in found])
    panel.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    panel.set_axisbelow(True)


def _look(run: Run, method: MethodInfo, place: int) -> dict[str, Any]:
    """Colour, marker and line of a method, by its place in the run: the same in every picture."""
    marker = MARKERS[place % len(MARKERS)]
    if method.control:
        return {"marker": marker, **CONTROL_LOOK}
    tested = [one.label for one in run.methods if not one.control and one.label != run.baseline]
    rank = -1 if method.label == run.baseline else tested.index(method.label)
    return {
        "color": "#000000" if rank < 0 else COLOURS[rank % len(COLOURS)],
        "linestyle": STYLES[(rank + 1) % len(STYLES)],
        "marker": marker,
        "markersize": 5,
        "linewidth": 1.6,
    }


def _draw_needle(run: Run, grids: Sequence[Grid]) -> Picture:
    columns = min(MAP_COLUMNS, len(grids))
    rows = math.ceil(len(grids) / columns)
    with _style():
        wide, high = max(len(grid.lengths) for grid in grids), max(len(grid.depths) for grid in grids)
        figure = _figure((1.2 + columns * (0.7 + 0.45 * wide), 0.6 + rows * (0.7 + 0.28 * high)))
        axes = figure.subplots(rows, columns, squeeze=False)
        for panel in axes.flat[len(grids) :]:
            panel.set_axis_off()
        images = [_draw_map(panel, run, grid) for panel, grid in zip(axes.flat, grids, strict=False)]
        for place, (panel, grid) in enumerate(zip(axes.flat, grids, strict=False)):
            if place % columns == 0:
                panel.set_ylabel("depth of the needle")
            elif grid.depths == grids[place - 1].depths:
                panel.set_yticklabels([])
        bar = figure.colorbar(images[0], ax=axes, shrink=0.8, ticks=[0, 0.25, 0.5, 0.75, 1], format=_percent)
        bar.set_label("accuracy (points)")
        bar.outline.set_visible(False)
        marks = [line for panel in axes.flat for line in panel.get_lines()]
        if marks:
            figure.legend(handles=marks[:1], loc="outside lower center", handlelength=3.2)
        _save(figure, run.folder / "needle.png")
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
    panel.set(title=_name(run, grid.method), xlabel=f"{_short(grid.task.name)}: length (tokens)")
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
    caption = "Mean accuracy by length (across) and depth of the needle (down, 0 % comes first), by method."
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


def _name(run: Run, method: MethodInfo) -> str:
    mark = " (baseline)" if method.label == run.baseline else " (control)" if method.control else ""
    return _short(method.label) + mark


def _short(text: str) -> str:
    """A label as plain picture text: at most three lines, and without matplotlib's mathematics."""
    return "\n".join(textwrap.wrap(text, LABEL_WIDTH)[:3]).replace("$", r"\$")


def _thousands(length: str) -> str:
    value = bucket_order(length)[0]
    return f"{value / 1000:g}k" if value >= 1000 and math.isfinite(value) else length


def _percent(value: float, _: object = None) -> str:
    return f"{100 * value:.0f}"


def _style() -> AbstractContextManager[None]:
    import matplotlib

    return matplotlib.rc_context(STYLE)


def _figure(size: tuple[float, float]) -> Figure:
    """A figure without pyplot: no display, no global state, and the caller's backend is left alone."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    """Write the picture whole and without a version in it: the same numbers give the same file."""
    temporary = path.with_name(f".{path.name}")
    try:
        figure.savefig(temporary, format="png", metadata={"Software": None})
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
