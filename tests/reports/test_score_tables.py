"""The tables of scores: what stands beside a method's name and under a table."""

from __future__ import annotations

from dataclasses import replace

from fake_run import SMALL

from reports.analysis import analyse
from reports.collect import read_run
from reports.score_tables import absent_table, main_table, method_cell


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
