"""What the statistics let a report say: "no worse by a margin", and what a test would have shown, by exact
enumeration for 0/1 scores where that is possible."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fake_scores import scores, simulated
from scipy import stats
from statsmodels.stats.power import TTestPower

from reports.statistics import Difference, difference, lowest, sign_flip, wilson

EXACT = {"rel": 1e-9, "abs": 1e-9}


# --- non-inferiority


def test_a_method_that_is_worse_by_the_margin_is_seldom_called_no_worse():
    called = [
        lowest(difference(deltas, np.zeros(len(deltas)), labels)) > -0.05
        for deltas, labels in simulated(600, 30, 10, effect=-0.05)
    ]
    assert 0.005 <= np.mean(called) <= 0.045


def test_the_lower_end_is_that_of_the_interval_where_many_differ():
    for seed, n, per_document in ((24, 300, 1), (25, 60, 2), (26, 300, 10)):
        one, two, documents = scores(seed, n, per_document)
        found = difference(one, two, documents)
        assert lowest(found) == found.estimate.low


def losing(n: int, lost: int) -> Difference:
    """Against a baseline that is right on all n questions."""
    return difference(np.arange(n) >= lost, np.ones(n), np.arange(n))


@pytest.mark.parametrize("n", [20, 21, 30, 96, 300])
def test_fewer_losses_never_prove_less_and_a_method_worse_by_the_margin_seldom_passes(n):
    bounds = [lowest(losing(n, lost)) for lost in range(n // 2)]
    assert np.all(np.diff(bounds) < 0.0)
    # The margin for which a claim errs most often lies just beyond one of the bounds. It is made in as many runs as
    # have no more losses than that, of a method that loses each question with the margin's probability.
    errs = [stats.binom.cdf(lost, n, -bound) for lost, bound in enumerate(bounds) if bound > -0.5]
    assert 0.02 < max(errs) <= 0.04


@pytest.mark.parametrize(("small", "large"), [(20, 200), (30, 300), (50, 150)])
@pytest.mark.parametrize("margin", [0.02, 0.035, 0.05])
def test_a_mean_over_tasks_is_seldom_called_no_worse_where_the_smallest_alone_loses(small, large, margin):
    tasks, labels = np.repeat([0, 1], [small, large]), np.arange(small + large)
    lost = np.arange(small)
    bounds = [lowest(difference(labels >= few, np.ones(len(labels)), labels, tasks)) for few in lost]
    assert stats.binom.pmf(lost, small, 2 * margin) @ (np.array(bounds) > -margin) <= 0.04


@pytest.mark.parametrize(("documents", "questions"), [(25, 40), (60, 6), (500, 4)])
def test_a_method_that_loses_whole_documents_is_seldom_called_no_worse(documents, questions):
    labels = np.repeat(np.arange(documents), questions)
    bounds = [
        lowest(difference(labels >= lost, np.ones(len(labels)), labels)) for lost in range(documents // 2)
    ]
    errs = [stats.binom.cdf(lost, documents, -bound) for lost, bound in enumerate(bounds) if bound > -0.5]
    assert max(errs) <= 0.055


def test_small_differences_elsewhere_do_not_prove_that_no_question_is_lost_whole():
    noise = np.resize([0.01, -0.01], 96)
    found = difference(0.5 + noise, np.full(96, 0.5), np.arange(96))
    assert found.estimate.low > -0.005
    assert lowest(found) == pytest.approx(-wilson(0, 96)[1], abs=1e-3)


def test_pairs_without_a_difference_do_not_prove_more_than_their_number_allows():
    few, many = (difference([1.0] * n, [1.0] * n, np.arange(n)) for n in (20, 2000))
    assert lowest(few) == pytest.approx(-stats.binomtest(0, 20).proportion_ci(method="wilson").high, **EXACT)
    assert lowest(few) < -0.1
    assert -0.01 < lowest(many) < 0.0
    hidden = wilson(0, 20)[1]
    shifted = difference([0.6] * 20, [0.5] * 20, np.arange(20))
    assert lowest(shifted) == pytest.approx((1 - hidden) * 0.1 - hidden, **EXACT)
    assert math.isnan(lowest(difference([1.0, 1.0], [1.0, 1.0], ["a", "a"])))


# --- what a test would show


@pytest.mark.parametrize("apart", [0.0, 0.8])
def test_the_detectable_difference_is_found_four_times_in_five_by_the_test_beside_it(apart):
    rng = np.random.default_rng(31)
    tasks = np.repeat([0, 1], 75)

    def drawn(mean: float) -> np.ndarray:
        return rng.normal(0.0, 0.3, 150) + mean + np.where(tasks == 0, apart, -apart)

    zeros, labels = np.zeros(150), np.arange(150)
    seen = np.mean([difference(drawn(0.0), zeros, labels, tasks).detectable for _ in range(50)])
    p = [sign_flip(drawn(seen), labels, tasks, seed=place, draws=400) for place in range(500)]
    assert 0.74 <= np.mean(np.array(p) < 0.05) <= 0.87


@pytest.mark.parametrize("n", [20, 30, 96, 310])
def test_what_a_handful_of_losses_makes_detectable_shows_in_four_runs_of_five(n):
    # The exact test marks six losses and more, and no fewer: 2 / 2**6 < 0.05 < 2 / 2**5.
    assert [sign_flip(-np.ones(lost), np.arange(lost), seed=0) < 0.05 for lost in (5, 6)] == [False, True]
    power = [stats.binom.sf(5, n, losing(n, lost).detectable) for lost in range(1, 9)]
    assert power[:5] == pytest.approx([0.8] * 5)
    assert min(power) > 0.62
    won = difference(np.arange(n) < 1, np.ones(n), np.arange(n))  # all lost but one: as little is known
    assert won.detectable == pytest.approx(losing(n, 1).detectable)


def test_of_a_mean_over_tasks_that_is_the_handful_of_the_smallest():
    tasks, labels = np.repeat([0, 1], [20, 200]), np.arange(220)
    found = difference(labels >= 1, np.ones(220), labels, tasks)
    assert 0.8 <= stats.binom.sf(5, 20, 2 * found.detectable) < 0.85


def test_a_handful_of_which_one_is_most_of_the_questions_is_detectable_at_its_spread():
    labels = np.concatenate([np.zeros(40), np.arange(1, 61)])  # one document of forty questions, sixty of one
    found = difference(labels > 0, np.ones(100), labels)
    assert found.estimate.se == pytest.approx(0.24, abs=0.01)  # 40/100 of the weight, 60/100 from the mean
    assert found.detectable == pytest.approx(2.85 * found.estimate.se, rel=0.01)


def test_small_differences_of_many_are_detectable_at_the_spread_they_have():
    deltas = 0.1 * np.sin(np.arange(40))
    found = difference(0.5 + deltas, np.full(40, 0.5), np.arange(40))
    effect = TTestPower().solve_power(nobs=40, alpha=0.05, power=0.8, alternative="two-sided")
    assert found.detectable == pytest.approx(effect * np.std(deltas, ddof=1), rel=0.01)


def test_below_twenty_clusters_nothing_is_detectable_as_nothing_is_marked():
    one, two, documents = scores(32, 20)
    assert difference(one, two, documents).detectable > 0.0
    assert math.isnan(difference(one[1:], two[1:], documents[1:]).detectable)
