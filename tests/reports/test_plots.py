"""The pictures: drawn where there is something to draw, with the numbers that they show beside them."""

from __future__ import annotations

import errno
import re
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fake_run import SMALL, Row, facts_task, needle_task, read_csv
from matplotlib.figure import Figure

from comparison.records import RecordError
from reports import charts, drawing, lines, plots
from reports.analysis import analyse
from reports.collect import MethodInfo, Run, TaskInfo, read_run
from reports.cost import cost_rows, octave
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
    return plots.draw(run, analyse(run), cost_rows(run), run.folder)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run with contexts whose length is that of their bucket."""
    fake = replace(SMALL, edit=lambda row: row | {"length": int(row["tags"].get("length", 1000))})
    return write_report(fake.write(tmp_path_factory.mktemp("plots") / "grown")).parent


@pytest.mark.parametrize(
    "settings",
    [
        {"axes.facecolor": "black", "figure.facecolor": "black", "savefig.facecolor": "black"},
        {"savefig.dpi": 300, "font.size": 20, "font.family": "serif", "axes.grid": True},
        {"text.usetex": True},
    ],
)
def test_a_callers_matplotlib_settings_change_no_picture_and_are_kept(folder, tmp_path, settings):
    with matplotlib.rc_context(settings):
        before = dict(matplotlib.rcParams)
        again = write_report(SMALL.write(tmp_path / "run")).parent
        assert dict(matplotlib.rcParams) == before
    pictures = [path.name for path in folder.glob("*.png")]
    assert "recall.png" in pictures
    for name in pictures:
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_every_picture_is_drawn(grown):
    assert all((grown / name).read_bytes().startswith(PNG) for name in NAMES)


def test_the_same_numbers_give_the_same_picture(folder, tmp_path):
    run = read_run(SMALL.write(tmp_path))
    draw(run)
    for name in NAMES[:4]:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_the_lines_are_the_results_by_bucket(folder):
    shown = {
        (row["method"], row["task"], row["facts"]): row["mean"]
        for row in read_csv(folder, "recall_picture.csv")
    }
    results = {
        (row["method"], row["task"], row["bucket"]): row["mean"] for row in read_csv(folder, "results.csv")
    }
    assert len(shown) == 4 * 2 * 2
    assert all(results[place] == mean for place, mean in shown.items())


def test_the_captions_of_the_lines_tell_how_many_questions_a_point_holds(folder):
    run = read_run(folder)
    drawn = lines.draw_facts(run, analyse(run), folder), lines.draw_lengths(run, analyse(run), folder)
    assert "(12 to 30 questions a point)" in drawn[0].caption
    assert "(20 questions a point)" in drawn[1].caption


def test_the_cells_of_the_map_are_means_of_the_records(folder):
    run = read_run(folder)
    for row in read_csv(folder, "needle_picture.csv"):
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


@pytest.mark.parametrize(
    ("lost", "size", "uneven_depths"),
    [
        ((), "(10 questions a cell).", False),
        (("needle-0001",), "(9 to 10 questions a cell).", True),
        (
            [f"needle-{number:04d}" for number in range(10)],
            "(0 to 10 questions a cell; hatched: none).",
            True,
        ),
        (("needle-0001", "needle-0011"), "(9 to 10 questions a cell).", False),
    ],
)
def test_the_caption_of_the_map_tells_how_many_questions_a_cell_holds(tmp_path, lost, size, uneven_depths):
    fake = replace(SMALL, edit=lambda row: None if row["example"] in lost else row)
    caption = draw(read_run(fake.write(tmp_path)))[-1].caption
    assert size in caption
    assert ("a mean by length weighs some of them more" in caption) == uneven_depths


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


def test_the_caption_of_the_frontier_leaves_controls_aside(tmp_path):
    skills = {"oracle_chunk": 1.2, "full": 0.3, "oprm": 0.6}
    fake = replace(
        SMALL,
        methods=(("full", False), ("oprm", False), ("oracle_chunk", True)),
        skill=lambda method, *_: skills[method],
    )
    run = read_run(fake.write(tmp_path))
    drawn = charts.draw_quality(run, analyse(run), cost_rows(run), tmp_path)
    shown = {row[1]: (row[2], row[5], row[-1]) for row in drawn.rows}
    assert shown["oracle_chunk"][0] < shown["oprm"][0]
    assert shown["oracle_chunk"][1] > shown["oprm"][1]
    assert (shown["oracle_chunk"][2], shown["oprm"][2]) == (0, 1)
    assert "controls aside" in drawn.caption


def test_the_quality_picture_shows_the_macro_means_and_the_time_ratios(folder):
    shown = {row["method"]: row for row in read_csv(folder, "quality_picture.csv")}
    means = {row["method"]: row for row in read_csv(folder, "results.csv") if row["task"] == "macro"}
    costs = {row["method"]: row for row in read_csv(folder, "cost.csv") if row["task"] == "all"}
    assert set(shown) == {"full", "oprm", "rag:retriever=bm25", "closed_book"}
    for method, row in shown.items():
        assert (row["mean"], row["low"]) == (means[method]["mean"], means[method]["low"])
        assert (row["time_ratio"], row["time_high"]) == (costs[method]["ratio"], costs[method]["ratio_high"])


def test_the_forest_shows_the_paired_differences_with_the_macro_row(folder):
    shown = {(row["method"], row["task"]): row["delta"] for row in read_csv(folder, "forest_picture.csv")}
    paired = {
        (row["method"], row["task"]): row["delta"]
        for row in read_csv(folder, "paired.csv")
        if row["bucket"] == "all"
    }
    assert shown == paired
    assert ("oprm", "macro") in shown


def uneven(row: Row) -> Row:
    """The row with a context of about the length of its bucket: 1,000 to 1,009 tokens, or 2,000 to 2,009."""
    return row | {"length": int(row["tags"].get("length", 1000)) + int(row["example"][-1])}


def test_time_against_length_gathers_the_warm_answers_by_octave_at_their_mean_length(tmp_path):
    run = read_run(replace(SMALL, edit=uneven).write(tmp_path))
    drawn = charts.draw_cost(run, tmp_path)
    warm = [one for one in run.answers("oprm", "needle").values() if not one.cold]
    expected = []
    for octave_of in (1000, 2000):
        cell = [one for one in warm if octave_of <= one.length < octave_of + 10]
        seconds = np.median([one.cost["seconds"]["total"] for one in cell])
        expected.append(("tiny", "oprm", np.mean([one.length for one in cell]), len(cell), seconds))
    assert [row for row in drawn.rows if row[1] == "oprm"] == [
        (*names, pytest.approx(length), n, pytest.approx(seconds)) for *names, length, n, seconds in expected
    ]
    assert len({row[2] for row in drawn.rows}) == 2
    assert 1000 < drawn.rows[0][2] < 1009


def test_time_against_length_leaves_out_the_tasks_of_one_length_and_says_so(tmp_path):
    drawn = charts.draw_cost(read_run(replace(SMALL, edit=uneven).write(tmp_path)), tmp_path)
    assert drawn.tasks == ("needle",)
    assert "on `needle` (tasks whose contexts are all near one power of two are left out)" in drawn.caption
    assert "(19 to 20 questions a point)" in drawn.caption
    assert "in proportion" in drawn.caption


def test_a_slope_over_several_tasks_is_not_told_as_a_cost_in_proportion(tmp_path):
    other = replace(SMALL.tasks[2], name="needle_absent")
    run = read_run(replace(SMALL, tasks=(SMALL.tasks[2], other), edit=uneven).write(tmp_path))
    drawn = charts.draw_cost(run, tmp_path)
    assert drawn.tasks == ("needle", "needle_absent")
    assert "on 2 tasks." in drawn.caption
    assert "difference between tasks" in drawn.caption
    assert "proportion" not in drawn.caption


@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0, 100.0])
def test_seconds_and_lengths_are_written_without_powers_of_ten(tmp_path, monkeypatch, scale):
    def edit(row: Row) -> Row:
        total = scale * row["cost"]["seconds"]["total"]
        return uneven(row) | {"cost": row["cost"] | {"seconds": {"total": total}}}

    figures: list[Figure] = []
    monkeypatch.setattr(charts, "save", lambda drawn, _: figures.append(drawn))
    charts.draw_cost(read_run(replace(SMALL, edit=edit).write(tmp_path)), tmp_path)
    (panel,) = figures[0].axes
    figures[0].draw_without_rendering()
    for axis in (panel.xaxis, panel.yaxis):
        low, high = axis.get_view_interval()
        assert sum(low <= place <= high for place in axis.get_majorticklocs()) >= 2
        assert not any(label.get_text() for label in axis.get_ticklabels(minor=True))
        assert all(re.fullmatch(r"[\d,.]+", label.get_text()) for label in axis.get_ticklabels())


def test_contexts_of_one_length_make_no_picture_of_cost(folder):
    assert not (folder / "cost_length.png").exists()


@pytest.mark.parametrize(
    ("length", "place"), [(1000, 1024), (1448, 1024), (1449, 2048), (1500, 2048), (3, 4), (1, 1)]
)
def test_an_octave_is_the_nearest_power_of_two(length, place):
    assert octave(length) == place


def test_ranges_of_lengths_are_a_line_by_length(tmp_path):
    cells = tuple((bucket, {}) for bucket in ("0-4k", "4-8k", "8k+"))
    task = replace(SMALL.tasks[0], name="qa", cells=cells)
    run = read_run(replace(SMALL, tasks=(task,), skill=lambda *_: 0.5).write(tmp_path))
    assert "length.png" in {picture.name for picture in draw(run)}


def test_numbers_that_may_be_anything_are_no_lengths(tmp_path):
    for place, buckets in enumerate([("1", "2", "3"), ("1", "2", "3+"), ("1-hop", "2-hop")]):
        task = replace(SMALL.tasks[0], name="quiz", cells=tuple((bucket, {}) for bucket in buckets))
        run = read_run(replace(SMALL, tasks=(task,), skill=lambda *_: 0.5).write(tmp_path / str(place)))
        assert lines.draw_lengths(run, analyse(run), tmp_path) is None


def test_a_band_stands_only_where_there_are_twenty_clusters(tmp_path, monkeypatch):
    # Between two such neighbours: matplotlib draws none for one alone, and the caption says so.
    from matplotlib.axes import Axes

    drawn: list[list[bool]] = []
    monkeypatch.setattr(Axes, "fill_between", lambda *_, where, **__: drawn.append(where))

    def edit(row: Row) -> Row | None:
        return None if row["bucket"] == "100" and int(row["example"][-4:]) % 3 else row

    run = read_run(replace(SMALL, tasks=(facts_task("recall", (10, 100), 30),), edit=edit).write(tmp_path))
    picture = lines.draw_facts(run, analyse(run), tmp_path)
    assert drawn == [[True, False]] * 3
    assert "between neighbouring points of 20 clusters or more that have one" in picture.caption


def test_numbers_of_facts_lie_where_they_belong_and_lengths_evenly(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    drawn: list[list[float]] = []
    plot = Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda own, x, y, **more: drawn.append(list(x)) or plot(own, x, y, **more)
    )
    tasks = (facts_task("recall", (10, 25, 100), 21), needle_task((1000, 2000, 8000), (0,), 21))
    run = read_run(replace(SMALL, methods=SMALL.methods[:1], tasks=tasks).write(tmp_path))
    lines.draw_facts(run, analyse(run), tmp_path)
    lines.draw_lengths(run, analyse(run), tmp_path)
    assert drawn == [[10, 25, 100], [0, 1, 2]]


def test_a_picture_that_the_disk_refuses_is_named_with_what_to_do(tmp_path, monkeypatch):
    def fill_up(drawn: Figure, file: Path, **_: object) -> None:
        file.write_bytes(PNG)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fill_up)
    with pytest.raises(RecordError, match=r"cannot write .*/quality\.png: No space left.*make room"):
        drawing.save(Figure(), tmp_path / "quality.png")
    assert not list(tmp_path.iterdir())
