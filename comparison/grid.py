"""The grid of one comparison: every task with the examples that are to be answered.

Data are checked before a model is loaded, and limited so that a larger limit is a superset. Torch-free.
Exercised by ``python run_compare.py --dry-run --limit 20``.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import metrics
from benchmarks.base import CountTokens, Example, Outline, Task, TaskSet, digest
from benchmarks.lazy import LazyExamples
from comparison import options
from comparison.imports import Predictions, pair_all
from comparison.plan import Plan, PlanError, Resolved
from comparison.records import printable
from models.specs import ReaderError, ReaderSpec
from reports.collect import ALL, MACRO

CHARACTERS_A_TOKEN = 4
SHOWN = 3  # lines on rows that were left out, a task


class Chosen(LazyExamples):
    """Some of a benchmark's examples, read from disk or made when asked for if the benchmark does so."""

    def __init__(self, examples: Sequence[Example], places: Sequence[int]) -> None:
        lazy = not isinstance(examples, list | tuple)
        self._examples = examples if lazy else [examples[place] for place in places]
        self._places = places if lazy else range(len(places))

    def __len__(self) -> int:
        return len(self._places)

    def at(self, place: int) -> Example:
        return self._examples[self._places[place]]


@dataclass(frozen=True)
class PlannedTask:
    """One task with the examples that are to be answered. `outlines` are those of all that the benchmark has,
    `buckets` counts the chosen ones, `clusters` the documents that they come from, `left_out` says which rows
    of the data are no examples, `note` what else is to be said of them, and `predictions[label]` holds what was
    imported under that label, by example (`comparison.imports`)."""

    benchmark: Resolved
    task: Task
    examples: Sequence[Example]
    outlines: Sequence[Outline]
    buckets: Mapping[str, int]
    clusters: int
    confirmatory: bool
    left_out: Sequence[str] = ()
    note: str = ""
    predictions: Mapping[str, Predictions] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """The metric's name and version, as ``name@version``."""
        return f"{self.task.metric}@{metrics.version(self.task.metric)}"


def token_counter(reader: ReaderSpec, trust_remote_code: bool = False) -> CountTokens:
    """The reader's own count of a text's tokens, special ones left out; loads its tokenizer, no weights."""
    from models.loading import load_tokenizer

    tokenizer = load_tokenizer(reader, trust_remote_code)
    return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def estimate_or_count(reader: ReaderSpec, trust_remote_code: bool = False) -> CountTokens:
    """For a dry run: the reader's own count, or four characters a token where its tokenizer is not at hand,
    which is said on stderr. Nothing is downloaded for a dry run."""
    folder = Path(reader.tokenizer or reader.path)
    if (folder / "tokenizer.json").is_file():
        with suppress(Exception):  # tokenizers raises nothing more particular for a file that it cannot read
            return _file_counter(folder / "tokenizer.json")
    if reader.packaged or folder.is_dir() or _is_cached(reader):
        with suppress(ReaderError):
            return token_counter(reader, trust_remote_code)
    print(
        f"the tokenizer of {reader.name} is not at hand: lengths are estimated at {CHARACTERS_A_TOKEN} "
        "characters a token",
        file=sys.stderr,
    )
    return lambda text: -(-len(text) // CHARACTERS_A_TOKEN)


def _file_counter(path: Path) -> CountTokens:
    """The count of a tokenizer's file by itself: transformers, which reads the same file, takes seconds to load."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _is_cached(reader: ReaderSpec) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(reader.tokenizer or reader.path, "tokenizer_config.json"), str)


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
    told = [(one.task, one.outlines) for one in planned]
    imported = {label: pair_all(label, folder, told) for label, folder in plan.imports.items()}
    return tuple(
        replace(one, predictions={label: found[one.task.name] for label, found in imported.items()})
        for one in planned
    )


def _task_sets(plan: Plan, benchmark: Resolved, count_tokens: CountTokens) -> Iterator[TaskSet]:
    named, open_ended = options.parameters(benchmark.factory)
    given: dict[str, Any] = {}
    if "seed" in named or open_ended:
        given["seed"] = plan.seed
    if "data_dir" in named and plan.data_dir is not None:
        given["data_dir"] = plan.data_dir
    if "reader" in named:
        given["reader"] = plan.reader.name
    for task_set in benchmark.factory(count_tokens, **(given | dict(benchmark.options))):
        if not isinstance(task_set, TaskSet):
            kind = type(task_set).__name__
            raise PlanError(f"benchmark {benchmark.label} made a {kind}: expected benchmarks.base.TaskSet")
        yield task_set


def _planned(plan: Plan, benchmark: Resolved, task_set: TaskSet) -> PlannedTask:
    task = task_set.task
    if benchmark.label != benchmark.spec:
        task = replace(task, name=f"{benchmark.label}-{task.name}")
    outlines = task_set.outlines
    _check_names(task, outlines)
    metrics.version(task.metric)  # an unknown metric is an error here and not after the first answer
    _check_ids(task, outlines, task_set.left_out)
    places = take_evenly(outlines, plan.limit)
    examples = Chosen(task_set.examples, places)
    clusters = set()
    for number, place in enumerate(places):
        outline = outlines[place]
        if not (document := outline.document):
            example = examples[number]
            check_example(task, example)
            document = example.cluster
        clusters.add(document)
        if task_set.confirmatory:
            check_no_answer(task, outline, plan.reader.no_answer)
    if examples[0].answers:  # a metric whose package is missing is an error here too
        task.score(examples[0].answers[0], examples[0])
    return PlannedTask(
        benchmark=benchmark,
        task=task,
        examples=examples,
        outlines=outlines,
        buckets=Counter(outlines[place].bucket for place in places),
        clusters=len(clusters),
        confirmatory=task_set.confirmatory,
        left_out=task_set.left_out,
        note=task_set.note,
    )


def _check_names(task: Task, outlines: Sequence[Outline]) -> None:
    """Raises `PlanError` for a name that cannot be shown, or that a report has for a sum over others."""
    if not task.name.isprintable():
        raise PlanError(f"task {task.name!r} holds a character that cannot be printed: expected plain text")
    if task.name in (MACRO, ALL):
        raise PlanError(
            f"a task is called {task.name!r}, as reports call all tasks together: name its benchmark (LABEL=SPEC)"
        )
    if any(outline.bucket == ALL for outline in outlines):
        raise PlanError(
            f"task {task.name} has a bucket called {ALL!r}, as reports call all buckets of a task together: "
            "give the bucket another name"
        )


def _check_ids(task: Task, outlines: Sequence[Outline], left_out: Sequence[str]) -> None:
    """Raises `PlanError` for a task without examples or with an id twice."""
    if not outlines:
        why = f" ({len(left_out)} rows left out, the first: {left_out[0]})" if left_out else ""
        raise PlanError(f"task {task.name} has no examples: check its data and options{why}")
    doubled, count = Counter(outline.id for outline in outlines).most_common(1)[0]
    if count > 1:
        raise PlanError(f"task {task.name} has {count} examples of the id {doubled!r}: ids must differ")


def check_example(task: Task, example: Example) -> None:
    """Raises `PlanError` for what no method could answer: no context, no question."""
    if not example.context.strip():
        raise PlanError(f"task {task.name}, example {example.id} has an empty context")
    if not example.question.strip() and task.asks:
        raise PlanError(f"task {task.name}, example {example.id} has no question")
    if any(not 0 <= start < end <= len(example.context) for start, end in example.evidence):
        raise PlanError(f"task {task.name}, example {example.id} has evidence outside its context")


def check_no_answer(task: Task, example: Outline, word: str) -> None:
    """Raises `PlanError` where the reader's no-answer word is an answer: the IDK filter would drop it."""
    if any(answer.strip().casefold() == word.casefold() for answer in example.answers):
        raise PlanError(
            f"task {task.name}, example {example.id} has the answer {word!r}, this reader's no-answer word: "
            "give the reader another word in models/specs.py"
        )


def take_evenly(examples: Sequence[Outline], limit: int | None) -> list[int]:
    """The places of at most `limit` examples, in turn from every bucket, in the benchmark's order.

    Within a bucket the order is that of the ids' digests. It depends on nothing but the ids, so that a
    larger limit is a superset and the first examples of a file are not favoured.
    """
    if limit is None or limit >= len(examples):
        return list(range(len(examples)))
    buckets: dict[str, list[int]] = defaultdict(list)
    for place in sorted(range(len(examples)), key=lambda place: digest(examples[place].id)):
        buckets[examples[place].bucket].append(place)
    turns = sorted((turn, bucket, one) for bucket, ones in buckets.items() for turn, one in enumerate(ones))
    return sorted(one for _, _, one in turns[:limit])


def describe(plan: Plan, tasks: Sequence[PlannedTask]) -> str:
    """The comparison as text: the methods, the tasks with their counts by bucket, the answers in all."""
    names = [f"{one.label} (baseline)" if one.label == plan.baseline else one.label for one in plan.methods]
    width = max(len(task.task.name) for task in tasks)
    lines = [f"model    {plan.reader.name} ({plan.reader.path})", f"methods  {', '.join(names)}"]
    for task in tasks:
        listed = ", ".join(f"{bucket}: {count}" for bucket, count in task.buckets.items())
        of = f" of {len(task.outlines)}" if len(task.outlines) > len(task.examples) else ""
        lines.append(f"task     {task.task.name:{width}}  {len(task.examples)}{of} examples ({listed})")
        lines += _left_out(task)
    lines += [f"note     {note}" for note in dict.fromkeys(task.note for task in tasks) if note]
    total = len(plan.methods) * sum(len(task.examples) for task in tasks)
    lines.append(f"total    {len(plan.methods)} methods x {len(tasks)} tasks: {total:,} answers")
    if plan.shard:
        part = len(plan.methods) * sum(len(plan.shard.places(len(task.examples))) for task in tasks)
        lines.append(f"shard    {plan.shard.number} of {plan.shard.of}: {part:,} of them")
    return printable("\n".join(lines))


def _left_out(planned: PlannedTask) -> list[str]:
    """How many rows of the data are no examples, the first of them, and what an import could not match."""
    lines = []
    if planned.left_out:
        lines.append(f"         {len(planned.left_out)} rows left out:")
        lines += [f"         {line}" for line in planned.left_out[:SHOWN]]
        lines += [f"         ... and {rest} more"] if (rest := len(planned.left_out) - SHOWN) > 0 else []
    for label, found in planned.predictions.items():
        lines.append(f"         {label}: {found.describe()}")
    return lines
