"""Finding rankers by name, and reading their SPECs."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import types

import pytest

import retrievers
from retrievers import BUILT_IN, build, describe, find, parse
from retrievers.bm25 import BM25

EntryPoint = importlib.metadata.EntryPoint


class Sample:
    def __init__(self, engine, *, m=10, weight=0.5, strict=True, inner="bm25"):
        self.options = (m, weight, strict, inner)


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
        "for name in retrievers.BUILT_IN: retrievers.parse(name)\n"
        "retrievers.parse('hybrid(retrievers=prp(rule=hard);dense(encoder=minilm,window=none),k0=5)')\n"
        "bad = {'torch', 'transformers', 'sentence_transformers', 'faiss'} & set(sys.modules)\n"
        "sys.exit(repr(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_nearly_right_is_refused_with_the_right_one():
    with pytest.raises(ValueError, match="did you mean bm25"):
        find("bm52")


def test_a_plugin_is_found_by_its_entry_point(sample, monkeypatch):
    plugin = EntryPoint("mine", sample, retrievers.GROUP)
    monkeypatch.setattr(retrievers, "entry_points", lambda group: [plugin])
    assert find("mine") is Sample
    assert ("mine", sample, sample) in describe()


def test_a_list_is_cut_at_its_semicolons_and_a_default_of_none_takes_a_number():
    _, options = parse("hybrid(retrievers=bm25(variant=l);dense(encoder=a/b,window=9))")
    assert options == {"retrievers": ("bm25(variant=l)", "dense(encoder=a/b,window=9)")}
    assert parse("dense(window=128)")[1] == {"window": 128}
    assert parse("dense(window=none)")[1] == {"window": None}


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
        ("", "not a retriever"),
        ("bm25(variant=l", "not a retriever"),
        ("bm25(k=3)", "takes variant"),
        ("bm25(variant)", "takes variant"),
        ("{sample}(m=many)", "m=many"),
        ("{sample}(strict=1)", "strict=1"),
    ],
)
def test_a_spec_that_does_not_fit_is_refused_without_an_engine(sample, spec, part):
    with pytest.raises(ValueError, match=part):
        parse(spec.replace("{sample}", sample))
