"""Finding methods by name: built in and factories; and what goes wrong."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types

import pytest

from methods import BUILT_IN, describe, find

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


def test_a_factory_is_named_by_its_module_without_being_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "echo_method", types.SimpleNamespace(Echo=dict, number=3))
    assert find("echo_method:Echo") is dict
    for name, part in (("echo_method:Ecco", "Ecco"), ("echo_method:number", "cannot be called")):
        with pytest.raises(ValueError, match=part):
            find(name)


@pytest.mark.parametrize(
    ("name", "part"), [("orpm", "did you mean oprm"), ("zzz", "use one of full"), ("", "use one")]
)
def test_an_unknown_name_is_refused_with_the_nearest_or_all(name, part):
    with pytest.raises(ValueError, match=part):
        find(name)
