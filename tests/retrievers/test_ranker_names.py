"""Finding rankers by name, and reading their SPECs."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import types

import pytest

import retrievers
from retrievers import BUILT_IN, build, describe, find
from retrievers.bm25 import BM25

EntryPoint = importlib.metadata.EntryPoint


class Sample:
    def __init__(
        self, engine, *, m=10, weight=0.5, strict=True, inner="bm25", window: int | None = 64, names=()
    ):
        self.options = (m, weight, strict, inner)
        self.window, self.names = window, names


@pytest.fixture
def sample(monkeypatch):
    module = types.ModuleType("sample_ranker")
    module.Sample = Sample
    monkeypatch.setitem(sys.modules, "sample_ranker", module)
    return "sample_ranker:Sample"


def test_every_built_in_is_found_and_described():
    assert {name for name, _, origin in describe() if origin == "built in"} == set(BUILT_IN)
    assert find("bm25") is BM25
    assert all(callable(find(name)) for name in BUILT_IN)


def test_listing_and_chunking_load_neither_torch_nor_a_ranker():
    code = (
        "import sys, retrievers, retrievers.chunking; retrievers.describe();"
        "bad = {'torch', 'transformers', 'rank_bm25', 'numpy'} & set(sys.modules);"
        "sys.exit(repr(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_resolving_any_name_and_its_options_loads_nothing_heavy():
    code = (
        "import sys, retrievers\n"
        "from comparison.plan import resolve\n"
        "for name in retrievers.BUILT_IN: resolve('retriever', name)\n"
        "resolve('retriever', 'hybrid(retrievers=prp(rule=hard);dense(encoder=minilm,window=none),k0=5)')\n"
        "bad = {'torch', 'transformers', 'sentence_transformers', 'faiss'} & set(sys.modules)\n"
        "sys.exit(repr(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_plugin_is_found_by_its_entry_point(sample, monkeypatch):
    plugin = EntryPoint("mine", sample, retrievers.GROUP)
    monkeypatch.setattr("comparison.registry.entry_points", lambda group: [plugin])
    assert find("mine") is Sample
    assert ("mine", sample, sample) in describe()


def test_a_list_is_cut_at_its_semicolons_and_an_option_may_be_none(sample):
    listed = build(f"{sample}(names=bm25(variant=okapi);dense(encoder=a/b,window=9))", None)
    assert listed.names == ("bm25(variant=okapi)", "dense(encoder=a/b,window=9)")
    assert build(f"{sample}(window=2k)", None).window == 2000
    assert build(f"{sample}(window=none)", None).window is None


def test_options_have_the_type_of_their_defaults(sample):
    built = build(f"{sample}(m=3, weight=2, strict=false, inner=hybrid(a=f(x=1,y=g(z=2)),b=3))", None)
    assert built.options == (3, 2.0, False, "hybrid(a=f(x=1,y=g(z=2)),b=3)")
    assert build(sample, None).options == build(f"{sample}()", None).options == (10, 0.5, True, "bm25")


def test_a_ranker_that_is_there_already_is_handed_back():
    ranker = BM25()
    assert build(ranker, None) is ranker


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("", "'' is not a SPEC"),
        ("bm25(variant=l", r"'bm25\(variant=l' where a value or name\(key=value,...\) was expected"),
        ("bm25(k=3)", "bm25 has no option k: expected one of variant"),
        ("bm25(variant)", r"'bm25\(variant\)' has 'variant' where an option key=value"),
        ("{sample}(m=many)", "sample_ranker:Sample: option m is 'many', expected a whole number"),
        ("{sample}(strict=1)", "sample_ranker:Sample: option strict is '1', expected true or false"),
    ],
)
def test_a_spec_that_does_not_fit_is_refused_in_a_line_that_names_the_ranker(sample, spec, part):
    with pytest.raises(ValueError, match=part) as refusal:
        build(spec.replace("{sample}", sample), None)
    assert "\n" not in str(refusal.value)
