"""What LongBench reports of itself beside a mean over tasks: the average over its six categories (Bai et al. 2024,
``eval.py``), and the easy and the hard questions of LongBench v2 (Bai et al. 2025).

Both follow from the tags of the records. Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.analysis import Place, pair
from reports.collect import Run
from reports.score_tables import part_table
from reports.statistics import Estimate, mean_interval
from reports.tables import Table, code

CATEGORY_MEAN = "category mean"
TASK_MEAN = "task mean"
NOTE = (
    f"{CATEGORY_MEAN.capitalize()}: the mean over the categories of the means of their English tasks, {{there}} here; "
    "over all of LongBench's 16 it is the official average, as it is at each length over all 13 of LongBench_E. "
    f"{TASK_MEAN.capitalize()}: every one of these tasks weighs the same, as in the macro column."
)


@dataclass(frozen=True)
class Official:
    """Means over parts of `tasks` by (method, benchmark or task, part), and how to read them."""

    title: str
    tasks: tuple[str, ...]
    means: Mapping[Place, Estimate]
    notes: tuple[str, ...] = ()


def official_means(run: Run) -> list[Official]:
    """One for every LongBench, LongBench_E and LongBench v2 of the run that has more than one part."""
    found = []
    for row in run.info["benchmarks"]:
        spec, names = str(row.get("spec", "")), [str(task["name"]) for task in row["tasks"]]
        if spec.partition(":")[0] in ("longbench", "longbench_e"):
            found.append(_by_category(run, str(row.get("label", spec)), names))
        elif spec.partition(":")[0] == "longbench_v2":
            found += [_by_difficulty(run, name) for name in names]
    return [one for one in found if len(_places(one)) > 1]


def official_tables(run: Run) -> list[Table]:
    """`official_means` as tables."""
    return [
        part_table(run, one.means, one.title, _places(one), one.tasks, one.notes)
        for one in official_means(run)
    ]


def _places(one: Official) -> list[tuple[str, str]]:
    return list(dict.fromkeys((name, part) for _, name, part in one.means))


def _by_category(run: Run, label: str, names: Sequence[str]) -> Official:
    """The category means, the mean over them and that over the tasks; then, where there are buckets, the mean over
    categories in each. A mean needs an answer on each of its tasks."""
    categories: dict[str, list[str]] = {}
    for name in names:
        tags = _tags(run, name)
        # Code counts as English, and its rows name the language that it is written in.
        if "category" in tags and tags.get("language") != "zh":
            categories.setdefault(str(tags["category"]), []).append(name)
    tasks = tuple(name for group in categories.values() for name in group)
    above = np.repeat(np.arange(len(categories)), [len(group) for group in categories.values()])
    buckets = list(dict.fromkeys(bucket for name in tasks for bucket in run.buckets[name]))
    means: dict[Place, Estimate] = {}
    for method in run.methods if len(categories) > 1 else ():
        place = method.label, label
        for category, group in categories.items():
            if part := pair(run, method.label, method.label, group):
                means[*place, category] = part.mean()
        if not (own := pair(run, method.label, method.label, tasks)):
            continue
        columns = own.first, own.clusters, own.tasks, above[own.tasks]
        means[*place, CATEGORY_MEAN] = mean_interval(*columns)
        means[*place, TASK_MEAN] = own.mean()
        for bucket in buckets if len(buckets) > 1 else ():
            there = own.buckets == bucket
            if len(set(own.tasks[there])) == len(tasks):
                means[*place, f"{CATEGORY_MEAN}, {bucket}"] = mean_interval(*(one[there] for one in columns))
    return Official(f"{code(label)} by category", tasks, means, (NOTE.format(there=len(tasks)),))


def _by_difficulty(run: Run, task: str) -> Official:
    means: dict[Place, Estimate] = {}
    for method in run.methods:
        levels: dict[str, set[str]] = {}
        for example, record in run.answers(method.label, task).items():
            levels.setdefault(str(record.tags.get("difficulty", "")), set()).add(example)
        column = run.columns.get((method.label, task))
        for level, examples in sorted(levels.items()):
            part = column.among(examples) if column and level else None
            if part and part.size:
                means[method.label, task, level] = mean_interval(part.scores, part.clusters)
    return Official(f"{code(task)} by difficulty", (task,), means)


def _tags(run: Run, task: str) -> Mapping[str, Any]:
    """Those of a task's first record: category and language are the same on all of them."""
    rows = (run.answers(method.label, task).values() for method in run.methods)
    return next((record.tags for records in rows for record in records), {})
