"""Finding methods by name: built in, plugins, factories; and what goes wrong."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import types

import pytest

from methods import BUILT_IN, GROUP, describe, find

NAMES = {
    "full",
    "truncate",
    "closed_book",
    "random_chunk",
    "oracle_chunk",
    "best_of_chunks",
    "oprm",
    "rag",
}


class Echo:
    def __init__(self, engine, *, times=1):
        self.times = times

    def answer(self, context, question):
        return question * self.times


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """``installed(dist, name, target)``: a distribution with that entry point, known by its metadata."""
    monkeypatch.setitem(sys.modules, "echo_method", types.SimpleNamespace(Echo=Echo, number=3))
    monkeypatch.syspath_prepend(tmp_path)

    def install(dist, name, target):
        folder = tmp_path / f"{dist.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\nSummary: says it again\n"
        )
        (folder / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {target}\n")
        importlib.invalidate_caches()

    return install


def test_the_methods_are_found_by_the_names_that_the_documentation_uses():
    assert set(BUILT_IN) >= NAMES
    for name in NAMES:
        factory = find(name)
        engine, *options = inspect.signature(factory).parameters.values()
        assert engine.name == "engine"
        assert all(
            option.kind is option.KEYWORD_ONLY and option.default is not option.empty for option in options
        )


def test_every_built_in_has_one_line():
    rows = describe()
    assert [name for name, _, _ in rows][: len(BUILT_IN)] == list(BUILT_IN)
    assert all(line and "\n" not in line for _, line, _ in rows)


def test_listing_and_finding_load_no_torch():
    code = (
        "import sys, methods; methods.describe(); light = 'methods.base' not in sys.modules;"
        "[methods.find(name) for name in methods.BUILT_IN];"
        "sys.exit(0 if light and not {'torch', 'transformers'} & set(sys.modules) else 1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_plugin_is_listed_by_its_metadata_and_found_without_being_imported_before(installed):
    installed("echo-kit", "echo", "echo_method:Echo")
    assert ("echo", "says it again", "echo-kit") in describe()
    assert find("echo") is Echo


def test_a_plugin_that_cannot_be_imported_is_listed_and_fails_when_asked_for_with_its_cause(installed):
    installed("broken-kit", "broken", "no_such_module_of_ours:Thing")
    assert "broken" in {name for name, _, _ in describe()}
    with pytest.raises(ValueError, match="broken-kit") as refusal:
        find("broken")
    assert isinstance(refusal.value.__cause__, ModuleNotFoundError)


def test_two_plugins_of_one_name_are_refused_by_naming_both(installed):
    installed("echo-kit", "echo", "echo_method:Echo")
    installed("other-kit", "echo", "echo_method:Echo")
    with pytest.raises(ValueError, match=r"echo-kit and other-kit|other-kit and echo-kit"):
        find("echo")


def test_a_plugin_with_a_built_in_name_is_refused_by_naming_both(installed):
    installed("echo-kit", "full", "echo_method:Echo")
    with pytest.raises(ValueError, match="built in and echo-kit"):
        find("full")


def test_a_factory_is_named_by_its_module_without_being_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "echo_method", types.SimpleNamespace(Echo=Echo, number=3))
    assert find("echo_method:Echo") is Echo
    for name, part in (("echo_method:Ecco", "Ecco"), ("echo_method:number", "cannot be called")):
        with pytest.raises(ValueError, match=part):
            find(name)


@pytest.mark.parametrize(
    ("name", "part"), [("orpm", "did you mean oprm"), ("zzz", "use one of full"), ("", "use one")]
)
def test_an_unknown_name_is_refused_with_the_nearest_or_all(name, part):
    with pytest.raises(ValueError, match=part):
        find(name)
