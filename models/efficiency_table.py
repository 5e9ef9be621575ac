"""The paper's efficiency table (Ben-Kish et al. 2025: seconds and memory by context length) as values, a CSV and
markdown.

Torch-free. Exercised by ``python -m models.efficiency``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

COLUMNS = ("reader", "method", "length", "seconds", "tokens_per_second", "peak_gib", "floor_seconds")
NOTHING = "–"


@dataclass(frozen=True)
class Measurement:
    """One method at one context length.

    `seconds` is the wall time of one answer, `tokens_per_second` the length over it (chunk methods read more
    tokens than that), `peak_gib` the highest memory above what the loaded reader takes, `floor_seconds` the
    time of the reader's linear layers alone, `outside` the share of the wall time that is not spent in the
    reader's forward calls."""

    reader: str
    method: str
    length: int
    seconds: float
    peak_gib: float
    floor_seconds: float
    outside: float

    @property
    def tokens_per_second(self) -> float:
        return self.length / self.seconds


def start_csv(path: Path) -> None:
    """The header alone, in a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")


def add_to_csv(path: Path, measured: Measurement) -> None:
    """One more row, on the disk when this returns."""
    with path.open("a", newline="", encoding="utf-8") as file:
        values = [getattr(measured, column) for column in COLUMNS]
        csv.writer(file, lineterminator="\n").writerow(
            [f"{value:.6g}" if isinstance(value, float) else value for value in values]
        )


def medians(measured: Sequence[Measurement]) -> list[Measurement]:
    """One for every method and length, in the order of their first: the medians of its rounds, the highest peak."""
    return [
        replace(
            rounds[0],
            seconds=median(one.seconds for one in rounds),
            peak_gib=max(one.peak_gib for one in rounds),
            floor_seconds=median(one.floor_seconds for one in rounds),
            outside=median(one.outside for one in rounds),
        )
        for rounds in _by_cell(measured).values()
    ]


def markdown(measured: Sequence[Measurement]) -> str:
    """Rows are quantities by method, columns context lengths; a cell that was not measured is a dash. Cells of several
    rounds are their `medians`, beside which the other methods' seconds stand over the first one's of the same
    round."""
    lengths = sorted({one.length for one in measured})
    methods = list(dict.fromkeys(one.method for one in measured))
    cells = {(one.method, one.length): one for one in medians(measured)}
    quantities: tuple[tuple[str, Callable[[Measurement], str]], ...] = (
        ("seconds", lambda one: _digits(one.seconds)),
        ("seconds, linear layers alone", lambda one: _digits(one.floor_seconds)),
        ("tokens a second", lambda one: f"{one.tokens_per_second:,.0f}"),
        ("GiB above the loaded reader", lambda one: _digits(one.peak_gib)),
        ("outside the reader's forward", lambda one: f"{100 * one.outside:.1f} %"),
    )
    lines = [_row([short(length) for length in lengths], ""), "|---|" + "---:|" * len(lengths)]
    for title, show in quantities:
        for method in methods:
            row = [cells.get((method, length)) for length in lengths]
            lines.append(_row([NOTHING if one is None else show(one) for one in row], f"{title}, `{method}`"))
    if len(measured) > len(cells):
        first, *others = methods
        for method in others:
            title = f"seconds over `{first}`'s, `{method}`: median (lowest to highest round)"
            lines.append(_row([_ratio(measured, method, first, length) for length in lengths], title))
    return "\n".join(lines)


def _by_cell(measured: Sequence[Measurement]) -> dict[tuple[str, int], list[Measurement]]:
    cells: dict[tuple[str, int], list[Measurement]] = {}
    for one in measured:
        cells.setdefault((one.method, one.length), []).append(one)
    return cells


def _ratio(measured: Sequence[Measurement], method: str, first: str, length: int) -> str:
    """Round by round: what slows the machine for a while slows both."""
    cells = _by_cell(measured)
    pair = cells.get((method, length), []), cells.get((first, length), [])
    if not len(pair[0]) == len(pair[1]) > 0:
        return NOTHING
    ratios = [one.seconds / other.seconds for one, other in zip(*pair, strict=True)]
    return f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def _row(cells: Sequence[str], title: str) -> str:
    return " | ".join([f"| {title}".rstrip(), *cells]) + " |"


def _digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def short(length: int) -> str:
    """2000 is ``2K``."""
    return f"{length // 1000}K" if length % 1000 == 0 else f"{length:,}"
