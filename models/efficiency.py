"""The paper's efficiency table for any reader: seconds and peak memory of each method by context length
(Ben-Kish et al. 2025, arXiv 2505.07793, the table of Falcon3-Mamba-Inst-7B).

    python -m models.efficiency --random mamba-130m --methods full,oprm --lengths 2k,8k,32k --csv table.csv
    python -m models.efficiency --model tiny --lengths 2k,4k,8k,16k,32k,64k,128k --plot table.png
    python -m models.efficiency --random mamba-130m --methods full --lengths 512,2k --fallback 512 --new-tokens 1
    python -m models.efficiency --config recipes/efficiency.toml --dry-run

Every cell runs in a process of its own, so that no cell's peak hides another's: it loads the reader, reads a
short prompt (which compiles the kernels), and answers one needle question whose plain prompt, wording
included, is `length` tokens long, decoding exactly `--new-tokens` tokens. With `--rounds N` the methods take
turns, N times at each length: a machine that is slower for some minutes is so for all of them. `--random SHAPE`
needs no hub (models/shapes.py). `--fallback` adds the full context through transformers' own code, which is slow,
at the lengths it is given.
"""

from __future__ import annotations

import argparse
import gc
import inspect
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from comparison.command_line import run_program
from methods import find
from models.efficiency_options import settings_of
from models.efficiency_table import Measurement, add_to_csv, markdown, medians, short, start_csv
from models.processes import die_with, spawned
from models.shapes import find_shape, write_random_reader
from models.specs import ReaderError, TooLittleMemory, at_revision, reader_spec

if TYPE_CHECKING:
    from benchmarks.base import Example, Task
    from models.engine import Engine

FALLBACK = "transformers"
GIB = 1 << 30
WARM_UP = 64
SHORT_SECONDS, REPEATS = 2.0, 15  # a quick cell is answered so often; the median and the peak count


@dataclass(frozen=True)
class Reader:
    """What every cell loads: `path` a name, hub id or folder, `name` what the table calls it."""

    name: str
    path: str
    device: str
    dtype: str
    revision: str | None = None
    trusted: bool = False


@dataclass(frozen=True)
class Cell:
    """One method at one context length."""

    method: str
    length: int
    chunk_size: int | None
    new_tokens: int


Context = tuple["Example", "Task"]


def write_contexts(reader: Reader, lengths: Sequence[int]) -> dict[int, Context]:
    """One needle question for each length, the needle in the middle."""
    from benchmarks.needle import needle
    from models.loading import load_tokenizer

    tokenizer = load_tokenizer(at_revision(reader_spec(reader.path), reader.revision), reader.trusted)

    def count_tokens(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    [sets] = needle(count_tokens, lengths=tuple(lengths), depths=(50,), samples=1)
    return {length: (example, sets.task) for length, example in zip(lengths, sets.examples, strict=True)}


def measure(reader: Reader, cell: Cell, context: Context) -> Measurement | None:
    """Answer one question in this process and say what it cost; None where memory runs out.

    ReaderError where the reader cannot be loaded."""
    import torch

    try:
        return _measure(reader, cell, context)
    except (MemoryError, torch.OutOfMemoryError, TooLittleMemory):
        return None
    except RuntimeError as error:
        if "allocate memory" not in str(error):  # what torch says on a CPU
            raise
        return None


def _measure(reader: Reader, cell: Cell, context: Context) -> Measurement:
    from models.device_memory import device_gauge, return_free_heap
    from models.floor import floor_seconds, watch_forwards

    engine = _load_fallback(reader) if cell.method == FALLBACK else _load(reader)
    engine.eos_ids = frozenset()  # every cell decodes as many tokens as it is told
    example, task = context
    task = replace(task, max_new_tokens=cell.new_tokens, stop=())
    method = _build(engine, cell)
    engine.generate(engine.encode(task.prompt(example.context[:500], example.question))[-WARM_UP:], 2)
    gauge = device_gauge(engine.device)
    gc.collect()
    return_free_heap()  # or it would hide, by chance, what the method takes
    gauge.reset()
    loaded = gauge.peak()
    peaks, seconds = list[int](), list[float]()
    while not seconds or (sum(seconds) < SHORT_SECONDS and len(seconds) < REPEATS):
        with watch_forwards(engine.model, gauge.synchronize) as calls, engine.meter() as cost:
            method.answer(example.context, example.question, task=task)
        peaks.append(cost.peak_bytes - loaded)
        seconds.append(cost.seconds["total"])
    return Measurement(
        reader=reader.name,
        method=cell.method,
        length=cell.length,
        seconds=statistics.median(seconds),
        peak_gib=max(peaks) / GIB,
        floor_seconds=floor_seconds(engine.model, calls.shapes, gauge.synchronize),
        outside=1 - calls.seconds / cost.seconds["total"],
    )


def _load(reader: Reader) -> Engine:
    from models.engine import Engine

    return Engine.load(
        reader.path,
        device=reader.device,
        dtype=reader.dtype,
        revision=reader.revision,
        trust_remote_code=reader.trusted,
    )


def _load_fallback(reader: Reader) -> Engine:
    """The reader on a CPU as transformers runs it by itself, none of our kernels attached."""
    from models.engine import Engine
    from models.kernel_choice import choose_by_device
    from models.loading import device_of, load_model, load_tokenizer, precision

    place = device_of(reader.device)
    if place.type != "cpu":
        raise ReaderError(
            "--fallback compares on a CPU: add --device cpu (CUDA's kernels are transformers' own)"
        )
    spec = at_revision(reader_spec(reader.path), reader.revision)
    model = load_model(spec, precision(reader.dtype, spec, place), reader.trusted)
    choose_by_device(model)
    return Engine(model, load_tokenizer(spec, reader.trusted), spec)


def _build(engine: Engine, cell: Cell) -> Any:
    factory = find("full" if cell.method == FALLBACK else cell.method)
    takes_size = "chunk_size" in inspect.signature(factory).parameters
    return factory(engine, **({"chunk_size": cell.chunk_size} if takes_size and cell.chunk_size else {}))


def plot(measured: Sequence[Measurement], path: Path) -> None:
    """Seconds and memory against the context's length, both axes logarithmic; the floor is dotted."""
    from reports.drawing import COLOURS, MARKERS, figure, style

    measured = medians(measured)
    lengths = sorted({one.length for one in measured})
    with style():
        drawn = figure((8, 3.2))
        left, right = drawn.subplots(1, 2)
        for place, method in enumerate(dict.fromkeys(one.method for one in measured)):
            rows = sorted((one for one in measured if one.method == method), key=lambda one: one.length)
            x, colour = [one.length for one in rows], ("#000000", *COLOURS)[place % (len(COLOURS) + 1)]
            look: dict[str, Any] = {"color": colour, "marker": MARKERS[place % len(MARKERS)]}
            left.plot(x, [one.seconds for one in rows], label=method, **look)
            left.plot(x, [one.floor_seconds for one in rows], ":", color=colour, linewidth=0.9)
            right.plot(x, [one.peak_gib for one in rows], label=method, **look)
        left.set_ylabel("seconds (dotted: linear layers alone)")
        right.set_ylabel("GiB above the loaded reader")
        for panel in (left, right):
            panel.set(yscale="log", xlabel=f"tokens of context, {measured[0].reader}")
            panel.set_xscale("log", base=2)
            panel.set_xticks(lengths, [short(length) for length in lengths])
            panel.minorticks_off()
        left.legend()
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(path)


# The program


def cells_of(given: argparse.Namespace) -> list[Cell]:
    """The short lengths first, so that an interrupted table is complete up to a length; the rounds of a length forth
    and back, so that no method is always the one after another."""
    plans = [(method, length) for length in given.lengths for method in given.methods]
    plans += [(FALLBACK, length) for length in given.fallback]
    cells = sorted(
        (Cell(*plan, given.chunk_size, given.new_tokens) for plan in plans), key=lambda cell: cell.length
    )
    found: list[Cell] = []
    for _, alike in groupby(cells, key=lambda cell: cell.length):
        turn = list(alike)
        for number in range(given.rounds):
            found += reversed(turn) if number % 2 else turn
    return found


def describe(given: argparse.Namespace, cells: Sequence[Cell]) -> str:
    """What would be measured, as text. ValueError for a reader or a shape that is not known."""
    if given.random:
        find_shape(given.random)
    reader = f"random {given.random}" if given.random else reader_spec(given.model).name
    chunks = f"chunks of {given.chunk_size} tokens" if given.chunk_size else "the reader's chunks"
    lines = [f"reader  {reader}, {chunks}, {given.new_tokens} new tokens"]
    for length in sorted({cell.length for cell in cells}):
        names = ", ".join(dict.fromkeys(cell.method for cell in cells if cell.length == length))
        lines.append(f"cells   {length:>7,} tokens: {names}")
    rounds = f" in {given.rounds} rounds" if given.rounds > 1 else ""
    return "\n".join([*lines, f"total   {len(cells)} cells{rounds}"])


def in_process(work: Any, *arguments: Any) -> Any:
    """Runs `work` in a fresh process, which dies with this one, and returns what it returns; its errors are
    raised here."""
    with spawned(1, die_with, os.getpid()) as submit:
        return submit(work, *arguments).result()


def measurements(reader: Reader, cells: Sequence[Cell]) -> Iterator[Measurement]:
    """Every cell that fits in memory, as it is measured; the others are named on stderr."""
    contexts = in_process(write_contexts, reader, sorted({cell.length for cell in cells}))
    with tqdm(total=sum(cell.length for cell in cells), unit="token", unit_scale=True) as bar:
        for cell in cells:
            bar.set_description(f"{cell.method} {cell.length}")
            try:
                measured = in_process(measure, reader, cell, contexts[cell.length])
            except BrokenProcessPool:
                measured = None  # the kernel kills a process that takes the machine's last memory
            bar.update(cell.length)
            if measured is None:
                bar.write(f"{cell.method} at {cell.length} tokens ran out of memory", file=sys.stderr)
                continue
            bar.write(
                f"{measured.method} {measured.length}: {measured.seconds:.3f} s, {measured.peak_gib:.3f} GiB, "
                f"{100 * measured.outside:.1f} % outside the reader's forward calls",
                file=sys.stderr,
            )
            yield measured


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write what was asked for; 2 on a user's error, 130 when interrupted."""
    return run_program("python -m models.efficiency", partial(_run, arguments))


def _run(arguments: Sequence[str] | None) -> int:
    given = settings_of(sys.argv[1:] if arguments is None else arguments)
    for method in given.methods:
        find(method)
    cells = cells_of(given)
    if given.dry_run:
        print(describe(given, cells))
        return 0
    if given.threads:
        for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ[variable] = str(given.threads)  # read by the cells' processes
    return _measure_all(given, cells)


def _measure_all(given: argparse.Namespace, cells: Sequence[Cell]) -> int:
    done: list[Measurement] = []
    status = 0
    if given.csv:
        start_csv(given.csv)
    with TemporaryDirectory(prefix="random-reader-") as folder:
        reader = Reader(
            given.model, given.model, given.device, given.dtype, given.revision, given.trust_remote_code
        )
        try:
            if given.random:
                in_process(_write_reader, find_shape(given.random), folder, given.device, given.dtype)
                reader = replace(reader, name=f"random {given.random}", path=folder)
            for measured in measurements(reader, cells):
                done.append(measured)
                if given.csv:
                    add_to_csv(given.csv, measured)
        except KeyboardInterrupt:
            print("interrupted: the table holds what was measured", file=sys.stderr)
            status = 130
        except ValueError as error:
            if not done:
                raise
            print(
                f"python -m models.efficiency: error: {error} (the table holds what was measured)",
                file=sys.stderr,
            )
            status = 2
    if done:
        print(markdown(done))
        if given.plot:
            plot(done, given.plot)
    return status


def _write_reader(shape: dict[str, Any], folder: str, device: str, dtype: str) -> None:
    from models.loading import device_of

    place = device_of(device)
    if dtype == "auto":
        dtype = "float32" if place.type == "cpu" else "float16"
    write_random_reader(shape, Path(folder), dtype=dtype, device=str(place))


if __name__ == "__main__":
    sys.exit(main())
