"""The real pieces together: the command line, a random reader in a folder, every default method, a report."""

from __future__ import annotations

import csv
import json
import re

import pytest

import run_compare
from comparison import grid
from comparison.plan import METHODS, make_plan

BENCHMARK = "recall:length=300,facts=4;12,samples=10"
CHUNKED = ("random_chunk", "oracle_chunk", "oprm", "rag")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A folder with an untrained Mamba and a tokenizer of the benchmark's own words."""
    from models.tiny.model import new_model
    from models.tiny.tokenizer import build_tokenizer

    def count_words(text):
        return len(re.findall(r"\w+|[^\w\s]", text))

    tasks = grid.load_tasks(make_plan({"model": "a/b", "benchmark": [BENCHMARK]}), count_words)
    examples = [example for planned in tasks for example in planned.examples]
    text = " ".join(planned.task.prompt("error", "x") for planned in tasks)
    text = " ".join([text, *(f"{example.context} {example.question}" for example in examples)])
    tokenizer = build_tokenizer(sorted(set(re.findall(r"\w+|[^\w\s]", text.lower()))))
    folder = tmp_path_factory.mktemp("reader")
    new_model(len(tokenizer), hidden=16, layers=1, state=4).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def arguments(reader, tmp_path):
    methods = [f"{name}:chunk_size=100" if name in CHUNKED else name for name in METHODS]
    given = ["--model", str(reader), "--device", "cpu", "--benchmark", BENCHMARK, "--limit", "2"]
    return (
        given
        + [part for method in methods for part in ("--method", method)]
        + ["--out", str(tmp_path / "run")]
    )


def test_every_default_method_is_compared_and_reported(arguments, tmp_path, capsys):
    assert run_compare.main(arguments) == 0
    out, _ = capsys.readouterr()
    assert out.splitlines()[-1] == f"report: {tmp_path / 'run' / 'report.md'}"
    with (tmp_path / "run" / "results.csv").open(newline="") as file:
        methods = {row["method"].partition(":")[0] for row in csv.DictReader(file)}
    assert methods == set(METHODS)
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert info["settings"]["revision"].startswith("local-")
    assert info["settings"]["kernel"] == "numba"
    rows = [
        json.loads(line)
        for path in (tmp_path / "run" / "records").glob("*/*/*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert len(rows) == len(METHODS) * 2 * 2
    errors = {row["error"] for row in rows} - {None}
    assert all(error.startswith("undefined: ") for error in errors)
    assert all(row["cost"]["calls"] > 0 for row in rows if row["error"] is None)
    controls = {row["method"].partition(":")[0] for row in rows if row["control"]}
    assert controls == {"closed_book", "random_chunk", "oracle_chunk"}
    assert run_compare.main(arguments) == 0
    assert "0 answers, 28 found" in capsys.readouterr().out


def test_a_dry_run_needs_the_tokenizer_and_no_weights(arguments, reader, tmp_path, capsys):
    weights = reader / "model.safetensors"
    weights.rename(reader / "away")
    try:
        assert run_compare.main([*arguments, "--dry-run"]) == 0
        assert "7 methods x 2 tasks: 28 answers" in capsys.readouterr().out
        assert run_compare.main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
    finally:
        (reader / "away").rename(weights)
    assert not (tmp_path / "run").exists()
