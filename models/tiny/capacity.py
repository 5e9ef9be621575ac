"""A larger state helps and still overflows: small readers that differ in the size of their state alone.

The toy study of OPRM (Ben-Kish et al. 2025, arXiv 2505.07793: two-layer Mambas that recall key-value pairs, by state
size), on the suite's own recall benchmark, each reader once over the full context and once through OPRM. A reader
climbs the ladder of facts by its accuracy in the first half of its steps; in the second every size reads the same
lessons. Two sizes are trained side by side, a core each.

    python -m models.tiny.capacity --state 4,8,16,32                 trains, measures, draws (runs/capacity)
    python -m models.tiny.capacity --state 4 --steps 500 --out runs/try
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

import torch
from transformers.utils import logging

from benchmarks import english
from benchmarks.base import TaskSet, stable_seed
from benchmarks.curriculum import POLISH_FACTS, Ladder, facts_alone, write_batch
from benchmarks.lessons import Lesson, Teacher
from benchmarks.recall import recall
from comparison.command_line import Parser, path_of, run_program
from methods.full import Full
from methods.oprm import OPRM
from models.engine import Engine
from models.processes import spawned
from models.tiny.learning import Run
from models.tiny.model import new_model
from models.tiny.tokenizer import END, build_tokenizer
from reports.drawing import COLOURS, MARKERS, STYLES, figure, rule, save, style
from reports.statistics import wilson

HIDDEN, LAYERS = 64, 2
TOKENS_PER_STEP = 2048  # few: binding comes after so many steps (some 600 in a state of 4), not tokens
LENGTH, FACTS = 1200, (4, 8, 16, 32, 64, 128)
TEST_SEED = 1000
CHUNK_SIZE, OVERLAP = 250, 16
BINDING = 3  # rungs of the ladder: four facts about one of 50 names
AT_ONCE = 2
SAVE_EVERY = 300
METHODS = ("full", "oprm")
COLUMNS = ("state", "method", "facts", "questions", "accuracy", "low", "high")
EXAMPLES = """examples:
  python -m models.tiny.capacity --state 4,8,16,32    the whole study; the same command again goes on
  python -m models.tiny.capacity --state 8,64         other sizes; those in --out already are not trained again
"""


@dataclass(frozen=True)
class Study:
    """What all sizes share; `samples` is recall's, of which seven in ten have an answer."""

    out: Path
    seed: int
    steps: int
    samples: int

    def folder(self, state: int) -> Path:
        return self.out / f"state-{state}"


@dataclass(frozen=True)
class Cell:
    """Right answers of one method to `n` questions among so many facts."""

    method: str
    facts: int
    hits: int
    n: int


@dataclass(frozen=True)
class Size:
    """One reader: `numbers` are those of its recurrent state, `rung` the lessons it mastered, in CPU seconds."""

    state: int
    numbers: int
    parameters: int
    rung: int
    rungs: int
    tokens: int
    training: float
    measuring: float
    cells: tuple[Cell, ...]

    @property
    def bound(self) -> bool:
        """Whether it learned to tell names apart at all."""
        return self.rung >= BINDING


# One size


def start(study: Study, state: int) -> Run:
    """The training of one size at its first step."""
    tokenizer = build_tokenizer([*english.vocabulary(), "b"])  # a Teacher names passages A and B
    words = tokenizer.get_vocab()
    teacher, ladder = Teacher(words, "", words[END]), facts_alone()

    def course(step: int, _: bool) -> tuple[Ladder, bool, list[Lesson]]:
        rng = random.Random(stable_seed("capacity", study.seed, step))
        writer, climbing = ladder.choose(rng) if 2 * step < study.steps else (rng.choice(POLISH_FACTS), False)
        return ladder, climbing, write_batch(teacher, writer, rng, TOKENS_PER_STEP)

    model = new_model(
        len(tokenizer), hidden=HIDDEN, layers=LAYERS, state=state, seed=study.seed, end=teacher.end
    )
    return Run(
        study.folder(state), model, tokenizer, teacher, course, {ladder.name: ladder},
        seed=study.seed, steps=study.steps,
    )  # fmt: skip


def train(run: Run, title: str) -> None:
    """Train to the last step, saying how far it is on stderr; saves on the way, at the end and on Ctrl-C."""
    run.resume()
    try:
        while run.step < run.steps:
            ladder, _, accuracy, absent = run.train_step()
            if run.step % SAVE_EVERY == 0:
                run.save()
                say(
                    f"{title}: step {run.step} of {run.steps}, rung {ladder.rung}, answers {accuracy:.2f}, "
                    f"Error {absent:.2f}, {run.cpu_seconds:.0f} CPU s"
                )
    finally:
        run.save()


def measure(study: Study, state: int) -> Size:
    """Train one size, or go on, and answer the test questions with both methods; kept in its folder."""
    run = start(study, state)
    train(run, f"state {state}")
    began = time.process_time()
    cells = examine(Engine.load(str(run.out), device="cpu"), study.samples)
    ladder = run.ladders["facts"]
    assert isinstance(ladder, Ladder)
    size = Size(
        state=state,
        numbers=LAYERS * run.model.config.intermediate_size * state,
        parameters=sum(p.numel() for p in run.model.parameters()),
        rung=ladder.rung,
        rungs=len(ladder.rungs),
        tokens=run.tokens,
        training=run.cpu_seconds,
        measuring=time.process_time() - began,
        cells=cells,
    )
    kept = {"samples": study.samples, **asdict(size)}
    (run.out / "measured.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    say(f"state {state}: measured")
    return size


def examine(engine: Engine, samples: int) -> tuple[Cell, ...]:
    """The test questions, which no lesson is drawn from, to both methods."""
    asked = recall(engine.count_tokens, seed=TEST_SEED, length=LENGTH, facts=FACTS, samples=samples)[0]
    full, oprm = Full(engine), OPRM(engine, chunk_size=CHUNK_SIZE, overlap=OVERLAP)
    return (*answer_all("full", full, asked), *answer_all("oprm", oprm, asked))


def answer_all(name: str, method: Full | OPRM, asked: TaskSet) -> list[Cell]:
    """One method's right answers by number of facts."""
    hits, counts = dict.fromkeys(FACTS, 0.0), dict.fromkeys(FACTS, 0)
    for example in asked.examples:
        given = method.answer(example.context, example.question, task=asked.task)
        hits[int(example.bucket)] += asked.task.score(given.text, example)
        counts[int(example.bucket)] += 1
    return [Cell(name, facts, round(hits[facts]), counts[facts]) for facts in FACTS]


def measured(study: Study, state: int) -> Size | None:
    """What `measure` kept of a size; None where it has not got there with so many samples."""
    path = study.folder(state) / "measured.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if kept.pop("samples", None) != study.samples:
        return None
    return Size(**{**kept, "cells": tuple(Cell(**cell) for cell in kept["cells"])})


# All sizes


def measure_all(study: Study, states: Sequence[int]) -> list[Size]:
    """Every size, those that are not there yet in processes of one thread, two at a time."""
    claim(study)
    found = {state: measured(study, state) for state in states}
    for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[variable] = "1"  # read by the processes
    with spawned(AT_ONCE, prepare) as submit:
        work = {state: submit(measure, study, state) for state in states if found[state] is None}
        return [found[state] or work[state].result() for state in states]


def prepare() -> None:
    """One thread, and SIGTERM ends the training as Ctrl-C would: its checkpoint is saved."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()  # it draws one for every checkpoint
    signal.signal(signal.SIGTERM, end)


def end(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the pool repeats it when the first process is gone
    sys.exit()


def claim(study: Study) -> None:
    """Write down what the folder's readers are trained with. ValueError where that was something else."""
    path, settings = study.out / "study.json", {"seed": study.seed, "steps": study.steps}
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else settings
    if known != settings:
        raise ValueError(
            f"{study.out} was made with --seed {known['seed']} --steps {known['steps']}; "
            "use those, or another --out"
        )
    study.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings) + "\n", encoding="utf-8")


# Table, CSV, picture


def markdown(sizes: Sequence[Size]) -> str:
    """Accuracy in points with 95 % Wilson intervals, and what each size is and took."""
    lines = ["| state | method | " + " | ".join(f"{facts} facts" for facts in FACTS) + " |"]
    lines.append("|---:|---|" + "---:|" * len(FACTS))
    for size in sizes:
        for method in METHODS:
            shown = [_points(cell) for cell in size.cells if cell.method == method]
            lines.append(f"| {size.state} | `{method}` | " + " | ".join(shown) + " |")
    lines += ["", "| state | numbers in it | parameters | lessons mastered | training, CPU s | measuring |"]
    lines.append("|---:|" + "---:|" * 5)
    for size in sizes:
        mastered = f"{size.rung} of {size.rungs}" if size.bound else "not bound"
        lines.append(
            f"| {size.state} | {size.numbers:,} | {size.parameters:,} | {mastered} | {size.training:.0f} | "
            f"{size.measuring:.0f} |"
        )
    return "\n".join(lines) + "\n"


def _points(cell: Cell) -> str:
    low, high = wilson(cell.hits, cell.n)
    return f"{100 * cell.hits / cell.n:.0f} [{100 * low:.0f}, {100 * high:.0f}]"


def write_csv(sizes: Sequence[Size], path: Path) -> None:
    """A row a size, method and number of facts; accuracy and its 95 % interval in points."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for size in sizes:
            for cell in size.cells:
                shares = (cell.hits / cell.n, *wilson(cell.hits, cell.n))
                row = [size.state, cell.method, cell.facts, cell.n]
                writer.writerow([*row, *(f"{100 * share:.2f}" for share in shares)])


def draw(sizes: Sequence[Size], path: Path) -> None:
    """Accuracy against facts, a line a size with its 95 % band: the full context left, OPRM right."""
    with style():
        drawn = figure((7.4, 3.0))
        panels = drawn.subplots(1, len(METHODS), sharey=True)
        for panel, method in zip(panels, METHODS, strict=True):
            for place, size in enumerate(sizes):
                cells = [cell for cell in size.cells if cell.method == method]
                low, high = zip(*(wilson(cell.hits, cell.n) for cell in cells), strict=True)
                colour = COLOURS[place % len(COLOURS)]
                panel.plot(
                    FACTS, [100 * cell.hits / cell.n for cell in cells], color=colour, markersize=5,
                    marker=MARKERS[place % len(MARKERS)], linestyle=STYLES[place % len(STYLES)],
                    label=f"state {size.state}" + ("" if size.bound else " (not bound)"),
                )  # fmt: skip
                bounds = ([100 * share for share in side] for side in (low, high))
                panel.fill_between(FACTS, *bounds, color=colour, alpha=0.15, linewidth=0)
            panel.set(title=method, xscale="log", ylim=(-3, 103), xlabel=f"facts in {LENGTH:,} tokens")
            panel.set_xticks(FACTS, [str(facts) for facts in FACTS])
            panel.minorticks_off()
            rule(panel, "y")
        panels[0].set_ylabel("accuracy (points)")
        drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", handlelength=3.2)
        save(drawn, path)


# The program


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def states_of(text: str) -> list[int]:
    """``"4,8"`` is [4, 8]. ValueError for sizes that the kernels or the study have no use for."""
    sizes = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if any(size < 4 or size % 4 for size in sizes) or len(set(sizes)) < len(sizes):
        raise ValueError(f"--state {text}: expected different multiples of 4, as in --state 4,8,16,32")
    return sorted(sizes)


def parse(arguments: Sequence[str] | None) -> tuple[Study, list[int]]:
    parser = Parser(
        prog="python -m models.tiny.capacity", epilog=EXAMPLES,
        description="Accuracy against the number of facts for small readers that differ in their state alone.",
    )  # fmt: skip
    parser.add_argument("--state", default="4,8,16,32", help="numbers a channel (default: %(default)s)")
    parser.add_argument(
        "--steps", type=int, default=3000, help="of about 2,048 tokens (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and lessons (default: %(default)s)")
    parser.add_argument(
        "--samples", type=int, default=300, help="a cell, 7 in 10 with an answer (default: %(default)s)"
    )
    parser.add_argument("--out", type=path_of, default=Path("runs/capacity"), help="default: %(default)s")
    given = parser.parse_args(arguments)
    if min(given.steps, given.samples) < 1:
        raise ValueError(f"--steps {given.steps} --samples {given.samples}: expected at least 1 of each")
    return Study(given.out, given.seed, given.steps, given.samples), states_of(given.state)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study; 2 on a user's error, 130 when interrupted."""
    kept = "the same command goes on from the last checkpoints"
    return run_program("python -m models.tiny.capacity", partial(_run, arguments), kept)


def _run(arguments: Sequence[str] | None) -> int:
    began = time.perf_counter()
    study, states = parse(arguments)
    sizes = measure_all(study, states)
    spent = sum(size.training + size.measuring for size in sizes) / 60
    took = f"trained and evaluated in {spent:.1f} CPU-minutes; wall {(time.perf_counter() - began) / 60:.1f} minutes"
    page = f"{markdown(sizes)}\n{took}\n"
    (study.out / "capacity.md").write_text(page, encoding="utf-8")
    write_csv(sizes, study.out / "capacity.csv")
    draw(sizes, study.out / "capacity.png")
    print(page, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
