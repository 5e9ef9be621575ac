r"""The tables as LaTeX (booktabs), to be pasted into a paper or read with ``\input{tables.tex}``.

Everything that TeX would obey is escaped. Needed: booktabs, graphicx (wide tables are scaled to the line) and
amssymb (the arrows). Exercised by ``python -m reports RUN_DIR``, which writes ``tables.tex``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from reports.markup import items, pieces, words
from reports.tables import Cell, Row, Table, one_line

HEAD = """\
% Made by python -m reports. In the preamble: \\usepackage{booktabs,graphicx,amssymb}
% and, for other letters than ASCII, a font that has them (XeLaTeX or LuaLaTeX).
"""
FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
"""Scales a table down to the line where it is wider."""
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "Δ": r"$\Delta$",
    "▲": r"$\blacktriangle$",
    "▼": r"$\blacktriangledown$",
    "\u2212": "$-$",
    "–": "--",
    "·": r"$\cdot$",
    "§": r"\S{}",
    "→": r"$\rightarrow$",
    "\u00a0": "~",
} | {character: f"\\{character}" for character in "&%$#_"}


def latex_tables(tables: Iterable[Table], reading: Iterable[str]) -> str:
    """A file of `table` environments in the order of the report, under comments that say how to read them all."""
    comments = "".join(f"% {words(line)}\n" for line in reading)
    return HEAD + comments + "".join(f"\n{latex(table)}" for table in tables)


def latex(table: Table) -> str:
    """One `table` environment: title as caption, booktabs rules, notes and signature under it."""
    columns = "l" * table.names + "r" * (len(table.header) - table.names)
    body = [
        FITTED,
        f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        "\\toprule",
        _line(table.header),
        "\\midrule",
        *(_line(row) for row in table.rows),
        "\\bottomrule",
        "\\end{tabular}}",
    ]
    notes = [_note(note) for note in [*table.notes, f"Signature: {table.signature}"]]
    return "\n".join(
        [
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{_inline(table.title)}}}",
            *body,
            "\\par\\medskip\\footnotesize\\raggedright",
            *(f"{note}\\par" for note in notes),
            "\\end{table}",
            "",
        ]
    )


def escape(text: str) -> str:
    """Untrusted text as LaTeX text: on one line, nothing in it is a command, a comment or mathematics."""
    return "".join(_SPECIAL.get(character, character) for character in one_line(text))


def _line(cells: Row) -> str:
    return " & ".join(_cell(cell) for cell in cells) + r" \\"


def _cell(cell: Cell | str) -> str:
    if isinstance(cell, str):
        return _shielded(escape(cell))
    text = _code(cell.text) if cell.code else escape(cell.text)
    text = f"\\textbf{{{text}}}" if cell.strong else text
    return _shielded(f"{text} {escape(cell.after)}" if cell.after else text)


def _shielded(text: str) -> str:
    """After a line's end TeX would read "[" as a distance and "*" as a request."""
    return f"{{}}{text}" if text.startswith(("[", "*")) else text


def _code(text: str) -> str:
    return f"\\texttt{{{escape(text)}}}"


def _inline(text: str) -> str:
    marked = {"code": "\\texttt{%s}", "strong": "\\textbf{%s}", "text": "%s"}
    # The blanks around a span belong to the text beside it.
    return "".join(
        re.match(r"\s*", part)[0][:1] + marked[kind] % escape(part) + re.search(r"\s*$", part)[0][:1]  # type: ignore[index]
        for kind, part in pieces(text)
    )


def _note(note: str) -> str:
    found = items(note)
    return "\\par\n".join(f"-- {_inline(item)}" for item in found) if found else _inline(note)
