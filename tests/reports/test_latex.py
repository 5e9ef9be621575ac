"""The tables as LaTeX: whole environments, nothing that TeX would obey."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from reports.latex import FITTED, latex, latex_tables
from reports.tables import Cell, Table

EVIL = "\\input{/etc/passwd} & 100% $x_1^2$ #1 {~}"


def table(*rows: list[Cell | str]) -> Table:
    return Table("By `a_b`", ["method", "Δ"], list(rows), "`s_1 · n 2`", ["**Bold** and `x_y`."])


def test_a_table_is_a_booktabs_environment_with_its_notes_and_signature():
    text = latex(table([Cell("rag:k=1", code=True), Cell("1.0 ± 0.5", strong=True, after="▲")]))
    assert text.split("\n") == [
        "\\begin{table}",
        "\\centering",
        "\\caption{By \\texttt{a\\_b}}",
        FITTED,
        "\\begin{tabular}{@{}lr@{}}",
        "\\toprule",
        "method & $\\Delta$ \\\\",
        "\\midrule",
        "\\texttt{rag:k=1} & \\textbf{1.0 $\\pm$ 0.5} $\\blacktriangle$ \\\\",
        "\\bottomrule",
        "\\end{tabular}}",
        "\\par\\medskip\\footnotesize\\raggedright",
        "\\textbf{Bold} and \\texttt{x\\_y}.\\par",
        "Signature: \\texttt{s\\_1 $\\cdot$ n 2}\\par",
        "\\end{table}",
        "",
    ]


def test_what_stands_at_the_start_of_a_line_is_no_argument_of_the_line_break():
    lines = latex(table(["a", "b"], ["[1.0, 2.0]", "*x"])).split("\n")
    assert "{}[1.0, 2.0] & {}*x \\\\" in lines


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no TeX here")
def test_tex_accepts_the_file_with_hostile_labels(tmp_path):
    hostile = table([Cell(EVIL, code=True), "−1.0"], ["[x] | <b> \" ' `", Cell(EVIL, strong=True, after="▼")])
    wide = Table("w", ["a"] * 9, [["–"] * 9], "`s`", ["- one\n- `two`"])
    text = "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs,graphicx,amssymb}"
    text += f"\\begin{{document}}{latex_tables([hostile, wide], ['`a` & b'])}\\end{{document}}"
    (tmp_path / "t.tex").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-1500:]
