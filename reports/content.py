"""What a report holds, in order, before it is written in any format: a title, a summary, sections of tables
and pictures, and how the run was made.

Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.analysis import Analysis
from reports.collect import Run
from reports.cost import CostRow
from reports.cost_tables import cost_table, failure_table, selection_table
from reports.drawing import Picture
from reports.official import official_tables
from reports.published import published_tables
from reports.score_tables import CONTROLS, READING, absent_table, bucket_tables, main_table, paired_tables
from reports.selection import SelectionRow
from reports.signature import READING as SIGNED
from reports.signature import signature
from reports.summary import summary
from reports.tables import Table, code, markdown


@dataclass(frozen=True)
class Figure:
    """A picture of a run folder with the line that says what its numbers rest on."""

    picture: Picture
    signature: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; a section of one table takes that table's title."""

    title: str
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    lines: Sequence[str] = ()

    @property
    def alone(self) -> bool:
        """Whether the heading is that of its one table."""
        return [table.title for table in self.tables] == [self.title]


@dataclass(frozen=True)
class Page:
    """A whole report: `reading`, what holds for every table, stands behind the first section, the result, and `made`,
    how the run was made, behind all. Its texts are in the markup of `reports.markup`."""

    title: str
    summary: str
    reading: Section
    sections: Sequence[Section]
    made: Section

    @property
    def every(self) -> list[Section]:
        return [*self.sections[:1], self.reading, *self.sections[1:], self.made]

    @property
    def tables(self) -> list[Table]:
        return [table for section in self.sections for table in section.tables]

    @property
    def pictures(self) -> list[Picture]:
        return [figure.picture for section in self.sections for figure in section.figures]


ELSEWHERE = (
    "Every answer is in `records/`. The numbers above are at full precision in `results.csv`, "
    "`paired.csv`, `cost.csv` and `selection.csv`, all of them in `report.json`, and the tables as LaTeX in "
    "`tables.tex`. `report.html` has the same tables and leads from a number to its questions.",
    "One question, by every method: `python -m reports show RUN_DIR --example ID`. "
    "`python -m reports RUN_DIR` makes all of this again.",
)
"""Where a report's numbers are."""


def page_of(
    run: Run,
    analysis: Analysis,
    costs: Mapping[tuple[str, str], CostRow],
    picked: Sequence[SelectionRow],
    pictures: Sequence[Picture],
    *,
    paper: bool = False,
) -> Page:
    """The report of one run; with `paper`, what was published is set beside it."""
    figures = [Figure(picture, signature(run, picture.tasks)) for picture in pictures]
    sections = [
        *_alone(main_table(run, analysis)),
        *_alone(absent_table(run, analysis)),
        *_group("Paired differences", paired_tables(run, analysis)),
        *_group("By bucket", bucket_tables(run, analysis)),
        *_group("LongBench's own means", official_tables(run)),
        *_alone(cost_table(run, costs)),
        *_alone(selection_table(run, picked)),
        *_alone(failure_table(run)),
        *_group("Published numbers", published_tables(run) if paper else []),
        *([Section("Pictures", figures=figures)] if figures else []),
    ]
    title = f"{code(run.model)}: {len(run.methods)} methods on {len(run.tasks)} tasks"
    made = Section("The run", lines=[*origin(run), *ELSEWHERE])
    controls = [CONTROLS] if any(method.control for method in run.methods) else []
    reading = Section("How to read the tables", lines=[*READING, *controls, SIGNED])
    return Page(title, summary(run, analysis, costs), reading, sections, made)


def markdown_page(page: Page) -> str:
    """The report as GitHub markdown."""
    parts = [f"# {page.title}\n", f"{page.summary}\n"]
    for section in page.every:
        if section.alone:
            parts.append(markdown(section.tables[0]))
            continue
        parts.append(f"## {section.title}\n")
        parts += [markdown(table, level=3) for table in section.tables]
        parts += [_figure(figure) for figure in section.figures]
        parts += ["\n".join(f"- {line}" for line in section.lines) + "\n"] if section.lines else []
    return "\n".join(parts)


def origin(run: Run) -> list[str]:
    """How the run was made, so that it can be made again."""
    installed = run.sessions[-1].get("versions") or {}
    versions = ", ".join(f"{name} {version}" for name, version in installed.items())
    lines = [f"Command: {code(command)}" for command in run.commands]
    lines += [f"Started: {code(str(run.info.get('created', 'unknown')))}"]
    lines += [f"Versions: {code(versions)}"] if versions else []
    return lines + _machines(run) + _sessions(run)


def _machines(run: Run) -> list[str]:
    """What the seconds were taken on."""
    found = dict.fromkeys(_machine(one.get("machine") or {}) for one in run.sessions)
    said = " and ".join(code(name) for name in found if name)
    return [f"Machine: {said}"] if said else []


def _machine(known: Mapping[str, Any]) -> str:
    cores = f"{known['cpus']} core{'s' * (known['cpus'] != 1)}" if known.get("cpus") else None
    named = (known.get("gpu"), cores, known.get("processor"), known.get("system"))
    return ", ".join(str(part) for part in named if part)


def _sessions(run: Run) -> list[str]:
    """A line where the run folder was extended after an update, or on another machine."""
    sessions = run.sessions
    parts = ("commit", "dirty", "versions", "machine")
    differ = [name for name in parts if any(one.get(name) != sessions[0].get(name) for one in sessions)]
    if not differ:
        return []
    return [
        f"Not all answers were given alike: {len(sessions)} sessions differ in {', '.join(differ)} (`sessions` in "
        "`run.json`, `session` in every record)."
    ]


def _alone(table: Table | None) -> list[Section]:
    return [Section(table.title, [table])] if table else []


def _group(title: str, tables: Sequence[Table]) -> list[Section]:
    return [Section(title, tables)] if tables else []


def _figure(figure: Figure) -> str:
    picture = figure.picture
    data = f"Data: [{picture.data_name}]({picture.data_name})."
    return (
        f"![{picture.title}]({picture.name})\n\n{picture.caption} {data}\n\n"
        f"<sub>Signature: {figure.signature}</sub>\n"
    )
