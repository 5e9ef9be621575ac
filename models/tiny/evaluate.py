"""Measure the embedded model against its bars: ``python -m models.tiny.evaluate`` (its table is the model card's).

Everything goes through the suite itself: its benchmarks, its methods, its engine. The seeds are fresh, never used
in training (which has a generator of its own); choices are made on ``--split dev`` and reported on ``test``.

    python -m models.tiny.evaluate                        the shipped model, all cells
    python -m models.tiny.evaluate runs/a runs/b --samples 200 --split dev
    python -m models.tiny.evaluate --write models/tiny/README.md models/tiny runs/b runs/c
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from benchmarks.base import Example, Task, TaskSet, stable_seed
from benchmarks.multihop import multihop
from benchmarks.needle import needle
from benchmarks.recall import recall
from comparison.command_line import Parser, path_of, run_program
from methods.full import Full
from methods.oprm import OPRM
from models.engine import Engine
from models.specs import reader_spec
from reports.statistics import wilson
from retrievers.judge import LABELS
from retrievers.pairwise import pair_prompt

SEEDS = {"dev": 500, "test": 1000}
ONE_CHUNK = 276  # a 250-token chunk and the 26 tokens of the wording around it
ANSWERABLE = 0.7
CHUNK_SIZE, OVERLAP = 250, 16  # as the reader's row in models/specs.py, for folders that have none
MARKS = ("<!-- evaluate: begin -->", "<!-- evaluate: end -->")
Sets = Callable[[Engine, int, int], list[TaskSet]]


@dataclass(frozen=True)
class Cell:
    """One line of the table: hits out of n for each method, and the bar it must reach."""

    name: str
    bar: float | None
    hits: int
    n: int

    @property
    def share(self) -> float:
        return self.hits / self.n


@dataclass(frozen=True)
class Plan:
    """A cell before it is measured. `task` is the task's name, `bucket` a bucket (all of them if None)."""

    name: str
    bar: float | None
    sets: Sets
    task: str
    oprm: bool
    bucket: str | None = None


def recall_sets(length: int, *facts: int) -> Sets:
    def sets(engine: Engine, seed: int, samples: int) -> list[TaskSet]:
        return recall(engine.count_tokens, seed=seed, length=length, facts=facts, samples=samples)

    return sets


def absent_sets(length: int, *facts: int) -> Sets:
    """Enough samples for `samples` absent questions: three in ten are."""
    return lambda engine, seed, samples: recall_sets(length, *facts)(
        engine, seed + 1, math.ceil(samples * ANSWERABLE / (1 - ANSWERABLE))
    )


def needle_sets(engine: Engine, seed: int, samples: int) -> list[TaskSet]:
    """Every cell of the grid has as many as an answerable cell elsewhere."""
    each = math.ceil(samples * ANSWERABLE)
    return needle(engine.count_tokens, seed=seed, lengths=(1000, 2000, 4000), samples=each)


def hop_sets(length: int, persons: int) -> Sets:
    return lambda engine, seed, samples: multihop(
        engine.count_tokens, seed=seed, length=length, persons=persons, samples=samples
    )


def plans() -> list[Plan]:
    """The bars of the embedded model, cell by cell; a bar of None is measured for a difference or for the record."""
    chunk = recall_sets(ONE_CHUNK, 8, 16, 32)
    missing = absent_sets(ONE_CHUNK, 16, 32)
    cells = [
        Plan(f"one chunk, {n} facts", bar, chunk, "recall", False, str(n))
        for n, bar in ((8, 0.99), (16, 0.98), (32, 0.92))
    ]
    cells += [
        Plan(f"one chunk, {n} facts, absent: Error", bar, missing, "recall_absent", False, str(n))
        for n, bar in ((16, 0.98), (32, 0.93))
    ]
    for length, facts, bar in ((1200, 100, 0.93), (1200, 150, 0.85), (4000, 200, 0.95)):
        sets = recall_sets(length, facts)
        cells.append(Plan(f"recall {length:,}, {facts} facts: OPRM", bar, sets, "recall", True))
        cells.append(Plan(f"recall {length:,}, {facts} facts: full", None, sets, "recall", False))
    absent = absent_sets(4000, 100)
    cells.append(
        Plan("recall 4,000, 100 facts, absent: OPRM says Error", 0.90, absent, "recall_absent", True)
    )
    cells += [
        Plan(f"needle, {length:,} tokens: full, worst depth", 0.97, needle_sets, "needle", False, str(length))
        for length in (1000, 2000, 4000)
    ]
    cells.append(Plan("two hops, one chunk, 8 persons", 0.95, hop_sets(ONE_CHUNK, 8), "multihop", False))
    far = hop_sets(4000, 80)
    cells.append(Plan("two hops 4,000, 80 persons: OPRM", 0.90, far, "multihop", True))
    cells.append(Plan("two hops 4,000, 80 persons: full", None, far, "multihop", False))
    return cells


DIFFERENCES = (
    ("recall 1,200, 100 facts", 0.40),
    ("recall 4,000, 200 facts", 0.50),
    ("two hops 4,000, 80 persons", 0.50),
)


def measure(engine: Engine, seed: int, samples: int) -> list[Cell]:
    """Every cell of the table for one model."""
    made: dict[Sets, list[TaskSet]] = {}
    cells = []
    for plan in tqdm(plans(), desc=str(engine.spec.path), unit="cell"):
        if plan.sets not in made:
            made[plan.sets] = plan.sets(engine, seed, samples)
        task_set = next(one for one in made[plan.sets] if one.task.name == plan.task)
        chosen = [one for one in task_set.examples if plan.bucket in (None, one.bucket)]
        oprm = OPRM(engine, chunk_size=CHUNK_SIZE, overlap=OVERLAP)
        scores = answer_all(oprm if plan.oprm else Full(engine), task_set.task, chosen)
        hits, n = worst_depth(chosen, scores) if plan.task == "needle" else (sum(scores), len(scores))
        cells.append(Cell(plan.name, plan.bar, round(hits), n))
    return [*cells, judge_pairs(engine, seed, math.ceil(samples * ANSWERABLE))]


def answer_all(method: Full | OPRM, task: Task, examples: Iterable[Example]) -> list[float]:
    return [task.score(method.answer(one.context, one.question, task=task).text, one) for one in examples]


def worst_depth(examples: Sequence[Example], scores: Sequence[float]) -> tuple[float, int]:
    by_depth: dict[object, list[float]] = {}
    for example, score in zip(examples, scores, strict=True):
        by_depth.setdefault(example.tags["depth"], []).append(score)
    worst = min(by_depth.values(), key=lambda column: sum(column) / len(column))
    return sum(worst), len(worst)


def judge_pairs(engine: Engine, seed: int, samples: int) -> Cell:
    """Passages of eight facts, one of which holds what is asked: right in both orders, or not."""
    sets = recall(engine.count_tokens, seed=seed + 2, length=132, facts=(8,), samples=2 * samples)
    examples = sets[0].examples
    rng = random.Random(stable_seed("pairs", seed))
    labels = [engine.encode(label)[0] for label in LABELS]
    hits = 0
    for example in examples[:samples]:
        fact = example.context[slice(*example.evidence[0])].rsplit(" ", 1)[0]
        other = rng.choice([one for one in examples if fact not in one.context]).context
        rows = [
            engine.encode(pair_prompt(example.context, other, example.question)),
            engine.encode(pair_prompt(other, example.context, example.question)),
        ]
        first, second = (engine.prefill([row]).logits[0, -1, labels].argmax().item() for row in rows)
        hits += (first, second) == (0, 1)
    return Cell("pairwise prompt, 8 facts a passage: right in both orders", 0.85, hits, samples)


def table(cells: Sequence[Cell], others: Sequence[Sequence[Cell]]) -> str:
    """Markdown, in points, with 95 % Wilson intervals and, given other training seeds, the spread over all."""
    every = (cells, *others)
    rows = [["what", "n", "reached", "95 % interval", "bar", "spread over seeds"]]
    for i, cell in enumerate(cells):
        low, high = wilson(cell.hits, cell.n)
        shares = [100 * one[i].share for one in every]
        rows.append([cell.name, str(cell.n), *_reached(shares, cell.bar, _range(100 * low, 100 * high))])
    for name, bar in DIFFERENCES:
        gains = [100 * _gain(one, name) for one in every]
        rows.append([f"{name}: OPRM minus full", "", *_reached(gains, bar, "")])
    columns = 6 if others else 5
    lines = ["| " + " | ".join(row[:columns]) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * columns)
    return "\n".join(lines) + "\n"


def _reached(points: Sequence[float], bar: float | None, interval: str) -> list[str]:
    """The last four columns; the first of `points` is the shipped model's."""
    verdict = "" if bar is None else f"{100 * bar:.0f} {'reached' if points[0] >= 100 * bar else 'missed'}"
    return [f"{points[0]:.1f}", interval, verdict, _range(min(points), max(points))]


def _range(low: float, high: float) -> str:
    return f"{low:.1f} to {high:.1f}"


def _gain(cells: Sequence[Cell], name: str) -> float:
    share = {cell.name: cell.share for cell in cells}
    return share[f"{name}: OPRM"] - share[f"{name}: full"]


def write(path: Path, text: str) -> None:
    """Put the table between the two marks of the model card."""
    head, tail = around_table(path)
    path.write_text(f"{head}{MARKS[0]}\n{text}{MARKS[1]}{tail}", encoding="utf-8")


def around_table(path: Path) -> tuple[str, str]:
    """What a model card says before and behind its table; ValueError where it lacks the marks."""
    head, _, rest = path.read_text(encoding="utf-8").partition(MARKS[0])
    _, found, tail = rest.partition(MARKS[1])
    if not found:
        raise ValueError(f"{path} lacks the lines {MARKS[0]} and {MARKS[1]}, between which the table goes")
    return head, tail


def measured(model: str, split: str, samples: int, cache: Path | None) -> list[Cell]:
    """The model's cells, from `cache` if they are there (one JSON file a model, split and number of samples)."""
    name = f"{Path(model).resolve().name}-{split}-{samples}.json"
    if cache and (cache / name).exists():
        return [Cell(**one) for one in json.loads((cache / name).read_text())]
    cells = measure(Engine.load(model, device="cpu"), SEEDS[split], samples)
    if cache:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / name).write_text(json.dumps([vars(cell) for cell in cells], indent=1))
    return cells


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m models.tiny.evaluate", description=__doc__)
    parser.add_argument(
        "models", nargs="*", default=["tiny"], help="the first is shipped, the others give the spread"
    )
    parser.add_argument("--split", choices=SEEDS, default="test")
    parser.add_argument(
        "--samples", type=int, default=720, help="per cell; 70 %% are answerable (default 720: 504)"
    )
    parser.add_argument("--cache", type=path_of, help="folder to keep each model's counts in")
    parser.add_argument(
        "--write", type=path_of, metavar="CARD", help="also put the table into this model card"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and put it where it was asked for."""
    options = parse(arguments)
    return run_program("python -m models.tiny.evaluate", partial(_run, options))


def _run(options: argparse.Namespace) -> int:
    # What is wrong is said before the minutes of measuring.
    if options.samples < 10:
        raise ValueError(f"--samples {options.samples}: expected at least 10, of which 7 have an answer")
    for model in options.models:
        reader_spec(model)
    if options.write:
        around_table(options.write)
    results = [measured(model, options.split, options.samples, options.cache) for model in options.models]
    text = table(results[0], results[1:])
    print(text)
    if options.write:
        write(options.write, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
