"""The pictures: drawn where there is something to draw, with the numbers that they show beside them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_run import SMALL, Row, facts_task, needle_task

from reports import charts, drawing, lines, plots
from reports.analysis import analyse
from reports.collect import MethodInfo, Run, TaskInfo, read_run
from reports.cost import cost_rows
from reports.drawing import Picture
from reports.page import write_report
from reports.statistics import Estimate

PNG = b"\x89PNG\r\n\x1a\n"
NAMES = ("recall.png", "length.png", "quality.png", "forest.png", "cost_length.png", "needle.png")


def grid(lengths: tuple[str, ...]) -> plots.Grid:
    empty = np.zeros((1, len(lengths)))
    return plots.Grid(MethodInfo("m", False), TaskInfo("t", 1), lengths, (0.0,), empty, empty)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(SMALL.write(tmp_path_factory.mktemp("plots") / "run")).parent


def draw(run: Run) -> list[Picture]:
    return plots.draw(run, analyse(run), cost_rows(run))


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run with contexts whose length is that of their bucket."""
    fake = replace(SMALL, edit=lambda row: row | {"length": int(row["tags"].get("length", 1000))})
    return write_report(fake.write(tmp_path_factory.mktemp("plots") / "grown")).parent


def test_every_picture_is_drawn(grown):
    for name in NAMES:
        folder = grown
        assert (folder / name).read_bytes().startswith(PNG)


def test_the_same_numbers_give_the_same_picture(folder, tmp_path):
    run = read_run(SMALL.write(tmp_path))
    draw(run)
    for name in NAMES[:4]:
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
    assert "needle.png" in [picture.name for picture in draw(run)]


def test_facts_with_a_depth_of_their_own_make_no_needle_map(tmp_path):
    fake = replace(
        SMALL, tasks=SMALL.tasks[:1], edit=lambda row: row | {"tags": row["tags"] | {"depth": 0.3}}
    )
    run = read_run(fake.write(tmp_path))
    names = [picture.name for picture in draw(run)]
    assert "recall.png" in names
    assert "needle.png" not in names


def test_one_number_of_facts_makes_no_line(tmp_path):
    fake = replace(SMALL, tasks=(replace(SMALL.tasks[0], cells=SMALL.tasks[0].cells[:1]),))
    run = read_run(fake.write(tmp_path))
    assert not {"recall.png", "length.png"} & {picture.name for picture in draw(run)}


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
    looks = [drawing.look(run, method) for method in methods]
    assert len({(str(look["linestyle"]), look["marker"]) for look in looks}) == 9
    assert {look["color"] for look, method in zip(looks, methods, strict=True) if method.control} == {
        "#8A8A8A"
    }


def test_a_dollar_in_a_label_is_no_formula():
    assert drawing.short("cost $x$ a_b") == r"cost \$x\$ a_b"


def test_a_long_label_is_wrapped():
    assert max(map(len, drawing.short("oprm:" + "chunk_size=512," * 5).split("\n"))) <= drawing.LABEL_WIDTH


# --- quality, differences, cost


def point(label: str, time: float, score: float, control: bool = False):
    estimates = [Estimate(1, 1, mean, mean, mean, 0.0, "t") for mean in (time, score)]
    return MethodInfo(label, control), *estimates


def test_the_frontier_holds_what_nothing_beats_in_both_and_no_control():
    points = [
        point("slow and best", 2.0, 0.9),
        point("slow", 2.0, 0.8),
        point("fast", 0.5, 0.5),
        point("as fast and worse", 0.5, 0.4),
        point("between", 1.0, 0.7),
        point("oracle", 0.1, 1.0, control=True),
    ]
    assert charts.frontier(points) == {"slow and best", "fast", "between"}


def test_the_quality_picture_shows_the_macro_means_and_the_time_ratios(folder):
    shown = {row["method"]: row for row in rows(folder, "quality_picture.csv")}
    means = {row["method"]: row for row in rows(folder, "results.csv") if row["task"] == "macro"}
    costs = {row["method"]: row for row in rows(folder, "cost.csv") if row["task"] == "all"}
    assert set(shown) == {"full", "oprm", "rag:retriever=bm25", "closed_book"}
    for method, row in shown.items():
        assert (row["mean"], row["low"]) == (means[method]["mean"], means[method]["low"])
        assert (row["time_ratio"], row["time_high"]) == (costs[method]["ratio"], costs[method]["ratio_high"])


def test_the_forest_shows_the_paired_differences_with_the_macro_row(folder):
    shown = {(row["method"], row["task"]): row["delta"] for row in rows(folder, "forest_picture.csv")}
    paired = {
        (row["method"], row["task"]): row["delta"]
        for row in rows(folder, "paired.csv")
        if row["bucket"] == "all"
    }
    assert shown == paired
    assert ("oprm", "macro") in shown


def test_time_against_length_gathers_the_warm_answers_by_octave(grown):
    run = read_run(grown)
    shown = {(row["method"], row["length"]): row for row in rows(grown, "cost_length_picture.csv")}
    assert {length for _, length in shown} == {"1024", "2048"}
    warm = [
        one.cost["seconds"]["total"]
        for task in run.tasks
        for one in run.answers("oprm", task.name).values()
        if one.length == 2000 and not one.cold
    ]
    assert float(shown["oprm", "2048"]["seconds_median"]) == pytest.approx(np.median(warm))
    assert int(shown["oprm", "2048"]["n"]) == len(warm)


def test_contexts_of_one_length_make_no_picture_of_cost(folder):
    assert not (folder / "cost_length.png").exists()


@pytest.mark.parametrize(
    ("length", "place"), [(1000, 1024), (1448, 1024), (1449, 2048), (1500, 2048), (3, 4), (1, 1)]
)
def test_an_octave_is_the_nearest_power_of_two(length, place):
    assert charts.octave(length) == place


def test_ranges_of_lengths_are_a_line_by_length(tmp_path):
    cells = tuple((bucket, {}) for bucket in ("0-4k", "4-8k", "8k+"))
    task = replace(SMALL.tasks[0], name="qa", cells=cells)
    run = read_run(replace(SMALL, tasks=(task,), skill=lambda *_: 0.5).write(tmp_path))
    assert "length.png" in {picture.name for picture in draw(run)}


def test_numbers_that_may_be_anything_are_no_lengths(tmp_path):
    for place, buckets in enumerate([("1", "2", "3"), ("1", "2", "3+"), ("1-hop", "2-hop")]):
        task = replace(SMALL.tasks[0], name="quiz", cells=tuple((bucket, {}) for bucket in buckets))
        run = read_run(replace(SMALL, tasks=(task,), skill=lambda *_: 0.5).write(tmp_path / str(place)))
        assert lines.draw_lengths(run, analyse(run)) is None


def test_a_band_stands_only_where_there_are_twenty_clusters(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    drawn: list[list[bool]] = []
    monkeypatch.setattr(Axes, "fill_between", lambda *_, where, **__: drawn.append(where))

    def edit(row: Row) -> Row | None:
        return None if row["bucket"] == "100" and int(row["example"][-4:]) % 3 else row

    run = read_run(replace(SMALL, tasks=(facts_task("recall", (10, 100), 30),), edit=edit).write(tmp_path))
    lines.draw_facts(run, analyse(run))
    assert drawn == [[True, False]] * 3
