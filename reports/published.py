"""Published numbers set beside a run's own on request, and never mixed with them.

Prompts, limits on the output, versions of the metrics and cuts of the context differ from ours: agreement supports
nothing but plausibility, and no difference to them is tested. A number of ours stands only beside one of the same
benchmark, task, bucket and method. The numbers and their sources: `reports.published_numbers`.
Exercised by ``python -m reports RUN_DIR --paper``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from reports.analysis import ALL, pair
from reports.collect import Run
from reports.cost import octave, warm_seconds
from reports.published_numbers import (
    CATEGORIES,
    EXTENSION,
    FALCON3,
    FORK,
    GIGABYTES,
    INFINITE_TASKS,
    LENGTHS,
    LONGBENCH,
    LONGBENCH_CATEGORIES,
    MULTI_HOP,
    NUMBERS,
    SECONDS,
    TRUNCATED,
    Published,
)
from reports.score_tables import mean_text, unknown_note
from reports.signature import signature
from reports.statistics import Estimate
from reports.tables import NOTHING, Cell, Row, Table, code, number

SETTINGS = (
    "Here and in the tables that follow, the published numbers were made by others with other prompts, limits on the "
    "output, cuts of the context and versions of the metrics; none has an interval, and no difference to them is "
    "tested. Ours stands where this run has the same benchmark, task, bucket and method (its label beside it where it "
    "was run with options), and a mean of ours only where the run has all of its tasks, each weighing the same. Plain "
    f"reading is set beside our {code('full')}."
)
"""Under the first of the tables."""
HEADER: Row = ("reader", "benchmark or task", "method", "published", "ours", "source")
WHOLE = {
    "longbench": LONGBENCH,
    "longbench_e": tuple(task for tasks in CATEGORIES.values() for task in tasks),
    "longbench_v2": ("longbench_v2",),
    "infinitebench": INFINITE_TASKS,
}


def published_tables(run: Run) -> list[Table]:
    """What is published for the run's reader (for one without any, the LongBench means of the others), and what
    touches its tasks and lengths: multi-hop sets, context extension and truncation by category, efficiency."""
    line = signature(run, [task.name for task in run.tasks])
    makers = (_by_reader, _multi_hop, _extension, _truncated, _efficiency)
    return [table for make in makers if (table := make(run, line))]


def _by_reader(run: Run, line: str) -> Table:
    names = {str(run.settings.get("path", "")).casefold(), run.model.casefold()}
    own = [one for one in NUMBERS if one.model.casefold() in names]
    if own:
        title = f"Published for {code(own[0].model)}, under other settings"
        opening = "Read as a check of plausibility, not as a comparison."
        found = [_ours(run, one) for one in own]
    else:
        own = [one for one in NUMBERS if one.benchmark == "longbench" and not one.task]
        title = "Published for other readers, under other settings"
        opening = (
            f"Nothing is published for {code(run.model)}; these numbers only show what is usual elsewhere."
        )
        found = [None] * len(own)
    rows = [_row(run, Cell(one.model, code=True), one, ours) for one, ours in zip(own, found, strict=True)]
    return Table(title, HEADER, rows, line, [_note(f"{opening} {SETTINGS}", found)], names=3)


def _multi_hop(run: Run, line: str) -> Table | None:
    if not any(_task_names(run, one.benchmark, [one.task], one.source) for one in MULTI_HOP):
        return None
    opening = (
        f"The source does not name the reader of the published numbers; ours are of {code(run.model)}. Only how "
        "the methods stand to each other can be read across."
    )
    found = [_ours(run, one) for one in MULTI_HOP]
    rows = [_row(run, "not named", one, ours) for one, ours in zip(MULTI_HOP, found, strict=True)]
    title = "Published for multi-hop questions, under other settings"
    return Table(title, HEADER, rows, line, [_note(opening, found)], names=3)


def _extension(run: Run, line: str) -> Table | None:
    """The published rows, then ours of the same methods where the run has all tasks of a category."""
    rows: list[Row] = [
        ["published", "Mamba-1.4B", Cell(method, code=True), *(number(value, 2) for value in values)]
        for method, values in EXTENSION.items()
    ]
    opening = (
        "LongBench_e by category. The published reader was trained at 2,048 tokens; ours is another one. The "
        "source's means are left out, as they are over different sets of tasks."
    )
    title = "Published for context extension, under other settings"
    return _by_category(run, line, title, opening, "longbench_e", CATEGORIES, rows, tuple(EXTENSION))


def _truncated(run: Run, line: str) -> Table | None:
    """Readers whose contexts were cut in the middle, then our `truncate`."""
    rows: list[Row] = [
        ["published", reader, f"cut to {tokens:,} tokens", *(number(value, 2) for value in values)]
        for (reader, tokens), values in TRUNCATED.items()
    ]
    opening = (
        "LongBench by category, contexts cut in the middle, from a benchmark of cache compression; of the "
        "synthetic tasks probably passage_retrieval_en alone."
    )
    title = "Published for truncated contexts, under other settings"
    return _by_category(run, line, title, opening, "longbench", LONGBENCH_CATEGORIES, rows, ("truncate",))


def _by_category(
    run: Run,
    line: str,
    title: str,
    opening: str,
    benchmark: str,
    categories: Mapping[str, Sequence[str]],
    published: Sequence[Row],
    methods: Sequence[str],
) -> Table | None:
    """Published rows and ours of `methods`; none where the run has no task of the benchmark."""
    if not any(_task_names(run, benchmark, [task], "") for tasks in categories.values() for task in tasks):
        return None
    rows, shown = list(published), []
    for method in methods:
        found = [_estimate(run, method, benchmark, list(tasks), ALL, "") for tasks in categories.values()]
        shown += found
        if any(found):
            cells = [mean_text(one) if one else NOTHING for one in found]
            rows.append(["ours", Cell(run.model, code=True), Cell(_label(run, method), code=True), *cells])
    header: Row = ["", "reader", "method", *categories]
    return Table(title, header, rows, line, [_note(opening, shown)], names=3)


def _efficiency(run: Run, line: str) -> Table | None:
    """Seconds and memory by length; None where no answer of the run has a length among the published."""
    seconds, memory = {}, {}
    for method in SECONDS:
        seconds[method], memory[method] = _measured(run, method)
    if not any(seconds.values()):
        return None
    rows: list[Row] = []
    for what, published, ours, digits in (
        ("seconds", SECONDS, seconds, 3),
        ("peak memory, GB", GIGABYTES, memory, 2),
    ):
        for method, values in published.items():
            name = Cell(method, code=True)
            own = [number(ours[method].get(size), digits) for size in LENGTHS]
            rows.append([what, name, "published", *(number(value, 1) for value in values)])
            rows.append([what, name, _marked(run, "ours", method), *own])
    note = (
        f"Published: {code(FALCON3)} on one GPU, which the source does not name. Ours: {code(run.model)} on "
        f"{code(str(run.settings.get('device', 'an unknown device')))}, the median over warm answers and the "
        "largest memory (1 GB is 1,000,000,000 bytes) over the contexts whose length is nearest to that power of "
        "two. Reader and machine differ: only how a row grows with the length can be read across."
    )
    title = "Published for efficiency by length, under other settings"
    header: Row = ["", "method", "", *(f"{size // 1024}K" for size in LENGTHS)]
    return Table(title, header, rows, line, [note], names=3)


def _measured(run: Run, method: str) -> tuple[dict[int, float], dict[int, float]]:
    """Median seconds and peak gigabytes of a method by octave of the context's length."""
    seconds: dict[int, list[float]] = {}
    memory: dict[int, float] = {}
    for task in run.tasks:
        for record in run.answers(_label(run, method), task.name).values():
            took, place = warm_seconds(record), octave(record.length) if record.length > 0 else 0
            if took and record.error is None and place in LENGTHS:
                seconds.setdefault(place, []).append(took)
                peak = float(record.cost.get("peak_bytes") or 0) / 1e9
                memory[place] = max(memory.get(place, 0.0), peak)
    medians = {place: float(np.median(values)) for place, values in seconds.items()}
    return medians, {place: peak for place, peak in memory.items() if peak}


def _row(run: Run, reader: Cell | str, one: Published, ours: Estimate | None) -> Row:
    cell = _marked(run, mean_text(ours), one.method) if ours else NOTHING
    return [reader, one.name, Cell(one.method, code=True), str(one.value), cell, one.source]


def _marked(run: Run, text: str, method: str) -> Cell:
    """What stands for our method of that name, with its label where that has options."""
    label = _label(run, method)
    return Cell(text, after="" if label in ("", method) else f"({label})")


def _note(opening: str, found: Sequence[Estimate | None]) -> str:
    return " ".join([opening, *unknown_note(one for one in found if one)])


def _ours(run: Run, one: Published) -> Estimate | None:
    tasks = [one.task] if one.task else WHOLE[one.benchmark]
    return _estimate(run, one.method, one.benchmark, tasks, one.bucket, one.source)


def _estimate(
    run: Run, method: str, benchmark: str, tasks: Sequence[str], bucket: str, source: str
) -> Estimate | None:
    """The mean of our method over tasks of a benchmark in one bucket; None where one of them is missing."""
    names, label = _task_names(run, benchmark, tasks, source), _label(run, method)
    own = pair(run, label, label, names) if len(names) == len(tasks) else None
    part = own.within(bucket) if own else None
    if part is None or len(set(part.tasks)) < len(tasks):
        return None
    return part.mean()


def _label(run: Run, name: str) -> str:
    """The label of a method of that name, without options rather than with."""
    labels = [method.label for method in run.methods if method.label.split(":")[0] == name]
    return min(labels, key=len, default="")


def _task_names(run: Run, benchmark: str, tasks: Sequence[str], source: str) -> list[str]:
    """What those of a benchmark's tasks are called that the run has. OPRM's own wording (``-paper``) comes first
    for OPRM's numbers, the official one for the others'."""
    called: dict[str, list[str]] = {}
    for name, bare in _bare_names(run, benchmark):
        called.setdefault(bare, []).append(name)
    official = source == FORK
    return [
        min(called[task], key=lambda name: name.endswith("-paper") == official)
        for task in tasks
        if task in called
    ]


def _bare_names(run: Run, benchmark: str) -> Iterator[tuple[str, str]]:
    """The run's tasks of a benchmark, each with its name in the benchmark: ``hotpotqa`` for
    ``mine-hotpotqa_e-paper`` of the benchmark that is labelled ``mine``."""
    for row in run.info["benchmarks"]:
        spec = str(row.get("spec", ""))
        if spec.partition(":")[0] != benchmark:
            continue
        for task in row["tasks"]:
            bare = str(task["name"])
            bare = bare.removeprefix(f"{row.get('label', spec)}-").removesuffix("-paper")
            yield str(task["name"]), bare.removesuffix("_e") if benchmark == "longbench_e" else bare
