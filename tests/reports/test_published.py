"""Published numbers: beside ours on request, labelled, and only where the reader is the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_run import SMALL, FakeRun, FakeTask

from reports.analysis import analyse
from reports.collect import read_run
from reports.published import FALCON3, NUMBERS, RWKV, published_tables
from reports.tables import Table, markdown


def longbench(path: str, *tasks: str) -> FakeRun:
    methods = (("full", False), ("oprm", False), ("truncate:keep=ends", False))
    cells = (("all-lengths", {}),)
    return replace(
        SMALL,
        methods=methods,
        tasks=tuple(FakeTask(task, cells, 30) for task in tasks),
        settings={"path": path},
        skill=lambda *_: 0.5,
    )


def table_of(fake: FakeRun, folder) -> Table:
    run = read_run(fake.write(folder))
    (table,) = published_tables(run, analyse(run))
    return table


def rows_of(table: Table) -> dict[tuple[str, str], list[str]]:
    texts = [[cell if isinstance(cell, str) else cell.text for cell in row] for row in table.rows]
    return {(row[1], row[2]): row[3:] for row in texts}


def test_the_numbers_are_those_of_the_papers():
    known = {(one.model, one.task, one.method): one.value for one in NUMBERS}
    assert known[FALCON3, "LongBench mean", "oprm"] == 32.2
    assert known[FALCON3, "kv_retrieval", "oprm"] == 31.3
    assert known[RWKV, "repobench-p", "truncate"] == 54.10
    gains = [
        known[model, "LongBench mean", "oprm"] / known[model, "LongBench mean", "full"] - 1
        for model in dict.fromkeys(one.model for one in NUMBERS)
    ]
    # The gains that the abstract quotes; the means are read off a chart.
    assert [100 * gain for gain in gains] == pytest.approx([28.6, 14.0, 50.0, 50.7], abs=0.9)
    fork = [value for (model, _, method), value in known.items() if (model, method) == (RWKV, "truncate")]
    assert sum(fork) / len(fork) == pytest.approx(36.3, abs=0.05)


def test_ours_stands_beside_the_same_task_and_method_of_the_same_reader(tmp_path):
    rows = rows_of(table_of(longbench(RWKV, "longbench-hotpotqa", "qasper"), tmp_path))
    assert rows["hotpotqa", "truncate"][0] == "22.74"
    assert "±" in rows["hotpotqa", "truncate"][1]
    assert "±" in rows["LongBench mean", "oprm"][1]
    assert rows["musique", "truncate"][1] == "–"


def test_a_mean_over_other_tasks_too_is_no_longbench_mean(tmp_path):
    rows = rows_of(table_of(longbench(RWKV, "qasper", "recall"), tmp_path))
    assert rows["LongBench mean", "oprm"][1] == "–"


def test_another_reader_gets_none_of_its_own_numbers_beside_them(tmp_path):
    table = table_of(SMALL, tmp_path)
    assert {row[-2] for row in rows_of(table).values()} == {"–"}
    text = markdown(table)
    assert "under other settings" in text
    assert "Nothing is published for `tiny`" in text
