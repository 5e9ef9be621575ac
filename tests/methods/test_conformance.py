"""The conformance kit: every method of the suite passes it, and every fault is named by its own check."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from broken_methods import (
    BROKEN,
    DrawsGlobally,
    Good,
    LeavesAHook,
    Moves,
    Narrows,
    NoAnswer,
    NoGradients,
    Notes,
    OneThread,
    Seeds,
)

from methods import BUILT_IN, find
from methods.__main__ import main
from methods.conformance import CHECKS, verdicts
from methods.trial import Trial, changed, example, global_state
from models.engine import Engine
from models.specs import ReaderSpec

SEES_THE_KEY = {"oracle_chunk", "best_of_chunks"}
MEASURE_FIRST = {"longmamba", "upi"}
"""Methods that are calibrated on a text before they answer."""


@pytest.fixture(scope="module")
def tiny() -> Engine:
    return Engine.load("tiny")


@pytest.fixture(scope="module")
def transformer(tiny: Engine) -> Engine:
    """A random two-layer Llama with a window of 256 tokens and the embedded reader's words."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = LlamaConfig(vocab_size=tiny.vocab_size, max_position_embeddings=256, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    return Engine(model, tiny.tokenizer, ReaderSpec("random", "nowhere", chunk_size=100))


def found(engine, factory, **options):
    """Status and reason of every check."""
    trial = Trial(engine, partial(factory, engine, **options), lambda: [])
    trial = replace(trial, elsewhere=trial.answers)
    return {one.name: (one.status, one.why) for one in verdicts(trial)}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_method_of_the_suite_passes(name, tiny, transformer, tmp_path, monkeypatch):
    engine = transformer if name == "yarn" else tiny
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = {}
    if name in MEASURE_FIRST:  # on windows of eight times the trained length
        spec = replace(tiny.spec, trained_length=60)
        engine = Engine(tiny.model, tiny.tokenizer, spec, kernel=tiny.kernel)
        options["text"] = tmp_path / "text.txt"
        options["text"].write_text("We visited the dusty harbour in the evening. " * 100)
    skipped = {"spans", "limit", "stop"} | ({"two-arguments"} if name in SEES_THE_KEY else set())
    for check, (status, why) in found(engine, find(name), **options).items():
        assert status == "ok" or (status == "skipped" and check in skipped), f"{check} {status} {why}"


def test_a_method_that_keeps_to_the_contract_is_found_without_fault_by_every_check(tiny):
    assert {status for status, _ in found(tiny, Good).values()} == {"ok"}


@pytest.mark.parametrize(("factory", "check"), BROKEN.items(), ids=[one.__name__ for one in BROKEN])
def test_a_fault_is_named_by_its_own_check_and_by_no_other(factory, check, tiny):
    threads, folder = torch.get_num_threads(), os.getcwd()
    results = found(tiny, factory)
    if factory is LeavesAHook:
        tiny.model.backbone.norm_f._forward_hooks.clear()
    assert [name for name, (status, _) in results.items() if status == "FAILED"] == [check]
    why = results[check][1]
    assert why
    assert "\n" not in why
    assert all(reason for status, reason in results.values() if status == "skipped")
    assert (torch.get_num_threads(), os.getcwd(), tiny.window) == (threads, folder, None)


def test_every_check_has_a_method_that_fails_it():
    assert {check.name for check in CHECKS} == {*BROKEN.values(), "process"}


def test_another_process_that_answers_otherwise_is_a_fault(tiny):
    trial = Trial(tiny, partial(Good, tiny), lambda: ["something", "else"])
    results = {one.name: one for one in verdicts(trial)}
    assert [name for name, one in results.items() if one.status == "FAILED"] == ["process"]
    assert "hash()" in results["process"].why


def test_a_check_is_skipped_where_it_does_not_apply_or_what_it_rests_on_failed(tiny):
    class Bare:
        def __init__(self, engine):
            pass

        def answer(self, context, question):
            return question

    results = found(tiny, Bare)
    assert {name for name, (status, _) in results.items() if status == "skipped"} == {
        *("inputs", "details", "spans", "limit", "stop")
    }
    assert results["limit"][1] == "its signature takes no task"
    assert found(tiny, NoAnswer)["again"] == ("skipped", "it rests on builds")


def test_asking_leaves_the_process_the_example_and_the_engine_as_they_were(tiny):
    trial = Trial(tiny, partial(Good, tiny))
    before, engine = global_state(), trial.engine_state()
    one = example(0)
    for factory in (Seeds, OneThread, NoGradients, Moves, Narrows, Notes, DrawsGlobally):
        trial.ask(factory(tiny), one)
    assert changed(before, global_state()) == []
    assert changed(engine, trial.engine_state()) == []
    assert one == example(0)


def test_the_readme_s_method_has_no_fault_and_needs_no_call_of_two_arguments(tiny):
    page = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (block,) = (
        one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class FirstSentences" in one
    )
    module: dict = {}
    exec(block, module)
    results = found(tiny, module["FirstSentences"], n=40)
    assert {name: one for name, one in results.items() if one[0] == "FAILED"} == {}
    assert results["two-arguments"] == (
        "skipped",
        "task is a required keyword: a notebook gives one too (benchmarks.base.PLAIN_QA)",
    )


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A folder on the path of this process and of those that it starts, with the methods of a plugin's author."""
    (tmp_path / "odd_methods.py").write_text(
        "class Sure:\n"
        "    def __init__(self, engine, *, word: str = 'yes'):\n        self.word = word\n"
        "    def answer(self, context, question):\n        return self.word\n"
        "class Hashes(Sure):\n"
        "    def answer(self, context, question):\n        return f'{self.word} in {hash(question)}'\n"
        "class Shy(Sure):\n"
        "    def __init__(self, engine):\n        raise ValueError('a reader with a window is needed')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return "odd_methods"


def test_the_command_prints_a_line_a_check_and_asks_another_process_with_the_same_options(plugin, capsys):
    assert main(["check", f"{plugin}:Hashes:word=no"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(CHECKS)]] == [check.name for check in CHECKS]
    failed = [line for line in lines[1:-2] if line.split()[1] == "FAILED"]
    assert [line.split()[0] for line in failed] == ["process"]
    assert failed[0].count("no in ") == 2
    assert lines[-1].startswith("mend what FAILED")


def test_a_method_of_an_author_passes_and_is_told_how_to_be_compared(plugin, capsys, monkeypatch):
    monkeypatch.setattr("methods.__main__.answers_elsewhere", lambda *_: [repr("no")] * 2)
    assert main(["check", f"{plugin}:Sure:word=no"]) == 0
    assert f'--method "{plugin}:Sure:word=no"' in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("orpm", "did you mean oprm?"),
        ("oprm:size=3", "has no option size"),
        ("no_such_module:Thing", "No module named"),
        ("yarn", "cannot be built for the reader tiny"),
        ("{plugin}:Shy", "a reader with a window is needed"),
    ],
)
def test_a_name_or_reader_that_does_not_fit_is_one_line_and_status_2(spec, part, plugin, capsys):
    assert main(["check", spec.replace("{plugin}", plugin)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert part in lines[0]


def test_the_checks_are_listed_with_a_line_each(capsys):
    assert main(["check", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [check.name for check in CHECKS]
    assert all(len(line.split()) > 3 for line in lines)
