"""The pictures of quality and of differences: arms where there are clusters enough, an axis that can be read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_run import SMALL, Row, facts_task
from matplotlib.figure import Figure

from reports import charts
from reports.analysis import analyse
from reports.collect import read_run
from reports.cost import cost_rows


@pytest.mark.parametrize(("samples", "arms"), [(9, False), (15, True)])
def test_points_from_fewer_than_twenty_clusters_have_no_arms_and_the_captions_say_so(
    tmp_path, monkeypatch, samples, arms
):
    from matplotlib.axes import Axes

    drawn: list[bool] = []
    errorbar = Axes.errorbar

    def noted(own, x, y, xerr=None, yerr=None, **more):
        drawn.extend(err is not None for err in (xerr, yerr))
        return errorbar(own, x, y, xerr=xerr, yerr=yerr, **more)

    monkeypatch.setattr(Axes, "errorbar", noted)
    run = read_run(replace(SMALL, tasks=(facts_task("recall", (10, 100), samples),)).write(tmp_path))
    analysis = analyse(run)
    quality = charts.draw_quality(run, analysis, cost_rows(run), tmp_path)
    assert drawn == [arms] * 8
    assert "left out where fewer than 20 clusters carry them" in quality.caption
    forest = charts.draw_forest(run, analysis, tmp_path)
    assert drawn[8:] == [arms, False] * 3  # one task, no macro panel
    assert "No bar: fewer than 20 clusters, or nothing is known of the spread." in forest.caption


@pytest.mark.parametrize("apart", [1.05, 1.6, 2.5, 30.0])
def test_a_ratio_can_be_read_off_the_time_axis_whatever_its_range(tmp_path, monkeypatch, apart):
    def edit(row: Row) -> Row:
        share = ("full", "oprm", "rag:retriever=bm25", "closed_book").index(row["method"]) / 3
        total = apart**share * (1.0 + 0.001 * int(row["example"][-1]))
        return row | {"cost": row["cost"] | {"seconds": {"total": total}}}

    figures: list[Figure] = []
    monkeypatch.setattr(charts, "save", lambda drawn, _: figures.append(drawn))
    run = read_run(replace(SMALL, edit=edit).write(tmp_path))
    charts.draw_quality(run, analyse(run), cost_rows(run), tmp_path)
    (panel,) = figures[0].axes
    figures[0].draw_without_rendering()
    low, high = panel.get_xlim()
    shown = [label for label in panel.xaxis.get_ticklabels() if low <= label.get_position()[0] <= high]
    assert len({label.get_text() for label in shown}) >= 3
    assert all(float(label.get_text()) == pytest.approx(label.get_position()[0], rel=1e-4) for label in shown)
