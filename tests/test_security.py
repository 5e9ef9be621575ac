"""Nothing of a data set or of a reader's output is evaluated, used as a path, or steers the terminal; see also
`reports/test_hostile_text.py`."""

from __future__ import annotations

import ast
import re
import socket
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import run_compare
from benchmarks.base import Example, Outline, Task, TaskSet
from benchmarks.sources import zip_members
from comparison.imports import pair
from comparison.records import record_path, slug, task_file
from models.specs import ReaderError, ReaderSpec, reader_spec

ROOT = Path(__file__).parents[1]
ROOMS = ("benchmarks", "comparison", "methods", "models", "reports", "retrievers")
STEADY = settings(derandomize=True, deadline=None, max_examples=300)
PIECES = (
    "../",
    "..",
    "/",
    "/etc/passwd",
    "C:\\",
    "\\",
    "NUL",
    "\x00",
    "\n",
    "\x1b[2J",
    "\u202e",
    "\ud800",
    "é",
    " ",
    "-",
    ".",
)
HOSTILE = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=6).map("".join)


def spooky(count_tokens):
    """A benchmark whose buckets and reasons hold what steers a terminal."""
    task = Task("spooky", "", "{question}", "value", 8)
    made = Example("id\x1b[2J", "Alden works in banking.", "Who?", ("Alden",), 5, "bucket\x1b]0;x\x07\u202e")
    return [TaskSet(task, [made], left_out=["rows.jsonl:1: is \x1b[31m red"])]


def hollow(count_tokens):
    made = Example("id\x1b[2J", " ", "Who?", ("Alden",), 5, "b")
    return [TaskSet(Task("hollow", "", "{question}", "value", 8), [made])]


def named(count_tokens):
    made = Example("1", "Alden works in banking.", "Who?", ("Alden",), 5, "b")
    return [TaskSet(Task("spooky\x1b[2J", "", "{question}", "value", 8), [made])]


@pytest.mark.parametrize(("benchmark", "status"), [("spooky", 0), ("hollow", 2), ("named", 2)])
def test_nothing_in_the_data_steers_the_terminal_of_a_dry_run(benchmark, status, monkeypatch, capsys):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.syspath_prepend(Path(__file__).parent / "comparison")
    import comparison_fakes

    comparison_fakes.install(monkeypatch)
    flags = ["--dry-run", "--model", "fake/reader", "--method", "full"]
    assert run_compare.main([*flags, "--benchmark", f"{Path(__file__).stem}:{benchmark}"]) == status
    said = capsys.readouterr()
    assert "spooky" in said.out + said.err or "hollow" in said.err
    assert (said.out + said.err).replace("\n", "").isprintable()


# --- paths


@STEADY
@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_name_leads_out_of_the_run_folder_or_to_another_s_file(model, method, task):
    path = record_path(Path("run"), model, method, task, "serial")
    assert path.parts[:2] == ("run", "records")
    assert len(path.parts) == 5
    for part in path.parts[2:]:
        assert re.fullmatch(r"[A-Za-z0-9_.-]{1,130}", part)
        assert not part.startswith(".")
    assert slug(model) != slug(model + "x")
    assert task_file(task) != task_file(task + "x")


@pytest.mark.parametrize("name", ["../secret", "/etc/secret", "..", "a/../../secret", "a\x00b"])
def test_a_task_s_name_leads_to_no_file_beside_the_imported_ones(name, tmp_path):
    folder = tmp_path / "predictions"
    folder.mkdir()
    for path in (tmp_path / "secret.jsonl", tmp_path / ".jsonl"):
        path.write_text('{"pred": "x", "_id": "1"}\n')
    found = pair("theirs", folder, Task(name, "", "", "value", 8), [Outline("1", "b", ("x",))])
    assert found.how == "no file for this task"


def test_a_zip_is_read_in_place_and_its_names_lead_nowhere(tmp_path, monkeypatch):
    archive, outside = tmp_path / "inner" / "data.zip", tmp_path / "outside.jsonl"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("../outside.jsonl", "/abs.jsonl", "data/../../up.jsonl"):
            file.writestr(name, '{"a": 1}\n')
    monkeypatch.chdir(archive.parent)
    members = zip_members(archive)
    for member in members.values():
        with member.open() as lines:
            assert lines.read() == b'{"a": 1}\n'
    assert set(members) == {"outside.jsonl", "abs.jsonl", "up.jsonl"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["data.zip", "inner"]
    assert not outside.exists()


# --- code, pickles, the network


FORBIDDEN = {"eval", "exec", "compile", "__import__"}
MODULES = {
    "pickle",
    "cloudpickle",
    "marshal",
    "shelve",
    "dill",
    "joblib",
    "yaml",
    "requests",
    "httpx",
    "urllib3",
}
CALLS = {
    "os.system",
    "os.popen",
    "torch.load",
    "numpy.load",
    "np.load",
    "extractall",
    "extract",
    "loads_pickle",
}
JUSTIFIED = {
    ("comparison/ray_workers.py", "cloudpickle"): "the driver's own set-up on its way to its own workers",
    ("models/tiny/learning.py", "torch.load"): "a checkpoint of one's own training, weights only",
}
"""What may stay, and why. Everything else that could run foreign code is a failure."""


def suspicious(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Calls and imports that could run code which is not ours."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            yield from ((part, node) for name in names for part in name.split(".") if part in MODULES)
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in FORBIDDEN or name in CALLS or name.rpartition(".")[2] in ("extractall", "extract"):
            yield name, node
        for keyword in node.keywords:
            fixed = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
            if keyword.arg in ("shell", "trust_remote_code", "allow_pickle") and fixed:
                yield f"{keyword.arg}=True", node


def sources() -> list[Path]:
    return [*(path for room in ROOMS for path in (ROOT / room).rglob("*.py")), ROOT / "run_compare.py"]


def test_nothing_in_the_source_runs_foreign_code_but_what_is_listed_with_its_reason():
    found = {(str(path.relative_to(ROOT)), name) for path in sources() for name, _ in suspicious(path)}
    assert found <= set(JUSTIFIED)


def test_weights_of_a_pickle_are_never_loaded_as_objects():
    calls = [node for path in sources() for name, node in suspicious(path) if name == "torch.load"]
    for node in calls:
        assert isinstance(node, ast.Call)
        assert "weights_only=True" in [ast.unparse(keyword) for keyword in node.keywords]


def test_the_walk_sees_what_it_forbids(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text(
        "import pickle\nfrom ray import cloudpickle\neval('1')\nos.system('x')\nrun('x', shell=True)\n"
        "load(x, trust_remote_code=True)\nload(x, trust_remote_code=flag)\narchive.extractall()\ntorch.load(p)\n"
    )
    seen = "pickle cloudpickle eval os.system shell=True trust_remote_code=True archive.extractall torch.load"
    assert sorted(name for name, _ in suspicious(path)) == sorted(seen.split())


def test_a_reader_with_code_of_its_own_is_refused_without_the_flag(monkeypatch):
    from models.engine import Engine

    spec: ReaderSpec = replace(reader_spec("v6-finch-7b"), path="nowhere/at-all")
    monkeypatch.setattr("models.loading.reader_spec", lambda name: spec)
    with pytest.raises(ReaderError, match="--trust-remote-code"):
        Engine.load("v6-finch-7b", device="cpu")


def test_a_comparison_on_the_embedded_reader_asks_nothing_of_the_network(monkeypatch, tmp_path, capsys):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    flags = ["--method", "closed_book", "--benchmark", "recall:samples=2,facts=10", "--limit", "1"]
    assert run_compare.main(["--list"]) == 0
    assert run_compare.main([*flags, "--out", str(tmp_path / "run")]) == 0
    assert "report:" in capsys.readouterr().out
