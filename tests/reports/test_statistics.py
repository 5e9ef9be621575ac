"""The statistics against scipy and statsmodels, and against what simulation says they should do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from fake_scores import scores, simulated
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from reports import statistics
from reports.statistics import (
    benjamini_hochberg,
    difference,
    holm,
    log_ratio_interval,
    lowest,
    mean_interval,
    partition,
    sign_flip,
    wilson,
)

EXACT = {"rel": 1e-9, "abs": 1e-9}


def ordinary_least_squares(values: np.ndarray, clusters: np.ndarray, design: np.ndarray):
    return sm.OLS(values, design).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)


# --- means and differences


def test_a_mean_of_independent_examples_has_scipys_t_interval():
    values, _, documents = scores(1, 57)
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    found = mean_interval(values, documents)
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high), **EXACT)
    assert (found.n, found.clusters, found.rule) == (57, 57, "t")


def test_a_paired_difference_of_independent_examples_has_the_interval_of_a_paired_t_test():
    one, two, documents = scores(2, 43)
    low, high = stats.ttest_rel(one, two).confidence_interval()
    found = difference(one, two, documents).estimate
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(one - two), low, high), **EXACT)


@pytest.mark.parametrize("per_document", [2, 7])
def test_a_clustered_difference_is_an_intercept_with_cluster_robust_errors(per_document):
    one, two, documents = scores(3, 200, per_document)
    model = ordinary_least_squares(one - two, documents, np.ones((200, 1)))
    found = difference(one, two, documents).estimate
    assert found.se == pytest.approx(model.bse[0], **EXACT)
    assert (found.low, found.high) == pytest.approx(tuple(model.conf_int()[0]), **EXACT)
    assert found.clusters == len(set(documents))


def test_the_macro_error_is_that_of_a_mean_of_task_means_with_clusters_across_tasks():
    one, two, documents = scores(4, 180, 3)
    tasks = np.repeat([0, 1, 2], [30, 60, 90])
    shared = documents % 25  # documents feed several tasks
    design = (tasks[:, None] == np.arange(3)).astype(float)
    model = ordinary_least_squares(one - two, shared, design)
    third = np.full(3, 1 / 3)
    # statsmodels also multiplies by (n-1)/(n-3) for its three means; the macro row has G/(G-1) alone.
    variance = third @ model.cov_params() @ third / ((180 - 1) / (180 - 3))
    found = difference(one, two, shared, tasks).estimate
    means = [np.mean((one - two)[tasks == task]) for task in range(3)]
    assert found.mean == pytest.approx(np.mean(means), **EXACT)
    assert found.se == pytest.approx(math.sqrt(variance), **EXACT)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, 24) * found.se, **EXACT)


def test_the_macro_over_one_task_is_the_task():
    one, two, documents = scores(5, 60, 4)
    assert difference(one, two, documents, np.zeros(60)) == difference(one, two, documents)
    tasks = np.zeros(60)
    flips = [sign_flip(one - two, documents, kind, seed=1) for kind in (None, tasks)]
    assert flips[0] == flips[1]


def test_effect_correlation_and_counts_are_those_of_the_differences():
    one, two, documents = scores(6, 50)
    two[:10] = one[:10]
    found, deltas = difference(one, two, documents), one - two
    assert found.effect == pytest.approx(deltas.mean() / deltas.std(ddof=1), **EXACT)
    assert found.correlation == pytest.approx(np.corrcoef(one, two)[0, 1], **EXACT)
    assert (found.wins, found.ties, found.losses) == (sum(deltas > 0), sum(deltas == 0), sum(deltas < 0))
    assert found.ties >= 10


def test_the_detectable_difference_has_eighty_percent_power():
    one, two, documents = scores(7, 120)
    found = difference(one, two, documents)
    effect = TTestPower().solve_power(nobs=120, alpha=0.05, power=0.8, alternative="two-sided")
    assert found.detectable == pytest.approx(effect * np.std(one - two, ddof=1), rel=0.005)


def test_the_spread_of_six_clusters_that_differ_says_what_could_be_detected_and_that_of_five_does_not():
    found = {}
    for differing in (5, 6):
        deltas = np.repeat([1.0, 0.0], [differing, 40 - differing])
        found[differing] = difference(deltas, np.zeros(40), np.arange(40)).detectable
    error = stats.sem(np.repeat([1.0, 0.0], [6, 34]))
    assert found[6] == pytest.approx((stats.t.ppf(0.975, 39) + stats.t.ppf(0.8, 39)) * error, **EXACT)
    assert stats.binom.sf(5, 40, found[5]) == pytest.approx(
        0.8
    )  # the share lost whole of which 80 % show six


def test_equal_columns_have_a_difference_of_zero_that_lies_on_neither_side():
    found = difference([1.0, 0.0, 0.5], [1.0, 0.0, 0.5], ["a", "b", "c"]).estimate
    assert (found.low, found.high, found.flat, found.beyond_zero) == (0.0, 0.0, True, False)


def test_one_cluster_has_no_interval_and_constant_columns_no_effect():
    found = difference([1.0, 0.0, 1.0], [0.0, 0.0, 0.0], ["a", "a", "a"])
    assert math.isnan(found.estimate.low)
    assert math.isnan(found.detectable)
    assert math.isnan(found.correlation)
    assert math.isnan(difference([0.7] * 3, [0.1] * 3, [1, 2, 3]).effect)


def test_clusters_that_all_differ_by_the_same_amount_show_nothing_of_what_could_be_detected():
    cancelled = difference([1.0, 0.0] * 30, [0.0, 1.0] * 30, np.arange(60) // 2)
    assert (cancelled.wins, cancelled.losses, cancelled.estimate.se) == (30, 30, 0.0)
    assert math.isnan(cancelled.detectable)
    by_task = difference([0.9] * 3 + [0.6] * 3, [0.5] * 6, np.arange(6), ["a"] * 3 + ["b"] * 3)
    assert by_task.effect > 0
    assert math.isnan(by_task.detectable)


@pytest.mark.parametrize("right", [0, 1])
def test_a_column_all_right_or_all_wrong_has_wilsons_interval_over_its_clusters(right):
    found = mean_interval([float(right)] * 30, np.arange(30) // 2)
    expected = stats.binomtest(15 * right, 15).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), **EXACT)
    assert (found.mean, found.rule, found.clusters) == (right, "wilson", 15)


def test_wilson_agrees_with_scipy_in_between():
    for successes, trials in [(1, 9), (5, 10), (299, 300)]:
        expected = stats.binomtest(successes, trials).proportion_ci(method="wilson")
        assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), **EXACT)


def test_a_ratio_is_a_geometric_mean_with_a_t_interval_on_its_logarithms():
    ratios = np.exp(np.random.default_rng(8).normal(0.3, 0.2, 40))
    low, high = stats.ttest_1samp(np.log(ratios), 0).confidence_interval()
    found = log_ratio_interval(ratios, np.arange(40))
    expected = (stats.gmean(ratios), math.exp(low), math.exp(high))
    assert (found.mean, found.low, found.high) == pytest.approx(expected, **EXACT)


def test_columns_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="non-empty column"):
        mean_interval([], [])
    with pytest.raises(ValueError, match="differ in length: 2 and 1"):
        difference([1.0, 0.0], [1.0], ["a", "b"])


# --- the sign-flip test


@pytest.mark.parametrize("per_document", [1, 3])
def test_the_exact_sign_flip_is_scipys_permutation_test_on_cluster_sums(per_document):
    one, two, documents = scores(9, 12 * per_document, per_document)
    sums = np.bincount(documents, weights=one - two)
    expected = stats.permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(one - two, documents, seed=0) == pytest.approx(expected.pvalue, **EXACT)


@pytest.mark.parametrize(("wins", "losses"), [(5, 15), (15, 5), (8, 12), (10, 10), (0, 6)])
def test_the_exact_sign_flip_on_right_and_wrong_is_exact_mcnemar(wins, losses):
    deltas = [1.0] * wins + [-1.0] * losses + [0.0] * 80
    found = sign_flip(deltas, np.arange(len(deltas)), seed=0, draws=2**20)
    assert found == pytest.approx(stats.binomtest(wins, wins + losses).pvalue, **EXACT)


def test_five_against_fifteen_discordant_pairs_give_the_p_of_the_textbook():
    deltas = [1.0] * 5 + [-1.0] * 15
    assert round(sign_flip(deltas, np.arange(20), seed=0, draws=2**20), 4) == 0.0414


def test_the_macro_sign_flip_flips_a_document_in_every_task_it_feeds():
    one, two, _ = scores(10, 24)
    tasks, documents = np.repeat([0, 1], [8, 16]), np.arange(24) % 8
    weighted = (one - two) / (2 * np.where(tasks == 0, 8, 16))
    sums = np.bincount(documents, weights=weighted)
    expected = stats.permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(one - two, documents, tasks, seed=0) == pytest.approx(expected.pvalue, **EXACT)


def test_the_random_sign_flip_is_near_the_exact_one():
    deltas = np.random.default_rng(11).normal(0.25, 1, 18)
    exact = sign_flip(deltas, np.arange(18), seed=0, draws=2**18)
    drawn = sign_flip(deltas, np.arange(18), seed=0)
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 10_000))


def test_the_random_sign_flip_depends_on_its_seed_and_not_on_the_size_of_its_blocks(monkeypatch):
    deltas = np.random.default_rng(12).normal(0.2, 1, 70)
    first = sign_flip(deltas, np.arange(70), seed=5)
    assert sign_flip(deltas, np.arange(70), seed=6) != first
    monkeypatch.setattr(statistics, "_BLOCK_ELEMENTS", 3000)
    assert sign_flip(deltas, np.arange(70), seed=5) == first


def test_the_blocks_of_signs_are_bounded(monkeypatch):
    monkeypatch.setattr(statistics, "_BLOCK_ELEMENTS", 5000)
    for blocks in (statistics._random_signs(300, 1000, 1), statistics._all_signs(13)):
        assert all(block.size <= 5000 for block in blocks)


def test_a_difference_far_from_chance_gets_the_smallest_p_that_the_draws_can_give():
    assert sign_flip(np.ones(3000), np.arange(3000), seed=0) == 1 / 10_001


def test_no_difference_at_all_has_a_p_of_one():
    assert sign_flip(np.zeros(30), np.arange(30), seed=0) == 1.0
    assert sign_flip([0.3, -0.3, 0.1, -0.1], ["a", "a", "b", "b"], seed=0) == 1.0


# --- families


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_both_corrections_agree_with_statsmodels(size):
    p = np.random.default_rng(size).beta(0.3, 1, size).round(2)  # rounded, so that some are equal
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], **EXACT)
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], **EXACT)


# --- what simulation says


def test_the_clustered_interval_covers_the_truth_and_the_naive_one_does_not():
    clustered = naive = 0
    for deltas, labels in simulated(600, 30, 10, effect=0.05):
        zero = np.zeros(len(deltas))
        found = difference(deltas, zero, labels).estimate
        alone = difference(deltas, zero, np.arange(len(deltas))).estimate
        clustered += found.low <= 0.05 <= found.high
        naive += alone.low <= 0.05 <= alone.high
    assert 0.93 <= clustered / 600 <= 0.975
    assert naive / 600 < 0.80


def test_the_clustered_sign_flip_keeps_its_false_positive_rate_and_the_naive_one_does_not():
    clustered = naive = 0
    for deltas, labels in simulated(400, 30, 10):
        clustered += sign_flip(deltas, labels, seed=1, draws=500) < 0.05
        naive += sign_flip(deltas, np.arange(len(deltas)), seed=1, draws=500) < 0.05
    assert 0.02 <= clustered / 400 <= 0.08
    assert naive / 400 > 0.20


def test_the_interval_of_thirteen_pairs_covers_the_truth_and_the_percentile_bootstrap_does_not():
    rng = np.random.default_rng(21)
    covered = bootstrap = 0
    for _ in range(600):
        one, two, _ = scores(int(rng.integers(1 << 30)), 13)
        deltas = np.round(one) - np.round(two) + 0.0
        found = difference(deltas, np.zeros(13), np.arange(13)).estimate
        covered += found.low <= 0.0 <= found.high
        means = rng.choice(deltas, (300, 13)).mean(axis=1)
        bootstrap += np.quantile(means, 0.025) <= 0.0 <= np.quantile(means, 0.975)
    assert covered / 600 >= 0.935
    assert bootstrap < covered


def test_the_macro_row_covers_the_truth_and_keeps_its_false_positives_where_documents_feed_two_tasks():
    rng = np.random.default_rng(22)
    tasks = np.repeat([0, 1], [60, 120])
    documents = np.concatenate([np.arange(60) // 2, np.arange(120) // 4])  # thirty documents, both tasks
    covered = alone = false = 0
    for _ in range(400):
        deltas = 0.4 * (rng.normal(0, 0.6, 30)[documents] + rng.normal(0, 0.8, 180))
        found = difference(deltas, np.zeros(180), documents, tasks).estimate
        naive = difference(deltas, np.zeros(180), documents + 30 * tasks, tasks).estimate
        covered += found.low <= 0.0 <= found.high
        alone += naive.low <= 0.0 <= naive.high
        false += sign_flip(deltas, documents, tasks, seed=1, draws=500) < 0.05
    assert 0.925 <= covered / 400 <= 0.975
    assert 0.02 <= false / 400 <= 0.08
    assert alone / 400 < 0.91


def test_holm_keeps_the_chance_of_any_false_claim_and_benjamini_hochberg_the_share_of_them():
    rng = np.random.default_rng(23)
    any_false, shares = 0, []
    for _ in range(1000):
        p = np.concatenate([rng.uniform(size=12), rng.beta(0.05, 1, size=4)])  # twelve nulls, four effects
        any_false += bool(np.any(holm(p)[:12] < 0.05))
        claims = benjamini_hochberg(p) < 0.05
        shares.append(claims[:12].sum() / max(1, claims.sum()))
    assert 0.02 <= any_false / 1000 <= 0.065
    assert 0.02 <= np.mean(shares) <= 0.055


# --- clusters


def test_a_macro_mean_has_no_interval_where_a_task_has_one_cluster():
    tasks, labels = ["a", "a", "a", "b"], ["1", "2", "3", "4"]
    one_alone = difference([1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.5], labels, tasks)
    assert one_alone.estimate.mean == pytest.approx((2 / 3 + 0.5) / 2)
    assert np.isnan([one_alone.estimate.se, one_alone.estimate.low, one_alone.detectable]).all()
    assert np.isnan(lowest(one_alone))
    shared = difference([1.0, 0.0, 1.0, 1.0, 0.0], np.zeros(5), [*labels, "1"], [*tasks, "b"])
    assert shared.estimate.low < shared.estimate.mean < shared.estimate.high


def test_equal_labels_are_one_cluster_whatever_their_order():
    clusters = partition(["b", "a", "b", "c"])
    assert clusters.count == 3
    assert sorted(clusters.sums(np.array([1.0, 2.0, 4.0, 8.0]))) == [2.0, 5.0, 8.0]


def test_a_mean_of_tasks_that_are_each_all_right_or_all_wrong_has_no_interval():
    tasks = np.repeat([0, 1], 40)
    found = mean_interval(tasks.astype(float), np.arange(80), tasks)
    assert (found.mean, found.rule) == (pytest.approx(0.5), "t")
    assert np.isnan([found.se, found.low, found.high]).all()
    alike = mean_interval(np.full(40, 0.25), np.arange(40))
    assert alike.mean == pytest.approx(0.25)
    assert math.isnan(alike.low)
    assert mean_interval(np.ones(80), np.arange(80), tasks).rule == "wilson"
