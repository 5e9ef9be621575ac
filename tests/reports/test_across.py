"""Runs of several models as one report: what is joined, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import SMALL, FakeRun, facts_task, read_csv
from statsmodels.stats.multitest import multipletests

from comparison.records import slug
from reports import plots
from reports.__main__ import main
from reports.across import join_tables, refuse_mixed, told_apart, write_joined_report
from reports.collect import ReportError, read_run
from reports.page import write_report
from reports.tables import Cell, Table


def of_model(name: str, fake: FakeRun = SMALL, **settings: str) -> FakeRun:
    return replace(
        fake,
        seed=len(name),
        settings={"model": name, "path": f"hub/{name}", "dtype": "float16", **settings},
        edit=lambda row: row | {"model": name},
    )


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("across")
    folders = [of_model(name).write(root / name) for name in ("falcon", "gemma-it")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "draw", lambda *_: [])
        return write_joined_report(folders)


def test_the_joined_report_lies_beside_the_runs_and_has_a_column_for_the_model(joined):
    assert joined.parent.name == "falcon+gemma-it"
    text = joined.read_text(encoding="utf-8")
    assert text.startswith("# 2 models: `falcon`, `gemma-it`\n")
    main_table = text.split("\n## Main table\n")[1].split("\n## ")[0]
    rows = [line.split(" | ")[:2] for line in main_table.split("\n") if line.startswith("| `")]
    assert [row[0] for row in rows] == ["| `falcon`"] * 4 + ["| `gemma-it`"] * 4
    assert [row[1] for row in rows[:2]] == ["`full` (baseline)", "`oprm`"]
    assert text.count("`falcon@local-0123 ·") == text.count("`gemma-it@local-0123 ·") >= 8


def test_every_format_holds_both_models(joined):
    folder = joined.parent
    assert {row["model"] for row in read_csv(folder, "paired.csv")} == {"falcon", "gemma-it"}
    assert {one["settings"]["model"] for one in json.loads((folder / "report.json").read_text())["runs"]} == {
        "falcon",
        "gemma-it",
    }
    assert all(
        "gemma-it" in (folder / name).read_text(encoding="utf-8") for name in ("report.html", "tables.tex")
    )


def test_the_p_values_are_adjusted_over_all_models(joined):
    rows = [row for row in read_csv(joined.parent, "paired.csv") if row["bucket"] == "all"]
    for family, method in (("confirmatory", "holm"), ("exploratory", "fdr_bh")):
        members = [row for row in rows if row["family"] == family]
        expected = multipletests([float(row["p"]) for row in members], method=method)[1]
        assert [float(row["p_adjusted"]) for row in members] == pytest.approx(list(expected), rel=1e-9)
    report = joined.read_text(encoding="utf-8")
    assert "over the m = 4 methods tested" in report
    assert "adjusted for the 4 methods tested against the baseline in all models" in report


def headed(report: str, title: str) -> list[list[str]]:
    """The rows of a table, its header first; the dashes under that left out."""
    text = report.split(f"{title}\n\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.split("\n")]
    return [rows[0], *rows[2:]]


def joined_text(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(plots, "draw", lambda *_: [])
    return write_joined_report(folders).read_text(encoding="utf-8")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_bucket_that_one_run_lacks_is_empty_there_and_moves_no_number(tmp_path, monkeypatch, order):
    whole = of_model("falcon", replace(SMALL, tasks=(facts_task("recall", (10, 25, 50), 30),)))
    half = of_model("gemma", whole)
    half = replace(half, edit=lambda row: None if row["bucket"] == "10" else row | {"model": "gemma"})
    folders = [fake.write(tmp_path / name) for name, fake in (("falcon", whole), ("gemma", half))]
    text = joined_text([folders[place] for place in order], monkeypatch)
    own = headed(write_report(folders[1]).read_text(encoding="utf-8"), "### `recall` by number of facts")
    header, *rows = headed(text, "### `recall` by number of facts")
    assert [name.split()[0] for name in header] == ["model", "method", "10", "25", "50"]
    assert [row[1:] for row in rows if row[0] == "`gemma`"] == [[row[0], "–", *row[1:]] for row in own[1:]]
    assert all("–" not in row for row in rows if row[0] == "`falcon`")


def test_a_cost_that_one_run_alone_has_stands_in_its_own_column(tmp_path, monkeypatch):
    measured = of_model("gemma")
    measured = replace(
        measured, edit=lambda row: row | {"model": "gemma", "details": {"calibration_seconds": 9.5}}
    )
    folders = [of_model("falcon").write(tmp_path / "falcon"), measured.write(tmp_path / "gemma")]
    header, *rows = headed(joined_text(folders, monkeypatch), "## Cost")
    assert header[-2:] == ["retrieval", "calibration s"]
    assert {(row[0], row[-1]) for row in rows} == {("`falcon`", "–"), ("`gemma`", "9.5")}
    assert {len(row) for row in rows} == {len(header)}


def test_a_heading_that_stands_twice_keeps_both_of_its_columns():
    tables = [
        ("a", Table("t", ["n", "x", "n"], [["1", "2", "3"]], "s")),
        ("b", Table("t", ["n"], [["4"]], "s")),
    ]
    table = join_tables(tables)
    assert table.header == ["model", "n", "x", "n"]
    assert [[*row[1:]] for row in table.rows] == [["1", "2", "3"], ["4", "–", "–"]]


def test_runs_whose_models_have_one_name_are_called_by_what_tells_them_apart(tmp_path):
    fake = replace(SMALL, tasks=(facts_task("recall", (10, 25), 25),), skill=lambda *_: 0.5, graded=True)
    settings = [{"revision": "r1"}, {"revision": "r2"}, {"revision": "r2", "dtype": "float16"}]
    folders = [
        replace(fake, seed=place, settings=own).write(tmp_path / str(place))
        for place, own in enumerate(settings)
    ]
    out = write_joined_report(folders).parent
    names = ["tiny@r1@float32", "tiny@r2@float32", "tiny@r2@float16"]
    assert list(dict.fromkeys(row["model"] for row in read_csv(out, "results.csv"))) == names
    pictures = [(out / f"{slug(name)}/forest.png").read_bytes() for name in names]
    assert len(set(pictures)) == 3
    text = (out / "report.md").read_text(encoding="utf-8")
    assert text.startswith(f"# 3 models: {', '.join(f'`{name}`' for name in names)}\n")
    assert "`tiny@r1 · " in text
    alone = write_report(folders[1]).parent
    mine = [row["p"] for row in read_csv(out, "paired.csv") if row["model"] == names[1]]
    assert mine == [row["p"] for row in read_csv(alone, "paired.csv")]


def test_a_model_without_a_namesake_keeps_its_name(tmp_path):
    runs = [read_run(of_model(name).write(tmp_path / name)) for name in ("falcon", "gemma")]
    assert [run.model for run in told_apart(runs)] == ["falcon", "gemma"]


def refused(first: FakeRun, second: FakeRun, folder: Path) -> str:
    runs = [read_run(fake.write(folder / str(place))) for place, fake in enumerate((first, second))]
    with pytest.raises(ReportError) as caught:
        refuse_mixed(runs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_mixed_settings_are_refused_and_every_one_is_named(tmp_path):
    more = replace(SMALL, tasks=(facts_task("recall", (10, 100), 20), *SMALL.tasks[1:2]))
    other = of_model("gemma", more, baseline="oprm", seed="7", device="cuda")
    message = refused(of_model("falcon"), other, tmp_path)
    assert "seed (0 in " in message
    assert "baseline ('full' in " in message
    assert "device ('cpu' in " in message
    assert "n of task recall (60 in " in message
    assert "task needle ('in it' in " in message


def test_methods_of_one_name_and_other_options_are_refused(tmp_path):
    fewer = replace(SMALL, methods=SMALL.methods[:2])
    assert "method rag:retriever=bm25" in refused(of_model("falcon"), of_model("gemma", fewer), tmp_path)


def test_two_runs_of_one_model_are_refused(tmp_path):
    assert "both of the model falcon" in refused(of_model("falcon"), of_model("falcon"), tmp_path)


def test_a_run_folder_is_never_written_over(tmp_path, capsys):
    folders = [str(of_model(name).write(tmp_path / name)) for name in ("falcon", "gemma")]
    assert main([*folders, "--out", folders[0]]) == 2
    assert "is a run folder: expected another folder" in capsys.readouterr().err


def test_a_heading_whose_sizes_differ_between_the_models_has_none():
    def table(n: int) -> Table:
        header = ["method", Cell("recall", code=True, after=f"(n {n})"), Cell("needle", after="(n 40)")]
        return Table("t", header, [["m", "1", "2"]], "s")

    joined = join_tables([("a", table(60)), ("b", table(59))])
    assert joined.header == ["model", "method", Cell("recall", code=True), Cell("needle", after="(n 40)")]
