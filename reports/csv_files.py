"""The CSV files of a report: every number of its tables at full precision, scores and differences in points.

``results.csv`` and ``paired.csv`` have a row for every bucket and one for ``all``; a p stands only there.
Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reports.analysis import Analysis
from reports.collect import Run
from reports.cost import CostRow
from reports.selection import SelectionRow
from reports.statistics import Estimate
from reports.tables import Value, csv_text

RESULTS = "model,method,task,bucket,n,clusters,mean,low,high"
PAIRED = (
    "model,method,baseline,task,bucket,n,clusters,delta,low,high,p,p_adjusted,family,effect,wins,ties,losses"
)
COST = (
    "model,method,task,n,warm,seconds_median,seconds_p90,ratio,ratio_low,ratio_high,"
    "prompt_tokens,new_tokens,calls,encoder_tokens,peak_bytes,retrieval_share,"
    "planned,answered,missing,failed,undefined,empty,truncated"
)
SELECTION = (
    "model,method,task,n,clusters,recall,recall_low,recall_high,complete,complete_low,complete_high,cut,"
    "n_inside,inside,inside_low,inside_high,n_outside,outside,outside_low,outside_high"
)

Rows = Iterable[Sequence[Value]]


def csv_files(
    run: Run,
    analysis: Analysis,
    costs: Mapping[tuple[str, str], CostRow],
    picked: Sequence[SelectionRow],
) -> dict[str, str]:
    """The files' contents by name."""
    files: dict[str, tuple[str, Rows]] = {
        "results.csv": (RESULTS, _result_rows(run, analysis)),
        "paired.csv": (PAIRED, _paired_rows(run, analysis)),
        "cost.csv": (COST, _cost_rows(run, costs)),
        "selection.csv": (SELECTION, _selection_rows(run, picked)),
    }
    return {name: csv_text(columns.split(","), rows) for name, (columns, rows) in files.items()}


def _result_rows(run: Run, analysis: Analysis) -> Rows:
    for (method, task, bucket), one in analysis.results.items():
        yield run.model, method, task, bucket, one.n, one.clusters, *_points(one)


def _paired_rows(run: Run, analysis: Analysis) -> Rows:
    for (method, task, bucket), contrast in analysis.contrasts.items():
        one, estimate = contrast.difference, contrast.difference.estimate
        place = (run.model, method, run.baseline, task, bucket, estimate.n, estimate.clusters)
        test = (contrast.p, contrast.p_adjusted, contrast.family)
        yield *place, *_points(estimate), *test, one.effect, one.wins, one.ties, one.losses


def _cost_rows(run: Run, costs: Mapping[tuple[str, str], CostRow]) -> Rows:
    for row in costs.values():
        ratio = (row.ratio.mean, row.ratio.low, row.ratio.high) if row.ratio else (None, None, None)
        times = (row.n, row.warm, row.median, row.p90, *ratio)
        tokens = (row.prompt_tokens, row.new_tokens, row.calls, row.encoder_tokens, row.peak_bytes)
        counts = vars(row.tally).values()
        yield run.model, row.method, row.task, *times, *tokens, row.retrieval_share, *counts


def _selection_rows(run: Run, picked: Sequence[SelectionRow]) -> Rows:
    for row in picked:
        shares = (*_points(row.recall), *_points(row.complete), 100.0 * row.cut)
        parts = (*_part(row.inside), *_part(row.outside))
        yield run.model, row.method, row.task, row.n, row.clusters, *shares, *parts


def _part(estimate: Estimate | None) -> tuple[Value, ...]:
    return (estimate.n, *_points(estimate)) if estimate else (0, None, None, None)


def _points(estimate: Estimate) -> tuple[float, float, float]:
    return 100.0 * estimate.mean, 100.0 * estimate.low, 100.0 * estimate.high
