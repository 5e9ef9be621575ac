"""The pictures: drawn where there is something to draw, with the numbers that they show beside them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_run import SMALL, Row, needle_task

from reports import plots
from reports.analysis import analyse
from reports.collect import MethodInfo, Run, TaskInfo, read_run
from reports.page import write_report

PNG = b"\x89PNG\r\n\x1a\n"


def grid(lengths: tuple[str, ...]) -> plots.Grid:
    empty = np.zeros((1, len(lengths)))
    return plots.Grid(MethodInfo("m", False), TaskInfo("t", 1), lengths, (0.0,), empty, empty)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(SMALL.write(tmp_path_factory.mktemp("plots") / "run")).parent


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_both_pictures_are_drawn(folder):
    for name in ("recall.png", "needle.png"):
        assert (folder / name).read_bytes().startswith(PNG)


def test_the_same_numbers_give_the_same_picture(folder, tmp_path):
    run = read_run(SMALL.write(tmp_path))
    plots.draw(run, analyse(run))
    for name in ("recall.png", "needle.png"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_the_lines_are_the_results_by_bucket(folder):
    shown = {
        (row["method"], row["task"], row["facts"]): row["mean"] for row in rows(folder, "recall_picture.csv")
    }
    results = {
        (row["method"], row["task"], row["bucket"]): row["mean"] for row in rows(folder, "results.csv")
    }
    assert len(shown) == 4 * 2 * 2
    assert all(results[place] == mean for place, mean in shown.items())


def test_the_cells_of_the_map_are_means_of_the_records(folder):
    run = read_run(folder)
    for row in rows(folder, "needle_picture.csv"):
        records = run.answers(row["method"], "needle").values()
        cell = [
            one.score
            for one in records
            if (one.bucket, str(one.tags["depth"])) == (row["length"], row["depth"])
        ]
        assert (int(row["n"]), float(row["mean"])) == (len(cell), pytest.approx(100 * np.mean(cell)))


def test_a_cell_without_answers_is_left_empty(tmp_path):
    def edit(row: Row) -> Row | None:
        return (
            None
            if row["task"] == "needle" and row["tags"] == {"length": 1000, "depth": 0, "facts": 1}
            else row
        )

    run = read_run(replace(SMALL, edit=edit).write(tmp_path))
    needle = next(task for task in run.tasks if task.name == "needle")
    found = plots.needle_grid(run, run.methods[0], needle)
    assert np.isnan(found.means[0, 0])
    assert not np.isnan(found.means[1:]).any()
    assert "needle.png" in [picture.name for picture in plots.draw(run, analyse(run))]


def test_facts_with_a_depth_of_their_own_make_no_needle_map(tmp_path):
    fake = replace(
        SMALL, tasks=SMALL.tasks[:1], edit=lambda row: row | {"tags": row["tags"] | {"depth": 0.3}}
    )
    run = read_run(fake.write(tmp_path))
    assert [picture.name for picture in plots.draw(run, analyse(run))] == ["recall.png"]


def test_one_number_of_facts_makes_no_line(tmp_path):
    fake = replace(SMALL, tasks=(replace(SMALL.tasks[0], cells=SMALL.tasks[0].cells[:1]),))
    run = read_run(fake.write(tmp_path))
    assert plots.draw(run, analyse(run)) == []


@pytest.mark.parametrize(
    ("trained", "expected"),
    [(2000, 1.0), (1000, 0.0), (2828, 1.5), (8000, 3.0), (500, None), (9000, None), (None, None)],
)
def test_the_trained_length_stands_between_the_lengths_around_it(trained, expected):
    found = plots.trained_place(grid(("1000", "2k", "4000", "8k")), trained)
    assert found == (expected if expected is None else pytest.approx(expected, abs=1e-3))


def test_the_caption_names_the_trained_length_only_where_the_line_is_drawn(tmp_path):
    for lengths, drawn in (((1000, 2000), True), ((2000, 4000), False)):
        fake = replace(SMALL, tasks=(needle_task(lengths, (0, 100), 10),))
        run = read_run(fake.write(tmp_path / str(drawn)))
        grids = [plots.needle_grid(run, method, run.tasks[0]) for method in run.methods]
        assert ("(1500)" in plots._needle_caption(run, grids)) == drawn


def test_methods_are_told_apart_without_colour():
    methods = tuple(MethodInfo(f"m{i}", i % 3 == 2) for i in range(9))
    run = Run(Path(), {"settings": {"model": "tiny", "baseline": "m0"}}, methods, (), {}, {})
    looks = [plots._look(run, method, place) for place, method in enumerate(methods)]
    assert len({(str(look["linestyle"]), look["marker"]) for look in looks}) == 9
    assert {look["color"] for look, method in zip(looks, methods, strict=True) if method.control} == {
        "#8A8A8A"
    }


def test_a_dollar_in_a_label_is_no_formula():
    assert plots._short("cost $x$ a_b") == r"cost \$x\$ a_b"


def test_a_long_label_is_wrapped():
    assert max(map(len, plots._short("oprm:" + "chunk_size=512," * 5).split("\n"))) <= plots.LABEL_WIDTH
