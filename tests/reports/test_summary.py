"""The paragraph that opens a report, where sets of examples differ, scores tie, or an interval does not exist."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from fake_run import FakeRun, FakeTask, Row, facts_task

from reports.analysis import analyse
from reports.collect import read_run
from reports.cost import cost_rows
from reports.summary import summary

PAIR = (("full", False), ("imp", False))
THREE = (*PAIR, ("rag", False))


def paragraph(fake: FakeRun, folder) -> str:
    run = read_run(fake.write(folder))
    return summary(run, analyse(run), {})


def scored(methods=PAIR, **right: range | None) -> FakeRun:
    """A hundred questions; each method has answered those of `asked` and is right on those of its range."""
    asked = {name.removesuffix("_asked"): kept for name, kept in right.items() if name.endswith("_asked")}

    def edit(row: Row) -> Row | None:
        number = int(row["example"][-3:])
        if number not in asked.get(row["method"], range(100)):
            return None
        return row | {"score": float(number in right[row["method"]])}

    return FakeRun(methods, (facts_task("recall", (10,), 100),), lambda *_: 0.5, edit=edit)


def test_the_best_method_is_the_best_on_the_questions_that_all_have_answered(tmp_path):
    text = paragraph(scored(full=range(60), imp=range(27), imp_asked=range(30)), tmp_path)
    assert "On the 30 questions of `recall` that all have answered, `full` answers best" in text
    assert "of the 2 methods compared: 100.0 of 100 points" in text
    assert "`imp` comes closest, −10.0 points from it (−21.4 to 1.4, adjusted p = 0.2500)." in text


def test_a_baseline_that_is_better_on_other_questions_does_not_hide_the_method_that_beats_it(tmp_path):
    text = paragraph(scored(full=range(60), imp=range(60, 70), imp_asked=range(60, 100)), tmp_path)
    assert "On the 40 questions of `recall` that all have answered, `imp` answers best" in text
    assert "25.0 points above the baseline `full` (95 % interval" in text
    assert "No method beats" not in text


def test_a_difference_on_more_questions_than_the_ranking_says_on_which(tmp_path):
    fake = scored(
        THREE, full=range(40), imp=range(35), rag=range(50, 70), imp_asked=range(60), rag_asked=range(30, 100)
    )
    text = paragraph(fake, tmp_path)
    assert "On the 30 questions of `recall` that all have answered, `full` answers best of the 3" in text
    assert re.search(r"`rag` is 14\.3 points above it on the 70 questions that both have answered \(", text)
    assert "No method beats" not in text
    worse = scored(
        THREE, full=range(40), imp=range(35), rag=range(5), imp_asked=range(60), rag_asked=range(30)
    )
    assert (
        "`imp` comes closest, −8.3 points from it on the 60 questions that both have answered ("
        in paragraph(worse, tmp_path / "worse")
    )


def test_too_few_questions_in_common_name_no_best_method(tmp_path):
    text = paragraph(
        scored(full=range(60), imp=range(90), full_asked=range(60), imp_asked=range(50, 100)), tmp_path
    )
    assert text.endswith(
        "The methods have too few questions in common to name a best one: all of them need answers to the same "
        "questions, from 20 clusters or more."
    )


def test_the_same_questions_need_no_words(tmp_path):
    text = paragraph(scored(full=range(60), imp=range(70)), tmp_path)
    assert "On 100 questions of `recall`, `imp` answers best of the 2 methods compared" in text
    assert "10.0 points above the baseline `full` (95 % interval of the difference: " in text
    assert "have answered" not in text


@pytest.mark.parametrize("methods", [PAIR, PAIR[::-1]])
def test_a_tie_with_the_baseline_is_called_the_same_score(tmp_path, methods):
    text = paragraph(scored(methods, full=range(100), imp=range(100)), tmp_path)
    assert "`full` answers best" in text
    assert (
        "No method beats `full`; `imp` comes closest, with the same score (an interval without width, adjusted"
        in text
    )
    assert "–" not in text


def test_a_method_that_never_differs_from_the_best_is_told_by_what_its_interval_lacks(tmp_path):
    text = paragraph(scored(THREE, full=range(50), imp=range(80), rag=range(80)), tmp_path)
    assert "`rag` cannot be told from `imp`: the difference has an interval without width." in text


def test_a_difference_of_unknown_spread_says_nothing_of_what_would_show(tmp_path):
    def edit(row: Row) -> Row:
        # In every document the rival wins one of two questions and loses a tenth of the other.
        even = int(row["example"][-3:]) % 2 == 0
        return row | {"score": {"full": 0.5, "imp": 0.7 if even else 0.4}[row["method"]]}

    task = replace(facts_task("recall", (10,), 60), per_document=2)
    fake = FakeRun(PAIR, (task,), lambda *_: 0.5, edit=edit)
    run = read_run(fake.write(tmp_path))
    analysis = analyse(run)
    place = ("imp", "macro", "all")
    chance = replace(analysis, contrasts={place: replace(analysis.contrasts[place], p_adjusted=0.2)})
    assert "That difference may be chance (p = 0.2000, one method tested)." in summary(run, chance, {})


def test_a_mean_without_an_interval_says_so_and_claims_nothing(tmp_path):
    tasks = (facts_task("recall", (10,), 60), FakeTask("notes", (("x", {}),), 5, per_document=5))
    skills = {"full": 0.4, "imp": 0.9, "rag": 0.8}
    text = paragraph(FakeRun(THREE, tasks, lambda method, *_: skills[method]), tmp_path)
    assert "points on average over the tasks (no interval), " in text
    assert "points above the baseline `full` (no interval). No difference is claimed (p = 0.000" in text
    assert "`rag` cannot be told from `imp`: the difference has no interval." in text
    assert "–" not in text


def pulled(won: int, lost: int, others: int = 0) -> FakeRun:
    """Two tasks of a hundred: the rival wins so many of one and loses so many of the other; of `others` further
    methods none differs from the baseline."""

    def edit(row: Row) -> Row:
        number = int(row["example"][-3:])
        if row["task"] == "a":
            return row | {"score": float(row["method"] == "imp" and number < won)}
        return row | {"score": float(row["method"] != "imp" or number >= lost)}

    tasks = (FakeTask("a", (("x", {}),), 100), FakeTask("b", (("x", {}),), 100))
    methods = (*PAIR, *((f"m{number}", False) for number in range(others)))
    return FakeRun(methods, tasks, lambda *_: 0.5, edit=edit)


def test_tasks_that_pull_apart_are_said_to_where_the_interval_claims_what_the_test_does_not(tmp_path):
    text = paragraph(pulled(100, 84), tmp_path)
    assert "8.0 points above the baseline `full` (95 % interval of the difference: 4.4 to 11.6)" in text
    assert "That difference may be chance (p = 0.2" in text
    assert (
        "though its interval does not include zero: the tasks pull in opposite directions; the interval takes these "
        "tasks as given, the sign-flip test does not." in text
    )
    assert "would reliably" not in text


def test_an_interval_of_one_method_is_not_held_against_the_p_of_many(tmp_path):
    text = paragraph(pulled(9, 0, others=40), tmp_path)
    assert "though its interval does not include zero: the interval is that of one method (p = 0.00" in text
    assert "would reliably" not in text


def test_a_difference_that_the_interval_does_not_claim_either_says_what_would_show(tmp_path):
    run = read_run(pulled(30, 25).write(tmp_path))
    analysis = analyse(run)
    seen = 100 * analysis.contrasts["imp", "macro", "all"].difference.detectable
    assert (
        ": before any adjustment, this many examples would reliably (80 % power) show only a true difference of "
        f"{seen:.1f} points or more." in summary(run, analysis, {})
    )


def test_a_mean_of_saturated_tasks_has_no_interval_in_the_summary_either(tmp_path):
    text = paragraph(pulled(100, 0), tmp_path)
    assert "100.0 of 100 points on average over the tasks (95 % interval 98.1 to 100.0)" in text
    text = paragraph(pulled(0, 100), tmp_path / "half")
    assert (
        "`full` answers best of the 2 methods compared: 50.0 of 100 points on average over the tasks (no interval)"
        in text
    )


def test_an_arrow_beside_an_interval_that_includes_zero_is_explained(tmp_path):
    def edit(row: Row) -> Row:
        gain = 0.95 if row["example"].endswith("000") else 0.02
        return row | {"score": 0.03 + gain * (row["method"] == "imp")}

    for samples, said in ((40, True), (400, False)):
        fake = FakeRun(PAIR, (facts_task("recall", (10,), samples),), lambda *_: 0.5, edit=edit)
        text = paragraph(fake, tmp_path / str(samples))
        assert "Chance alone would hardly give such a difference (p = 0.0001, one method tested)" in text
        assert ("interval of the difference: \u2212" in text) is said
        assert (
            "though the interval includes zero: it and the sign-flip test, which decides," in text
        ) is said


def test_an_interval_that_leaves_the_scale_is_cut_in_no_place(tmp_path):
    run = read_run(scored(full=range(10), imp=range(99)).write(tmp_path))
    analysis = analyse(run)
    high = 100 * analysis.results["imp", "macro", "all"].high
    assert high > 100
    assert f"99.0 of 100 points (95 % interval 97.0 to {high:.1f})" in summary(run, analysis, {})


def test_tokens_are_compared_on_the_questions_that_both_have_answered(tmp_path):
    def edit(row: Row) -> Row:
        number = int(row["example"][-3:])
        failed = (
            {"error": "OutOfMemoryError", "score": 0.0} if row["method"] == "full" and number >= 50 else {}
        )
        return row | failed | {"cost": row["cost"] | {"prompt_tokens": 100 if number < 50 else 1000}}

    fake = FakeRun(PAIR, (facts_task("recall", (10,), 100),), lambda name, *_: 0.3 + 0.6 * (name == "imp"))
    run = read_run(replace(fake, edit=edit).write(tmp_path))
    assert " and reads as many tokens." in summary(run, analyse(run), cost_rows(run))


def test_one_document_is_one(tmp_path):
    task = replace(facts_task("recall", (10,), 30), per_document=30)
    assert "30 questions of `recall` from 1 document." in paragraph(
        FakeRun(PAIR, (task,), lambda *_: 0.5), tmp_path
    )
