"""The grid of one comparison: every task with the examples that are to be answered.

Data are checked before a model is loaded, and limited so that a larger limit is a superset. Torch-free.
Exercised by ``python run_compare.py --dry-run --limit 20``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import metrics
from benchmarks.base import CountTokens, Example, Task, TaskSet, digest
from comparison import options
from comparison.plan import Plan, PlanError, Resolved
from models.specs import ReaderSpec


@dataclass(frozen=True)
class PlannedTask:
    """One task with the examples that are to be answered, out of the `available` ones."""

    benchmark: Resolved
    task: Task
    examples: tuple[Example, ...]
    available: int
    confirmatory: bool

    @property
    def metric(self) -> str:
        """The metric's name and version, as ``name@version``."""
        return f"{self.task.metric}@{metrics.version(self.task.metric)}"


def token_counter(reader: ReaderSpec, trust_remote_code: bool = False) -> CountTokens:
    """The reader's own count of a text's tokens, special ones left out; loads its tokenizer, no weights."""
    from models.loading import load_tokenizer

    tokenizer = load_tokenizer(reader, trust_remote_code)
    return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def load_tasks(plan: Plan, count_tokens: CountTokens) -> tuple[PlannedTask, ...]:
    """Every task of the plan with its examples, checked and limited. Raises ValueError for bad data."""
    planned = [
        _planned(plan, benchmark, task_set)
        for benchmark in plan.benchmarks
        for task_set in _task_sets(plan, benchmark, count_tokens)
    ]
    if not planned:
        raise PlanError("the benchmarks hold no task, nothing to compare")
    for name, count in Counter(one.task.name for one in planned).items():
        if count > 1:
            raise PlanError(
                f"{count} tasks are called {name!r}; name a benchmark: LABEL=SPEC makes it LABEL-{name}"
            )
    return tuple(planned)


def _task_sets(plan: Plan, benchmark: Resolved, count_tokens: CountTokens) -> Iterable[TaskSet]:
    named, open_ended = options.parameters(benchmark.factory)
    given: dict[str, Any] = {}
    if "seed" in named or open_ended:
        given["seed"] = plan.seed
    if "data_dir" in named and plan.data_dir is not None:
        given["data_dir"] = plan.data_dir
    return benchmark.factory(count_tokens, **(given | dict(benchmark.options)))


def _planned(plan: Plan, benchmark: Resolved, task_set: TaskSet) -> PlannedTask:
    task = task_set.task
    if benchmark.label != benchmark.spec:
        task = replace(task, name=f"{benchmark.label}-{task.name}")
    metrics.version(task.metric)  # an unknown metric is an error here and not after the first answer
    check_examples(task, task_set.examples)
    if task_set.confirmatory:
        check_no_answer(task, task_set.examples, plan.reader.no_answer)
    chosen = take_evenly(task_set.examples, plan.limit)
    return PlannedTask(benchmark, task, tuple(chosen), len(task_set.examples), task_set.confirmatory)


def check_examples(task: Task, examples: Sequence[Example]) -> None:
    """Raises `PlanError` for what no method could answer: an id twice, no context, no question."""
    if not examples:
        raise PlanError(f"task {task.name} has no examples: check its data and options")
    doubled, count = Counter(example.id for example in examples).most_common(1)[0]
    if count > 1:
        raise PlanError(f"task {task.name} has {count} examples of the id {doubled!r}: ids must differ")
    for example in examples:
        if not example.context.strip():
            raise PlanError(f"task {task.name}, example {example.id} has an empty context")
        if not example.question.strip() and "{question}" in task.after:
            raise PlanError(f"task {task.name}, example {example.id} has no question")
        if any(not 0 <= start < end <= len(example.context) for start, end in example.evidence):
            raise PlanError(f"task {task.name}, example {example.id} has evidence outside its context")


def check_no_answer(task: Task, examples: Sequence[Example], word: str) -> None:
    """Raises `PlanError` where the reader's no-answer word is an answer: the IDK filter would drop it."""
    for example in examples:
        if any(answer.strip().casefold() == word.casefold() for answer in example.answers):
            raise PlanError(
                f"task {task.name}, example {example.id} has the answer {word!r}, this reader's no-answer word: "
                "give the reader another word in models/specs.py"
            )


def take_evenly(examples: Sequence[Example], limit: int | None) -> list[Example]:
    """At most `limit` examples, in turn from every bucket, in the benchmark's order.

    Within a bucket the order is that of the ids' digests. It depends on nothing but the ids, so that a
    larger limit is a superset and the first examples of a file are not favoured.
    """
    if limit is None or limit >= len(examples):
        return list(examples)
    buckets: dict[str, list[str]] = defaultdict(list)
    for example in sorted(examples, key=lambda example: digest(example.id)):
        buckets[example.bucket].append(example.id)
    turns = sorted((turn, bucket, one) for bucket, ids in buckets.items() for turn, one in enumerate(ids))
    chosen = {one for _, _, one in turns[:limit]}
    return [example for example in examples if example.id in chosen]


def describe(plan: Plan, tasks: Sequence[PlannedTask]) -> str:
    """The comparison as text: the methods, the tasks with their counts by bucket, the answers in all."""
    names = [f"{one.label} (baseline)" if one.label == plan.baseline else one.label for one in plan.methods]
    width = max(len(task.task.name) for task in tasks)
    lines = [f"model    {plan.reader.name} ({plan.reader.path})", f"methods  {', '.join(names)}"]
    for task in tasks:
        counts = Counter(example.bucket for example in task.examples)
        listed = ", ".join(f"{bucket}: {count}" for bucket, count in counts.items())
        of = f" of {task.available}" if task.available > len(task.examples) else ""
        lines.append(f"task     {task.task.name:{width}}  {len(task.examples)}{of} examples ({listed})")
    total = len(plan.methods) * sum(len(task.examples) for task in tasks)
    lines.append(f"total    {len(plan.methods)} methods x {len(tasks)} tasks: {total:,} answers")
    return "\n".join(lines)
