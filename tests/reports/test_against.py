"""A run against an older one: what is called worse, what is refused, what is named as different."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from fake_run import SMALL, Row, change_examples, facts_task, read_csv

from reports.__main__ import main
from reports.against import BETTER, WORSE, _summary, compare_runs, write_against
from reports.collect import ReportError, read_run
from reports.score_tables import FEW


def spoiled(row: Row) -> Row:
    """A quarter of oprm's answers on recall are wrong now; the control is wrong everywhere."""
    wrong = row["method"] == "oprm" and row["task"] == "recall" and int(row["example"][-2:]) % 4 == 0
    return row | {"score": 0.0} if wrong or row["method"] == "closed_book" else row


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("against")
    new = replace(SMALL, edit=spoiled, settings={"revision": "local-4567"})
    return new.write(root / "new"), SMALL.write(root / "old")


def test_what_got_worse_is_said_and_the_status_is_one(folders, capsys):
    new, old = folders
    assert main([str(new), "--against", str(old)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("2 worse (oprm on macro, oprm on recall), 0 better, of 12 tests\n")
    text = (new / "against.md").read_text(encoding="utf-8")
    assert "**Worse than before:** `oprm` on macro (−" in text
    assert "`revision: local-0123 → local-4567`" in text
    assert text.count("Signature: ") == 2
    (tested,) = [
        line for line in text.split("\n") if line.startswith("<sub>Signature: ") and "sign-flip" in line
    ]
    now, before = tested.split(" against ")
    key = read_run(new).key[:8]
    assert f"seeded from {key} · Holm m=3 · Benjamini-Hochberg m=9" in now
    assert "tiny@local-0123" in before
    assert "sign-flip" not in before
    assert (text.count("| worse |"), text.count("| undecided |")) == (2, 10)
    found = compare_runs(read_run(new), read_run(old)).contrasts["oprm", "recall", "all"].difference.estimate
    (row,) = [
        row for row in read_csv(new, "against.csv") if (row["method"], row["task"]) == ("oprm", "recall")
    ]
    numbers = [float(row[name]) for name in ("delta", "low", "high")]
    assert numbers == pytest.approx([100 * found.mean, 100 * found.low, 100 * found.high], rel=1e-5)
    assert row["verdict"] == "worse"


def test_the_method_whose_code_is_another_is_named_and_no_other(tmp_path):
    def edit(row: Row) -> Row:
        return row | ({"version": "v2"} if row["method"] == "oprm" else {})

    new, old = replace(SMALL, edit=edit).write(tmp_path / "new"), SMALL.write(tmp_path / "old")
    info = json.loads((new / "run.json").read_text())
    info["methods"] = [one | ({"version": "v2"} if one["label"] == "oprm" else {}) for one in info["methods"]]
    (new / "run.json").write_text(json.dumps(info))
    differing = compare_runs(read_run(new), read_run(old)).differing
    assert [line.partition(":")[0] for line in differing] == ["code or options of oprm"]


def test_runs_without_a_mean_over_tasks_are_compared_task_by_task(tmp_path):
    tasks = (facts_task("recall_absent", (10,), 12, confirmatory=False),)
    runs = [read_run(replace(SMALL, tasks=tasks).write(tmp_path / name)) for name in ("new", "old")]
    changes = compare_runs(*runs)
    assert {task for _, task, _ in changes.contrasts} == {"recall_absent"}
    assert _summary(changes) == "No method is shown to be worse or better than before."


def test_the_other_way_round_it_got_better_and_the_status_is_zero(folders, capsys):
    new, old = folders
    assert main([str(old), "--against", str(new)]) == 0
    assert capsys.readouterr().out.startswith("0 worse, 2 better")


def test_the_difference_is_new_minus_old_with_the_intervals_of_the_report(folders):
    new, old = (read_run(folder) for folder in folders)
    contrast = compare_runs(new, old).contrasts["oprm", "recall", "all"]
    pairs = [
        (new.answers("oprm", "recall")[name].score, one.score)
        for name, one in old.answers("oprm", "recall").items()
    ]
    deltas = np.array([one - two for one, two in pairs])
    model = sm.OLS(deltas, np.ones((60, 1))).fit(
        cov_type="cluster", cov_kwds={"groups": np.arange(60)}, use_t=True
    )
    found = contrast.difference.estimate
    expected = (model.params[0], *model.conf_int()[0])
    assert (found.mean, found.low, found.high) == pytest.approx(expected, rel=1e-9)


def test_controls_are_compared_and_never_judged(folders):
    new, old = (read_run(folder) for folder in folders)
    changes = compare_runs(new, old)
    control = changes.contrasts["closed_book", "recall_absent", "all"]
    assert control.difference.estimate.mean < -0.5
    assert {place[0] for place in changes.found(WORSE) + changes.found(BETTER)} == {"oprm"}


def test_a_control_has_no_verdict_and_no_method_is_called_the_baseline(folders):
    new, old = folders
    text = write_against(new, old, margin=0.05)[0].read_text(encoding="utf-8")
    rows = [line for line in text.split("## Time")[0].split("\n") if line.startswith("| `")]
    assert "(baseline)" not in text
    verdicts = {("(control)" in row, row.split(" | ")[-1]) for row in rows}
    assert verdicts == {(True, "– |"), (False, "worse |"), (False, "undecided |")}
    assert FEW not in text


def test_numbers_from_a_handful_of_clusters_are_explained_where_they_stand(tmp_path):
    tasks = (facts_task("recall", (10,), 12),)
    new, old = (replace(SMALL, tasks=tasks, seed=seed).write(tmp_path / str(seed)) for seed in (0, 1))
    page = write_against(new, old)[0].read_text(encoding="utf-8")
    assert FEW in page.split("## Time")[0]


def test_a_run_against_itself_has_changed_in_nothing(folders, capsys):
    _, old = folders
    assert main([str(old), "--against", str(old), "--margin", "20"]) == 0
    assert capsys.readouterr().out.startswith("0 worse, 0 better, of 12 tests")
    text = (old / "against.md").read_text(encoding="utf-8")
    assert "No method is shown to be worse or better than before." in text
    assert "Nothing that a run folder knows of" in text
    assert " · margin 20" in text
    assert {row["delta"] for row in read_csv(old, "against.csv")} == {"0"}


def test_a_method_that_answers_as_before_says_nothing_of_what_would_show(tmp_path):
    runs = [read_run(SMALL.write(tmp_path / name)) for name in ("new", "old")]
    text = _summary(compare_runs(*runs))
    assert text == "No method is shown to be worse or better than before."

    def turned(row: Row, most: int) -> Row:
        place = row["method"], row["task"], row["example"][-1]
        other = place == ("oprm", "recall", "3") and int(row["example"][-2:]) < most
        return row | {"score": 1.0 - row["score"]} if other else row

    for most, said in ((20, True), (60, False)):
        fake = replace(SMALL, edit=partial(turned, most=most))
        changed = compare_runs(read_run(fake.write(tmp_path / str(most))), runs[1])
        found = changed.contrasts["oprm", "macro", "all"]
        assert not found.significant
        assert found.difference.estimate.beyond_zero is not said
        assert "reliably" not in _summary(
            changed
        )  # `rag` answers as before: what would show of it is not known
        place = "oprm", "macro", "all"
        alone = replace(changed, contrasts={place: changed.contrasts[place]})
        words = (
            f" Before any adjustment, a difference of {100 * found.difference.detectable:.1f} points or more would "
            "reliably (80 % power) show."
        )
        assert _summary(alone).endswith(words) is said


def test_a_time_from_a_handful_of_questions_has_no_interval(tmp_path):
    tasks = (facts_task("recall", (10,), 12),)
    new, old = (replace(SMALL, tasks=tasks, seed=seed).write(tmp_path / str(seed)) for seed in (0, 1))
    page = write_against(new, old)[0].read_text(encoding="utf-8")
    times = page.split("## Time")[1]
    assert len(re.findall(r"\| 11 \| \(\d\.\d\d\) \|", times)) == 4
    assert FEW in times


def other_question(folder: Path) -> None:
    def change(row: Row) -> Row:
        return row | ({"question": "Where is the office of Rufus?"} if row["id"] == "recall-0003" else {})

    change_examples(folder / "examples" / "recall.jsonl", change)


def other_metric(folder: Path) -> None:
    for path in (folder / "run.json", *folder.glob("records/*/*/*.jsonl")):
        path.write_text(path.read_text().replace("value@1", "value@2"))


def other_tasks(folder: Path) -> None:
    path = folder / "run.json"
    info = json.loads(path.read_text())
    for task in info["benchmarks"][0]["tasks"]:
        task["name"] = "x" + task["name"]
    path.write_text(json.dumps(info))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_question, "1 questions of recall differ .*recall-0003"),
        (other_metric, "recall was scored by value@2 in .* and by value@1"),
        (other_tasks, "has no records yet|no method and task in common"),
    ],
)
def test_runs_that_cannot_be_paired_are_refused_in_one_line(folders, tmp_path, spoil, message):
    old = SMALL.write(tmp_path / "old")
    spoil(old)
    with pytest.raises(ReportError, match=message) as caught:
        compare_runs(read_run(folders[1]), read_run(old))
    assert "\n" not in str(caught.value)
