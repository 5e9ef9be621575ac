"""A run against an earlier one: which methods got worse or better, with the statistics of the report.

Every method is compared with itself, question by question. Only what makes the questions or the scores others
is refused; whatever else differs (code, weights, wording, device) is what the comparison is about, and is
named. Exercised by ``python -m reports RUN_DIR --against OLD_RUN_DIR``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comparison.records import write_whole
from reports.analysis import (
    ALL,
    CONFIRMATORY,
    CONTROL,
    EXPLORATORY,
    MACRO,
    Contrast,
    Place,
    adjust,
    pair_columns,
    tested,
)
from reports.collect import ReportError, Run, read_run
from reports.cost import time_ratio
from reports.cost_tables import ratio_text, rests_on_few
from reports.score_tables import (
    CONSTANT,
    CONTRAST_READING,
    FEW,
    contrast_header,
    contrast_row,
    margin_note,
    method_cell,
    unknown_note,
)
from reports.signature import signature
from reports.statistics import Estimate
from reports.tables import NOTHING, Cell, Row, Table, code, csv_text, markdown, points

WORSE = "worse"
BETTER = "better"
COLUMNS = "model,method,task,n,clusters,delta,low,high,p,p_adjusted,family,wins,ties,losses,verdict"


@dataclass(frozen=True)
class Changes:
    """New minus old by (method, task, bucket), the sizes of the test families, and the time of a method in
    the new run over that in the old."""

    new: Run
    old: Run
    contrasts: dict[Place, Contrast]
    family_sizes: dict[str, int]
    times: dict[str, Estimate]
    differing: tuple[str, ...]

    def found(self, verdict: str) -> list[Place]:
        return [place for place, contrast in self.contrasts.items() if judge(contrast) == verdict]


def write_against(
    run_dir: Path | str, old_dir: Path | str, *, margin: float | None = None, failures: str = "zero"
) -> tuple[Path, Changes]:
    """Compare two run folders; writes ``against.md`` and ``against.csv`` in the first. Raises `ReportError`."""
    changes = compare_runs(read_run(run_dir, failures), read_run(old_dir, failures))
    folder = changes.new.folder
    write_whole(folder / "against.csv", csv_text(COLUMNS.split(","), _rows(changes)))
    write_whole(folder / "against.md", _page(changes, margin))
    return folder / "against.md", changes


def compare_runs(new: Run, old: Run) -> Changes:
    """Every method and task that both runs hold. Raises `ReportError` where they hold none in common, or where
    a task's questions or metric are others."""
    methods = [one for one in new.methods if one.label in {other.label for other in old.methods}]
    metrics = {task.name: task.metric for task in old.tasks}
    tasks = [task for task in new.tasks if task.name in metrics]
    if not methods or not tasks:
        raise ReportError(
            f"{new.folder} and {old.folder} have no method and task in common: nothing to compare"
        )
    for task in tasks:
        if task.metric != metrics[task.name]:
            raise ReportError(
                f"{task.name} was scored by {metrics[task.name]} in {old.folder} and by {task.metric} in "
                f"{new.folder}: make the older run again"
            )
        _same_questions(new, old, task.name)
    rows = {MACRO: [task.name for task in tasks if task.confirmatory]}
    rows |= {task.name: [task.name] for task in tasks}
    contrasts: dict[Place, Contrast] = {}
    for name, summed in rows.items():
        for method in methods:
            now, before = ([run.columns.get((method.label, task)) for task in summed] for run in (new, old))
            if pairs := pair_columns(now, before):
                seeded = (new.key, "against", method.label, name)
                contrasts[method.label, name, ALL] = tested(pairs, method, name, seeded)
    contrasts, sizes = adjust(contrasts)
    times = {one.label: time for one in methods if (time := time_ratio(new, old, one.label))}
    return Changes(new, old, contrasts, sizes, times, tuple(_differing(new, old)))


def judge(contrast: Contrast) -> str:
    """ "worse" or "better" where the adjusted p is below 0.05, else "" (which is not "the same")."""
    if not contrast.significant:
        return ""
    return WORSE if contrast.difference.estimate.mean < 0 else BETTER


def summary_line(changes: Changes) -> str:
    """What a terminal prints."""
    worse, better = changes.found(WORSE), changes.found(BETTER)
    named = ", ".join(f"{method} on {task}" for method, task, _ in worse)
    tests = sum(changes.family_sizes.values())
    return f"{len(worse)} worse{f' ({named})' if named else ''}, {len(better)} better, of {tests} tests"


def _same_questions(new: Run, old: Run, task: str) -> None:
    here, there = new.examples.get(task, {}), old.examples.get(task, {})
    others = [name for name, one in here.items() if name in there and there[name] != one]
    if others:
        raise ReportError(
            f"{len(others)} questions of {task} differ between {new.folder} and {old.folder} under one id (such "
            f"as {others[0]}): compare runs of the same data and seed"
        )


def _differing(new: Run, old: Run) -> Iterator[str]:
    """What was not the same, as "name: old → new"."""
    pairs: dict[str, tuple[Any, Any]] = {
        name: (old.settings.get(name), new.settings.get(name)) for name in {**old.settings, **new.settings}
    }
    before, now = old.sessions[-1], new.sessions[-1]
    pairs |= {name: (before.get(name), now.get(name)) for name in ("commit", "dirty", "versions")}
    versions = [
        {row["label"]: (row.get("spec"), row.get("version")) for row in run.info["methods"]}
        for run in (old, new)
    ]
    wordings = [
        {row["name"]: row.get("wording") for one in run.info["benchmarks"] for row in one["tasks"]}
        for run in (old, new)
    ]
    for kind, (before, after) in (("code or options of", versions), ("wording of", wordings)):
        pairs |= {f"{kind} {name}": (before[name], after[name]) for name in after if name in before}
    for name, (one, two) in pairs.items():
        if one != two:
            yield f"{name}: {one} → {two}"


def _page(changes: Changes, margin: float | None) -> str:
    title = f"{code(changes.new.folder.name)} against {code(changes.old.folder.name)}"
    differing = [f"- {code(line)}" for line in changes.differing]
    return "\n".join(
        [
            f"# {title}\n",
            f"{_summary(changes)}\n",
            markdown(_table(changes, margin)),
            *([markdown(_time_table(changes))] if changes.times else []),
            "## What differs between the runs\n",
            "\n".join(differing)
            or "Nothing that a run folder knows of: settings, code and wording are the same.",
            "",
        ]
    )


def _summary(changes: Changes) -> str:
    worse, better = changes.found(WORSE), changes.found(BETTER)
    if not worse and not better:
        gaps = [one.difference for one in changes.contrasts.values() if one.family == CONFIRMATORY]
        seen = ""
        if gaps and not any(math.isnan(gap.detectable) or gap.estimate.beyond_zero for gap in gaps):
            most = points(max(gap.detectable for gap in gaps))
            seen = f" Before any adjustment, a difference of {most} points or more would reliably (80 % power) show."
        return f"No method is shown to be worse or better than before.{seen}"
    parts = []
    for verdict, places in ((WORSE, worse), (BETTER, better)):
        listed = ", ".join(
            f"{code(method)} on {task if task == MACRO else code(task)} "
            f"({points(changes.contrasts[method, task, ALL].difference.estimate.mean, signed=True)})"
            for method, task, _ in places
        )
        parts += [f"**{verdict.capitalize()} than before:** {listed}."] if places else []
    return " ".join(parts)


def _table(changes: Changes, margin: float | None) -> Table:
    header = [*contrast_header(f"Δ from {changes.old.folder.name}", margin), "verdict"]
    cells = {method.label: method_cell(changes.new, method, baseline="") for method in changes.new.methods}
    rows = [
        [*contrast_row(cells[label], task, contrast, margin), _verdict(contrast)]
        for (label, task, _), contrast in changes.contrasts.items()
    ]
    holm, hochberg = changes.family_sizes[CONFIRMATORY], changes.family_sizes[EXPLORATORY]
    note = (
        "Δ: the method now minus the same method before, on the questions that both runs have answered, in points, "
        "with its 95 % t interval. p: two-sided sign-flip test over clusters (questions about one document form one), "
        f"adjusted after Holm for the macro rows (m = {holm}) and after Benjamini and Hochberg for the tasks (m = "
        f"{hochberg}). {CONTRAST_READING} Worse, better: adjusted p below 0.05, 20 clusters or more and an interval. "
        "Undecided is no proof that nothing changed: see the detectable Δ. Controls are not tested and have no verdict."
    )
    found = [contrast.difference.estimate for contrast in changes.contrasts.values()]
    holds = {FEW: any(one.few for one in found), CONSTANT: any(one.flat for one in found)}
    said = [words for words, true in holds.items() if true]
    asked = [] if margin is None else [margin_note(changes.old.folder.name, margin)]
    notes = [" ".join([note, *said, *unknown_note(found)]), *asked]
    line = _line(changes, changes.family_sizes, margin)
    return Table("New minus old", header, rows, line, notes, names=2)


def _verdict(contrast: Contrast) -> str:
    return NOTHING if contrast.family == CONTROL else judge(contrast) or "undecided"


def _time_table(changes: Changes) -> Table:
    rows: list[Row] = [
        [Cell(method, code=True), str(one.n), ratio_text(one)] for method, one in changes.times.items()
    ]
    few = f" {FEW}" if any(map(rests_on_few, changes.times.values())) else ""
    note = (
        "Geometric mean of the new time over the old on the same question (warm answers), with a t interval on "
        f"the logarithms. It means something only where both runs had the same machine to themselves.{few}"
    )
    return Table("Time", ["method", "n", "time / before"], rows, _line(changes), [note])


def _line(changes: Changes, families: Mapping[str, int] | None = None, margin: float | None = None) -> str:
    """The new run, with the tests where there are any, which are seeded from its key; then the old one."""
    names = {task for _, task, _ in changes.contrasts if task != MACRO}
    tested = signature(changes.new, names, families=families, margin=margin)
    return f"{tested} against {signature(changes.old, names)}"


def _rows(changes: Changes) -> Iterator[tuple[Any, ...]]:
    for (method, task, _), contrast in changes.contrasts.items():
        one, estimate = contrast.difference, contrast.difference.estimate
        test = (contrast.p, contrast.p_adjusted, contrast.family)
        yield (
            *(changes.new.model, method, task, estimate.n, estimate.clusters, *estimate.in_points, *test),
            *(one.wins, one.ties, one.losses, judge(contrast)),
        )
