"""Every number of a report, from the columns of a run: means, differences, adjusted p-values, leaders.

Two test families, fixed before any run: the macro row of each method (confirmatory, Holm) and its task rows
(exploratory, Benjamini-Hochberg). Controls are in neither, so that they inflate none: their p is not
adjusted. Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from comparison.records import canonical_digest
from reports import statistics
from reports.collect import ALL, MACRO, Column, MethodInfo, Run
from reports.statistics import Difference, Estimate

CONFIRMATORY = "confirmatory"
EXPLORATORY = "exploratory"
CONTROL = "control"
SIGNIFICANT = 0.05

Place = tuple[str, str, str]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Pairs:
    """The examples that two methods have both answered: scores [n] of each, clusters [n], buckets [n], tasks
    [n]."""

    first: np.ndarray
    second: np.ndarray
    clusters: np.ndarray
    buckets: np.ndarray
    tasks: np.ndarray

    def within(self, bucket: str) -> Pairs:
        if bucket == ALL:
            return self
        return Pairs(*(column[self.buckets == bucket] for column in vars(self).values()))

    def mean(self) -> Estimate:
        """Of the first method."""
        return statistics.mean_interval(self.first, self.clusters, self.tasks)

    def difference(self) -> Difference:
        return statistics.difference(self.first, self.second, self.clusters, self.tasks)


@dataclass(frozen=True)
class Contrast:
    """A method against the baseline in one place. `p` is None outside the bucket ``all``; `family` is ""
    there, and "control" wherever the method is one (with a p that belongs to no family and is never
    adjusted)."""

    difference: Difference
    family: str
    p: float | None = None
    p_adjusted: float | None = None

    @property
    def significant(self) -> bool:
        shown = self.p_adjusted is not None and self.p_adjusted < SIGNIFICANT
        return shown and not self.difference.estimate.few and not math.isnan(self.difference.estimate.low)


@dataclass(frozen=True)
class Ranking:
    """The methods that compete in a column of the tables, on the examples that all of them have answered: `means`
    by label; `best`, and in `gaps` how far it lies above each of the others (none of either where these examples
    come from fewer than 20 clusters); `alike` where all have answered the same ones.

    Controls do not compete, nor do methods with answers from fewer than 20 clusters."""

    means: Mapping[str, Estimate] = field(default_factory=dict)
    gaps: Mapping[str, Difference] = field(default_factory=dict)
    best: str = ""
    alike: bool = True

    @property
    def leaders(self) -> tuple[str, ...]:
        """The best method, then those that no interval tells from it; one without width tells only what
        `statistics.lowest` makes of it."""
        level = (
            label
            for label, gap in self.gaps.items()
            if not (statistics.lowest(gap) if gap.estimate.flat else gap.estimate.low) > 0.0
        )
        return (self.best, *level) if self.best else ()


@dataclass(frozen=True)
class Analysis:
    """All results of a run by (method, task, bucket); `rankings` by task; `family_sizes` the m of each correction;
    `margin` (0 to 1) how much worse than the baseline counts as no worse, where that was asked for."""

    results: dict[Place, Estimate]
    contrasts: dict[Place, Contrast]
    rankings: dict[str, Ranking]
    family_sizes: dict[str, int]
    margin: float | None = None


def analyse(run: Run, margin: float | None = None) -> Analysis:
    """Compute everything that the tables print; with a `margin` (0 to 1), also which methods are no worse
    than the baseline by more than it."""
    names = [*(task.name for task in run.tasks), MACRO]
    results = _results(run, names)
    contrasts, sizes = adjust(_contrasts(run, names))
    return Analysis(results, contrasts, {name: _ranking(run, name, results) for name in names}, sizes, margin)


def task_names(run: Run, task: str) -> tuple[str, ...]:
    """The tasks that a row of the tables stands for: itself, or every confirmatory one for the macro row."""
    return tuple(info.name for info in run.confirmatory) if task == MACRO else (task,)


def pair(run: Run, first: str, second: str, tasks: Sequence[str]) -> Pairs | None:
    """Pair two methods of a run by example id over `tasks`; see `pair_columns`."""
    return pair_columns(
        [run.columns.get((first, task)) for task in tasks],
        [run.columns.get((second, task)) for task in tasks],
    )


def pair_columns(firsts: Sequence[Column | None], seconds: Sequence[Column | None]) -> Pairs | None:
    """Pair columns of the same tasks by example id; None where one of the tasks has no example in both.

    A mean over fewer tasks than the others' would not be comparable with them, so none is given.
    """
    pieces = []
    for number, (one, two) in enumerate(zip(firsts, seconds, strict=True)):
        shared = [example for example in one.ids if example in two.places] if one and two else []
        if not (one and two and shared):
            return None
        here = [one.places[example] for example in shared]
        there = [two.places[example] for example in shared]
        number_of_task = np.full(len(shared), number)
        pieces.append(
            (one.scores[here], two.scores[there], one.clusters[here], one.buckets[here], number_of_task)
        )
    return Pairs(*(np.concatenate(column) for column in zip(*pieces, strict=True))) if pieces else None


def _results(run: Run, tasks: Sequence[str]) -> dict[Place, Estimate]:
    results: dict[Place, Estimate] = {}
    for label in (method.label for method in run.methods):
        for task in tasks:
            # A column paired with itself is the column, over one task or over all of the macro row.
            own = pair(run, label, label, task_names(run, task))
            if own is None:
                continue
            for bucket in (ALL, *run.buckets.get(task, ())):
                part = own.within(bucket)
                if len(part.first):
                    results[label, task, bucket] = part.mean()
    return results


def _contrasts(run: Run, tasks: Sequence[str]) -> dict[Place, Contrast]:
    contrasts: dict[Place, Contrast] = {}
    others = [method for method in run.methods if run.baseline and method.label != run.baseline]
    for method in others:
        for task in tasks:
            pairs = pair(run, method.label, run.baseline, task_names(run, task))
            if pairs is None:
                continue
            seeded = (run.key, "sign-flip", method.label, run.baseline, task)
            contrasts[method.label, task, ALL] = tested(pairs, method, task, seeded)
            for bucket in run.buckets.get(task, ()):
                part = pairs.within(bucket)
                if len(part.first):
                    family = CONTROL if method.control else ""
                    contrasts[method.label, task, bucket] = Contrast(part.difference(), family)
    return contrasts


def tested(pairs: Pairs, method: MethodInfo, task: str, seeded: Sequence[str]) -> Contrast:
    """A row's difference with the sign-flip test, whose draws follow from what it is `seeded` from."""
    family = CONTROL if method.control else CONFIRMATORY if task == MACRO else EXPLORATORY
    seed = int(canonical_digest(seeded)[:16], 16)
    p = statistics.sign_flip(pairs.first - pairs.second, pairs.clusters, pairs.tasks, seed=seed)
    return Contrast(pairs.difference(), family, p)


def adjust(contrasts: Mapping[Key, Contrast]) -> tuple[dict[Key, Contrast], dict[str, int]]:
    """The contrasts with their adjusted p-values, family by family, and the size m of each family."""
    contrasts, sizes = dict(contrasts), {}
    for family, correct in ((CONFIRMATORY, statistics.holm), (EXPLORATORY, statistics.benjamini_hochberg)):
        places = [place for place, contrast in contrasts.items() if contrast.family == family]
        sizes[family] = len(places)
        adjusted = correct([contrasts[place].p or 0.0 for place in places])
        for place, value in zip(places, adjusted, strict=True):
            contrasts[place] = replace(contrasts[place], p_adjusted=float(value))
    return contrasts, sizes


def _ranking(run: Run, task: str, results: Mapping[Place, Estimate]) -> Ranking:
    rivals = [
        method.label
        for method in run.methods
        if not method.control and (estimate := results.get((method.label, task, ALL)))
        if not estimate.few
    ]
    if len(rivals) < 2:
        return Ranking()
    columns = _shared(run, rivals, task_names(run, task))
    means = {label: own.mean() for label in rivals if (own := pair_columns(columns[label], columns[label]))}
    alike = all(label in means and means[label].n == results[label, task, ALL].n for label in rivals)
    if not means or any(one.few for one in means.values()):
        return Ranking(means, alike=alike)
    # One that only ties with the baseline does not beat it.
    best = max(rivals, key=lambda label: (round(means[label].mean, 12), label == run.baseline))
    gaps = {
        label: pairs.difference()
        for label in rivals
        if label != best and (pairs := pair_columns(columns[best], columns[label]))
    }
    return Ranking(means, gaps, best, alike)


def _shared(run: Run, labels: Sequence[str], tasks: Sequence[str]) -> dict[str, list[Column]]:
    """The columns of methods over `tasks`, of the examples that all of these methods have answered."""
    shared = [set.intersection(*(set(run.columns[label, task].ids) for label in labels)) for task in tasks]
    return {
        label: [run.columns[label, task].among(ids) for task, ids in zip(tasks, shared, strict=True)]
        for label in labels
    }
