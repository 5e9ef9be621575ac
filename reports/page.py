"""The report as files in the run folder: ``report.md`` and ``report.html`` for people, ``tables.tex`` for a
paper, CSV and JSON for everything else, a CSV beside every picture.

Files are replaced whole, so that a report made again never leaves half of an old one. Exercised by
``python -m reports RUN_DIR``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from comparison.records import write_whole
from reports import plots
from reports.analysis import Analysis, analyse
from reports.collect import Run, read_run
from reports.content import Page, markdown_page, page_of
from reports.cost import cost_rows
from reports.data_files import Data, data_tables, json_text
from reports.html_page import html_page
from reports.latex import latex_tables
from reports.selection import selection_rows
from reports.tables import csv_text


def write_report(
    run_dir: Path | str, *, margin: float | None = None, failures: str = "zero", paper: bool = False
) -> Path:
    """Make the whole report of a run folder and return the path of ``report.md``.

    `margin` (0 to 1) asks which methods are no worse than the baseline by more than it, `failures` ("zero" or
    "exclude") what becomes of failed answers, `paper` for published numbers beside ours. Raises `ReportError`
    (one line) where the folder is missing, malformed or without records, and `comparison.records.RecordError`
    or OSError where it cannot be written.
    """
    run = read_run(run_dir, failures)
    analysis = analyse(run, margin)
    page, data = report_of(run, analysis, run.folder, paper=paper)
    return write_files(run.folder, page, data, [(run, analysis)], run)


def report_of(run: Run, analysis: Analysis, folder: Path, *, paper: bool) -> tuple[Page, Data]:
    """One run's page and numbers; its pictures are drawn into `folder`."""
    costs, picked = cost_rows(run), selection_rows(run)
    pictures = plots.draw(run, analysis, costs, folder)
    page = page_of(run, analysis, costs, picked, pictures, paper=paper)
    return page, data_tables(run, analysis, costs, picked)


def write_files(
    folder: Path, page: Page, data: Data, runs: Sequence[tuple[Run, Analysis]], asked: Run | None = None
) -> Path:
    """Write a page and its numbers in every format beside its pictures, `asked` being the run whose questions
    ``report.html`` holds; returns the path of ``report.md``."""
    files = {f"{name}.csv": csv_text(columns, rows) for name, (columns, rows) in data.items()}
    files |= {picture.data_name: csv_text(picture.header, picture.rows) for picture in page.pictures}
    files |= {
        "report.json": json_text(data, runs, page.summary),
        "tables.tex": latex_tables(page.tables, page.reading.lines),
        "report.html": html_page(page, folder, asked),
        "report.md": markdown_page(page),
    }
    for name, text in files.items():
        write_whole(folder / name, text)
    return folder / "report.md"
