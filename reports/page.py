"""The report as a whole: ``report.md`` for people, CSV files for everything else, a CSV beside every picture.

All of it is made from the run folder and written into it. Files are replaced whole, so that a report made
again never leaves half of an old one. Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from comparison.records import write_whole
from reports import plots
from reports.analysis import Analysis, analyse
from reports.collect import Run, read_run
from reports.cost import CostRow, cost_rows
from reports.cost_tables import cost_table, failure_table, selection_table
from reports.csv_files import csv_files
from reports.score_tables import absent_table, bucket_tables, main_table, paired_tables
from reports.selection import SelectionRow, selection_rows
from reports.signature import signature
from reports.summary import summary
from reports.tables import Table, code, csv_text, markdown


def write_report(run_dir: Path | str) -> Path:
    """Make the whole report of a run folder and return the path of ``report.md``.

    Raises `ReportError` (one line) where the folder is missing, malformed or without records, and
    `comparison.records.RecordError` or OSError where it cannot be written.
    """
    run = read_run(run_dir)
    analysis, costs, picked = analyse(run), cost_rows(run), selection_rows(run)
    files = csv_files(run, analysis, costs, picked)
    pictures = plots.draw(run, analysis)
    files |= {picture.data_name: csv_text(picture.header, picture.rows) for picture in pictures}
    files["report.md"] = _page(run, analysis, costs, picked, pictures)
    for name, text in files.items():
        write_whole(run.folder / name, text)
    return run.folder / "report.md"


def _page(
    run: Run,
    analysis: Analysis,
    costs: Mapping[tuple[str, str], CostRow],
    picked: Sequence[SelectionRow],
    pictures: Sequence[plots.Picture],
) -> str:
    absent, selected = absent_table(run, analysis), selection_table(run, analysis, picked)
    parts = [f"# {code(run.model)}: {len(run.methods)} methods on {len(run.tasks)} tasks\n"]
    parts += [summary(run, analysis, costs) + "\n"]
    parts += [markdown(table) for table in (main_table(run, analysis), absent) if table]
    parts += _group("Paired differences", paired_tables(run, analysis))
    parts += _group("By bucket", bucket_tables(run, analysis))
    parts += [markdown(cost_table(run, analysis, costs))]
    parts += [markdown(selected)] if selected else []
    parts += [markdown(failure_table(run, analysis))]
    parts += (
        ["## Pictures\n", *(_picture(run, analysis, picture) for picture in pictures)] if pictures else []
    )
    parts += ["## The run\n", _origin(run)]
    return "\n".join(parts)


def _group(title: str, tables: Sequence[Table]) -> list[str]:
    return [f"## {title}\n", *(markdown(table, level=3) for table in tables)] if tables else []


def _picture(run: Run, analysis: Analysis, picture: plots.Picture) -> str:
    data = f"Data: [{picture.data_name}]({picture.data_name})."
    line = signature(run, analysis, picture.tasks)
    return f"![{picture.title}]({picture.name})\n\n{picture.caption} {data}\n\n<sub>Signature: {line}</sub>\n"


def _origin(run: Run) -> str:
    """How the run was made, so that it can be made again."""
    versions = ", ".join(f"{name} {version}" for name, version in (run.info.get("versions") or {}).items())
    lines = [f"- Command: {code(str(run.info.get('command', 'unknown')))}"]
    lines += [f"- Started: {code(str(run.info.get('created', 'unknown')))}"]
    lines += [f"- Versions: {code(versions)}"] if versions else []
    lines += [
        "- Every answer is in `records/`; the numbers above are in `results.csv`, `paired.csv`, `cost.csv`"
    ]
    lines[-1] += " and `selection.csv`. `python -m reports` makes this page again."
    return "\n".join(lines) + "\n"
