"""Published numbers: beside ours on request, labelled, and only where benchmark, task, bucket and method are the
same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_run import SMALL, FakeRun, FakeTask, Row

from reports.collect import Run, read_run
from reports.published import SETTINGS, WHOLE, published_tables
from reports.published_numbers import (
    CATEGORIES,
    EXTENSION,
    FALCON,
    FALCON3,
    LONGBENCH_CATEGORIES,
    MULTI_HOP,
    NUMBERS,
    RWKV,
)
from reports.tables import Cell, Table, markdown

METHODS = (("full", False), ("oprm", False), ("truncate:keep=ends", False), ("longmamba", False))
BUCKETS = (("0-4k", {}), ("4-8k", {}), ("8k+", {}))


def longbench(path: str, *tasks: str, benchmark: str = "longbench", label: str = "") -> FakeRun:
    cells = BUCKETS if benchmark.startswith("longbench_e") else (("any length", {}),)
    return replace(
        SMALL,
        methods=METHODS,
        tasks=tuple(FakeTask(task, cells, 21) for task in tasks),
        settings={"path": path},
        skill=lambda *_: 0.5,
        benchmark=benchmark,
        label=label or benchmark,
    )


def made(fake: FakeRun, folder: Path) -> tuple[Run, list[Table]]:
    run = read_run(fake.write(folder))
    return run, published_tables(run)


def titled(tables: list[Table], words: str) -> Table:
    (table,) = [table for table in tables if words in table.title]
    return table


def texts(table: Table) -> list[list[str]]:
    return [[cell if isinstance(cell, str) else cell.text for cell in row] for row in table.rows]


def rows_of(table: Table) -> dict[tuple[str, str], list[str]]:
    return {(row[1], row[2]): row[3:] for row in texts(table)}


def mean_of(run: Run, method: str, task: str, bucket: str = "all") -> str:
    column = run.columns[method, task]
    chosen = column.scores if bucket == "all" else column.scores[column.buckets == bucket]
    return f"{100 * np.mean(chosen):.1f}"


def test_the_numbers_are_those_of_the_papers():
    known = {(one.model, one.name, one.method): one.value for one in NUMBERS}
    assert known[FALCON3, "LongBench mean", "oprm"] == 32.2
    assert known[FALCON3, "LongBench_e mean, 8k+", "full"] == 30.4
    assert known[FALCON3, "kv_retrieval", "oprm"] == 31.3
    assert known[FALCON, "hotpotqa_e, 8k+", "random_chunk"] == 27.62
    assert known[RWKV, "repobench-p", "truncate"] == 54.10
    gains = [
        known[model, "LongBench mean", "oprm"] / known[model, "LongBench mean", "full"] - 1
        for model in dict.fromkeys(one.model for one in NUMBERS)
    ]
    # The gains that the abstract quotes; the means are read off a chart.
    assert [100 * gain for gain in gains] == pytest.approx([28.6, 14.0, 50.0, 50.7], abs=0.9)
    fork = [value for (model, _, method), value in known.items() if (model, method) == (RWKV, "truncate")]
    assert sum(fork) / len(fork) == pytest.approx(36.3, abs=0.05)


def test_the_infinitebench_mean_is_the_mean_of_its_rows():
    rows = [one for one in NUMBERS if one.benchmark == "infinitebench"]
    for method in ("full", "oprm"):
        of_tasks = [one.value for one in rows if one.task and one.method == method]
        (whole,) = [one.value for one in rows if not one.task and one.method == method]
        assert sum(of_tasks) / len(of_tasks) == pytest.approx(whole, abs=0.05)


def test_the_context_extension_means_that_the_slide_gives_follow_from_its_cells():
    def mean(method: str, left_out: str = "") -> float:
        pairs = zip(CATEGORIES.items(), EXTENSION[method], strict=True)
        kept = [(len(tasks), value) for (name, tasks), value in pairs if name != left_out]
        return sum(n * value for n, value in kept) / sum(n for n, _ in kept)

    assert mean("full", "synthetic") == pytest.approx(9.35, abs=0.01)
    assert mean("decimamba", "synthetic") == pytest.approx(15.25, abs=0.01)
    assert mean("longmamba") == pytest.approx(17.33, abs=0.01)


def test_ours_stands_beside_the_same_task_and_method_of_the_same_reader(tmp_path):
    run, tables = made(longbench(RWKV, "mine-hotpotqa", "mine-qasper", label="mine"), tmp_path)
    rows = rows_of(titled(tables, "Published for `RWKV"))
    assert rows["hotpotqa", "truncate"][0] == "22.74"
    assert rows["hotpotqa", "truncate"][1].startswith(mean_of(run, "truncate:keep=ends", "mine-hotpotqa"))
    assert rows["musique", "truncate"][1] == "–"


def test_a_variant_of_ours_beside_a_published_method_is_named(tmp_path):
    def marks(tables: list[Table], title: str, place: int, method: int) -> set[tuple[str, str]]:
        """The names of methods in one column with what stands after the cell in another."""
        rows = [row for row in titled(tables, title).rows if isinstance(row[place], Cell)]
        return {(row[method].text, row[place].after) for row in rows}

    methods = (("full", False), ("oprm:idk_filter=false", False))
    fake = replace(longbench(FALCON, "hotpotqa_e", benchmark="longbench_e"), methods=methods)
    _, tables = made(replace(fake, edit=lambda row: row | {"length": 2048}), tmp_path)
    expected = {("full", ""), ("oprm", "(oprm:idk_filter=false)")}
    assert marks(tables, "Published for `tiiuae", 4, 2) == expected
    assert marks(tables, "efficiency", 2, 1) == expected


def test_a_mean_of_ours_needs_every_task_of_the_benchmark(tmp_path):
    tasks = WHOLE["longbench"]
    run, tables = made(longbench(RWKV, *tasks), tmp_path / "all")
    mean = np.mean([run.columns["oprm", task].scores.mean() for task in tasks])
    ours = rows_of(titled(tables, "Published for `RWKV"))["LongBench mean", "oprm"][1]
    assert ours.startswith(f"{100 * mean:.1f} ±")
    _, tables = made(longbench(RWKV, *tasks[1:]), tmp_path / "fewer")
    assert rows_of(titled(tables, "Published for `RWKV"))["LongBench mean", "oprm"][1] == "–"


def test_the_balanced_sets_are_matched_by_task_and_bucket_and_never_with_the_other_set(tmp_path):
    run, tables = made(longbench(FALCON, "hotpotqa_e", benchmark="longbench_e:tasks=hotpotqa"), tmp_path)
    rows = rows_of(titled(tables, "Published for `tiiuae"))
    assert rows["hotpotqa_e, 4-8k", "oprm"][1].startswith(mean_of(run, "oprm", "hotpotqa_e", "4-8k"))
    hops = titled(tables, "multi-hop")
    assert rows_of(hops)["hotpotqa_e, 4-8k", "full"][:2] == [
        "21.57",
        rows["hotpotqa_e, 4-8k", "full"][1],
    ]
    assert rows_of(hops)["hotpotqa", "full"][:2] == ["22.17", "–"]
    assert {row[0] for row in texts(hops)} == {"not named"}
    assert len(texts(hops)) == len(MULTI_HOP) == 18


@pytest.mark.parametrize(
    ("number", "expected"), [("LongBench", "hotpotqa-paper"), ("fork", "hotpotqa")], ids=["oprm", "official"]
)
def test_of_two_wordings_each_source_is_set_beside_its_own(tmp_path, number, expected):
    fake = longbench(RWKV, "hotpotqa", "hotpotqa-paper")
    skill = {"hotpotqa": 0.9, "hotpotqa-paper": 0.1}
    run, tables = made(replace(fake, skill=lambda method, task, *_: skill[task]), tmp_path)
    table = titled(tables, "multi-hop" if number == "LongBench" else "Published for `RWKV")
    method, label = ("full", "full") if number == "LongBench" else ("truncate", "truncate:keep=ends")
    assert rows_of(table)["hotpotqa", method][1].startswith(mean_of(run, label, expected))


def test_a_task_of_the_same_name_in_another_benchmark_is_another_task(tmp_path):
    for benchmark, ours in (("passkey", "–"), ("infinitebench", "±")):
        _, tables = made(longbench(FALCON3, "passkey", benchmark=benchmark), tmp_path / benchmark)
        assert ours in rows_of(titled(tables, "Published for `tiiuae"))["passkey", "oprm"][1]


def test_context_extension_stands_by_category_where_all_tasks_of_one_are_there(tmp_path):
    tasks = [f"{task}_e" for task in (*CATEGORIES["code"], *CATEGORIES["few-shot"][1:])]
    run, tables = made(longbench("tiny", *tasks, benchmark="longbench_e"), tmp_path)
    rows = [
        row for row in texts(titled(tables, "context extension")) if row[:3] == ["ours", "tiny", "longmamba"]
    ]
    mean = np.mean([run.columns["longmamba", task].scores.mean() for task in tasks[:2]])
    assert rows[0][3:8] == ["–"] * 5
    assert rows[0][8].startswith(f"{100 * mean:.1f}")


def test_truncated_readers_stand_by_category_beside_our_own_truncation(tmp_path):
    tasks = LONGBENCH_CATEGORIES["code"]
    run, tables = made(longbench("tiny", *tasks, "trec"), tmp_path)
    rows = texts(titled(tables, "truncated contexts"))
    assert rows[0][:3] == ["published", "RecurrentGemma-9B-it", "cut to 7,500 tokens"]
    assert rows[0][-1] == "60.63"
    ours = next(row for row in rows if row[:3] == ["ours", "tiny", "truncate:keep=ends"])
    mean = np.mean([run.columns["truncate:keep=ends", task].scores.mean() for task in tasks])
    assert ours[3:8] == ["–"] * 5
    assert ours[8].startswith(f"{100 * mean:.1f}")


def test_efficiency_takes_the_warm_answers_of_the_nearest_power_of_two(tmp_path):
    def edit(row: Row) -> Row:
        place = int(row["example"][-4:])
        peak = 3 * 10**9 if place == 7 else 2 * 10**9
        cost = {"seconds": {"total": 2.0 if place % 2 else 4.0}, "peak_bytes": peak}
        return row | {"length": 2000 if place % 2 else 33_000, "cost": row["cost"] | cost}

    _, tables = made(replace(longbench("tiny", "trec"), edit=edit), tmp_path)
    rows = {tuple(row[:3]): row[3:] for row in texts(titled(tables, "efficiency"))}
    assert rows["seconds", "oprm", "published"][4] == "7.8"
    assert rows["seconds", "oprm", "ours"] == ["2.000", "–", "–", "–", "4.000", "–", "–"]
    assert [rows["peak memory, GB", "full", "ours"][octave] for octave in (0, 4)] == ["3.00", "2.00"]


def test_a_reader_without_published_numbers_gets_none_of_its_own_beside_the_others(tmp_path):
    _, tables = made(longbench("models/tiny", *WHOLE["longbench"]), tmp_path)
    table = titled(tables, "other readers")
    assert {row[-2] for row in rows_of(table).values()} == {"–"}
    text = markdown(table)
    assert "under other settings" in text
    assert "Nothing is published for `tiny`" in text


def test_a_number_has_the_decimals_that_its_source_gives(tmp_path):
    _, tables = made(longbench(RWKV, "hotpotqa"), tmp_path / "chart")
    rows = rows_of(titled(tables, "Published for `RWKV"))
    assert [rows["LongBench_e mean, 8k+", method][0] for method in ("full", "oprm")] == ["13.0", "26.0"]
    _, tables = made(longbench(FALCON3, "passkey", benchmark="infinitebench"), tmp_path / "table")
    rows = rows_of(titled(tables, "Published for `tiiuae"))
    assert [rows["number_string", method][0] for method in ("full", "oprm")] == ["0", "100"]


def test_what_sets_all_published_numbers_apart_is_said_once(tmp_path):
    _, tables = made(longbench(RWKV, "hotpotqa", "trec"), tmp_path)
    assert len(tables) > 2
    assert [SETTINGS in " ".join(table.notes) for table in tables] == [True] + [False] * (len(tables) - 1)


def test_a_run_of_other_tasks_and_lengths_gets_only_the_means(tmp_path):
    _, tables = made(SMALL, tmp_path)
    assert [table.title for table in tables] == ["Published for other readers, under other settings"]
