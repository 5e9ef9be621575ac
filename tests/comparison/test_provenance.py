"""Provenance: a version changes with the code behind a method, a session with what it ran on."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import numpy
import pytest

from comparison import provenance
from comparison.plan import resolve
from comparison.provenance import imported_modules, method_version, reader_revision
from comparison.records import read_records
from models.revision import folder_revision
from models.specs import ReaderSpec
from reports import write_report

FILES = {
    "methods/base.py": "",
    "methods/one.py": "from methods.shared import part\nfrom methods import pack, find\nimport benchmarks.recall\n",
    "methods/shared.py": "from retrievers.chunking import split\n",
    "methods/pack/__init__.py": "def f():\n    from models.special import g\n",
    "methods/ranking.py": "from retrievers import build\n",
    "methods/other.py": "",
    "methods/__init__.py": "",
    "models/engine.py": "from models.cache import row\n",
    "models/cache.py": "",
    "models/special.py": "",
    "models/table.py": "",
    "models/tiny/train.py": "",
    "retrievers/__init__.py": "",
    "retrievers/chunking.py": "",
    "retrievers/bm25.py": "",
    "benchmarks/base.py": "",
    "benchmarks/recall.py": "",
}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setattr(provenance, "_source_file", lambda *_: tmp_path / "methods" / "one.py")
    monkeypatch.setattr(provenance, "_folder_of", lambda module: tmp_path)
    return tmp_path


def changes_the_version(checkout, name):
    before = method_version(pytest.approx)
    path = checkout / name
    path.write_text(path.read_text() + "# changed\n")
    return method_version(pytest.approx) != before


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("methods/one.py", True),
        ("methods/shared.py", True),
        ("methods/base.py", True),
        ("methods/pack/__init__.py", True),
        ("models/engine.py", True),
        ("models/cache.py", True),
        ("models/special.py", True),
        ("retrievers/chunking.py", True),
        ("benchmarks/base.py", True),
        ("methods/other.py", False),
        ("methods/__init__.py", False),
        ("models/table.py", False),
        ("retrievers/bm25.py", False),
        ("models/tiny/train.py", False),
        ("benchmarks/recall.py", False),
    ],
)
def test_a_version_changes_with_the_files_behind_the_method(checkout, name, counts):
    assert changes_the_version(checkout, name) == counts


def test_a_method_that_names_a_ranker_depends_on_every_ranker(checkout, monkeypatch):
    monkeypatch.setattr(provenance, "_source_file", lambda *_: checkout / "methods" / "ranking.py")
    assert changes_the_version(checkout, "retrievers/bm25.py")


def test_a_method_from_a_distribution_has_that_in_its_version(monkeypatch):
    before = method_version(pytest.approx)
    provenance._distribution.cache_clear()
    monkeypatch.setattr(provenance.metadata, "version", lambda name: "0.0.0-other")
    assert method_version(pytest.approx) != before
    provenance._distribution.cache_clear()


def test_weights_beside_the_readers_are_in_the_version_by_commit_or_content(tmp_path):
    (tmp_path / "1_Pooling").mkdir()
    pooling = tmp_path / "1_Pooling" / "config.json"
    pooling.write_text('{"mode": "cls"}')
    folder = {str(tmp_path): ""}
    versions = [
        method_version(pytest.approx, weights)
        for weights in ({}, {"a/b": "1"}, {"a/b": "2"}, {"a/b": ""}, {"c/d": ""}, folder)
    ]
    assert len(set(versions)) == 6
    assert method_version(pytest.approx, folder) == versions[-1]
    pooling.write_text('{"mode": "mean"}')
    assert method_version(pytest.approx, folder) != versions[-1]


def test_weights_with_a_revision_are_no_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = method_version(pytest.approx, {"calibration": "1"})
    (tmp_path / "calibration").mkdir()
    assert method_version(pytest.approx, {"calibration": "1"}) == before


def test_built_in_methods_have_versions_of_their_own():
    versions = [method_version(resolve("method", name).factory) for name in ("full", "rag", "closed_book")]
    assert len(set(versions)) == 3
    assert all(len(version) == 16 for version in versions)


def test_a_built_in_method_is_told_by_its_files_and_not_by_the_suites_release(monkeypatch):
    full = resolve("method", "full").factory
    before = method_version(full)
    monkeypatch.setattr(provenance, "_distribution", lambda module: "run-compare==9.0")
    assert method_version(full) == before


def test_a_version_is_the_same_in_every_process():
    code = (
        "from comparison import naming, options, plan, provenance\n"
        "provenance._distribution = str\n"
        "print(provenance.method_version(naming.parse, {}, (options.bind, plan.resolve)))"
    )
    versions = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=provenance.ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in "135"
    ]
    assert len(versions[0]) == 16
    assert set(versions) == {versions[0]}


def test_every_import_of_a_file_is_found_wherever_it_stands():
    source = "import a.b\nfrom c import d\ndef f():\n    from e.g import h as i\n    import j as k\n"
    assert imported_modules(source) == {"a.b", "c", "c.d", "e.g", "e.g.h", "j"}
    assert imported_modules("from . import a\nfrom ..b import c\n") == {".", ".a", "..b", "..b.c"}


def test_a_local_reader_is_what_was_loaded_and_not_what_was_saved_since(tmp_path):
    reader = ReaderSpec("mine", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    loaded = SimpleNamespace(revision=folder_revision(tmp_path))
    (tmp_path / "config.json").write_text("{ }")
    assert reader_revision(reader, loaded) == loaded.revision
    for unknown in (None, "main"):
        known = reader_revision(reader, SimpleNamespace(revision=unknown))
        assert known == folder_revision(tmp_path) != loaded.revision


def test_a_hub_reader_is_the_commit_that_was_loaded_or_else_what_was_asked_for():
    asked = ReaderSpec("mine", "some/reader", revision="v1")
    found = [
        reader_revision(reader, SimpleNamespace(revision=loaded))
        for reader, loaded in ((asked, "c0ffee"), (asked, None), (ReaderSpec("mine", "some/reader"), None))
    ]
    assert found == ["c0ffee", "v1", "main"]


# Sessions


def info_of(tmp_path):
    return json.loads((tmp_path / "run" / "run.json").read_text())


def test_every_record_leads_to_the_commit_kernel_versions_and_device_behind_it(run, tmp_path):
    run("Last", limit=2)
    info = info_of(tmp_path)
    [session] = info["sessions"].values()
    assert session["versions"]["python"] == platform.python_version()
    assert session["versions"]["numpy"] == numpy.__version__
    assert (session["machine"]["kernel"], session["machine"]["device"]) == ("torch", "cpu")
    assert session["created"] == info["created"]
    head = subprocess.run(["git", "-C", provenance.ROOT, "rev-parse", "HEAD"], capture_output=True, text=True)
    assert session["commit"] == (head.stdout.strip() or None)
    for record in read_records(tmp_path / "run"):
        assert info["sessions"][record.session] == session
        assert record.commit == session["commit"]


def test_a_folder_extended_after_an_update_keeps_both_sessions_and_says_so(run, tmp_path, monkeypatch):
    run("Last", limit=2)
    [before] = info_of(tmp_path)["sessions"]
    page = write_report(tmp_path / "run").read_text()
    assert "sessions differ" not in page
    monkeypatch.setattr(provenance, "versions", lambda: {"python": "3.99"})
    run("Last", limit=4)
    info = info_of(tmp_path)
    assert list(info["versions"].values()) == ["3.99"]
    assert info["sessions"][info["session"]]["versions"] == {"python": "3.99"}
    assert set(info["sessions"]) == {before, info["session"]}
    assert Counter(record.session for record in read_records(tmp_path / "run")) == {
        before: 2,
        info["session"]: 2,
    }
    assert "2 sessions differ in versions" in write_report(tmp_path / "run").read_text()
    monkeypatch.undo()
    run("Last", limit=6)
    assert set(info_of(tmp_path)["sessions"]) == {before, info["session"]}  # the first one again


def test_a_report_names_what_gave_its_answers_and_not_what_ran_since(run, tmp_path, monkeypatch):
    def said():
        page = write_report(tmp_path / "run").read_text()
        kept = json.loads((tmp_path / "run" / "report.json").read_text())["runs"][0]["commit"]
        return kept, re.findall(r"commit ([^·]+) ·", page)[0], re.findall("Not all .* differ in [^(]*", page)

    def run_at(commit, *methods, **settings):
        monkeypatch.setattr(provenance, "commit", lambda: (commit * 40, False))
        run(*methods, **settings)

    run_at("a", "Last", limit=2)
    alone = "a" * 40, "a" * 12, []
    assert said() == alone
    run_at("b", "Last", limit=2)  # finds everything there
    assert said() == alone
    run_at("c", "Last", limit=4)
    assert said() == (
        "c" * 40,
        f"{'a' * 12} and {'c' * 12}",
        ["Not all answers were given alike: 2 sessions differ in commit "],
    )
    monkeypatch.setattr(provenance, "method_version", lambda *behind: "new")
    run_at("d", "Last", limit=4)  # gives all of them again
    assert said() == ("d" * 40, "d" * 12, [])


def test_a_report_names_every_command_that_gave_some_of_its_answers(run, tmp_path):
    def commands():
        return re.findall("- Command: `(.*)`", write_report(tmp_path / "run").read_text())

    run("Last", limit=2, command="one")
    run("Last", limit=4, command="two")
    run("Last", limit=4, command="three")  # which gave none
    assert commands() == ["one", "two"]
    path = tmp_path / "run" / "run.json"
    info = json.loads(path.read_text())
    for number, session in enumerate(info["sessions"].values()):
        session["created"] = f"2026-01-01T00:00:0{9 - number}+00:00"
    path.write_text(json.dumps(info))
    assert commands() == ["two", "one"]  # by their time: older folders have them in another order
    for session in info["sessions"].values():
        del session["command"]
    path.write_text(json.dumps(info))
    assert commands() == ["three"]  # an old folder knows the last one alone


def test_a_folder_that_knows_no_sessions_is_extended(run, tmp_path):
    run("Last", limit=2)
    path = tmp_path / "run" / "run.json"
    info = info_of(tmp_path)
    del info["session"], info["sessions"]
    path.write_text(json.dumps(info))
    run("Last", limit=4)
    assert len(info_of(tmp_path)["sessions"]) == 1


def test_a_checkout_without_git_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.commit() == (None, False)


@pytest.fixture
def repository(tmp_path):
    """Somebody else's, with a commit."""
    for command in ("init -q", "-c user.name=a -c user.email=b commit -q --allow-empty -m one"):
        subprocess.run(["git", "-C", tmp_path, *command.split()], check=True)
    return tmp_path


def test_the_repository_around_an_environment_is_not_the_suites(monkeypatch, repository):
    (repository / "run_compare.py").write_text("")
    monkeypatch.setattr(provenance, "ROOT", repository)
    assert provenance.commit() == (None, False)
    subprocess.run(["git", "-C", repository, "add", "run_compare.py"], check=True)
    head, changed = provenance.commit()
    assert (len(head), changed) == (40, True)


def test_a_checkout_is_changed_by_an_edit_of_a_tracked_file_alone(monkeypatch, repository):
    tracked = repository / "run_compare.py"
    tracked.write_text("")
    subprocess.run(["git", "-C", repository, "add", "."], check=True)
    subprocess.run(
        ["git", "-C", repository, *"-c user.name=a -c user.email=b commit -q -m two".split()], check=True
    )
    monkeypatch.setattr(provenance, "ROOT", repository)
    (repository / "runs.txt").write_text("")
    assert provenance.commit()[1] is False
    tracked.write_text("# changed")
    assert provenance.commit()[1] is True


def test_a_hooks_repository_is_not_taken_for_the_suites(monkeypatch, repository):
    before = provenance.commit()
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    assert provenance.commit() == before


@pytest.mark.parametrize(
    ("cpuinfo", "said"),
    [
        ("processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9R14\nflags\t: fpu\n\nmodel name\t: AMD EPYC 9R14\n",
         "AMD EPYC 9R14 (x86_64)"),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", "x86_64"),
        ("model name\t:\nflags\t: fpu\n", "x86_64"),
        (None, "x86_64"),
    ],
)  # fmt: skip
def test_the_processor_is_called_what_it_calls_itself(cpuinfo, said, tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "CPUS", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert provenance.machine()["processor"] == said


def test_a_session_names_the_gpu_behind_its_device_and_none_where_there_is_none(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "get_device_name", {"cuda:1": "NVIDIA H100 80GB HBM3"}.__getitem__)
    gpu = provenance.gpu_name("cuda:1")
    machine = provenance.session("mamba_ssm", "cuda:1", gpu)["machine"]
    assert (machine["device"], machine["gpu"]) == ("cuda:1", "NVIDIA H100 80GB HBM3")
    assert provenance.gpu_name("cpu") == ""
    assert "gpu" not in provenance.session("numba", "cpu")["machine"]


def test_a_run_on_two_gpus_names_both_and_one_on_none_says_nothing_of_it(run, tmp_path, monkeypatch):
    def signed():
        return set(re.findall(r"· (cpu[^·`]*)`", write_report(tmp_path / "run").read_text()))

    run("Last", limit=2)
    assert signed() == {"cpu torch float32"}
    for limit, name in ((4, "H100"), (6, "H200")):
        monkeypatch.setattr(provenance, "gpu_name", lambda device, name=name: name)
        run("Last", limit=limit)
    assert signed() == {"cpu (H100 and H200) torch float32"}
