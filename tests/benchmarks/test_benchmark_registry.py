"""Finding and listing benchmarks: ``python -m pytest tests/benchmarks/test_benchmark_registry.py``."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import benchmarks
from benchmarks.base import CountTokens, TaskSet, digest
from benchmarks.multihop import multihop
from benchmarks.needle import needle
from benchmarks.recall import recall

ROOT = Path(__file__).parents[2]
OWN = {"recall", "needle", "multihop"}  # what the embedded model can read


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution with one benchmark plugin on the path, as pip would."""

    def write(distribution: str, name: str, target: str) -> None:
        folder = tmp_path / f"{distribution}-1.0.dist-info"
        folder.mkdir()
        lines = ("Metadata-Version: 2.1", f"Name: {distribution}", "Version: 1.0")
        (folder / "METADATA").write_text("\n".join([*lines, f"Summary: {distribution} in one line\n"]))
        (folder / "entry_points.txt").write_text(f"[run_compare.benchmarks]\n{name} = {target}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    return write


def test_the_built_in_names_lead_to_their_factories():
    assert [benchmarks.find(name) for name in ("recall", "needle", "multihop")] == [recall, needle, multihop]
    factories = {benchmarks.find(name) for name in benchmarks.BUILT_IN}
    assert len(factories) == len(benchmarks.BUILT_IN)
    assert {name for name, entry in benchmarks.BUILT_IN.items() if entry.suite_english} == OWN


def test_every_option_is_typed_and_nearly_every_one_has_a_default():
    for name in benchmarks.BUILT_IN:
        signature = inspect.signature(benchmarks.find(name), eval_str=True)
        counter, *options = signature.parameters.values()
        assert counter.annotation == CountTokens
        assert signature.return_annotation in (list[TaskSet], Iterator[TaskSet])
        assert name not in OWN or {"seed", "samples"} <= {option.name for option in options}
        for option in options:
            assert option.kind is option.KEYWORD_ONLY
            assert option.default is not option.empty or name == "kamradt"  # whose haystack is the user's
            assert option.annotation is not option.empty


def test_listing_shows_one_line_and_the_origin_and_imports_nothing(install):
    install("haystacks", "straw", "a_module_that_is_not_there:factory")
    rows = benchmarks.describe()
    own = len(benchmarks.BUILT_IN)
    assert [(name, origin) for name, _, origin in rows[:own]] == [
        (name, "built in") for name in benchmarks.BUILT_IN
    ]
    assert rows[own:] == [("straw", "haystacks in one line", "haystacks")]
    assert all(line and "\n" not in line for _, line, _ in rows)


def test_a_plugin_and_a_path_are_found(install):
    install("haystacks", "straw", "benchmarks.recall:recall")
    assert benchmarks.find("straw") is recall
    assert benchmarks.find("benchmarks.multihop:multihop") is multihop
    assert benchmarks.find("benchmarks.base:TaskSet.__init__") is TaskSet.__init__


def test_an_unknown_name_is_an_error_with_the_nearest_match(install):
    install("haystacks", "straw", "benchmarks.recall:recall")
    with pytest.raises(ValueError, match=r"unknown benchmark 'recal': did you mean recall\?"):
        benchmarks.find("recal")
    with pytest.raises(ValueError, match=r"did you mean straw\?"):
        benchmarks.find("straws")
    with pytest.raises(ValueError, match=r"use one of recall, needle, .*, straw, or module\.path:Factory"):
        benchmarks.find("zzz")


def test_two_plugins_of_one_name_are_an_error_that_names_both(install):
    install("haystacks", "straw", "benchmarks.recall:recall")
    install("barns", "straw", "benchmarks.needle:needle")
    with pytest.raises(ValueError, match="'straw' is claimed twice") as error:
        benchmarks.find("straw")
    assert "haystacks" in str(error.value)
    assert "barns" in str(error.value)


def test_a_plugin_with_the_name_of_a_built_in_is_an_error_that_names_both(install):
    install("haystacks", "recall", "benchmarks.needle:needle")
    with pytest.raises(ValueError, match=r"'recall' is claimed twice \(built in and haystacks\)"):
        benchmarks.find("recall")


def test_a_plugin_that_does_not_import_fails_when_it_is_asked_for_with_its_cause(install):
    install("haystacks", "straw", "a_module_that_is_not_there:factory")
    with pytest.raises(ValueError, match=r"'straw' \(haystacks\): cannot import") as error:
        benchmarks.find("straw")
    assert isinstance(error.value.__cause__, ModuleNotFoundError)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["benchmarks.recall:nothing", "no.such.module:recall", "benchmarks.recall:SHIFTS", ":"]
)
def test_a_path_that_leads_nowhere_is_a_one_line_error(name):
    with pytest.raises(ValueError, match="named on the command line") as error:
        benchmarks.find(name)
    assert "\n" not in str(error.value)


def test_a_benchmark_needs_neither_torch_nor_a_tokenizer():
    check = (
        "import sys, benchmarks, benchmarks.metrics; [benchmarks.find(name) for name in benchmarks.BUILT_IN]"
    )
    check += "; assert not {'torch', 'transformers', 'tokenizers', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True)


def test_examples_are_the_same_in_every_process(words):
    script = (
        "import re; from benchmarks import find; from benchmarks.base import digest;"
        "count = lambda text: len(re.findall(r'\\w+|[^\\w\\s]', text));"
        "print(digest(*(repr(e) for name in ('recall', 'needle', 'multihop')"
        " for s in find(name)(count, samples=2) for e in s.examples)))"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout.strip()
        for hash_seed in ("1", "2")
    ]
    here = digest(
        *(repr(e) for make in (recall, needle, multihop) for s in make(words, samples=2) for e in s.examples)
    )
    assert printed == [here, here]
