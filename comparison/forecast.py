"""For a dry run: the smallest difference that the planned comparison can show, and what each method would read.

Lengths are counted in the reader's tokens whatever the benchmark counts in, on a few examples a task, so that a
dry run stays quick. Exercised by ``python run_compare.py --dry-run``.
"""

from __future__ import annotations

from collections.abc import Sequence

import methods
from benchmarks.base import CountTokens
from comparison.grid import PlannedTask
from comparison.plan import Plan, Resolved
from reports.planning import PlannedSize, plan_lines, planned_cost

SAMPLED = 10
"""Examples a task whose tokens are counted."""


def forecast(plan: Plan, tasks: Sequence[PlannedTask], count_tokens: CountTokens) -> str:
    """What the comparison can show, task by task, and the prompt tokens and calls of each method."""
    sizes = [PlannedSize(one.task.name, len(one.examples), one.clusters, one.confirmatory) for one in tasks]
    lines = [f"can show {line}" for line in plan_lines(sizes)]
    if found := [place for place, line in enumerate(lines) if line.endswith("points")]:
        lines[found[0]] += " (80 % power at a paired sd of 0.5)"
    counted = [_lengths(one, count_tokens) for one in tasks]
    width = max(len(method.label) for method in plan.methods)
    for method in plan.methods:
        if not method.imported:
            lines.append(f"reads    {method.label:{width}}  {_reads(plan, tasks, counted, method)}")
    if any(len(one.examples) > SAMPLED for one in tasks):
        lines[-1] += f" (lengths: {SAMPLED} examples a task)"
    return "\n".join(lines)


def _lengths(planned: PlannedTask, count_tokens: CountTokens) -> tuple[list[int], int]:
    """Tokens of the contexts of some examples, evenly spaced, and of the first one's prompt without a context."""
    step = max(1, -(-len(planned.examples) // SAMPLED))
    sample = [planned.examples[place] for place in range(0, len(planned.examples), step)]
    wording = "".join(planned.task.about(sample[0]).wrap(sample[0].question))
    return [count_tokens(example.context) for example in sample], count_tokens(wording)


def _reads(
    plan: Plan, tasks: Sequence[PlannedTask], counted: Sequence[tuple[list[int], int]], method: Resolved
) -> str:
    """One method's cost over all tasks in words, each task's sample scaled to its examples."""
    entry = methods.BUILT_IN.get(method.name)
    given = {name: text for name, text in method.settings.items() if text != "none"}
    settings = {"overlap": str(plan.reader.overlap)} | given
    tokens, calls = 0.0, 0.0
    for planned, (lengths, wording) in zip(tasks, counted, strict=True):
        cost = planned_cost(
            entry.reads if entry else "",
            settings,
            lengths,
            chunk_size=plan.reader.chunk_size,
            wording=wording,
        )
        if cost is None:
            return "not known in advance"
        tokens += cost.prompt_tokens * len(planned.examples) / len(lengths)
        calls += cost.calls * len(planned.examples) / len(lengths)
    ranker = given.get("retriever", given.get("candidates", "bm25"))
    beside = "" if ranker.startswith("bm25") else ", without what its ranker reads"
    return f"about {round(tokens):,} prompt tokens in {round(calls):,} calls{beside}"
