"""Settings and names: what a plan is made of, and what is refused before a model is loaded."""

from __future__ import annotations

import re
import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import benchmarks
from comparison import plan
from comparison.plan import PlanError, Shard, make_plan, read_config, resolve

ROOT = Path(__file__).parents[2]
STEADY = settings(derandomize=True, deadline=None)


def labels(**given):
    return [method.label for method in make_plan(given).methods]


def test_nothing_said_means_the_default_methods_and_benchmarks():
    made = make_plan({})
    assert [method.label for method in made.methods] == list(plan.METHODS)
    assert [benchmark.label for benchmark in made.benchmarks] == list(plan.BENCHMARKS)
    assert made.baseline == "full"
    assert made.reader.name == "tiny"


def test_the_revision_asked_for_takes_the_place_of_the_readers_own():
    assert (
        make_plan({"model": "lab/some", "benchmark": ["passkey"], "revision": "v1.0"}).reader.revision
        == "v1.0"
    )
    pinned = make_plan({"model": "mamba-130m"}).reader.revision
    assert pinned is not None
    assert make_plan({"model": "mamba-130m", "revision": "v1.0"}).reader.revision == "v1.0" != pinned
    with pytest.raises(ValueError, match="tiny is a local folder, which has no revision"):
        make_plan({"revision": "v1.0"})


def test_the_baseline_is_put_first_where_the_methods_leave_it_out():
    assert labels(method=["rag"]) == ["full", "rag"]
    assert labels(method=["rag", "full"]) == ["rag", "full"]


def test_the_baseline_may_be_a_label_or_a_spec():
    assert make_plan({"method": ["cut=truncate:keep=head"], "baseline": "cut"}).baseline == "cut"
    assert labels(method=["rag"], baseline="truncate:keep=tail") == ["truncate:keep=tail", "rag"]


def test_a_label_is_the_canonical_spec_without_defaults():
    assert resolve("method", "rag: retriever=bm25, k=3").label == "rag:k=3"
    assert resolve("method", "rag:k=1").label == "rag"
    assert resolve("method", "three=rag:k=3").label == "three"


def test_a_retriever_is_resolved_with_the_method_that_uses_it():
    assert resolve("method", "rag:retriever=bm25(variant=plus)").label == "rag"
    named = resolve("method", "rag:retriever=bm25(variant=okapi)")
    assert named.label == "rag:retriever=bm25(variant=okapi)"
    assert named.options["retriever"] == "bm25(variant=okapi)"


@pytest.mark.parametrize(
    ("retriever", "canonical"),
    [
        ("hybrid(retrievers=bm25;dense(encoder=minilm))", "hybrid"),
        ("hybrid(retrievers=bm25(variant=plus);dense,k0=60)", "hybrid"),
        (
            "hybrid(k0=5,retrievers=bm25(variant=okapi);hybrid(retrievers=bm25;dense(encoder=minilm)))",
            "hybrid(k0=5.0,retrievers=bm25(variant=okapi);hybrid)",
        ),
    ],
)
def test_the_rankers_of_a_hybrid_are_resolved_too_so_that_it_has_one_label(retriever, canonical):
    assert resolve("method", f"rag:retriever={retriever}").label == f"rag:retriever={canonical}"
    assert resolve("method", f"oprm:candidates={retriever}").settings["candidates"] == canonical


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("fulll", "did you mean 'full'"),
        ("truncate:kep=head", "did you mean keep?"),
        ("truncate:keep=middle", "ends or head or tail"),
        ("rag:retriever=bm52", "did you mean 'bm25'"),
        ("rag:retriever=bm25(varant=plus)", "did you mean variant?"),
        ("oprm:candidates=bm52", "did you mean 'bm25'"),
        ("rag:retriever=hybrid(retrievers=bm25;bm52)", "unknown retriever 'bm52'"),
        ("rag:retriever=hybrid(retrievers=bm25;hybrid(retrievers=bm25;nope))", "unknown retriever 'nope'"),
        ("oprm:candidates=hybrid(retrievers=bm25;dense(windw=3))", "dense has no option windw"),
        ("rag:retriever=bm25(", "parentheses"),
        ("oprm:idk_filter", "'idk_filter' where an option key=value was expected"),
        ("no_such_module:Thing", "no_such_module"),
        ("comparison_fakes:Nothing", "Nothing"),
    ],
)
def test_an_unknown_name_or_option_is_refused_with_what_was_meant(method, part):
    with pytest.raises(ValueError, match=r"^[^\n]*$") as refusal:
        make_plan({"method": [method]})
    assert part.replace("'", "") in str(refusal.value).replace("'", "")


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("oprm:chunk_size=0", "chunk size 0 is too small"),
        ("oprm:m=3", "give candidates=RANKER"),
        ("oprm:candidates=prp(m=1)", "m=1 is too small"),
        ("rag:k=0", "k=0 is too small"),
        ("rag:budget=249", "expected chunk_size (250) or more"),
        ("rag:retriever=hybrid(k0=-1.0)", "k0=-1.0 is below zero"),
        ("rag:retriever=cross_encoder(window=3)", "window=3 is too small"),
        ("rag:retriever=hybrid(retrievers=prp;cross_encoder(window=3))", "window=3 is too small"),
        ("truncate:budget=0", "budget=0 is too small"),
        ("oracle_chunk:overlap=250", "overlap 250 does not fit chunks of 250 tokens"),
        ("iterative_summary:summary_tokens=0", "summary_tokens=0 is too small"),
        ("decimamba:beta=2.0", "beta=2.0 is outside of 0 to 1"),
        ("longmamba:theta=1.0", "theta=1.0 is no share of a state"),
        ("upi:text=nowhere.txt", "text=nowhere.txt is not there"),
        ("delta_scale:factor=-1.0", "factor=-1.0 is too small"),
        ("yarn:factor=1.0", "factor=1.0 stretches nothing"),
    ],
)
def test_a_value_that_a_built_in_method_refuses_is_refused_before_weights_are_read(method, part):
    for asked in ({"method": [method]}, {"baseline": method}):
        with pytest.raises(PlanError, match=rf"^method {re.escape(method)}: [^\n]*{re.escape(part)}[^\n]*$"):
            make_plan(asked)


def test_values_are_tried_on_the_row_of_the_reader_that_was_asked_for():
    assert labels(method=["rag:budget=250"]) == ["full", "rag:budget=250"]
    with pytest.raises(PlanError, match=r"expected chunk_size \(512\) or more"):
        make_plan({"method": ["rag:budget=250"], "model": "smollm2"})


def test_plugins_are_built_by_the_run_alone(tmp_path, monkeypatch):
    (tmp_path / "picky.py").write_text("class Ranker:\n    def __init__(self, engine):\n        1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "wrapping.py").write_text(
        "import functools\nfrom methods.oprm import OPRM\n"
        "@functools.wraps(OPRM)\ndef method(engine, **options):\n    1 / 0\n"
    )
    own = ["comparison_fakes:Shy", "rag:retriever=picky:Ranker", "wrapping:method:top=2"]
    assert labels(method=own, baseline=own[0]) == own


def test_a_plan_of_all_methods_loads_no_torch():
    code = (
        "import sys, methods; from comparison.plan import make_plan;"
        "make_plan({'method': [*methods.BUILT_IN, 'hybrid=rag:retriever=hybrid', 'prp=rag:retriever=prp']});"
        "print({'torch', 'transformers', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_an_unknown_benchmark_and_reader_are_refused():
    with pytest.raises(ValueError, match="recall"):
        make_plan({"benchmark": ["recal"]})
    with pytest.raises(ValueError, match="tiny"):
        make_plan({"model": "tinny"})


def test_a_plugin_that_breaks_while_imported_shows_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "broken_plugin.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="method 'broken_plugin:Thing' failed") as failure:
        resolve("method", "broken_plugin:Thing")
    cause = failure.value.__cause__
    assert isinstance(cause, ZeroDivisionError)
    assert traceback.extract_tb(cause.__traceback__)[-1].filename.endswith("broken_plugin.py")


def test_two_methods_of_one_label_are_refused():
    with pytest.raises(ValueError, match="2 methods are called 'rag'"):
        make_plan({"method": ["rag", "rag:k=1"]})
    assert labels(method=["full", "rag", "again=rag"]) == ["full", "rag", "again"]


def test_the_embedded_reader_is_refused_other_text_than_its_own(monkeypatch):
    entry = replace(benchmarks.BUILT_IN["recall"], suite_english=False)
    monkeypatch.setitem(benchmarks.BUILT_IN, "recall", entry)
    with pytest.raises(PlanError, match="--model smollm2"):
        make_plan({"benchmark": ["recall"]})
    assert make_plan({"benchmark": ["recall"], "model": "a/b"}).reader.name == "a/b"


def test_a_plugin_benchmark_may_be_read_by_the_embedded_reader():
    assert make_plan({"benchmark": ["comparison_fakes:words"]}).reader.name == "tiny"


def test_a_limit_below_one_is_refused():
    with pytest.raises(PlanError, match="--limit is 0"):
        make_plan({"limit": 0})


def test_a_data_folder_that_is_not_there_is_refused(tmp_path):
    for name in (tmp_path / "typo", __file__):
        with pytest.raises(PlanError, match=rf"^--data-dir '{name}' is no folder: [^\n]*$"):
            make_plan({"data-dir": str(name)})


def test_a_config_file_gives_the_same_settings_as_flags(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    path = tmp_path / "run.toml"
    path.write_text('method = ["rag:k=2"]\nlimit = 5\ndata-dir = "d"\nout = "runs/x"\n')
    made = make_plan(read_config(path))
    assert [method.label for method in made.methods] == ["full", "rag:k=2"]
    assert (made.limit, str(made.data_dir), str(made.out)) == (5, "d", "runs/x")


def test_who_answers_may_be_said_in_a_config_file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('shard = "2/8"\ntimeout = 60\nexecutor = "ray"\nworkers = 3\nray-address = "h:6379"\n')
    made = make_plan(read_config(path))
    assert made.shard == Shard(2, 8)
    assert (made.timeout, made.executor, made.workers, made.ray_address) == (60, "ray", 3, "h:6379")
    assert made.writer == "shard-2-of-8"
    plain = make_plan({})
    assert (plain.shard, plain.timeout, plain.executor, plain.writer) == (None, None, "serial", "serial")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('metod = ["full"]', "did you mean method"),
        ("shard = 2", "text"),
        ('timeout = "60"', "seconds"),
        ("timeout = true", "seconds"),
        ("workers = 1.5", "a whole number"),
        ('method = "full"', "a list of SPECs"),
        ("method = [1]", "a list of SPECs"),
        ('limit = "5"', "a whole number"),
        ("seed = true", "a whole number"),
        ("out = 3", "text"),
        ("limit = = 3", "not TOML"),
    ],
)
def test_a_bad_config_file_is_refused_in_one_line(tmp_path, text, part):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(PlanError, match=part):
        read_config(path)


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"limt": 3}, "the plan has the unknown key 'limt': did you mean limit?"),
        ({"data_dir": "."}, "did you mean data-dir?"),
        ({"trust_remote_code": True}, "did you mean trust-remote-code?"),
        ({"methods": ["oprm"]}, "did you mean method?"),
        ({3: "oprm"}, "unknown key 3"),
        ({"method": "oprm"}, "the plan has method = 'oprm', expected a list of SPECs"),
        ({"limit": "3"}, "expected a whole number"),
        ({"seed": None}, "expected a whole number"),
        ({"timeout": "60"}, "expected seconds"),
        ({"dtype": "fp8"}, "expected auto or float32"),
        ({"out": 3}, "expected text or a path"),
        ({"device": 0}, "expected text"),
        ({"benchmark": []}, "no benchmark was named"),
        ({"timeout": -1}, "--timeout is -1, expected seconds above 0"),
        ({"timeout": float("nan")}, "--timeout is nan"),
        ({"timeout": float("inf")}, "--timeout is inf"),
    ],
)
def test_settings_that_are_none_of_another_type_or_out_of_range_are_refused_in_one_line(asked, part):
    with pytest.raises(PlanError, match=rf"^[^\n]*{re.escape(part)}[^\n]*$"):
        make_plan(asked)


def test_settings_may_be_paths_tuples_and_none(tmp_path):
    made = make_plan(
        {"model": tmp_path, "out": tmp_path / "run", "data-dir": tmp_path, "method": ("rag",), "limit": None}
        | {"benchmark": ("passkey",)}
    )
    assert (made.reader.path, made.out, made.data_dir) == (str(tmp_path), tmp_path / "run", tmp_path)
    assert [method.label for method in made.methods] == ["full", "rag"]


def test_a_missing_config_file_is_refused(tmp_path):
    with pytest.raises(PlanError, match="cannot read"):
        read_config(tmp_path / "none.toml")


def test_the_listing_has_every_built_in_with_its_origin():
    text = plan.listing()
    for name in (*plan.METHODS, *plan.BENCHMARKS, "bm25"):
        assert f"  {name} " in text
    assert text.count("[built in]") >= len(plan.METHODS) + len(plan.BENCHMARKS) + 1


@STEADY
@given(st.text("oprmagfulchkizest_:=,;()k0123456789", max_size=30) | st.text(max_size=30))
def test_any_text_resolves_or_is_refused_with_a_value_error(text):
    try:
        resolved = resolve("method", text)
    except ValueError:
        return
    assert resolve("method", resolved.spec).spec == resolved.spec


@settings(STEADY, max_examples=25)
@given(st.dictionaries(st.sampled_from(["k", "chunk_size", "overlap"]), st.integers(1, 9000)))
def test_a_canonical_spec_resolves_to_itself(values):
    text = "rag:" + ",".join(f"{name}={value}" for name, value in values.items())
    resolved = resolve("method", text)
    assert resolve("method", resolved.label).label == resolved.label
    assert resolve("method", resolved.label).settings == resolved.settings
