"""What the answers cost and how many came: latency, tokens, calls, memory, and what failed or is missing.

Latencies and their ratio to the baseline take warm examples only (the first answer of a method and task in a
process pays for loading and compiling), tokens and memory every answer. Exercised by ``python -m reports
RUN_DIR``, which writes ``cost.csv``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from comparison.records import Record
from reports import statistics
from reports.analysis import ALL
from reports.collect import Run
from reports.statistics import Estimate

RETRIEVAL_PHASE = "retrieve"
Answers = Mapping[tuple[str, str], Record]


@dataclass(frozen=True)
class Tally:
    """How many of the planned answers came, and how. `answered` counts scored answers that did not fail."""

    planned: int
    answered: int
    missing: int
    failed: int
    undefined: int
    empty: int
    truncated: int


@dataclass(frozen=True)
class CostRow:
    """One method on one task, or on all of them. Seconds are per example, over the `warm` of the `n` answers;
    tokens and calls are means per example, `judge_tokens` that part of the prompt tokens which the reader read
    as a judge of passages; `peak_bytes` is the largest seen; `ratio` is the geometric mean
    over examples of this method's seconds over the baseline's, `tokens_ratio` this method's prompt tokens over the
    baseline's, both on the examples that both have answered; `calibration` the seconds that measuring the reader
    took once, before the answers. None stands where nothing was measured."""

    n: int
    warm: int
    median: float | None
    p90: float | None
    ratio: Estimate | None
    tokens_ratio: float | None
    prompt_tokens: float
    new_tokens: float
    calls: float
    encoder_tokens: float
    judge_tokens: float
    peak_bytes: int
    retrieval_share: float | None
    calibration: float | None
    tally: Tally


def cost_rows(run: Run) -> dict[tuple[str, str], CostRow]:
    """A row for every method and task with metered answers, and one over all tasks, by (method, task)."""
    rows: dict[tuple[str, str], CostRow] = {}
    for method in run.methods:
        for name in [ALL, *(task.name for task in run.tasks)]:
            row = _cost_row(run, method.label, name)
            if row:
                rows[method.label, name] = row
    return rows


def tally(run: Run, method: str, task: str) -> Tally:
    """Count a method's answers on one task, or on ``all``. What is planned is what ``run.json`` says."""
    if task == ALL:
        each = [tally(run, method, info.name) for info in run.tasks]
        columns = zip(*((vars(one).values()) for one in each), strict=True)
        return Tally(*(sum(column) for column in columns))
    records = run.answers(method, task).values()
    planned = next(info.n for info in run.tasks if info.name == task)
    answered = [record for record in records if record.error is None]
    return Tally(
        planned=planned,
        answered=len(answered),
        missing=max(0, planned - len(records)),
        failed=sum(record.failed for record in records),
        undefined=sum(record.final and record.error is not None for record in records),
        empty=sum(record.empty for record in answered),
        truncated=sum(record.truncated for record in answered),
    )


def _cost_row(run: Run, method: str, task: str) -> CostRow | None:
    answers = _answers(run, method, task)
    if not any(record.cost for record in answers.values()):
        return None  # no answer yet, or all of them imported
    warm = np.array([seconds for record in answers.values() if (seconds := warm_seconds(record))])
    costs = [record.cost for record in answers.values()]
    base = _answers(run, run.baseline, task)
    return CostRow(
        n=len(answers),
        warm=len(warm),
        median=float(np.median(warm)) if len(warm) else None,
        p90=float(np.percentile(warm, 90)) if len(warm) else None,
        ratio=_ratio(answers, base),
        tokens_ratio=_tokens_ratio(answers, base),
        prompt_tokens=_mean(costs, "prompt_tokens"),
        new_tokens=_mean(costs, "new_tokens"),
        calls=_mean(costs, "calls"),
        encoder_tokens=_mean(costs, "encoder_tokens"),
        judge_tokens=sum(judge_tokens(record.details) for record in answers.values()) / len(answers),
        peak_bytes=max(int(cost.get("peak_bytes") or 0) for cost in costs),
        retrieval_share=_retrieval_share(costs),
        calibration=max(_calibrations(answers.values()), default=None),
        tally=tally(run, method, task),
    )


def _answers(run: Run, method: str, task: str) -> dict[tuple[str, str], Record]:
    """The records without an error, by (task, example); failures did not do the whole work and would look
    cheap."""
    names = [info.name for info in run.tasks] if task == ALL else [task]
    return {
        (name, example): record
        for name in names
        for example, record in run.answers(method, name).items()
        if record.error is None
    }


def time_ratio(new: Run, old: Run, method: str) -> Estimate | None:
    """A method's seconds in one run over those in another, on the same questions."""
    return _ratio(_answers(new, method, ALL), _answers(old, method, ALL))


def _tokens_ratio(answers: Answers, base: Answers) -> float | None:
    shared = [place for place in answers if place in base]
    own, other = (
        sum(_count(one[place].cost, "prompt_tokens") for place in shared) for one in (answers, base)
    )
    return own / other if other else None


def _ratio(answers: Answers, base: Answers) -> Estimate | None:
    ratios, clusters = [], []
    for place, record in answers.items():
        own, other = warm_seconds(record), warm_seconds(base[place]) if place in base else 0.0
        if own and other:
            ratios.append(own / other)
            clusters.append(record.cluster or place[1])
    return statistics.log_ratio_interval(ratios, clusters) if ratios else None


def warm_seconds(record: Record) -> float:
    """Wall time of a warm answer, 0 where there is none."""
    return 0.0 if record.cold else float(record.cost.get("seconds", {}).get("total", 0.0))


def _retrieval_share(costs: Iterable[Mapping]) -> float | None:
    """Time spent in retrieval over all time; None for a method that names no such phase."""
    phases = [cost.get("seconds", {}) for cost in costs]
    total = sum(phase.get("total", 0.0) for phase in phases)
    if not total or not any(RETRIEVAL_PHASE in phase for phase in phases):
        return None
    return sum(phase.get(RETRIEVAL_PHASE, 0.0) for phase in phases) / total


def _calibrations(records: Iterable[Record]) -> list[float]:
    """The seconds of every calibration that the answers name in their details (a plugin's can hold anything)."""
    found = (record.details.get("calibration_seconds") for record in records)
    return [float(seconds) for seconds in found if isinstance(seconds, int | float)]


def judge_tokens(details: Any) -> int:
    """What the reader read to compare passages, by a record's details (those of a plugin can hold anything);
    a fusion of rankers has it in its parts."""
    if not isinstance(details, Mapping):
        return 0
    own, parts = details.get("judge_tokens"), details.get("parts")
    inner = sum(map(judge_tokens, parts)) if isinstance(parts, list) else 0
    return inner + (own if isinstance(own, int) else 0)


def _mean(costs: list[Mapping], name: str) -> float:
    return sum(_count(cost, name) for cost in costs) / len(costs)


def _count(cost: Mapping, name: str) -> float:
    return float(cost.get(name) or 0)


def octave(length: int) -> int:
    """The power of two that is nearest to a length on a logarithmic scale."""
    return int(2 ** round(math.log2(length)))
