"""Plugins out of tree: the example package installed for real, the README's ten lines, and plugins that misbehave."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import run_compare
from comparison import options
from comparison.naming import parse
from comparison.plan import REGISTRIES, resolve
from methods.__main__ import main as check_method
from methods.__main__ import open_trial
from retrievers import build

ROOT = Path(__file__).parents[1]
FAKES = ROOT / "tests" / "comparison"
NAMES = {"method": "vote", "retriever": "ngrams", "benchmark": "own_questions"}
ROWS = [
    {
        "context": "Alden works in banking. " * 40 + f"Rupert works in {field}.",
        "question": "Which field employs Rupert?",
    }
    | {"answers": [field]}
    for field in ("music", "zoology", "shipping")
]


def run_python(
    *arguments: object, folder: Path | str = "", check: bool = True
) -> subprocess.CompletedProcess:
    """A python process with `folder` on its path."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(folder)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=check,
    )


def records_of(folder: Path) -> list[dict]:
    paths = sorted(folder.glob("records/*/*/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


# --- the example package


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The example package as pip installs it, without an index."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(ROOT / "examples" / "plugin", folder / "source")
    flags = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check")
    run_python("-m", "pip", "install", *flags, "--target", folder / "site", source)
    return folder


def test_the_example_is_listed_with_its_origin(installed):
    lines = run_python("run_compare.py", "--list", folder=installed / "site").stdout.splitlines()
    for name in NAMES.values():
        line = next(line for line in lines if line.split()[:1] == [name])
        assert "A plugin for run-compare" in line
        assert line.endswith("[run-compare-example]")


def test_the_example_s_method_retriever_and_benchmark_are_compared(installed, tmp_path):
    (tmp_path / "mine.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [*ROWS, {"context": "no more"}])
    )
    spec = ["--method", "vote:chunk_size=60", "--method", "rag:retriever=ngrams(n=4),chunk_size=60"]
    spec += [
        "--benchmark",
        "own_questions:file=mine.jsonl",
        "--data-dir",
        tmp_path,
        "--out",
        tmp_path / "run",
    ]
    done = run_python("run_compare.py", *spec, "--limit", "2", folder=installed / "site")
    assert "question is missing, empty or no str" in done.stdout
    found = records_of(tmp_path / "run")
    assert {record["method"] for record in found} == {
        *("full", "vote:chunk_size=60", "rag:chunk_size=60,retriever=ngrams(n=4)")
    }
    assert [record["error"] for record in found] == [None] * 6
    assert all(record["cost"]["calls"] for record in found)
    # Five chunks of sixty tokens, of which one has the answer: retrieval finds it, and nothing votes against it.
    assert {record["score"] for record in found if record["method"].startswith("rag")} == {1.0}


def test_the_example_s_method_keeps_to_the_contract(installed, monkeypatch, capsys):
    def elsewhere(spec: str, model: str, trusted: bool) -> list[str]:
        return open_trial(resolve("method", spec), model, trusted).answers()

    monkeypatch.syspath_prepend(installed / "site")
    monkeypatch.setattr("methods.__main__.answers_elsewhere", elsewhere)  # another reader, in this process
    assert check_method(["check", "vote"]) == 0
    skipped = [line.split()[0] for line in capsys.readouterr().out.splitlines() if " skipped " in line]
    assert skipped == ["details", "spans"]


def test_the_example_s_own_tests_pass(installed):
    done = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", installed / "source", check=False)
    assert done.returncode == 0, done.stdout


# --- the README's ten lines


def test_the_method_of_the_readme_runs_by_the_command_of_the_readme(tmp_path, monkeypatch, capsys):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "my_methods.py" in block
    )
    assert len([line for line in code.splitlines() if line.strip()]) <= 11
    command = re.search(r"`python run_compare\.py (--method my_methods:\S+ --benchmark recall)`", readme)[1]
    (tmp_path / "my_methods.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_compare.main([*command.split(), "--limit", "2"]) == 0
    found = records_of(tmp_path / "runs" / "compare")
    assert {record["method"] for record in found} == {"full", "my_methods:FirstSentences:n=40"}
    assert [record["error"] for record in found] == [None] * len(found)
    assert "my_methods:FirstSentences:n=40" in capsys.readouterr().out


# --- plugins that misbehave


@pytest.fixture
def install(tmp_path, monkeypatch):
    """``install(kind, name, target, code)``: a distribution ``NAME-kit`` with one entry point and one module, as
    pip leaves them; the module's own file says where it was imported."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(kind: str, name: str, target: str, code: str = "", *, kit: str = "") -> Path:
        kit = kit or f"{name}-kit"
        module = target.partition(":")[0]
        info = tmp_path / f"{kit.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {kit}\nVersion: 1.0\nSummary: about {name}\n"
        )
        (info / "entry_points.txt").write_text(f"[run_compare.{kind}s]\n{name} = {target}\n")
        if code:
            head = f"import pathlib\npathlib.Path({str(tmp_path / 'imported')!r}).touch()\n"
            (tmp_path / f"{module}.py").write_text(head + code)
            monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()
        return tmp_path

    return write


@pytest.mark.parametrize("kind", REGISTRIES)
def test_listing_and_help_import_no_plugin(kind, install):
    folder = install(kind, "slow", "slow_module:Slow", "import time\ntime.sleep(60)\n")
    assert "slow" in run_python("run_compare.py", "--list", folder=folder).stdout
    run_python("run_compare.py", "--help", folder=folder)
    assert not (folder / "imported").exists()


FAULTS = {
    "1 / 0": ZeroDivisionError,
    "raise ValueError('no such thing')": ValueError,
    "raise OSError('no')": OSError,
    "raise SystemExit(0)": SystemExit,
    "[].nothing": AttributeError,
    "import no_such_module_at_all": ModuleNotFoundError,
    "def": SyntaxError,
}


@pytest.mark.parametrize(("fault", "error"), FAULTS.items())
@pytest.mark.parametrize("kind", REGISTRIES)
def test_a_plugin_that_breaks_while_it_is_imported_is_listed_and_fails_with_its_own_error(
    kind, fault, error, install
):
    install(kind, "broken", "broken_module:Thing", f"{fault}\n")
    assert ("broken", "about broken", "broken-kit") in REGISTRIES[kind].describe()
    with pytest.raises(ImportError, match=f"{kind} 'broken' failed while it was imported") as failure:
        resolve(kind, "broken")
    assert type(failure.value.__cause__) is error


def test_the_traceback_of_a_broken_plugin_is_printed_for_its_author(install):
    folder = install("method", "broken", "broken_module:Thing", "raise ValueError('no such thing')\n")
    done = run_python("run_compare.py", "--dry-run", "--method", "broken", folder=folder, check=False)
    assert done.returncode == 1
    assert f'{folder / "broken_module.py"}", line 3' in done.stderr
    assert "ValueError: no such thing" in done.stderr


@pytest.mark.parametrize("kind", REGISTRIES)
@pytest.mark.parametrize(
    ("target", "code", "part"),
    [
        ("odd_module:Nothing", "number = 3\n", "no attribute 'Nothing'"),
        ("no_such_module_at_all:Thing", "", "No module named"),
        ("odd_module:number", "number = 3\n", "cannot be called"),
        ("odd_module:make", "def make():\n    pass\n", "cannot be called with a reader"),
        ("odd_module:make", "def make(*, n: int = 3):\n    pass\n", "cannot be called with a reader"),
        ("odd_module:make", "from builtins import min as make\n", "cannot be called with a reader"),
    ],
)
def test_an_entry_point_that_leads_to_no_factory_is_an_error_of_one_line(kind, target, code, part, install):
    install(kind, "odd", target, code)
    with pytest.raises(ValueError, match=part) as refusal:
        resolve(kind, "odd")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "taken"), [("method", "full"), ("retriever", "bm25"), ("benchmark", "recall")]
)
def test_a_plugin_with_a_name_that_is_taken_is_refused_by_naming_both(kind, taken, install):
    install(kind, taken, "some_module:Thing", "def Thing(engine):\n    pass\n", kit="first-kit")
    with pytest.raises(ValueError, match="claimed twice") as refusal:
        resolve(kind, taken)
    assert "built in and first-kit" in str(refusal.value)
    install(kind, "mine", "some_module:Thing", kit="second-kit")
    install(kind, "mine", "some_module:Thing", kit="third-kit")
    with pytest.raises(ValueError, match="claimed twice") as refusal:
        resolve(kind, "mine")
    assert {"second-kit", "third-kit"} <= set(re.split(r"[() ]", str(refusal.value)))


@pytest.mark.parametrize("kind", REGISTRIES)
def test_a_plugin_s_options_are_typed_by_its_signature(kind, install):
    signature = "first, *, size: int = 1, rate: 'float | None' = None, names: tuple[str, ...] = (), fast=True"
    install(kind, "typed", "typed_module:make", f"def make({signature}):\n    return locals()\n")

    def spec(given: str) -> str:
        return f"typed({given})" if kind == "retriever" else f"typed:{given}"

    found = resolve(kind, spec("size=2k,rate=0.5,names=a;b,fast=false"))
    assert found.options == {"size": 2000, "rate": 0.5, "names": ("a", "b"), "fast": False}
    if kind == "retriever":
        assert build(parse(found.spec).nested(), None) == {"first": None, **found.options}
    for wrong, part in [
        ("size=big", "a whole number"),
        ("fast=1", "true or false"),
        ("sise=1", "did you mean size"),
    ]:
        with pytest.raises(ValueError, match=part):
            resolve(kind, spec(wrong))


def many(
    engine,
    *,
    size: int | None = None,
    rate: float = 1,
    fast: bool = True,
    name: str | None = "x",
    order: Literal["rank", "document"] = "rank",
    lengths: tuple[int, ...] = (),
    names: tuple[str, ...] = ("a",),
    pair: tuple[int, float] = (1, 0.5),
    listed: list[int] = [3, 4],  # noqa: B006
    row: Sequence[float] = (),
    noted: Annotated[int, "a note"] = 3,
    folder: Path = Path("data"),
    either: bool | int | str = 1,
    bare=("a", "b"),
    number=3,
    free=None,
    **others,
):
    """Options of every kind that a retriever's SPEC can give, which are what it makes."""
    made = {name: value for name, value in locals().items() if name not in ("engine", "others")}
    return made | others


def sample_texts() -> st.SearchStrategy[str]:
    words = st.text(
        st.characters(exclude_characters=",;()=\"'", exclude_categories=("C", "Z")), min_size=1, max_size=6
    )
    numbers = st.integers(-(10**6), 10**6).map(str) | st.floats(allow_nan=False, allow_infinity=False).map(
        str
    )
    fixed = st.sampled_from(["none", "true", "false", "rank", "document", "1k", "0"])
    return st.lists(numbers | fixed | words, min_size=1, max_size=3).map(";".join)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.sampled_from([*options.parameters(many)[0], "other"]), sample_texts())
def test_a_retriever_is_built_with_the_options_that_the_plan_recorded(option, text):
    try:
        found = resolve("retriever", f"{__name__}:many({option}={text})")
    except ValueError:
        return
    given = build(parse(found.spec).nested(), None)[option]
    assert (tuple(given) if isinstance(given, list) else given) == found.options[option]
    assert options.render(given) == found.settings[option]


@pytest.fixture
def scripted(monkeypatch, tmp_path, capsys):
    """The command line over a scripted reader; returns status, records and stderr."""
    monkeypatch.syspath_prepend(FAKES)
    monkeypatch.chdir(tmp_path)
    import comparison_fakes

    comparison_fakes.install(monkeypatch)

    def go(*flags: str) -> tuple[int, Sequence[dict], str]:
        fixed = [
            "--model",
            "fake/reader",
            "--benchmark",
            "comparison_fakes:words",
            "--baseline",
            "comparison_fakes:Last",
        ]
        status = run_compare.main([*fixed, "--out", "run", *flags])
        return status, records_of(tmp_path / "run"), capsys.readouterr().err

    return go


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("raise RuntimeError('no\\nanswer')", "RuntimeError: no answer (faulty_module.py:6)"),
        ("return 42", "TypeError: the method returned int 42, expected Answer or str"),
        ("return None", "TypeError: the method returned NoneType None, expected Answer or str"),
        ("return [context]", "TypeError: the method returned list"),
    ],
)
def test_a_plugin_that_raises_or_returns_the_wrong_type_makes_error_records_and_stops_the_run_at_five(
    body, error, install, scripted
):
    code = "class Faulty:\n    def __init__(self, engine): ...\n"
    code += f"    def answer(self, context, question):\n        {body}\n"
    install("method", "faulty", "faulty_module:Faulty", code)
    status, found, said = scripted("--method", "faulty")
    mine = [record for record in found if record["method"] == "faulty"]
    assert status == 2
    assert len(mine) == 5
    assert all(record["error"].startswith(error.split(" (")[0]) and record["score"] == 0 for record in mine)
    assert [record["error"] for record in found if record["method"] != "faulty"] == [None] * (len(found) - 5)
    assert len(said.splitlines()) == 1
    assert "5 answers in a row failed" in said


def test_every_registry_has_the_group_that_the_documentation_names():
    groups = {kind: registry.group for kind, registry in REGISTRIES.items()}
    assert groups == {kind: f"run_compare.{kind}s" for kind in ("method", "benchmark", "retriever")}
