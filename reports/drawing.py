"""What all pictures share: the look of a method, the page that it is drawn on, the file that it becomes.

Made for print and for the colour-blind: Okabe and Ito's colours (2008) with a marker and a line style of its
own for each method; controls thin and grey. Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comparison.records import disk_errors
from reports.collect import MethodInfo, Run
from reports.tables import Value

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
LABEL_WIDTH = 30


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
        return self.name.removesuffix(".png") + "_picture.csv"


def look(run: Run, method: MethodInfo) -> dict[str, Any]:
    """Colour, marker and line of a method, by its place in the run: the same in every picture."""
    marker = MARKERS[run.methods.index(method) % len(MARKERS)]
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


def method_name(run: Run, method: MethodInfo) -> str:
    """The label as picture text, with what it is beside the tested methods."""
    mark = " (baseline)" if method.label == run.baseline else " (control)" if method.control else ""
    return short(method.label) + mark


def short(text: str) -> str:
    """A label as plain picture text: at most three lines, and without matplotlib's mathematics."""
    return "\n".join(textwrap.wrap(text, LABEL_WIDTH)[:3]).replace("$", r"\$")


def extent(counts: Collection[int]) -> str:
    """The least and the most of some counts: "6 to 10", or "8" where all are alike."""
    return " to ".join(dict.fromkeys([str(min(counts)), str(max(counts))]))


def rule(panel: Axes, axis: str) -> None:
    """Light lines behind the data along "x" or "y"."""
    panel.grid(axis=axis, color="#DDDDDD", linewidth=0.6)  # type: ignore[arg-type]
    panel.set_axisbelow(True)


def style() -> AbstractContextManager[None]:
    """The fonts and lines of every picture, for the length of a with block: matplotlib's own but for `STYLE`,
    whatever the caller or a matplotlibrc has set."""
    import matplotlib

    own = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    return matplotlib.rc_context(own | STYLE)


def figure(size: tuple[float, float]) -> Figure:
    """A figure in inches without pyplot: no display, no global state, the caller's backend is left alone."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def panels(drawn: Figure, count: int, columns: int, **shared: Any) -> list[Axes]:
    """So many axes in rows of `columns`; the rest of the last row stays empty."""
    every = list(drawn.subplots(math.ceil(count / columns), columns, squeeze=False, **shared).flat)
    for panel in every[count:]:
        panel.set_axis_off()
    return every[:count]


def save(drawn: Figure, path: Path) -> None:
    """Write the picture whole and without a version in it: the same numbers give the same file.

    `comparison.records.RecordError` where the disk refuses it."""
    temporary = path.with_name(f".{path.name}")
    with disk_errors(path):
        try:
            drawn.savefig(temporary, format="png", metadata={"Software": None})
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
