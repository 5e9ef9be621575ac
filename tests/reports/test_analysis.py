"""The numbers of a report, recomputed from the records by scipy and statsmodels; the rules of its tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from fake_run import DEMO, SMALL, FakeRun, FakeTask, Row, facts_task
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reports.analysis import ALL, MACRO, analyse
from reports.collect import read_run

EXACT = {"rel": 1e-9, "abs": 1e-9}


def paired_records(run, method: str, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Differences from the baseline and their clusters, straight from the records."""
    own, base = run.answers(method, task), run.answers("full", task)
    shared = [example for example in own if example in base]
    deltas = np.array([own[example].score - base[example].score for example in shared])
    return deltas, np.array([own[example].cluster for example in shared])


def robust_interval(deltas: np.ndarray, clusters: np.ndarray) -> tuple[float, float, float]:
    codes = np.unique(clusters, return_inverse=True)[1]
    model = sm.OLS(deltas, np.ones((len(deltas), 1))).fit(
        cov_type="cluster", cov_kwds={"groups": codes}, use_t=True
    )
    return float(model.params[0]), *(float(end) for end in model.conf_int()[0])


def test_every_task_difference_agrees_with_statsmodels(graded):
    run, analysis = graded
    checked = 0
    for (method, task, bucket), contrast in analysis.contrasts.items():
        if bucket == ALL and task != MACRO:
            found = contrast.difference.estimate
            expected = robust_interval(*paired_records(run, method, task))
            assert (found.mean, found.low, found.high) == pytest.approx(expected, **EXACT)
            checked += 1
    assert checked == 6 * 3


def test_every_mean_agrees_with_statsmodels(graded):
    run, analysis = graded
    for (method, task, bucket), found in analysis.results.items():
        if bucket == ALL and task != MACRO:
            records = run.answers(method, task).values()
            values = np.array([record.score for record in records])
            expected = robust_interval(values, np.array([record.cluster for record in records]))
            assert (found.mean, found.low, found.high) == pytest.approx(expected, **EXACT)


def test_the_macro_row_weighs_tasks_alike_and_keeps_a_shared_document_one_cluster(graded):
    run, analysis = graded
    tasks = [task.name for task in run.tasks]
    deltas, clusters, dummies = [], [], []
    for place, task in enumerate(tasks):
        own, documents = paired_records(run, "oprm", task)
        deltas.append(own)
        clusters.append(documents)
        dummies.append(np.eye(len(tasks))[np.full(len(own), place)])
    values, codes = np.concatenate(deltas), np.unique(np.concatenate(clusters), return_inverse=True)[1]
    model = sm.OLS(values, np.concatenate(dummies)).fit(cov_type="cluster", cov_kwds={"groups": codes})
    n, third = len(values), np.full(3, 1 / 3)
    error = np.sqrt(third @ model.cov_params() @ third * (n - 3) / (n - 1))
    half = stats.t.ppf(0.975, codes.max()) * error
    found = analysis.contrasts["oprm", MACRO, ALL].difference.estimate
    mean = np.mean([own.mean() for own in deltas])
    assert (found.mean, found.low, found.high) == pytest.approx((mean, mean - half, mean + half), **EXACT)
    assert (found.n, found.clusters) == (n, codes.max() + 1)
    assert found.clusters < sum(len(set(own)) for own in clusters)


def test_every_p_agrees_with_scipys_permutation_test_within_the_error_of_drawing(graded):
    run, analysis = graded
    for method in ("truncate", "oprm"):
        deltas, clusters = paired_records(run, method, "multihop")
        sums = np.bincount(np.unique(clusters, return_inverse=True)[1], weights=deltas)
        expected = stats.permutation_test(
            (sums,), np.sum, permutation_type="samples", n_resamples=20_000, vectorized=False, rng=1
        ).pvalue
        found = analysis.contrasts[method, "multihop", ALL].p
        error = np.sqrt(expected * (1 - expected) * (1 / 10_000 + 1 / 20_000))
        assert found == pytest.approx(expected, abs=4 * error + 2e-4)


def test_the_families_are_the_macro_rows_after_holm_and_the_task_rows_after_benjamini_hochberg(graded):
    _, analysis = graded
    for family, method in (("confirmatory", "holm"), ("exploratory", "fdr_bh")):
        members = [contrast for contrast in analysis.contrasts.values() if contrast.family == family]
        expected = multipletests([member.p for member in members], method=method)[1]
        assert [member.p_adjusted for member in members] == pytest.approx(list(expected), **EXACT)
        assert analysis.family_sizes[family] == len(members)
    assert analysis.family_sizes == {"confirmatory": 3, "exploratory": 9}


def test_controls_are_measured_and_belong_to_no_family(small):
    _, analysis = small
    control = analysis.contrasts["closed_book", MACRO, ALL]
    assert (control.family, control.p_adjusted) == ("control", None)
    assert control.p is not None
    assert analysis.family_sizes == {"confirmatory": 2, "exploratory": 2 * 3}


def test_a_p_stands_only_where_the_bucket_is_all(small):
    _, analysis = small
    assert all(
        (contrast.p is not None) == (place[2] == ALL) for place, contrast in analysis.contrasts.items()
    )
    assert ("oprm", "recall", "100") in analysis.contrasts


def test_unanswerable_tasks_are_tested_and_never_enter_the_macro_row(small):
    _, analysis = small
    assert analysis.contrasts["oprm", "recall_absent", ALL].family == "exploratory"
    parts = [analysis.results["oprm", task, ALL].mean for task in ("recall", "needle")]
    assert analysis.results["oprm", MACRO, ALL].mean == pytest.approx(np.mean(parts), **EXACT)


def test_pairs_hold_only_the_examples_that_both_methods_have_answered(tmp_path):
    def edit(row: Row) -> Row | None:
        number = int(row["example"][-2:])
        gone = row["task"] == "recall" and (
            (row["method"] == "oprm" and number < 10) or (row["method"] == "full" and number > 50)
        )
        return None if gone else row

    run = read_run(replace(SMALL, edit=edit).write(tmp_path))
    analysis = analyse(run)
    assert analysis.results["oprm", "recall", ALL].n == 50
    assert analysis.contrasts["oprm", "recall", ALL].difference.estimate.n == 41
    deltas, clusters = paired_records(run, "oprm", "recall")
    found = analysis.contrasts["oprm", "recall", ALL].difference.estimate
    assert (found.mean, found.low, found.high) == pytest.approx(robust_interval(deltas, clusters), **EXACT)


def test_undefined_answers_leave_the_mean_and_the_pairs_and_failed_ones_score_zero(tmp_path):
    def edit(row: Row) -> Row:
        if row["method"] == "full" or row["task"] != "recall" or int(row["example"][-2:]) >= 10:
            return row
        error = {"oprm": "RuntimeError: broken", "closed_book": "undefined: nothing"}.get(row["method"])
        return row | {"error": error, "score": 0.0} if error else row

    run = read_run(replace(SMALL, edit=edit).write(tmp_path))
    analysis = analyse(run)
    oprm = [record.score for record in run.answers("oprm", "recall").values()]
    assert analysis.results["oprm", "recall", ALL].n == 60
    assert analysis.results["oprm", "recall", ALL].mean == pytest.approx(np.mean(oprm), **EXACT)
    assert analysis.results["closed_book", "recall", ALL].n == 50
    assert analysis.contrasts["closed_book", "recall", ALL].difference.estimate.n == 50


def test_a_method_that_lacks_a_task_has_no_macro_row_and_is_not_in_the_confirmatory_family(tmp_path):
    def edit(row: Row) -> Row | None:
        return None if row["method"] == "oprm" and row["task"] == "needle" else row

    analysis = analyse(read_run(replace(SMALL, edit=edit).write(tmp_path)))
    assert ("oprm", MACRO, ALL) not in analysis.results
    assert ("oprm", MACRO, ALL) not in analysis.contrasts
    assert analysis.family_sizes["confirmatory"] == 1


def test_the_order_of_the_methods_does_not_change_a_p(tmp_path):
    def p_values(methods: tuple[tuple[str, bool], ...], name: str) -> dict[str, float | None]:
        fake = replace(SMALL, methods=methods, graded=True, skill=lambda *_: 0.5)
        analysis = analyse(read_run(fake.write(tmp_path / name)))
        return {str(place): one.p for place, one in analysis.contrasts.items()}

    first = p_values(SMALL.methods, "forward")
    assert first == p_values(SMALL.methods[::-1], "backward")
    assert any(p is not None and 0.001 < p < 0.99 for p in first.values())


def contest(best: float, second: float, samples: int) -> FakeRun:
    """One task on which two methods have these skills, the baseline little and the control more than all."""
    skills = {"full": 0.2, "oprm": best, "rag:retriever=bm25": second, "closed_book": 1.5}
    return replace(
        SMALL, tasks=(facts_task("recall", (10,), samples),), skill=lambda method, *_: skills[method]
    )


@pytest.mark.parametrize(("second", "expected"), [(0.4, {"oprm"}), (0.78, {"oprm", "rag:retriever=bm25"})])
def test_leaders_are_the_best_method_and_those_whose_interval_to_it_includes_zero(tmp_path, second, expected):
    run = read_run(contest(0.8, second, 100).write(tmp_path))
    assert set(analyse(run).rankings["recall"].leaders) == expected


def test_fewer_than_twenty_clusters_make_no_leader(tmp_path):
    assert analyse(read_run(contest(0.8, 0.4, 19).write(tmp_path))).rankings["recall"].leaders == ()
    more = contest(0.8, 0.4, 20).write(tmp_path / "more")
    assert analyse(read_run(more)).rankings["recall"].leaders == ("oprm",)


def test_methods_are_ranked_on_the_examples_that_all_of_them_have_answered(tmp_path):
    def edit(row: Row) -> Row | None:
        number = int(row["example"][-2:])
        if row["method"] == "oprm":
            return row | {"score": float(number < 27)} if number < 30 else None
        return row | {"score": float(number < 60)}

    fake = replace(SMALL, methods=SMALL.methods[:2], tasks=(facts_task("recall", (10,), 100),), edit=edit)
    analysis = analyse(read_run(fake.write(tmp_path)))
    means = {label: analysis.results[label, "recall", ALL].mean for label in ("full", "oprm")}
    assert means == pytest.approx({"full": 0.6, "oprm": 0.9})
    ranking = analysis.rankings["recall"]
    assert {label: one.n for label, one in ranking.means.items()} == {"full": 30, "oprm": 30}
    assert {label: one.mean for label, one in ranking.means.items()} == pytest.approx(
        {"full": 1.0, "oprm": 0.9}
    )
    assert (ranking.best, ranking.leaders, ranking.alike) == ("full", ("full", "oprm"), False)
    gap, found = ranking.gaps["oprm"].estimate, analysis.contrasts["oprm", "recall", ALL].difference.estimate
    assert (gap.low, gap.mean, gap.high) == (-found.high, -found.mean, -found.low)


@pytest.mark.parametrize(("shared", "named"), [(0, False), (19, False), (20, True)])
def test_methods_with_too_few_examples_in_common_are_not_ranked(tmp_path, shared, named):
    def edit(row: Row) -> Row | None:
        number = int(row["example"][-3:])
        return row if (number < 50 + shared if row["method"] == "oprm" else number >= 50) else None

    fake = replace(SMALL, methods=SMALL.methods[:2], tasks=(facts_task("recall", (10,), 100),), edit=edit)
    ranking = analyse(read_run(fake.write(tmp_path))).rankings["recall"]
    assert bool(ranking.leaders) is named
    assert not ranking.alike


def test_methods_that_have_answered_the_same_are_ranked_by_their_means(small):
    _, analysis = small
    for task in ("recall", "needle", MACRO):
        ranking = analysis.rankings[task]
        assert ranking.alike
        assert ranking.means == {label: analysis.results[label, task, ALL] for label in ranking.means}
        assert set(ranking.means) == {"full", "oprm", "rag:retriever=bm25"}


def test_a_method_that_only_ties_with_the_baseline_is_not_named_before_it(tmp_path):
    fake = contest(0.8, 0.8, 30)
    fake = replace(fake, methods=fake.methods[::-1], edit=lambda row: row | {"score": 1.0})
    ranking = analyse(read_run(fake.write(tmp_path))).rankings["recall"]
    assert ranking.leaders == ("full", "rag:retriever=bm25", "oprm")


def test_without_an_interval_nothing_is_told_apart_and_nothing_is_significant(tmp_path):
    skills = {"full": 0.5, "oprm": 0.95, "rag:retriever=bm25": 0.85, "closed_book": 0.0}
    one_document = FakeTask("notes", (("x", {}),), 5, per_document=5)
    tasks = (facts_task("recall", (10,), 60), one_document)
    analysis = analyse(
        read_run(replace(SMALL, tasks=tasks, skill=lambda method, *_: skills[method]).write(tmp_path))
    )
    contrast = analysis.contrasts["oprm", MACRO, ALL]
    assert contrast.p_adjusted < 0.001
    assert not contrast.difference.estimate.few
    assert not contrast.significant
    assert set(analysis.rankings[MACRO].leaders) == {"full", "oprm", "rag:retriever=bm25"}
    assert analysis.contrasts["oprm", "recall", ALL].significant
    assert "full" not in analysis.rankings["recall"].leaders


def test_a_run_without_its_baseline_has_means_and_no_differences(tmp_path):
    fake = replace(SMALL, settings={"baseline": "truncate"})
    analysis = analyse(read_run(fake.write(tmp_path)))
    assert analysis.contrasts == {}
    assert analysis.results["oprm", MACRO, ALL].n == 100


def test_a_task_that_nobody_has_begun_is_in_no_row(tmp_path):
    later = FakeTask("later", (("1", {}),), 30)
    fake = replace(
        DEMO, tasks=(DEMO.tasks[0], later), edit=lambda row: None if row["task"] == "later" else row
    )
    analysis = analyse(read_run(fake.write(tmp_path)))
    assert {task for _, task, _ in analysis.results} == {"recall"}


@pytest.mark.parametrize(("samples", "shown"), [(19, False), (20, True)])
def test_a_difference_on_fewer_than_twenty_clusters_is_never_significant(tmp_path, samples, shown):
    task = facts_task("recall", (10,), samples)
    sure = {"full": 0.0, "closed_book": 0.0}
    fake = replace(SMALL, tasks=(task,), skill=lambda method, *_: sure.get(method, 2.0))
    contrast = analyse(read_run(fake.write(tmp_path))).contrasts["oprm", "recall", "all"]
    assert contrast.p_adjusted < 0.001
    assert contrast.significant is shown
