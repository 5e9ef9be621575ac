"""The tables beside the scores: what the answers cost, what was selected and read, what failed or is missing.

Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from comparison.records import Record
from reports.analysis import ALL
from reports.collect import Run
from reports.cost import CostRow, tally
from reports.score_tables import mean_text, method_cell, unknown_note
from reports.selection import SelectionRow
from reports.signature import signature
from reports.statistics import Estimate
from reports.tables import NOTHING, Cell, Row, Table, code, memory, number, points

COST_READING = (
    "Seconds per question over warm answers (the first answer of a method and task in a process is left out). The "
    "ratio is the geometric mean of the method's time over the baseline's on the same question, with a t interval on "
    "the logarithms. Tokens and calls are means per answer, peak memory the largest seen, retrieval its "
    "share of the time. By task: `cost.csv`."
)
JUDGE = "Judge tokens are those of the prompt tokens that the model read to compare passages."
CALIBRATION = "Calibration is what measuring the model took once, beside the seconds per question."
RANKING_TOKENS = ("encoder_tokens", "judge_tokens")
"""Columns that stand in the table where a method has any."""
GUESSING = 0.65  # a judge whose two orders agree less often is near guessing (0.5) or answers by position (0)
MOST_ERRORS = 5
ERROR_LENGTH = 160
FAILED = {"zero": "it scores zero", "exclude": "it is left out of means and pairs (--failures exclude)"}


def cost_table(run: Run, costs: Mapping[tuple[str, str], CostRow]) -> Table:
    """One row a method, over all tasks."""
    rows = {one: costs[one.label, ALL] for one in run.methods if (one.label, ALL) in costs}
    header = ["method", "n", "warm", "median s", "90th pct. s", f"time / {run.baseline or 'baseline'}"]
    shown = [name for name in RANKING_TOKENS if any(getattr(row, name) for row in rows.values())]
    header += ["prompt tokens", *(name.replace("_", " ") for name in shown)]
    header += ["new tokens", "model calls", "peak memory", "retrieval"]
    calibrated = any(row.calibration is not None for row in rows.values())
    header += ["calibration s"] if calibrated else []
    body: list[Row] = [
        [method_cell(run, method), *_cost_cells(row, shown, calibrated)] for method, row in rows.items()
    ]
    imported = ", ".join(code(method.label) for method in run.methods if method.imported)
    holds = {
        COST_READING: True,
        JUDGE: "judge_tokens" in shown,
        CALIBRATION: calibrated,
        f"The answers of {imported} were imported, and what they cost is not known.": bool(imported),
    }
    notes = [" ".join(note for note, true in holds.items() if true)]
    return Table("Cost", header, body, signature(run, _names(run)), notes)


def selection_table(run: Run, rows: Sequence[SelectionRow]) -> Table | None:
    """Which methods picked the evidence, and how they read it; None where no method picks any text."""
    if not rows:
        return None
    header = ["method", "task", "n", "evidence recall", "all of it picked", "cut by a border"]
    header += ["score when picked", "n", "score when missed", "n"]
    cells = {method.label: method_cell(run, method) for method in run.methods}
    body: list[Row] = [[cells[row.method], Cell(row.task, code=True), *_selection_cells(row)] for row in rows]
    reading = (
        "Evidence recall: the share (%) of a question's evidence spans that lie wholly inside what the "
        "method picked. A span that a chunk's border cuts counts as missed; the share cut stands beside it. "
        "The two scores split the same answers by whether all the evidence was picked: evidence missed is "
        "an error of selection, points lost with the evidence there are errors of reading. A method that "
        "reads the whole context, or none, has no row."
    )
    means = [one for row in rows for one in (row.recall, row.complete, row.inside, row.outside) if one]
    notes = [" ".join([reading, *unknown_note(means)])]
    judges = _judge_notes(run)
    notes += ["\n".join(judges)] if judges else []
    return Table(
        "Selection and reading", header, body, signature(run, {row.task for row in rows}), notes, names=2
    )


def failure_table(run: Run) -> Table:
    """What was planned and what came of it, by method; below it where, and the commonest errors."""
    header = ["method", "planned", "answered", "missing", "failed", "undefined", "empty", "truncated"]
    body: list[Row] = [
        [method_cell(run, method), *(str(count) for count in vars(tally(run, method.label, ALL)).values())]
        for method in run.methods
    ]
    reading = (
        f"Missing: not asked yet. Failed: ended in an error; {FAILED[run.failures]}, and running the command again "
        "asks anew. Undefined: the method has no answer there by definition, and the question is left out of its means "
        "and pairs. Empty: answered without any text. Truncated: answered from a context that was cut to the model's "
        "window (and marked cut)."
    )
    notes = [f"- {code(note)}" for note in run.notes]
    lists = ["\n".join(lines) for lines in (_gaps(run), _errors(run), notes) if lines]
    return Table("Failures and missing answers", header, body, signature(run, _names(run)), [reading, *lists])


def _names(run: Run) -> list[str]:
    return [task.name for task in run.tasks]


def _cost_cells(row: CostRow, shown: Sequence[str], calibrated: bool) -> list[str]:
    return [
        str(row.n),
        str(row.warm),
        number(row.median, 3),
        number(row.p90, 3),
        ratio_text(row.ratio),
        number(row.prompt_tokens, 0),
        *(number(getattr(row, name), 0) for name in shown),
        number(row.new_tokens, 1),
        number(row.calls, 1),
        memory(row.peak_bytes),
        NOTHING if row.retrieval_share is None else f"{100 * row.retrieval_share:.0f} %",
        *([number(row.calibration, 1)] if calibrated else []),
    ]


def ratio_text(ratio: Estimate | None) -> str:
    """A ratio with its interval; in parentheses, without one, from fewer than 20 clusters. The baseline's own is one
    by definition and has none."""
    if ratio is None:
        return NOTHING
    mean = number(ratio.mean, 2)
    if rests_on_few(ratio):
        return f"({mean})"
    return mean if ratio.flat else f"{mean} [{number(ratio.low, 2)}, {number(ratio.high, 2)}]"


def rests_on_few(ratio: Estimate) -> bool:
    """Whether `ratio_text` puts a ratio in parentheses."""
    return ratio.few and not ratio.flat


def _selection_cells(row: SelectionRow) -> list[str]:
    return [
        str(row.recall.n),
        mean_text(row.recall),
        mean_text(row.complete),
        points(row.cut),
        mean_text(row.inside) if row.inside else NOTHING,
        str(row.inside.n if row.inside else 0),
        mean_text(row.outside) if row.outside else NOTHING,
        str(row.outside.n if row.outside else 0),
    ]


def _judge_notes(run: Run) -> list[str]:
    """How often a pairwise judge's two orders named the same passage, the mean over questions, by method."""
    lines = []
    for method in run.methods:
        records = [row for task in run.tasks for row in run.answers(method.label, task.name).values()]
        rates = [row.details.get("consistency") for row in records]
        found = [rate for rate in rates if isinstance(rate, int | float)]
        if found:
            agreed = sum(found) / len(found)
            doubt = ": too rarely, its order says little" if agreed < GUESSING else ""
            lines.append(
                f"- the judge of {code(method.label)} names the same passage in both orders in "
                f"{100 * agreed:.0f} % of the pairs{doubt}"
            )
    return lines


def _gaps(run: Run) -> list[str]:
    """One line for every method and task with missing, failed or undefined answers."""
    lines = []
    for method in run.methods:
        for task in run.tasks:
            counts = vars(tally(run, method.label, task.name))
            found = [f"{counts[kind]} {kind}" for kind in ("missing", "failed", "undefined") if counts[kind]]
            if found:
                lines.append(
                    f"- {code(method.label)} on {code(task.name)}: {', '.join(found)} of {counts['planned']}"
                )
    return lines


def _errors(run: Run) -> list[str]:
    """The commonest error texts with their counts; an error that names its example is the same on all of them."""
    records = [record for rows in run.records.values() for record in rows.values() if record.error]
    examples: dict[str | None, set[str]] = {}
    for record in records:
        examples.setdefault(record.error, set()).add(record.example)
    # A text that several examples share names none of them, whatever numbers stand in it.
    texts = Counter(
        _nameless(record) if len(examples[record.error]) == 1 else record.error or "" for record in records
    )
    return [f"- {count} × {code(text[:ERROR_LENGTH])}" for text, count in texts.most_common(MOST_ERRORS)]


def _nameless(record: Record) -> str:
    return re.sub(rf"(?<![\w.]){re.escape(record.example)}(?!\w|\.\d)", "ID", record.error or "")
