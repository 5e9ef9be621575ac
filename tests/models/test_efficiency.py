"""The efficiency program: what its cells measure, what it writes, and what it leaves behind when cut short."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models import efficiency, efficiency_options, shapes
from models.efficiency import FALLBACK, Cell, Reader, main, measure, write_contexts
from models.efficiency_table import COLUMNS, Measurement, markdown, medians
from models.engine import Engine
from models.floor import ForwardCalls
from models.meter import Cost, Gauge, Meter
from models.specs import ReaderError

TINY = Reader("tiny", "tiny", "cpu", "auto")


def measured(method: str, length: int, seconds: float = 2.0) -> Measurement:
    return Measurement("tiny", method, length, seconds, 0.25, seconds / 2, 0.125)


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``cells(results)``: what the measured cells return or raise, in their order, in place of processes."""

    def script(*results: Any) -> None:
        pending = list(results)

        def in_process(work: Callable[..., Any], *arguments: Any) -> Any:
            if work is not measure:
                return dict.fromkeys(arguments[-1]) if work is write_contexts else None
            result = pending.pop(0)
            if isinstance(result, BaseException):
                raise result
            return result

        monkeypatch.setattr(efficiency, "in_process", in_process)

    return script


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# What a cell measures


@pytest.mark.parametrize(("method", "read"), [("full", 1), ("oprm", 2)])
def test_a_cell_answers_one_needle_question_and_decodes_as_many_tokens_as_told(
    method: str, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = write_contexts(TINY, (400,))
    seen: list[Any] = []
    monkeypatch.setattr("models.floor.floor_seconds", lambda model, calls, _: seen.append(calls) or 0.5)
    found = measure(TINY, Cell(method, 400, 200, new_tokens=4), contexts[400])
    assert found is not None
    assert (found.reader, found.method, found.length, found.floor_seconds) == ("tiny", method, 400, 0.5)
    assert seen[0][1, 1] == 3  # the first of four tokens comes with the prompt
    [(rows, tokens)] = set(seen[0]) - {(1, 1)}  # all chunks in one call
    assert (rows, tokens >= 400) == (read, True)
    assert found.seconds > 0
    assert 0 < found.outside < 1
    assert found.tokens_per_second == 400 / found.seconds
    assert found.peak_gib < 2


def test_the_fallback_is_transformers_own_code_and_reads_the_same() -> None:
    ours, theirs = efficiency._load(TINY), efficiency._load_fallback(TINY)
    assert (ours.kernel, theirs.kernel) == ("numba", "torch")
    assert not any("forward" in vars(module) for module in theirs.model.modules())
    ids = ours.encode("Alden works in Paris.")
    torch.testing.assert_close(theirs.prefill([ids]).logits, ours.prefill([ids]).logits, atol=1e-4, rtol=0)


def test_the_peak_is_counted_from_what_the_loaded_reader_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = write_contexts(TINY, (300,))
    gauge = Gauge(lambda: None, lambda: 100 << 30, lambda: None)  # read when the reader is loaded
    monkeypatch.setattr("models.device_memory.device_gauge", lambda _: gauge)
    monkeypatch.setattr("models.floor.floor_seconds", lambda *_: 0.5)
    found = measure(TINY, Cell("full", 300, None, new_tokens=1), contexts[300])
    assert found is not None
    assert found.peak_gib == pytest.approx(-100, abs=8)


def test_a_quick_cell_counts_its_median_answer_and_what_is_outside_of_its_forward_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contexts = write_contexts(TINY, (300,))
    monkeypatch.setattr("models.floor.floor_seconds", lambda *_: 0.5)
    totals = iter((1.0, 0.75, 0.25))

    @contextmanager
    def run(self: Meter) -> Iterator[Cost]:
        cost = Cost()
        yield cost
        cost.seconds["total"] = next(totals)

    @contextmanager
    def watch(*_: Any) -> Iterator[ForwardCalls]:
        yield ForwardCalls(seconds=0.2)

    monkeypatch.setattr(Meter, "run", run)
    monkeypatch.setattr("models.floor.watch_forwards", watch)
    found = measure(TINY, Cell("full", 300, None, new_tokens=1), contexts[300])
    assert found is not None
    assert (found.seconds, found.outside) == (0.75, pytest.approx(1 - 0.2 / 0.25))


def test_the_fallback_runs_no_cuda_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr("models.kernel_choice.choose_by_device", told.append)
    assert told == [efficiency._load_fallback(TINY).model]


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_running_out_of_memory_is_an_empty_cell_and_other_errors_are_errors(
    error: Exception, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(efficiency, "_measure", fail)
    if lost:
        assert measure(TINY, Cell("full", 10, None, 1), Any) is None  # type: ignore[arg-type]
    else:
        with pytest.raises(RuntimeError, match="shapes"):
            measure(TINY, Cell("full", 10, None, 1), Any)  # type: ignore[arg-type]


def test_a_prompt_for_which_a_gpu_is_too_small_is_an_empty_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, warm = efficiency._load(TINY), efficiency.WARM_UP
    forward = engine.model.forward

    def cramped(input_ids: torch.Tensor, **given: Any) -> Any:
        if input_ids.shape[1] > warm:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(input_ids=input_ids, **given)

    monkeypatch.setattr(engine.model, "forward", cramped)
    monkeypatch.setattr(efficiency, "_load", lambda _: engine)
    assert measure(TINY, Cell("full", 300, None, 1), write_contexts(TINY, (300,))[300]) is None


def test_a_random_reader_has_the_shape_and_opens_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 2000}
    monkeypatch.setitem(shapes.SHAPES, "small", shapes.SHAPES["mamba-130m"] | small)
    shapes.write_random_reader(shapes.find_shape("small"), tmp_path, dtype="float32", device="cpu")
    engine = Engine.load(str(tmp_path), device="cpu")
    assert (engine.kernel, engine.vocab_size, engine.spec.chunk_size) == ("numba", 2000, 2000)
    assert engine.encode("Alden works in Paris.") == efficiency._load(TINY).encode("Alden works in Paris.")


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("mamba-130m", 129),
        ("mamba-2.8b", 2768),
        ("mamba2-130m", 129),
        ("mamba2-2.7b", 2702),
        ("falcon-mamba-7b", 7270),
    ],
)
def test_a_shape_has_as_many_parameters_as_the_published_reader(name: str, millions: int) -> None:
    """The counts of the papers' checkpoints (Gu and Dao 2023, table 3; Dao and Gu 2024), in millions."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shapes.find_shape(name)))
    assert model.num_parameters() / 1e6 == pytest.approx(millions, rel=0.01)


# What is written


def test_rows_are_written_one_by_one_and_an_interrupted_table_keeps_them(
    cells: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells(measured("full", 1000), measured("oprm", 1000, 1 / 3), KeyboardInterrupt())
    table = tmp_path / "made" / "table.csv"
    assert main(["--lengths", "1k,2k", "--csv", str(table), "--plot", str(tmp_path / "p.png")]) == 130
    assert table.read_text().splitlines()[0] == ",".join(COLUMNS)
    assert rows_of(table)[1] == {
        "reader": "tiny",
        "method": "oprm",
        "length": "1000",
        "seconds": "0.333333",
        "tokens_per_second": "3000",
        "peak_gib": "0.25",
        "floor_seconds": "0.166667",
    }
    assert "| seconds, `oprm` | 0.333 |" in capsys.readouterr().out
    assert (tmp_path / "p.png").stat().st_size > 5000


def test_a_cell_that_is_refused_ends_the_table_and_keeps_what_was_measured(
    cells: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells(measured("full", 1000), ReaderError("longmamba needs a calibration"))
    assert main(["--lengths", "1k", "--plot", str(tmp_path / "p.png")]) == 2
    said = capsys.readouterr()
    assert "| seconds, `full` |" in said.out
    assert "longmamba needs a calibration (the table holds what was measured)" in said.err
    assert (tmp_path / "p.png").exists()
    cells(ReaderError("no reader"))
    assert main(["--lengths", "1k"]) == 2
    assert capsys.readouterr().err.strip().endswith("no reader")


@pytest.mark.parametrize("lost", [None, BrokenProcessPool("killed")])
def test_a_cell_that_ran_out_of_memory_is_a_dash_and_the_others_go_on(
    lost: Any, cells: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells(measured("full", 1000), measured("oprm", 1000), lost, measured("oprm", 2000))
    table = tmp_path / "table.csv"
    assert main(["--lengths", "1k,2k", "--csv", str(table)]) == 0
    assert [(row["method"], row["length"]) for row in rows_of(table)] == [
        ("full", "1000"),
        ("oprm", "1000"),
        ("oprm", "2000"),
    ]
    printed = capsys.readouterr()
    assert "| seconds, `full` | 2 | – |" in printed.out
    assert "full at 2000 tokens ran out of memory" in printed.err


def test_the_table_has_the_papers_shape() -> None:
    table = markdown([measured("oprm", 512), measured("full", 128000, 1234.5), measured("full", 512)])
    lines = table.splitlines()
    assert lines[0] == "| | 512 | 128K |"
    assert "| seconds, `full` | 2 | 1,234 |" in lines
    assert "| GiB above the loaded reader, `oprm` | 0.25 | – |" in lines
    assert "| outside the reader's forward, `oprm` | 12.5 % | – |" in lines
    assert "over" not in table


def test_rounds_are_medians_beside_the_ratios_of_each_round() -> None:
    full = [measured("full", 512, seconds) for seconds in (1.0, 4.0, 2.0)]
    oprm = [measured("oprm", 512, seconds) for seconds in (1.1, 8.0, 1.0)]
    oprm[1] = replace(oprm[1], peak_gib=0.5, outside=0.9)
    turns = [full[0], oprm[0], oprm[1], full[1], full[2], oprm[2], measured("full", 2000)]
    lines = markdown(turns).splitlines()
    assert "| seconds, `oprm` | 1.1 | – |" in lines
    assert "| seconds, `full` | 2 | 2 |" in lines
    assert "| seconds, linear layers alone, `oprm` | 0.55 | – |" in lines
    assert "| GiB above the loaded reader, `oprm` | 0.5 | – |" in lines
    assert "| outside the reader's forward, `oprm` | 12.5 % | – |" in lines
    ratio = "| seconds over `full`'s, `oprm`: median (lowest to highest round) | 1.100 (0.500 to 2.000) | – |"
    assert lines[-1] == ratio
    assert [(one.method, one.length, one.seconds) for one in medians(turns)] == [
        ("full", 512, 2.0),
        ("oprm", 512, 1.1),
        ("full", 2000, 2.0),
    ]


def test_a_round_that_ran_out_of_memory_leaves_no_ratio() -> None:
    table = markdown([measured("full", 512), measured("oprm", 512), measured("full", 512)])
    assert table.splitlines()[-1].endswith("| – |")


# The command line


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_random_weights_on_a_device_that_is_not_there_are_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(efficiency, "in_process", lambda work, *arguments: work(*arguments))
    assert main(["--random", "falcon-mamba-7b", "--device", "cuda", "--lengths", "512"]) == 2
    assert capsys.readouterr().err == (
        "python -m models.efficiency: error: no CUDA device here (or a CPU build of torch): use --device cpu\n"
    )


def test_a_dry_run_names_reader_and_cells_and_measures_nothing(
    cells: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    cells()
    flags = ["--random", "mamba-130m", "--lengths", "512,2k", "--fallback", "512", "--dry-run"]
    assert main(flags) == 0
    assert capsys.readouterr().out.splitlines() == [
        "reader  random mamba-130m, the reader's chunks, 20 new tokens",
        "cells       512 tokens: full, oprm, transformers",
        "cells     2,000 tokens: full, oprm",
        "total   5 cells",
    ]
    assert main(["--random", "mamba-1300m", "--dry-run"]) == 2
    assert "unknown shape 'mamba-1300m'" in capsys.readouterr().err


def test_the_cells_are_methods_by_length_short_ones_first_and_the_fallback_where_it_was_asked_for() -> None:
    given = efficiency_options.parser().parse_args(
        ["--methods", "full,oprm", "--lengths", "2k,512", "--fallback", "512", "--chunk-size", "9"]
    )
    again = efficiency_options.parser().parse_args(["--methods", "full, oprm,full"])
    assert again.methods == given.methods == ("full", "oprm")
    plans = [(cell.method, cell.length) for cell in efficiency.cells_of(given)]
    assert plans == [("full", 512), ("oprm", 512), (FALLBACK, 512), ("full", 2000), ("oprm", 2000)]
    assert {cell.chunk_size for cell in efficiency.cells_of(given)} == {9}


def test_rounds_go_forth_and_back_at_each_length(
    cells: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--rounds", "3", "--lengths", "512,2k"]
    found = efficiency.cells_of(efficiency_options.parser().parse_args(flags))
    turn = ["full", "oprm", "oprm", "full", "full", "oprm"]
    assert [(cell.method, cell.length) for cell in found] == [
        *((method, 512) for method in turn),
        *((method, 2000) for method in turn),
    ]
    assert main([*flags, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "cells       512 tokens: full, oprm",
        "cells     2,000 tokens: full, oprm",
        "total   12 cells in 3 rounds",
    ]
    cells(*(measured(cell.method, cell.length) for cell in found))
    table = tmp_path / "table.csv"
    assert main([*flags, "--csv", str(table), "--plot", str(tmp_path / "p.png")]) == 0
    assert [row["method"] for row in rows_of(table)] == turn * 2
    assert "| 1.000 (1.000 to 1.000) | 1.000 (1.000 to 1.000) |" in capsys.readouterr().out


def test_every_process_of_a_table_loads_the_revision_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []

    def in_process(work: Callable[..., Any], reader: Reader, *arguments: Any) -> Any:
        told.append(reader)
        return dict.fromkeys(arguments[-1]) if work is write_contexts else None

    monkeypatch.setattr(efficiency, "in_process", in_process)
    flags = ["--model", "lab/some", "--revision", "v1.0", "--methods", "full", "--lengths", "512"]
    assert main(flags) == 0
    assert told == [Reader("lab/some", "lab/some", "auto", "auto", "v1.0")] * 2
    loaded: list[Any] = []
    monkeypatch.setattr(Engine, "load", lambda path, **options: loaded.append((path, options["revision"])))
    efficiency._load(told[0])
    assert loaded == [("lab/some", "v1.0")]


def test_work_runs_in_a_process_of_its_own_and_its_errors_come_back() -> None:
    assert efficiency.in_process(os.getpid) != os.getpid()
    with pytest.raises(ValueError, match="invalid literal"):
        efficiency.in_process(int, "x")
    with pytest.raises(BrokenProcessPool):
        efficiency.in_process(os._exit, 1)
