"""Every number of a report at full precision, scores and differences in points: CSV files and ``report.json``.

``results.csv`` and ``paired.csv`` have a row for every bucket and one for ``all``; a p stands only there.
Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.analysis import ALL, Analysis, Contrast, task_names
from reports.collect import Run
from reports.cost import CostRow
from reports.official import official_means
from reports.score_tables import no_worse
from reports.selection import SelectionRow
from reports.signature import signature
from reports.statistics import Estimate
from reports.tables import Value

SCHEMA = 1
RESULTS = "model,method,task,bucket,n,clusters,mean,low,high,metric"
PAIRED = (
    "model,method,baseline,task,bucket,n,clusters,delta,low,high,p,p_adjusted,family,effect,wins,ties,losses,"
    "correlation,detectable,margin,no_worse,metric"
)
COST = (
    "model,method,task,n,warm,seconds_median,seconds_p90,ratio,ratio_low,ratio_high,tokens_ratio,"
    "prompt_tokens,new_tokens,calls,encoder_tokens,judge_tokens,peak_bytes,retrieval_share,"
    "calibration_seconds,planned,answered,missing,failed,undefined,empty,truncated"
)
SELECTION = (
    "model,method,task,n,clusters,recall,recall_low,recall_high,complete,complete_low,complete_high,cut,"
    "n_inside,inside,inside_low,inside_high,n_outside,outside,outside_low,outside_high"
)

Rows = Iterable[Sequence[Value]]
Data = dict[str, tuple[list[str], list[Sequence[Value]]]]
"""Tables by name: columns, and rows of values."""


def data_tables(
    run: Run,
    analysis: Analysis,
    costs: Mapping[tuple[str, str], CostRow],
    picked: Sequence[SelectionRow],
) -> Data:
    """The numbers of one run: "results", "paired", "cost", "selection"."""
    tables: dict[str, tuple[str, Rows]] = {
        "results": (RESULTS, _result_rows(run, analysis)),
        "paired": (PAIRED, _paired_rows(run, analysis)),
        "cost": (COST, _cost_rows(run, costs)),
        "selection": (SELECTION, _selection_rows(run, picked)),
    }
    return {name: (columns.split(","), list(rows)) for name, (columns, rows) in tables.items()}


def json_text(data: Data, runs: Sequence[tuple[Run, Analysis]], summary: str) -> str:
    """The same tables as one JSON object, with what their numbers rest on; null where there is no number."""
    content = {
        "schema": SCHEMA,
        "summary": summary,
        "runs": [_identity(run, analysis) for run, analysis in runs],
        "tables": {
            name: [dict(zip(columns, map(_json_value, row), strict=True)) for row in rows]
            for name, (columns, rows) in data.items()
        },
    }
    return json.dumps(content, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def _identity(run: Run, analysis: Analysis) -> dict[str, Any]:
    return {
        "settings": dict(run.settings),
        "commit": run.sessions[-1].get("commit"),
        "command": run.commands[-1],
        "signature": signature(
            run, [task.name for task in run.tasks], families=analysis.family_sizes, margin=analysis.margin
        ).strip("`"),
        "families": dict(analysis.family_sizes),
        "failures": run.failures,
    }


def _json_value(value: Value) -> Value:
    """Twelve digits, as in the CSV files: the digits after them are the machine's."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.12g}") if math.isfinite(value) else None


def _result_rows(run: Run, analysis: Analysis) -> Rows:
    rows = [(place, one, task_names(run, place[1])) for place, one in analysis.results.items()]
    rows += [(place, one, each.tasks) for each in official_means(run) for place, one in each.means.items()]
    for place, one, tasks in rows:
        yield run.model, *place, one.n, one.clusters, *one.in_points, _metric(run, tasks)


def _paired_rows(run: Run, analysis: Analysis) -> Rows:
    for (method, task, bucket), contrast in analysis.contrasts.items():
        one, estimate = contrast.difference, contrast.difference.estimate
        place = (run.model, method, run.baseline, task, bucket, estimate.n, estimate.clusters)
        test = (contrast.p, contrast.p_adjusted, contrast.family)
        counts = (one.effect, one.wins, one.ties, one.losses, one.correlation, 100.0 * one.detectable)
        margin = _margin(contrast, analysis.margin, bucket)
        metric = _metric(run, task_names(run, task))
        yield *place, *estimate.in_points, *test, *counts, *margin, metric


def _metric(run: Run, tasks: Sequence[str]) -> str:
    """By which metric the tasks were scored, name and version; every one where they differ."""
    return " + ".join(dict.fromkeys(task.metric for task in run.tasks if task.name in tasks))


def _margin(contrast: Contrast, margin: float | None, bucket: str) -> tuple[Value, Value]:
    """The margin in points, and 1 or 0 for "shown to be no worse by more than it" or "not shown"."""
    if margin is None or bucket != ALL:
        return None, None
    shown = no_worse(contrast, margin)
    return 100.0 * margin, None if shown is None else int(shown)


def _cost_rows(run: Run, costs: Mapping[tuple[str, str], CostRow]) -> Rows:
    for place, row in costs.items():
        ratio = (row.ratio.mean, row.ratio.low, row.ratio.high) if row.ratio else (None, None, None)
        times = (row.n, row.warm, row.median, row.p90, *ratio, row.tokens_ratio)
        tokens = (row.prompt_tokens, row.new_tokens, row.calls, row.encoder_tokens, row.judge_tokens)
        counts = vars(row.tally).values()
        others = (row.peak_bytes, row.retrieval_share, row.calibration)
        yield run.model, *place, *times, *tokens, *others, *counts


def _selection_rows(run: Run, picked: Sequence[SelectionRow]) -> Rows:
    for row in picked:
        shares = (*row.recall.in_points, *row.complete.in_points, 100.0 * row.cut)
        parts = (*_part(row.inside), *_part(row.outside))
        yield run.model, row.method, row.task, row.recall.n, row.recall.clusters, *shares, *parts


def _part(estimate: Estimate | None) -> tuple[Value, ...]:
    return (estimate.n, *estimate.in_points) if estimate else (0, None, None, None)
