"""The tables of scores and of differences from the baseline: main, unanswerable, paired, by bucket.

What is bold, marked or put in parentheses follows one rule everywhere: bold is the best method and every one
whose paired interval to it includes zero or does not exist (of one without width, `statistics.lowest` decides);
an arrow is a difference from the baseline that has
an interval and an adjusted p below 0.05; a value from fewer than 20 clusters stands in parentheses and carries
neither. Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

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
FEW = f"In parentheses: fewer than {FEW_CLUSTERS} clusters, too few to trust an interval or to give a marker."
NO_INTERVAL = "no interval"
NO_WIDTH = "an interval without width"
UNKNOWN = (
    "No interval: nothing is known of the spread where one of the tasks of the mean has a single cluster (no method "
    "is told from another there) or where all answers on each of its tasks score alike."
)
CONSTANT = "An interval without width: all clusters differ by the same amount, and its spread is not known."
UNLIKE = "Where methods have not answered the same examples, bold goes by those that all who compete have answered."
CONTROL_NOTE = (
    "A control is a yardstick (it sees the answer key, or reads nothing, or a part drawn at random): "
    "measured, and in no family of tests."
)

UNTESTED = "Controls are in no family: their p is not adjusted and supports no claim."


def main_table(run: Run, analysis: Analysis) -> Table | None:
    """Methods by confirmatory tasks, the macro mean last; None where there are no such tasks."""
    if not run.confirmatory:
        return None
    names = [*task_names(run, MACRO), MACRO]
    reading = (
        "Mean score in points (0 to 100) ± half the width of its 95 % interval, clustered; [low, high] is "
        "Wilson's interval, where all answers are right or all wrong. The macro column weighs every task "
        "alike. **Bold**: the best method and every one whose paired interval to it includes zero; controls "
        "do not compete."
    )
    notes = [reading + _arrow_note(run, analysis), *_without_macro(run, analysis)]
    return _score_table(run, analysis, "Main table", names, notes)


def absent_table(run: Run, analysis: Analysis) -> Table | None:
    """The unanswerable tasks, which enter no mean; None where there are none."""
    names = [task.name for task in run.tasks if not task.confirmatory]
    if not any(task in names for _, task, _ in analysis.results):
        return None
    reading = (
        "The answer is not in the text: the share of questions, in points, on which a method says so. A "
        "method that always refuses scores 100 here and 0 above, which is why these tasks never enter the "
        "macro mean. Bold and arrows are as in the main table."
    )
    title = "Unanswerable questions: says Error when the answer is absent"
    return _score_table(run, analysis, title, names, [reading])


def paired_tables(run: Run, analysis: Analysis) -> list[Table]:
    """Each method minus the baseline: the macro row, then task by task."""
    tasks = [task.name for task in run.tasks]
    holm, hochberg = analysis.family_sizes[CONFIRMATORY], analysis.family_sizes[EXPLORATORY]
    confirmed = f"p is adjusted after Holm over the m = {holm} methods tested."
    explored = f"p is adjusted after Benjamini and Hochberg over m = {hochberg} tests."
    tables = [
        _paired_table(run, analysis, "Confirmatory: the mean over tasks", [MACRO], confirmed),
        _paired_table(run, analysis, "Exploratory: task by task", tasks, explored),
    ]
    return [table for table in tables if table.rows]


def bucket_tables(run: Run, analysis: Analysis) -> list[Table]:
    """For every task with more than one bucket: scores by bucket, then differences from the baseline."""
    tables = []
    for task in run.tasks:
        found = run.buckets[task.name]
        if len(found) < 2:
            continue
        title = f"{code(task.name)} by {BUCKET_WORDS[run.bucket_names[task.name]]}"
        places = [(task.name, bucket) for bucket in found]
        tables.append(part_table(run, analysis.results, title, places, [task.name]))
        title += f": difference from {code(run.baseline)}"
        differences = _bucket_differences(run, analysis, title, places)
        tables += [differences] if differences.rows else []
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
    shown = {place: one for place, one in results.items() if place[1:] in places}
    rows: list[Row] = [
        [
            method_cell(run, method),
            *(_bucket_cell(run, (method.label, *one), shown.get((method.label, *one))) for one in places),
        ]
        for method in run.methods
        if any((method.label, *one) in shown for one in places)
    ]
    columns = [[one for key, one in shown.items() if key[1:] == place] for place in places]
    header = [_sized(Cell(bucket), column) for (_, bucket), column in zip(places, columns, strict=True)]
    found = [" ".join([*notes, *few_note(shown.values())])]
    return Table(title, ["method", *header], rows, signature(run, tasks), [note for note in found if note])


def method_cell(run: Run, method: MethodInfo) -> Cell:
    """A method's name with what every table must say of it: whether its context was cut to the reader's
    window, whether it is the baseline or a control, whether its answers were made elsewhere."""
    answers = (run.answers(method.label, task.name).values() for task in run.tasks)
    cut = any(record.truncated for records in answers for record in records)
    facts = {"cut": cut, "baseline": method.label == run.baseline, "control": method.control}
    marks = [word for word, holds in (facts | {"imported": method.imported}).items() if holds]
    return Cell(method.label, code=True, after=f"({', '.join(marks)})" if marks else "")


def mean_text(estimate: Estimate) -> str:
    """A mean in points with its interval, where it has one; in parentheses, without one, from fewer than 20
    clusters."""
    mean = points(estimate.mean)
    if estimate.clusters < FEW_CLUSTERS:
        return f"({mean})"
    if estimate.rule == "wilson":
        return f"{mean} {interval(estimate.low, estimate.high)}"
    if math.isnan(estimate.low):
        return f"{mean} ({NO_INTERVAL})"
    return f"{mean} ± {points(estimate.mean - estimate.low)}"


def few_note(estimates: Iterable[Estimate]) -> list[str]:
    """What to say below a table in which means or differences have no interval, or differences one without width."""
    found = list(estimates)
    enough = [one for one in found if one.clusters >= FEW_CLUSTERS]
    holds = {
        CONSTANT: any(one.flat for one in enough),
        FEW: len(enough) < len(found),
        UNKNOWN: any(math.isnan(one.low) for one in enough),
    }
    return [note for note, found in holds.items() if found]


def _score_table(
    run: Run, analysis: Analysis, title: str, names: Sequence[str], notes: Sequence[str]
) -> Table:
    shown = {place: one for place, one in analysis.results.items() if place[1] in names and place[2] == ALL}
    header: Row = ["method", *(_heading(analysis, name) for name in names)]
    rows: list[Row] = [
        [method_cell(run, method), *(_score(analysis, method.label, name) for name in names)]
        for method in run.methods
        if any(place[0] == method.label for place in shown)
    ]
    controls = [CONTROL_NOTE] if any(method.control for method in run.methods) else []
    unlike = [] if all(analysis.rankings[name].alike for name in names) else [UNLIKE]
    unused = _left_out(run, names)
    notes = [
        " ".join([*notes, *unlike, *controls, *few_note(shown.values())]),
        *(["\n".join(unused)] if unused else []),
    ]
    return Table(title, header, rows, _tested(run, analysis, names), notes)


def _left_out(run: Run, names: Sequence[str]) -> list[str]:
    """One point of a list for every task with rows that could not be used, of its data or of imported predictions."""
    lines = []
    for task in run.tasks:
        if task.name in names:
            lines += [
                f"- {code(task.name)}, predictions of {code(label)}: {code(loss[:REASON])}"
                for label, loss in task.import_losses
            ]
        if task.left_out and task.name in names:
            first = f", the first: {code(task.left_out_first[0][:REASON])}" if task.left_out_first else ""
            rows = "row" if task.left_out == 1 else "rows"
            lines.append(
                f"- {code(task.name)}: {task.left_out} {rows} of the data could not be used and enter no number"
                f"{first}"
            )
    return lines


def _score(analysis: Analysis, method: str, task: str) -> Cell:
    estimate = analysis.results.get((method, task, ALL))
    if estimate is None:
        return Cell(NOTHING)
    contrast, arrow = analysis.contrasts.get((method, task, ALL)), ""
    if contrast and contrast.significant and estimate.clusters >= FEW_CLUSTERS:
        arrow = "▲" if contrast.difference.estimate.mean > 0 else "▼"
    leads = method in analysis.rankings[task].leaders
    return Cell(mean_text(estimate), strong=leads, after=arrow, about=(method, task, ALL))


def _heading(analysis: Analysis, task: str) -> Cell:
    found = [one for (_, name, bucket), one in analysis.results.items() if (name, bucket) == (task, ALL)]
    return _sized(Cell(task, code=task != MACRO), found)


def _sized(name: Cell, found: Sequence[Estimate]) -> Cell:
    """A column's name with n and, where they differ, clusters; a range where methods answered unequally."""
    if not found:
        return name
    n, clusters = _range(one.n for one in found), _range(one.clusters for one in found)
    return replace(name, after=f"(n {n})" if n == clusters else f"(n {n}, clusters {clusters})")


def _range(counts: Iterable[int]) -> str:
    values = sorted(set(counts))
    return str(values[0]) if len(values) == 1 else f"{values[0]}–{values[-1]}"


def _tested(run: Run, analysis: Analysis, names: Sequence[str]) -> str:
    """The signature of a table with tests."""
    tasks = list(dict.fromkeys(task for name in names for task in task_names(run, name)))
    return signature(run, tasks, families=analysis.family_sizes, margin=analysis.margin)


def _arrow_note(run: Run, analysis: Analysis) -> str:
    if not run.baseline or not any(analysis.family_sizes.values()):
        return ""
    return (
        f" ▲ ▼: above or below {code(run.baseline)} with an adjusted p below {SIGNIFICANT} (the macro column "
        "after Holm, the tasks after Benjamini and Hochberg)."
    )


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


def _paired_table(run: Run, analysis: Analysis, title: str, names: Sequence[str], adjustment: str) -> Table:
    header = contrast_header(f"Δ from {run.baseline}", analysis.margin)
    places = [(method, name) for name in names for method in run.methods]
    found = [
        (method, name, contrast)
        for method, name in places
        if (contrast := analysis.contrasts.get((method.label, name, ALL)))
    ]
    rows: list[Row] = [
        [
            method_cell(run, method),
            Cell(name, code=name != MACRO),
            *contrast_cells(contrast, about=(method.label, name, ALL)),
            *([] if analysis.margin is None else [no_worse_text(contrast, analysis.margin)]),
        ]
        for method, name, contrast in found
    ]
    reading = (
        f"Δ: the method minus {code(run.baseline)} on the questions both have answered, in points, with its "
        f"cluster-robust 95 % t interval; p: two-sided cluster sign-flip test. {adjustment} r: correlation "
        "of the two methods' scores; d: mean over standard deviation of the differences; detectable Δ: the "
        "smallest true difference that the test, before adjustment, would show with 80 % power, given this many "
        f"clusters{' and tasks that pull as far apart as these' if names == [MACRO] else ''}."
    )
    controls = [UNTESTED] if any(contrast.family == CONTROL for *_, contrast in found) else []
    margin = [] if analysis.margin is None else [margin_note(run.baseline, analysis.margin)]
    unknown = few_note(contrast.difference.estimate for *_, contrast in found)
    notes = [" ".join([reading, *margin, *controls, *unknown])]
    line = _tested(run, analysis, names)
    return Table(title, header, rows, line, notes, names=2)


def contrast_header(delta: str, margin: float | None) -> list[str]:
    """The columns of a table of differences, the first two holding names."""
    header = ["method", "task", "n", "clusters", delta, "95 % interval", "p", "p adjusted", "r", "d"]
    header += ["win / tie / loss", "detectable Δ"]
    return header if margin is None else [*header, f"no worse by {100 * margin:g}"]


def no_worse(contrast: Contrast, margin: float) -> bool | None:
    """Whether a method is shown to be no worse than the baseline by more than a margin (0 to 1); None for
    controls and for fewer than 20 clusters."""
    if contrast.family == CONTROL or contrast.few:
        return None
    return lowest(contrast.difference) > -margin


def no_worse_text(contrast: Contrast, margin: float) -> str:
    """`no_worse` as a cell: "not shown" is not "worse"."""
    return {None: NOTHING, True: "yes", False: "not shown"}[no_worse(contrast, margin)]


def margin_note(reference: str, margin: float) -> str:
    """How to read the column of `no_worse_text`."""
    return (
        f"No worse by {100 * margin:g} (non-inferiority; the margin was given with --margin): yes where the "
        f"interval's lower end lies above {points(-margin)}, and Wilson's too, with Δ taken for a share of clusters "
        "or questions lost whole (a t interval of few losses is too narrow), so that the method is at most that much "
        f"worse than {code(reference)}; each method is judged by itself, without a correction for their number."
    )


def contrast_cells(contrast: Contrast, about: Place) -> list[Cell | str]:
    """The cells of one row after its two names, without the margin's."""
    difference, estimate = contrast.difference, contrast.difference.estimate
    return [
        str(estimate.n),
        str(estimate.clusters),
        Cell(_delta_text(estimate), about=about),
        interval(estimate.low, estimate.high, signed=True),
        p_value(contrast.p),
        p_value(contrast.p_adjusted),
        number(difference.correlation, 2),
        number(difference.effect, 2, signed=True),
        f"{difference.wins} / {difference.ties} / {difference.losses}",
        points(difference.detectable),
    ]


def _delta_text(estimate: Estimate) -> str:
    delta = points(estimate.mean, signed=True)
    return f"({delta})" if estimate.clusters < FEW_CLUSTERS else delta


def _bucket_cell(run: Run, place: Place, estimate: Estimate | None) -> Cell:
    """A mean that leads to its questions, where these are a bucket's."""
    if estimate is None:
        return Cell(NOTHING)
    return Cell(mean_text(estimate), about=place if place[2] in run.buckets.get(place[1], ()) else None)


def _bucket_differences(run: Run, analysis: Analysis, title: str, places: Sequence[tuple[str, str]]) -> Table:
    found = {
        place: one.difference.estimate for place, one in analysis.contrasts.items() if place[1:] in places
    }
    rows: list[Row] = [
        [method_cell(run, method), *(_delta_interval(found.get((method.label, *place))) for place in places)]
        for method in run.methods
        if any((method.label, *place) in found for place in places)
    ]
    columns = [[one for key, one in found.items() if key[1:] == place] for place in places]
    sized = [_sized(Cell(bucket), column) for (_, bucket), column in zip(places, columns, strict=True)]
    notes = few_note(found.values())
    line = signature(run, [places[0][0]])
    return Table(title, ["method", *sized], rows, line, [" ".join(notes)] if notes else [])


def _delta_interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return NOTHING
    if estimate.clusters < FEW_CLUSTERS:
        return _delta_text(estimate)
    return f"{_delta_text(estimate)} {interval(estimate.low, estimate.high, signed=True)}"
