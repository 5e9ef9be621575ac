"""Run folders: what extends one, what is refused, and what is kept of every example."""

from __future__ import annotations

import json
import pickle

import pytest
from comparison_fakes import FakeEngine, count_words

from comparison.folder import FolderError, check_folder, extend, known_settings, write_run
from comparison.grid import load_tasks
from comparison.plan import PlanError, make_plan
from comparison.records import read_records
from comparison.run import compare
from reports import write_report


def run_json(tmp_path):
    return json.loads((tmp_path / "run" / "run.json").read_text())


def counts(tmp_path):
    found: dict[tuple[str, str], int] = {}
    for row in read_records(tmp_path / "run"):
        place = (row.method.removeprefix("comparison_fakes:"), row.task)
        found[place] = found.get(place, 0) + 1
    return found


def test_run_json_holds_the_plan_the_settings_and_where_they_came_from(run, tmp_path):
    run("Last", "Seeing", seed=3, limit=4)
    info = run_json(tmp_path)
    assert info["schema"] == 1
    assert info["command"] == "a test"
    assert info["settings"]["model"] == info["settings"]["path"] == "fake/reader"
    assert info["settings"]["revision"] == "main"
    assert info["settings"]["dtype"] == "float32"
    assert info["settings"]["kernel"] == "torch"
    assert info["settings"]["seed"] == 3
    assert info["settings"]["baseline"] == "comparison_fakes:Last"
    assert [method["control"] for method in info["methods"]] == [False, True]
    task = info["benchmarks"][0]["tasks"][0]
    assert (task["name"], task["n"], task["metric"]) == ("words", 4, "value@1")
    assert task["confirmatory"] is True
    assert info["limit"] == 4
    assert "python" in info["versions"]


def test_examples_are_kept_without_their_context(run, tmp_path):
    run("Last")
    rows = [json.loads(line) for line in (tmp_path / "run/examples/words.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"words-{number}" for number in range(6)]
    assert rows[1]["around"] == ["0 one two three word1"]
    assert rows[1]["evidence"] == [[16, 21]]
    assert len(rows[1]["digest"]) == 16
    assert "context" not in rows[1]


def test_more_methods_extend_a_folder(run, tmp_path):
    run("Last")
    tally = run("Last", "Seeing")
    assert (tally.found, tally.answered) == (6, 6)
    assert counts(tmp_path) == {("Last", "words"): 6, ("Seeing", "words"): 6}
    assert len(run_json(tmp_path)["methods"]) == 2


def test_a_run_of_fewer_methods_forgets_none(run, tmp_path):
    run("Last", "Seeing")
    assert run("Last").answered == 0
    assert len(run_json(tmp_path)["methods"]) == 2


def test_a_larger_limit_extends_a_folder(run, tmp_path):
    run("Last", limit=2)
    path = tmp_path / "run" / "run.json"
    path.write_text(json.dumps(run_json(tmp_path) | {"created": "then"}))
    tally = run("Last", limit=5)
    assert (tally.found, tally.answered) == (2, 3)
    assert run_json(tmp_path)["benchmarks"][0]["tasks"][0]["n"] == 5
    assert run_json(tmp_path)["created"] == "then"
    assert run("Last").answered == 1
    assert counts(tmp_path) == {("Last", "words"): 6}


def test_another_benchmark_extends_a_folder(run, tmp_path):
    run("Last")
    run("Last", benchmark="more=comparison_fakes:words:n=2")
    assert counts(tmp_path) == {("Last", "words"): 6, ("Last", "more-words"): 2}
    assert [benchmark["label"] for benchmark in run_json(tmp_path)["benchmarks"]] == [
        "comparison_fakes:words",
        "more",
    ]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"seed": 1}, "seed 0, and this run has 1"),
        ({"baseline": "comparison_fakes:Seeing"}, "baseline"),
        ({"engine": FakeEngine(kernel="cuda")}, "kernel 'torch'"),
        ({"limit": 3}, "--limit none"),
        ({"benchmark": "comparison_fakes:words:revision=2"}, "benchmark of task words"),
        ({"benchmark": "comparison_fakes:words:n=7"}, "benchmark of task words"),
    ],
)
def test_other_settings_are_refused_by_name_and_change_nothing(run, tmp_path, changed, field):
    run("Last")
    before = run_json(tmp_path)
    with pytest.raises(FolderError, match=field) as refusal:
        run("Last", **changed)
    assert "choose another --out" in str(refusal.value)
    assert run_json(tmp_path) == before
    assert counts(tmp_path) == {("Last", "words"): 6}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (("settings", "model"), "model"),
        (("settings", "path"), "path"),
        (("settings", "revision"), "revision"),
        (("settings", "dtype"), "dtype"),
        (("schema",), "schema"),
        (("benchmarks", 0, "tasks", 0, "revision"), "data revision of task words"),
        (("benchmarks", 0, "tasks", 0, "wording"), "wording of task words"),
        (("methods", 0, "spec"), "method comparison_fakes:Last"),
    ],
)
def test_every_setting_that_changes_answers_is_compared(run, tmp_path, path, field):
    run("Last")
    old, new = run_json(tmp_path), run_json(tmp_path)
    place = new
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = "another"
    with pytest.raises(FolderError, match=f"made with {field}"):
        extend(old, new)


def test_what_is_known_before_the_reader_is_loaded_is_checked_before(run, tmp_path):
    run("Last")
    given = {"model": "fake/reader", "method": ["comparison_fakes:Last"], "baseline": "comparison_fakes:Last"}
    given |= {"benchmark": ["comparison_fakes:words"], "out": str(tmp_path / "run")}

    def check(**changed):
        plan = make_plan(given | changed)
        check_folder(plan.out, known_settings(plan, load_tasks(plan, count_words)))

    check()
    check(out=str(tmp_path / "new"), seed=5)
    for changed, field in (
        ({"seed": 1}, "seed 0"),
        ({"device": "cuda"}, "device 'cpu'"),
        ({"dtype": "float16"}, "dtype 'float32'"),
        ({"limit": 2}, "--limit none"),
        ({"benchmark": ["comparison_fakes:words:n=7"]}, "benchmark of task words"),
    ):
        with pytest.raises(FolderError, match=field):
            check(**changed)


def test_tasks_that_were_loaded_for_another_plan_of_their_benchmark_are_in_the_run(tmp_path):
    given = {"model": "fake/reader", "method": ["comparison_fakes:Last"], "baseline": "comparison_fakes:Last"}
    given |= {"benchmark": ["mine=comparison_fakes:words"], "out": str(tmp_path / "run")}
    tasks = pickle.loads(pickle.dumps(load_tasks(make_plan(given), count_words)))
    plan = make_plan(given | {"method": ["comparison_fakes:Last", "comparison_fakes:Seeing"]})
    assert compare(plan, tasks, FakeEngine(), command="x").answered == 12
    assert [task["n"] for task in run_json(tmp_path)["benchmarks"][0]["tasks"]] == [6]
    write_report(plan.out)
    for other in ("mine=comparison_fakes:words:n=5", "more=comparison_fakes:words"):
        plan = make_plan(given | {"benchmark": [other], "out": str(tmp_path / "other")})
        with pytest.raises(
            PlanError, match="task mine-words is of the benchmark comparison_fakes:words, which"
        ):
            compare(plan, tasks, FakeEngine(), command="x")
    assert not (tmp_path / "other").exists()


def test_the_place_of_a_local_reader_may_change(run, tmp_path):
    run("Last")
    old, new = run_json(tmp_path), run_json(tmp_path)
    for info, path in ((old, "/here/model"), (new, "/there/model")):
        info["settings"] |= {"path": path, "revision": "local-1234"}
    assert extend(old, new)["settings"]["path"] == "/there/model"


def test_a_local_reader_with_other_weights_is_refused_before_it_is_loaded(tmp_path):
    (tmp_path / "reader").mkdir()
    given = {"model": str(tmp_path / "reader"), "method": ["full"], "out": str(tmp_path / "run")}
    plan = make_plan(given | {"benchmark": ["comparison_fakes:words"]})
    tasks = load_tasks(plan, count_words)
    write_run(plan.out, {"created": "now"} | known_settings(plan, tasks))
    check_folder(plan.out, known_settings(plan, tasks))
    (tmp_path / "reader" / "model.safetensors").write_text("other")
    with pytest.raises(FolderError, match="made with revision 'local-"):
        check_folder(plan.out, known_settings(plan, tasks))


def test_other_data_under_the_same_ids_are_refused(run, tmp_path):
    run("Last")
    path = tmp_path / "run" / "examples" / "words.jsonl"
    path.write_text(path.read_text().replace("What comes last, 3?", "What came first?"))
    with pytest.raises(FolderError, match=r"other data of task words \(example words-3"):
        run("Last")


def test_a_malformed_run_json_is_refused(run, tmp_path):
    run("Last")
    for text in (b"{", b"[]", b"null", b"\xff", b'{"schema": 1}'):
        (tmp_path / "run" / "run.json").write_bytes(text)
        with pytest.raises(FolderError, match="malformed"):
            run("Last")
        assert (tmp_path / "run" / "run.json").read_bytes() == text


def test_a_link_to_what_is_not_there_is_named(tmp_path):
    (tmp_path / "scratch").symlink_to(tmp_path / "unmounted")
    with pytest.raises(
        FolderError, match=r"scratch is a link to .*unmounted, which is not there, expected a folder"
    ):
        check_folder(tmp_path / "scratch" / "run", {})
    (tmp_path / "unmounted").mkdir()
    check_folder(tmp_path / "scratch" / "run", {})
