"""The tables of scores and of differences from the baseline: main, unanswerable, paired, by bucket.

What is bold, marked or put in parentheses follows one rule everywhere: bold is the best method and every one
whose paired interval to it includes zero or does not exist (of one without width, `statistics.lowest` decides);
an arrow is a difference from the baseline that has an interval and an adjusted p below 0.05; a value from fewer
than 20 clusters stands in parentheses and carries neither. Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from reports.analysis import (
    ALL,
    CONFIRMATORY,
    CONTROL,
    EXPLORATORY,
    MACRO,
    SIGNIFICANT,
    Analysis,
    Contrast,
    Place,
    task_names,
)
from reports.collect import MethodInfo, Run
from reports.signature import signature
from reports.statistics import FEW_CLUSTERS, Estimate, lowest
from reports.tables import NOTHING, Cell, Row, Table, code, interval, number, p_value, points

REASON = 160
"""Characters shown of why a row of the data was left out."""
BUCKET_WORDS = {"facts": "number of facts", "length": "length", "hops": "hops", "bucket": "bucket"}
CONSTANT = (
    "An interval without width: all clusters differ by the same amount, and nothing is known of the spread."
)
FEW = f"In parentheses: from fewer than {FEW_CLUSTERS} clusters, too few to trust an interval or to claim anything."
READING = (
    "Scores are means in points (0 to 100) ± half the width of their 95 % t interval; [low, high] behind a score is "
    "Wilson's interval, where all answers are right or all wrong. Intervals are not cut where they reach beyond "
    "the scale; pictures of scores are.",
    "Questions about one document form a cluster; intervals and tests count clusters, not questions. "
    f"{FEW} –: there is no such number. {CONSTANT}",
)
"""What holds for every table of a report."""
NO_INTERVAL = "no interval"
NO_WIDTH = "an interval without width"
UNKNOWN = (
    "No interval: nothing is known of the spread where one of the tasks has a single cluster (no method is told from "
    "another there) or where all answers on each task score alike."
)
UNLIKE = (
    "The methods have not all answered the same questions: bold goes by those that all have answered (controls and "
    "methods in parentheses aside)."
)
CONTROLS = (
    "A control is a yardstick: from above where it is shown the answer key, from below where it reads nothing or a "
    "part drawn at random. It neither competes nor is tested: its p is not adjusted and supports no claim."
)
CONTRAST_READING = (
    "r: correlation of the two columns of scores; d: mean over standard deviation of the differences; detectable Δ: "
    "the smallest true difference that the test, before adjustment, would find in 80 % of runs with as many clusters "
    "and as much spread, within tasks and between them."
)


def main_table(run: Run, analysis: Analysis) -> Table | None:
    """Methods by confirmatory tasks, the macro mean last; None where there are no such tasks."""
    if not run.confirmatory:
        return None
    names = [*task_names(run, MACRO), MACRO]
    notes = [
        "The macro column weighs every task alike.",
        *_marks(run, analysis),
        *_without_macro(run, analysis),
    ]
    return _score_table(run, analysis, "Main table", names, notes)


def absent_table(run: Run, analysis: Analysis) -> Table | None:
    """The unanswerable tasks, which enter no mean; None where there are none."""
    names = [task.name for task in run.tasks if not task.confirmatory]
    if not any(task in names for _, task, _ in analysis.results):
        return None
    reading = (
        "The answer is not in the text: the share of questions, in points, on which a method says so. A "
        "method that always refuses scores 100 here and 0 on other questions, which is why these tasks never enter the "
        "macro mean."
    )
    marks = ["Bold and arrows are as in the main table."] if run.confirmatory else _marks(run, analysis)
    title = "Unanswerable questions: says Error when the answer is absent"
    return _score_table(run, analysis, title, names, [reading, *marks])


def paired_tables(run: Run, analysis: Analysis) -> list[Table]:
    """Each method minus the baseline: the macro row, then task by task."""
    holm, hochberg = analysis.family_sizes[CONFIRMATORY], analysis.family_sizes[EXPLORATORY]
    reading = (
        f"Δ: the method minus {code(run.baseline)} on the questions that both have answered, in points, with its 95 % "
        f"t interval. p: two-sided sign-flip test over clusters. {CONTRAST_READING}"
    )
    margin = [] if analysis.margin is None else [margin_note(run.baseline, analysis.margin)]
    notes = [f"{reading} p adjusted: after Holm, over the m = {holm} methods tested.", *margin]
    means = _paired_table(run, analysis, "Confirmatory: the mean over tasks", [MACRO], notes)
    explored = f"p adjusted: after Benjamini and Hochberg, over m = {hochberg} tests."
    notes = [f"{explored} The rest as above."] if means.rows else [f"{reading} {explored}", *margin]
    tasks = [task.name for task in run.tasks]
    table = _paired_table(run, analysis, "Exploratory: task by task", tasks, notes)
    return [one for one in (means, table) if one.rows]


def bucket_tables(run: Run, analysis: Analysis) -> list[Table]:
    """For every task with more than one bucket: scores by bucket, then differences from the baseline."""
    gaps = {place: one.difference.estimate for place, one in analysis.contrasts.items()}
    reading = f"In points, the method minus {code(run.baseline)} [95 % t interval]; nothing is tested."
    tables = []
    for task in run.tasks:
        places = [(task.name, bucket) for bucket in run.buckets[task.name]]
        if len(places) < 2:
            continue
        title = f"{code(task.name)} by {BUCKET_WORDS[run.bucket_names[task.name]]}"
        scores = part_table(run, analysis.results, title, places, [task.name])
        title += f": difference from {code(run.baseline)}"
        differences = _by_place(run, title, places, gaps, _delta_interval, scores.signature, [reading])
        tables += [scores, differences] if differences.rows else [scores]
    return tables


def part_table(
    run: Run,
    results: Mapping[Place, Estimate],
    title: str,
    places: Sequence[tuple[str, str]],
    tasks: Sequence[str],
    notes: Sequence[str] = (),
) -> Table:
    """Methods by parts of what `tasks` ask: a column for each of `places`, (task, bucket) among the results."""
    return _by_place(run, title, places, results, partial(_part, run), signature(run, tasks), notes)


def method_cell(run: Run, method: MethodInfo, baseline: str | None = None) -> Cell:
    """A method's name with what every table must say of it: whether its context was cut to the reader's
    window, whether it is the `baseline` (the run's) or a control, whether its answers were made elsewhere."""
    answers = (run.answers(method.label, task.name).values() for task in run.tasks)
    cut = any(record.truncated for records in answers for record in records)
    base = method.label == (run.baseline if baseline is None else baseline)
    facts = {"cut": cut, "baseline": base, "control": method.control}
    marks = [word for word, holds in (facts | {"imported": method.imported}).items() if holds]
    return Cell(method.label, code=True, after=f"({', '.join(marks)})" if marks else "")


def mean_text(estimate: Estimate) -> str:
    """A mean in points with its interval, where it has one; in parentheses, without one, from fewer than 20
    clusters."""
    mean = points(estimate.mean)
    if estimate.few:
        return f"({mean})"
    if estimate.rule == "wilson":
        return f"{mean} {interval(estimate.low, estimate.high)}"
    if math.isnan(estimate.low):
        return f"{mean} ({NO_INTERVAL})"
    return f"{mean} ± {points(estimate.mean - estimate.low)}"


def unknown_note(estimates: Iterable[Estimate]) -> list[str]:
    """What to say below a table in which means or differences from enough clusters have no interval."""
    return [UNKNOWN] if any(math.isnan(one.low) and not one.few for one in estimates) else []


def _score_table(
    run: Run, analysis: Analysis, title: str, names: Sequence[str], notes: Sequence[str]
) -> Table:
    unlike = [] if all(analysis.rankings[name].alike for name in names) else [UNLIKE]
    places = [(name, ALL) for name in names]
    score, line = partial(_score, analysis), _tested(run, analysis, names)
    table = _by_place(run, title, places, analysis.results, score, line, [*notes, *unlike])
    unused = _left_out(run, names)
    return replace(table, notes=[*table.notes, "\n".join(unused)]) if unused else table


def _by_place(
    run: Run,
    title: str,
    places: Sequence[tuple[str, str]],
    found: Mapping[Place, Estimate],
    shown: Callable[[Place, Estimate], Cell],
    line: str,
    notes: Sequence[str] = (),
) -> Table:
    """Methods by `places` (task, bucket), in every cell what was `found` there; no row for a method without any."""
    columns = [[one for key, one in found.items() if key[1:] == place] for place in places]
    names = [Cell(task, code=task != MACRO) if part == ALL else Cell(part) for task, part in places]
    header = [_sized(name, column) for name, column in zip(names, columns, strict=True)]
    rows: list[Row] = []
    for method in run.methods:
        own = [(method.label, *place) for place in places]
        if any(place in found for place in own):
            cells = [shown(place, found[place]) if place in found else Cell(NOTHING) for place in own]
            rows.append([method_cell(run, method), *cells])
    note = " ".join([*notes, *unknown_note(one for column in columns for one in column)])
    return Table(title, ["method", *header], rows, line, [note] if note else [])


def _left_out(run: Run, names: Sequence[str]) -> list[str]:
    """One point of a list for every task with rows that could not be used, of its data or of imported predictions."""
    lines = []
    for task in run.tasks:
        if task.name not in names:
            continue
        lines += [
            f"- {code(task.name)}, predictions of {code(label)}: {code(loss[:REASON])}"
            for label, loss in task.import_losses
        ]
        if task.left_out:
            first = f", the first: {code(task.left_out_first[:REASON])}" if task.left_out_first else ""
            rows = "row" if task.left_out == 1 else "rows"
            lines.append(
                f"- {code(task.name)}: {task.left_out} {rows} of the data could not be used and enter no number"
                f"{first}"
            )
    return lines


def _score(analysis: Analysis, place: Place, estimate: Estimate) -> Cell:
    contrast, arrow = analysis.contrasts.get(place), ""
    if contrast and contrast.significant:
        arrow = "▲" if contrast.difference.estimate.mean > 0 else "▼"
    leads = place[0] in analysis.rankings[place[1]].leaders
    return Cell(mean_text(estimate), strong=leads, after=arrow, about=place)


def _part(run: Run, place: Place, estimate: Estimate) -> Cell:
    """A mean that leads to its questions, where these are a bucket's."""
    return Cell(mean_text(estimate), about=place if place[2] in run.buckets.get(place[1], ()) else None)


def _delta_interval(_: Place, estimate: Estimate) -> Cell:
    delta = _delta_text(estimate)
    return Cell(delta if estimate.few else f"{delta} {interval(estimate.low, estimate.high, signed=True)}")


def _sized(name: Cell, found: Sequence[Estimate]) -> Cell:
    """A column's name with n and, where they differ, clusters; a range where methods answered unequally."""
    if not found:
        return name
    n, clusters = _range(one.n for one in found), _range(one.clusters for one in found)
    return replace(name, after=f"(n {n})" if n == clusters else f"(n {n}, clusters {clusters})")


def _range(counts: Iterable[int]) -> str:
    values = list(counts)
    return "–".join(dict.fromkeys([str(min(values)), str(max(values))]))


def _tested(run: Run, analysis: Analysis, names: Sequence[str]) -> str:
    """The signature of a table with tests."""
    tasks = {task for name in names for task in task_names(run, name)}
    return signature(run, tasks, families=analysis.family_sizes, margin=analysis.margin)


def _marks(run: Run, analysis: Analysis) -> list[str]:
    """What bold and the arrows mean; arrows only where something is tested."""
    bold = (
        "**Bold**: the best method, and those that are not told from it, as the 95 % interval of the difference "
        "includes zero; controls do not compete."
    )
    if not run.baseline or not any(analysis.family_sizes.values()):
        return [bold]
    return [
        bold,
        f"▲ ▼: above or below {code(run.baseline)} with an adjusted p below {SIGNIFICANT} (the macro column after "
        "Holm, the tasks after Benjamini and Hochberg).",
    ]


def _without_macro(run: Run, analysis: Analysis) -> list[str]:
    """Which methods have no macro mean, and for want of which tasks."""
    notes = []
    for method in run.methods:
        lacking = [
            task for task in task_names(run, MACRO) if (method.label, task, ALL) not in analysis.results
        ]
        if lacking:
            tasks = ", ".join(code(task) for task in lacking)
            notes.append(f"{code(method.label)} has no macro mean: it has no scored answer on {tasks}.")
    return notes


def _paired_table(
    run: Run, analysis: Analysis, title: str, names: Sequence[str], notes: Sequence[str]
) -> Table:
    header = contrast_header(f"Δ from {run.baseline}", analysis.margin)
    found = [
        (method, name, contrast)
        for name in names
        for method in run.methods
        if (contrast := analysis.contrasts.get((method.label, name, ALL)))
    ]
    rows = [
        contrast_row(method_cell(run, method), name, contrast, analysis.margin)
        for method, name, contrast in found
    ]
    notes = [*notes, *unknown_note(contrast.difference.estimate for *_, contrast in found)]
    return Table(title, header, rows, _tested(run, analysis, names), notes, names=2)


def contrast_header(delta: str, margin: float | None) -> list[str]:
    """The columns of a table of differences, the first two holding names."""
    header = ["method", "task", "n", "clusters", delta, "95 % interval", "p", "p adjusted", "r", "d"]
    header += ["win / tie / loss", "detectable Δ"]
    return header if margin is None else [*header, f"no worse by {100 * margin:g}"]


def contrast_row(method: Cell, task: str, contrast: Contrast, margin: float | None) -> list[Cell | str]:
    """The cells under `contrast_header`; "not shown" is not "worse"."""
    difference, estimate = contrast.difference, contrast.difference.estimate
    cells: list[Cell | str] = [
        method,
        Cell(task, code=task != MACRO),
        str(estimate.n),
        str(estimate.clusters),
        Cell(_delta_text(estimate), about=(method.text, task, ALL)),
        interval(estimate.low, estimate.high, signed=True),
        p_value(contrast.p),
        p_value(contrast.p_adjusted),
        number(difference.correlation, 2),
        number(difference.effect, 2, signed=True),
        f"{difference.wins} / {difference.ties} / {difference.losses}",
        points(difference.detectable),
    ]
    if margin is not None:
        cells.append({None: NOTHING, True: "yes", False: "not shown"}[no_worse(contrast, margin)])
    return cells


def no_worse(contrast: Contrast, margin: float) -> bool | None:
    """Whether a method is shown to be no worse than the baseline by more than a margin (0 to 1); None for
    controls and for fewer than 20 clusters."""
    if contrast.family == CONTROL or contrast.difference.estimate.few:
        return None
    return lowest(contrast.difference) > -margin


def margin_note(reference: str, margin: float) -> str:
    """How to read the column of `no_worse`."""
    return (
        f"No worse by {100 * margin:g} (non-inferiority, --margin): yes where the method is shown to be at most that "
        f"much worse than {code(reference)}: its t interval and a Wilson interval both lie above {points(-margin)}. "
        "Wilson's, the wider one where few questions differ, takes Δ for the share of clusters, or questions, that "
        "went from right to wrong. Not shown does not mean worse; each method is judged by itself, without adjustment."
    )


def _delta_text(estimate: Estimate) -> str:
    delta = points(estimate.mean, signed=True)
    return f"({delta})" if estimate.few else delta
