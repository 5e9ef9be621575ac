"""Tables as values, and how they are written: markdown for the report, CSV for everything else.

A cell is plain data until it is rendered, and the renderer does all the escaping, because labels, bucket
names and error texts come from plugins and data files. Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NOTHING = "–"
MINUS = "\u2212"
Value = str | int | float | None
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class Cell:
    """`text` as shown; `code` for names, `strong` for the leaders, `after` for marks that are never bold;
    `about` names the method, task and bucket whose answers a number sums up."""

    text: str
    code: bool = False
    strong: bool = False
    after: str = ""
    about: tuple[str, str, str] | None = None


Row = Sequence[Cell | str]


@dataclass(frozen=True)
class Table:
    """`header` and `rows` of cells, the first `names` columns holding names; `notes` say how to read it;
    `signature` holds everything needed to defend its numbers."""

    title: str
    header: Row
    rows: Sequence[Row]
    signature: str
    notes: Sequence[str] = ()
    names: int = 1


def markdown(table: Table, *, level: int = 2) -> str:
    """The table as GitHub markdown under a heading, with its notes and its signature line."""
    rules = [":---" if place < table.names else "---:" for place in range(len(table.header))]
    lines = [_line(table.header), "| " + " | ".join(rules) + " |", *(_line(row) for row in table.rows)]
    parts = [
        f"{'#' * level} {table.title}",
        "\n".join(lines),
        *table.notes,
        f"<sub>Signature: {table.signature}</sub>",
    ]
    return "\n\n".join(parts) + "\n"


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    """Rows as CSV: numbers to twelve digits, nothing for None and nan, no text that a spreadsheet would
    run."""
    lines = [header, *([_csv_value(value) for value in row] for row in rows)]
    return "".join(f"{_csv_line(line)}\n" for line in lines)


def code(text: str) -> str:
    """Untrusted text as a markdown code span, in which nothing else is markup."""
    flat = one_line(text).replace("`", "'")
    return f"`{flat or ' '}`"


def plain(text: str) -> str:
    """Untrusted text as markdown text: whatever could begin emphasis, code, a link, an entity, a tag or a cell
    is escaped, bare addresses included."""
    return re.sub(r"([\\`*_<|~&]|\](?=\()|:(?=//)|(?<=www)\.)", r"\\\1", one_line(text), flags=re.IGNORECASE)


def one_line(text: str) -> str:
    """Without control characters and what turns the direction of a line; white space is one blank."""
    return re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text)).strip()


def points(value: float | None, *, signed: bool = False) -> str:
    """A score or difference, 0 to 1, in points with one decimal and a real minus sign."""
    return number(None if value is None else 100.0 * value, 1, signed=signed)


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """A number with fixed digits; a dash for None and nan; never "-0.0"."""
    if value is None or math.isnan(value):
        return NOTHING
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if not float(text):
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def interval(low: float, high: float, *, signed: bool = False) -> str:
    """[low, high] in points; a dash where there is none."""
    return NOTHING if math.isnan(low) else f"[{points(low, signed=signed)}, {points(high, signed=signed)}]"


def p_value(value: float | None) -> str:
    """A p-value to four decimals: the least that 10,000 draws can give is 0.0001."""
    if value is None:
        return NOTHING
    return f"{value:.4f}" if value >= 0.00005 else "< 0.0001"


def memory(size: int) -> str:
    """Bytes as MiB or GiB."""
    if size <= 0:
        return NOTHING
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _line(cells: Row) -> str:
    return "| " + " | ".join(_rendered(cell) for cell in cells) + " |"


def _rendered(cell: Cell | str) -> str:
    if isinstance(cell, str):
        return plain(cell)
    # A pipe ends the cell even inside a code span, where this is the one escape that GitHub undoes.
    text = code(cell.text).replace("|", "\\|") if cell.code else plain(cell.text)
    return (f"**{text}**" if cell.strong else text) + (f" {plain(cell.after)}" if cell.after else "")


def _csv_line(values: Sequence[str]) -> str:
    """One row, in quotes where a cell holds a line break of any kind (a lone carriage return is one too)."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(values)
    return out.getvalue().removesuffix("\r\n")


def _csv_value(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _harmless(value)
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else f"{value:.12g}"


def _harmless(text: str) -> str:
    """A quote before text that a spreadsheet would take for a formula; numbers keep their sign."""
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
