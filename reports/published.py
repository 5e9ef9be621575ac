"""Published numbers of the four recurrent readers, to be set beside ours on request, and never mixed with them.

From Ben-Kish et al. 2025 (OPRM, arXiv 2505.07793; the LongBench means are read off a chart, to about 0.1) and
from an independent evaluation of RWKV-6 with truncated contexts. Prompts, output limits, metrics' versions
and cuts differ from ours: agreement supports nothing but plausibility, and no difference to them is tested.
Exercised by ``python -m reports RUN_DIR --paper``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reports.analysis import ALL, MACRO, Analysis
from reports.collect import Run
from reports.score_tables import mean_text
from reports.signature import signature
from reports.tables import NOTHING, Cell, Row, Table, code

FALCON = "tiiuae/falcon-mamba-7b-instruct"
FALCON3 = "tiiuae/Falcon3-Mamba-7B-Instruct"
GEMMA = "google/recurrentgemma-9b-it"
RWKV = "RWKV/v6-Finch-7B-HF"
CHART = "OPRM paper, chart (about ±0.1)"
OPRM_TABLE = "OPRM paper"
FORK = "independent evaluation, 4,096 tokens, no chat markers"
MEAN = "LongBench mean"
LONGBENCH = frozenset(
    "narrativeqa qasper multifieldqa_en hotpotqa 2wikimqa musique gov_report qmsum multi_news trec triviaqa "
    "samsum passage_count passage_retrieval_en lcc repobench-p".split()
)


@dataclass(frozen=True)
class Published:
    """One number in points: `method` is the name of ours that comes closest, `task` a task's name or a mean."""

    model: str
    method: str
    task: str
    value: float
    source: str


def _pairs(model: str, source: str, rows: str) -> Iterator[Published]:
    """Lines of "task | plain | OPRM"; a dash where nothing was published."""
    for line in rows.strip().split("\n"):
        task, *values = (part.strip() for part in line.split("|"))
        for method, value in zip(("full", "oprm"), values, strict=True):
            if value != "-":
                yield Published(model, method, task, float(value), source)


_FIGURE = {
    FALCON: "LongBench mean|24.7|31.7\nLongBench_e 0-4k|31.7|37.0\nLongBench_e 4-8k|26.8|34.2\n"
    "LongBench_e 8k+|20.2|33.7",
    FALCON3: "LongBench mean|28.2|32.2\nLongBench_e 0-4k|32.8|36.3\nLongBench_e 4-8k|31.7|33.7\n"
    "LongBench_e 8k+|30.4|33.8",
    GEMMA: "LongBench mean|19.0|28.6\nLongBench_e 0-4k|20.7|32.0\nLongBench_e 4-8k|18.5|30.5\n"
    "LongBench_e 8k+|17.9|29.4",
    RWKV: "LongBench mean|16.3|24.6\nLongBench_e 0-4k|25.7|27.4\nLongBench_e 4-8k|12.6|25.1\n"
    "LongBench_e 8k+|13.0|26.0",
}
_V2 = {GEMMA: "26.2", RWKV: "22.7", FALCON: "29.4", FALCON3: "30.8"}
_INFINITE = """
passkey | 0 | 99.8
number_string | 0 | 100
kv_retrieval | 0 | 31.3
longbook_sum_eng | 20.1 | 22.08
longbook_qa_eng | 11.0 | 23.2
longbook_choice_eng | 45.4 | 59.4
longdialogue_qa_eng | 4.0 | 8.0
code_debug | 27.1 | 24.56
code_run | 0 | 0
math_calc | 0 | 0
math_find | 26.86 | 33.14
InfiniteBench mean | 12.2 | 36.5
"""
_TRUNCATED = (
    "narrativeqa 20.75 qasper 40.20 multifieldqa_en 36.01 hotpotqa 22.74 2wikimqa 16.30 musique 10.49 "
    "gov_report 31.64 qmsum 21.31 multi_news 26.06 trec 55.5 triviaqa 86.89 samsum 44.25 passage_count 5.0 "
    "lcc 73.84 repobench-p 54.10"
).split()
NUMBERS: tuple[Published, ...] = (
    *(one for model, rows in _FIGURE.items() for one in _pairs(model, CHART, rows)),
    *(Published(model, "oprm", "LongBench v2", float(value), OPRM_TABLE) for model, value in _V2.items()),
    *_pairs(FALCON3, OPRM_TABLE, _INFINITE),
    *(
        Published(RWKV, "truncate", task, float(value), FORK)
        for task, value in zip(_TRUNCATED[::2], _TRUNCATED[1::2], strict=True)
    ),
)


def published_tables(run: Run, analysis: Analysis) -> list[Table]:
    """The published numbers of the run's reader, ours beside them where the run has the task and the method;
    for a reader without any, the LongBench means of the others."""
    names = {str(run.settings.get("path", "")).casefold(), run.model.casefold()}
    own = [one for one in NUMBERS if one.model.casefold() in names]
    if own:
        title = f"Published for {code(own[0].model)}, under other settings"
        opening = "Read as a check of plausibility, not as a comparison."
    else:
        own = [one for one in NUMBERS if one.task == MEAN]
        title = "Published for other readers, under other settings"
        opening = (
            f"Nothing is published for {code(run.model)}; these numbers only show what is usual elsewhere."
        )
    note = (
        f"{opening} The published numbers were made by others with other prompts, limits on the output, cuts of "
        "the context and versions of the metrics; none has an interval, and no difference to them is tested. "
        "Ours stands where this run has the same task and method; a mean of ours stands only where every task "
        f"of this run is one of LongBench's. Plain reading is set beside our {code('full')}."
    )
    header: Row = ["reader", "benchmark or task", "method", "published", "ours", "source"]
    rows: list[Row] = [
        [
            Cell(one.model, code=True),
            one.task,
            Cell(one.method, code=True),
            f"{one.value:g}",
            *_ours(run, analysis, one),
        ]
        for one in own
    ]
    line = signature(run, analysis, [task.name for task in run.tasks])
    return [Table(title, header, rows, line, [note], names=3)]


def _ours(run: Run, analysis: Analysis, one: Published) -> Iterable[Cell | str]:
    mine = one.model.casefold() in (run.model.casefold(), str(run.settings.get("path", "")).casefold())
    place = (_method(run, one.method), _task(run, one.task), ALL)
    estimate = analysis.results.get(place) if mine else None
    return [mean_text(estimate) if estimate else NOTHING, one.source]


def _method(run: Run, name: str) -> str:
    """The label of a method of that name, without options rather than with."""
    labels = [method.label for method in run.methods if method.label.split(":")[0] == name]
    return min(labels, key=len, default="")


def _task(run: Run, name: str) -> str:
    """The task of that name, behind a benchmark's label too; the mean where all tasks are LongBench's."""
    bare = {task.name: _bare(task.name) for task in run.confirmatory}
    if name == MEAN:
        return MACRO if bare and set(bare.values()) <= LONGBENCH else ""
    return next((task for task, plain in bare.items() if plain == name), "")


def _bare(task: str) -> str:
    return next((name for name in LONGBENCH if re.search(rf"(^|[-_/]){re.escape(name)}$", task)), task)
