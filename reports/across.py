"""Several runs as one report: the same methods on the same tasks, read by different models.

Every model is compared with itself, method against baseline; what is joined is the tables and the test
families, so that more models mean a stricter correction. Exercised by ``python -m reports RUN_DIR RUN_DIR``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from comparison.records import slug
from reports.analysis import Analysis, adjust, analyse
from reports.collect import ReportError, Run, read_run
from reports.content import Page, Section, origin
from reports.data_files import Data
from reports.drawing import Picture
from reports.page import report_of, write_files
from reports.tables import NOTHING, Cell, Row, Table, code

IDENTITY = ("revision", "dtype", "path")
SAME_SETTINGS = ("seed", "baseline", "device")
SAME_TASK = ("revision", "metric", "wording", "n", "confirmatory")

Heading = tuple[str, int]


def write_joined_report(
    folders: Sequence[Path | str],
    out: Path | None = None,
    *,
    margin: float | None = None,
    failures: str = "zero",
    paper: bool = False,
) -> Path:
    """One report of several run folders in `out` (a folder beside the first, named after all of them); returns
    the path of its ``report.md``. Raises `ReportError` where their settings differ, naming what does."""
    runs = [read_run(folder, failures) for folder in folders]
    refuse_mixed(runs)
    runs = told_apart(runs)
    out = out or runs[0].folder.resolve().parent / "+".join(run.folder.resolve().name for run in runs)
    if (out / "run.json").exists():
        raise ReportError(f"{out} is a run folder: expected another folder for the joined report (--out DIR)")
    pages: list[Page] = []
    data: Data = {}
    analyses = joint_families([analyse(run, margin) for run in runs])
    for run, analysis in zip(runs, analyses, strict=True):
        place = out / slug(run.model)
        place.mkdir(parents=True, exist_ok=True)
        page, numbers = report_of(run, analysis, place, paper=paper)
        pages.append(page)
        for name, (columns, rows) in numbers.items():
            data.setdefault(name, (columns, []))[1].extend(rows)
    return write_files(out, join_pages(runs, pages), data, list(zip(runs, analyses, strict=True)))


def refuse_mixed(runs: Sequence[Run]) -> None:
    """Raise `ReportError` naming every setting in which the runs differ and should not, or a model that two
    of them share."""
    for place, run in enumerate(runs):
        for other in runs[:place]:
            if _identity(run) == _identity(other):
                raise ReportError(
                    f"{other.folder} and {run.folder} are both of the model {run.model}: expected one run a "
                    "model; the same --out joins methods, --against compares two runs"
                )
    first, others = runs[0], runs[1:]
    found = [
        f"{name} ({mine!r} in {first.folder}, {theirs!r} in {run.folder})"
        for run in others
        for name, mine, theirs in _mixed(first, run)
    ]
    if found:
        raise ReportError(
            f"the runs were made under different settings and can't be joined: {'; '.join(found)}"
        )


def told_apart(runs: Sequence[Run]) -> list[Run]:
    """The runs, those whose models have one name called by what else tells them apart: ``tiny@float16``."""
    named = []
    for run in runs:
        namesakes = [other.settings for other in runs if other.model == run.model]
        differing = [name for name in IDENTITY if len({str(one.get(name)) for one in namesakes}) > 1]
        parts = [str(run.settings.get(name)) for name in differing]
        named.append(replace(run, called="@".join([run.model, *parts])))
    return named


def joint_families(analyses: Sequence[Analysis]) -> list[Analysis]:
    """The analyses with p-values adjusted over all of them: one confirmatory and one exploratory family."""
    every = {(n, place): one for n, each in enumerate(analyses) for place, one in each.contrasts.items()}
    adjusted, sizes = adjust(every)
    return [
        replace(each, contrasts={place: adjusted[n, place] for place in each.contrasts}, family_sizes=sizes)
        for n, each in enumerate(analyses)
    ]


def join_pages(runs: Sequence[Run], pages: Sequence[Page]) -> Page:
    """One page: every table with a first column for the model, every picture, how each run was made."""
    models = [run.model for run in runs]
    every = [(model, section) for model, page in zip(models, pages, strict=True) for section in page.sections]
    sections = []
    for title in dict.fromkeys(section.title for _, section in every):
        parts = [(model, section) for model, section in every if section.title == title]
        found = [(model, table) for model, part in parts for table in part.tables]
        names = dict.fromkeys(table.title for _, table in found)
        tables = [join_tables([one for one in found if one[1].title == name]) for name in names]
        figures = [
            replace(figure, picture=_of_model(figure.picture, model))
            for model, part in parts
            for figure in part.figures
        ]
        sections.append(Section(title, tables, figures))
    lines = [f"{code(run.model)}: {line}" for run in runs for line in origin(run)]
    lines.append(
        "Each run's own folder has its answers, and a report that leads from a number to its questions."
    )
    summary = "\n\n".join(f"{code(model)}: {page.summary}" for model, page in zip(models, pages, strict=True))
    title = f"{len(models)} models: {', '.join(code(model) for model in models)}"
    return Page(title, summary, pages[0].reading, sections, Section("The runs", lines=lines))


def _of_model(picture: Picture, model: str) -> Picture:
    """The picture in the model's own folder, and named after the model."""
    return replace(picture, name=f"{slug(model)}/{picture.name}", caption=f"{code(model)}: {picture.caption}")


def join_tables(tables: Sequence[tuple[str, Table]]) -> Table:
    """Tables of one kind, one a model, under one header: a column that a table lacks is empty there, and sizes that
    differ leave the header."""
    columns = [(model, table, _columns(table.header)) for model, table in tables]
    headings = _merged(found for _, _, found in columns)
    header: list[Cell | str] = []
    for heading in headings:
        cells = [table.header[found[heading]] for _, table, found in columns if heading in found]
        header.append(cells[0] if all(cell == cells[0] for cell in cells) else _unsized(cells[0]))
    rows: list[Row] = [
        [Cell(model, code=True), *(row[found[one]] if one in found else NOTHING for one in headings)]
        for model, table, found in columns
        for row in table.rows
    ]
    first = tables[0][1]
    notes = list(dict.fromkeys(note for _, table in tables for note in table.notes))
    line = " ".join(dict.fromkeys(table.signature for _, table in tables))
    return Table(first.title, ["model", *header], rows, line, notes, first.names + 1)


def _columns(header: Row) -> dict[Heading, int]:
    """Where each heading stands, by its text and by how many of that text stand before it."""
    texts = [cell if isinstance(cell, str) else cell.text for cell in header]
    return {(text, texts[:place].count(text)): place for place, text in enumerate(texts)}


def _merged(headers: Iterable[Iterable[Heading]]) -> list[Heading]:
    """Every heading once, behind the one that it follows in its own header."""
    merged: list[Heading] = []
    for header in headers:
        place = 0
        for heading in header:
            if heading not in merged:
                merged.insert(place, heading)
            place = merged.index(heading) + 1
    return merged


def _unsized(cell: Cell | str) -> Cell | str:
    return cell if isinstance(cell, str) else replace(cell, after="")


def _identity(run: Run) -> tuple[Any, ...]:
    return tuple(run.settings.get(name) for name in IDENTITY)


def _mixed(one: Run, two: Run) -> Iterator[tuple[str, Any, Any]]:
    for name in SAME_SETTINGS:
        yield from _unequal(name, one.settings.get(name), two.settings.get(name))
    specs = [{row["label"]: row.get("spec") for row in run.info["methods"]} for run in (one, two)]
    for label in dict.fromkeys([*specs[0], *specs[1]]):
        yield from _unequal(f"method {label}", *(each.get(label, "not in it") for each in specs))
    tasks = [
        {row["name"]: row for benchmark in run.info["benchmarks"] for row in benchmark["tasks"]}
        for run in (one, two)
    ]
    for name in dict.fromkeys([*tasks[0], *tasks[1]]):
        yield from _unequal(f"task {name}", *("in it" if name in each else "not in it" for each in tasks))
        for field in SAME_TASK if all(name in each for each in tasks) else ():
            yield from _unequal(f"{field} of task {name}", *(each[name].get(field) for each in tasks))


def _unequal(name: str, one: Any, two: Any) -> Iterator[tuple[str, Any, Any]]:
    if one != two:
        yield name, one, two
