"""What a planned comparison can show, against statsmodels and against the analysis of a run of that size."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from reports.__main__ import main
from reports.planning import PlannedCost, PlannedSize, detectable, plan_lines, planned_cost
from reports.statistics import difference


@pytest.mark.parametrize("n", [50, 300, 974])
def test_the_detectable_difference_of_one_task_is_that_of_a_t_test(n):
    effect = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8, alternative="two-sided")
    assert detectable([PlannedSize("qa", n, n)], 0.5) == pytest.approx(0.5 * effect, rel=0.01)


def test_the_plan_of_a_mean_over_tasks_is_what_its_analysis_says_afterwards():
    rng = np.random.default_rng(1)
    tasks = np.repeat([0, 1, 2], [100, 200, 400])
    parts = [rng.normal(size=n) for n in (100, 200, 400)]
    deltas = np.concatenate([0.4 * (part - part.mean()) / part.std() for part in parts])
    found = difference(deltas, np.zeros(700), np.arange(700), tasks)
    sizes = [PlannedSize(str(n), n, n) for n in (100, 200, 400)]
    assert detectable(sizes, 0.4) == pytest.approx(found.detectable, rel=0.01)


def test_questions_that_share_a_document_count_for_less():
    alone, shared = PlannedSize("qa", 300, 300), PlannedSize("qa", 300, 60)
    assert detectable([shared]) / detectable([alone]) == pytest.approx(np.sqrt(1 + 4 * 0.3), rel=0.02)


def test_a_dry_run_reads_task_by_task_and_the_mean_without_unanswerable_tasks():
    sizes = [PlannedSize("a", 100, 100), PlannedSize("b", 100, 100), PlannedSize("b_absent", 40, 40, False)]
    assert plan_lines(sizes) == [
        "a: 14.1 points",
        "b: 14.1 points",
        "b_absent: 22.7 points",
        "mean over 2 tasks: 10.0 points",
    ]
    assert plan_lines([PlannedSize("a", 1, 1)]) == []
    assert plan_lines([PlannedSize("a", 2, 2)]) == ["a: no difference, there are too few questions"]
    assert plan_lines([PlannedSize("a", 5, 5), PlannedSize("b", 60, 19), PlannedSize("c", 20, 20)]) == [
        "a: no difference, there are too few questions",  # five give no p below 0.0625
        "b: no marker, there are too few questions (fewer than 20 clusters)",
        "c: 33.0 points",
        "mean over 3 tasks: 25.2 points",
    ]


def test_the_program_prints_a_line_for_every_n(capsys):
    assert main(["power", "--sd", "0.5", "--n", "100", "3668"]) == 0
    assert capsys.readouterr().out.split("\n")[1:3] == ["n     100   14.1 points", "n   3,668    2.3 points"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sd", "1.01", "--n", "10"], "sd is 1.01"),
        (["--sd", "0", "--n", "10"], "sd is 0, expected more than 0"),
        (["--sd", "0.5", "--n", "1"], "n is 1"),
    ],
)
def test_sizes_that_make_no_sense_are_refused_in_one_line(capsys, arguments, message):
    assert main(["power", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("reads", "settings", "tokens", "calls"),
    [
        ("whole", {}, 1000 + 500 + 2 * 30, 2),
        ("nothing", {}, 2 * 30, 2),
        ("parts", {}, 250 + 250 + 2 * 30, 2),
        ("parts", {"budget": "700"}, 700 + 500 + 2 * 30, 2),
        ("parts", {"k": "3"}, 750 + 500 + 2 * 30, 2),
        ("rows", {}, 1500 + 6 * 30, 4),
        ("rows", {"chunk_size": "500"}, 1500 + 3 * 30, 3),
        ("rows", {"candidates": "bm25", "m": "3"}, 750 + 500 + 5 * 30, 4),  # of four chunks, of two
        ("rows", {"candidates": "none", "m": "3"}, 1500 + 6 * 30, 4),
        ("rows", {"top": "3"}, 1500 + 6 * 30 + 750 + 500 + 2 * 30, 6),
        ("rows", {"candidates": "bm25", "m": "1", "top": "3"}, 2 * 250 + 2 * 30, 2),
    ],
)
def test_the_planned_cost_counts_what_is_read(reads, settings, tokens, calls):
    found = planned_cost(reads, settings, [1000, 500], chunk_size=250, wording=30)
    assert found == PlannedCost(tokens, calls)


def test_the_cost_of_a_plugin_is_not_known():
    assert planned_cost("", {}, [100], chunk_size=10, wording=5) is None


def test_chunks_that_overlap_are_read_in_full():
    # 1,000 tokens in chunks of 250 that begin every 200: four of 250 and one of 200; 500 tokens: 250, 250, 100.
    found = planned_cost("rows", {"overlap": "50"}, [1000, 500], chunk_size=250, wording=30)
    assert found == PlannedCost(1200 + 5 * 30 + 600 + 3 * 30, 4)


def test_too_few_questions_are_said_to_show_nothing_by_the_program_as_by_a_dry_run(capsys):
    assert main(["power", "--sd", "0.1", "--n", "2", "5", "6"]) == 0
    assert capsys.readouterr().out.split("\n")[1:4] == [
        "n       2  no difference, there are too few questions",
        "n       5  no difference, there are too few questions",
        "n       6  no marker, there are too few questions (fewer than 20 clusters)",
    ]
