"""The tables of scores: what stands beside a method's name and under a table."""

from __future__ import annotations

from dataclasses import replace

from fake_run import SMALL, FakeRun, FakeTask, Row, facts_task

from reports.analysis import analyse
from reports.collect import read_run
from reports.score_tables import (
    CONTRAST_READING,
    UNKNOWN,
    UNLIKE,
    absent_table,
    bucket_tables,
    main_table,
    method_cell,
    paired_tables,
)
from reports.tables import Cell


def test_an_imported_method_is_marked_in_its_cell(tmp_path):
    run = read_run(replace(SMALL, imported=("oprm",)).write(tmp_path))
    assert [method_cell(run, method).after for method in run.methods] == [
        "(baseline)",
        "(imported)",
        "",
        "(control)",
    ]


def test_rows_that_could_not_be_used_stand_under_the_table_of_their_task(tmp_path):
    left_out = {
        "recall": ("recall:7: it has no context", "recall:9: it has no answers"),
        "recall_absent": ("x",),
    }
    run = read_run(replace(SMALL, left_out=left_out).write(tmp_path))
    analysis = analyse(run)
    main, absent = main_table(run, analysis), absent_table(run, analysis)
    assert main
    assert absent
    assert main.notes[-1] == (
        "- `recall`: 2 rows of the data could not be used and enter no number, the first: "
        "`recall:7: it has no context`"
    )
    assert absent.notes[-1].startswith("- `recall_absent`: 1 row of the data could not be used")


def test_a_table_says_where_bold_goes_by_other_examples_than_the_means(tmp_path):
    for name, most in (("alike", 100), ("unlike", 25)):
        fake = replace(
            SMALL,
            edit=lambda row, most=most: (
                row if row["method"] != "oprm" or int(row["example"][-2:]) < most else None
            ),
        )
        run = read_run(fake.write(tmp_path / name))
        tables = [main_table(run, analyse(run)), absent_table(run, analyse(run))]
        assert [bool(table and UNLIKE in table.notes[0]) for table in tables] == [name == "unlike", False]


def test_a_mean_without_an_interval_is_no_number_beside_a_dash(tmp_path):
    tasks = (facts_task("recall", (10,), 60), FakeTask("notes", (("x", {}),), 5, per_document=5))
    run = read_run(replace(SMALL, tasks=tasks, skill=lambda *_: 0.7).write(tmp_path))
    main = main_table(run, analyse(run))
    assert main
    macro = [row[-1] for row in main.rows]
    assert all(cell.text.endswith(" (no interval)") and not cell.after for cell in macro)
    assert "±" not in "".join(cell.text for cell in macro)
    assert UNKNOWN in main.notes[0]
    assert UNKNOWN in paired_tables(run, analyse(run))[0].notes


def test_bold_and_arrows_are_explained_where_there_is_no_main_table(tmp_path):
    run = read_run(replace(SMALL, tasks=SMALL.tasks[1:2]).write(tmp_path))
    table = absent_table(run, analyse(run))
    assert table
    assert "**Bold**: " in table.notes[0]
    assert "▲ ▼: above or below `full`" in table.notes[0]
    assert "main table" not in table.notes[0]


def test_a_table_of_differences_by_bucket_says_what_is_subtracted_and_that_nothing_is_tested(tmp_path):
    run = read_run(SMALL.write(tmp_path))
    notes = [table.notes for table in bucket_tables(run, analyse(run)) if ": difference from" in table.title]
    assert len(notes) == 3
    assert all("the method minus `full` [95 % t interval]; nothing is tested" in one[0] for one in notes)


def test_what_two_tables_of_differences_share_is_said_under_the_first(tmp_path):
    for fake, tables in ((SMALL, 2), (replace(SMALL, tasks=SMALL.tasks[1:2]), 1)):
        run = read_run(fake.write(tmp_path / str(tables)))
        first, *others = paired_tables(run, analyse(run, margin=0.02))
        assert len(others) == tables - 1
        assert CONTRAST_READING in first.notes[0]
        assert first.notes[1].startswith("No worse by 2 ")
        for other in others:
            assert list(other.notes) == [
                "p adjusted: after Benjamini and Hochberg, over m = 6 tests. The rest as above."
            ]


def saturated(**scores: tuple[float, float]) -> FakeRun:
    """Two tasks of forty questions, recall and needle, each of which a method answers alike."""
    tasks = (facts_task("recall", (10,), 40), FakeTask("needle", (("x", {}),), 40))
    fake = FakeRun((("full", False), ("oprm", False)), tasks, lambda *_: 0.5)
    return replace(fake, edit=lambda row: row | {"score": scores[row["method"]][row["task"] == "needle"]})


def test_a_macro_mean_of_saturated_tasks_has_no_width_and_prints_none(tmp_path):
    run = read_run(saturated(full=(0.0, 1.0), oprm=(0.25, 0.8)).write(tmp_path))
    main = main_table(run, analyse(run))
    assert main
    rows = [[cell.text for cell in row if isinstance(cell, Cell)] for row in main.rows]
    assert rows[0][1:] == ["0.0 [0.0, 8.8]", "100.0 [91.2, 100.0]", "50.0 (no interval)"]
    assert rows[1][1:] == ["25.0 (no interval)", "80.0 (no interval)", "52.5 (no interval)"]
    assert UNKNOWN in main.notes[0]
    # Half a point of difference, the same in every cluster: nothing that tells the two apart.
    assert [row[-1].strong for row in main.rows if isinstance(row[-1], Cell)] == [True, True]


def test_a_difference_without_width_tells_apart_where_so_many_clusters_can_hide_nothing_else(tmp_path):
    run = read_run(saturated(full=(0.0, 0.0), oprm=(0.0, 1.0)).write(tmp_path))
    main = main_table(run, analyse(run))
    assert main
    assert [row[-1].strong for row in main.rows if isinstance(row[-1], Cell)] == [False, True]
    run = read_run(saturated(full=(0.5, 0.5), oprm=(0.54, 0.54)).write(tmp_path / "level"))
    assert analyse(run).rankings["recall"].leaders == ("oprm", "full")


def test_bold_goes_by_the_interval_where_it_has_a_width(tmp_path):
    def edit(row: Row) -> Row:
        gain = 0.01 + 0.001 * (int(row["example"][-1]) % 2)
        return row | {"score": 0.5 + gain * (row["method"] == "oprm")}

    methods = (("full", False), ("oprm", False))
    fake = FakeRun(methods, (facts_task("recall", (10,), 40),), lambda *_: 0.5, edit=edit)
    assert analyse(read_run(fake.write(tmp_path))).rankings["recall"].leaders == ("oprm",)
