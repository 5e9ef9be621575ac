"""What the methods that act on a Mamba's time steps share: the wording of the prompt, the reader's window, and
families of readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.base import Task
from methods.base import fit
from methods.decimamba import DeciMamba
from methods.delta_scale import DeltaScale
from methods.longmamba import CLIP, THETA, LongMamba
from methods.longmamba import calibrate as calibrate_channels
from methods.upi import UPI
from methods.upi import calibrate as profile
from models.engine import Engine
from models.specs import ReaderSpec

TASK = Task("t", "w1 w2 ", " : {question}{clause} ? :", "value", 6, no_answer_clause=" w8 w9 w10")
CONTEXT = " ".join(f"w{i % 50}" for i in range(3, 60))
TEXT = " ".join(f"w{i * i % 57}" for i in range(200))
METHODS: dict[str, Callable[..., Any]] = {
    "decimamba": lambda engine, **options: DeciMamba(engine, layers=(0,), base=9, **options),
    "longmamba": lambda engine, **options: LongMamba(engine, theta=0.0, **options),
    "upi": UPI,
    "delta_scale": DeltaScale,
}
EACH = pytest.mark.parametrize("name", METHODS)


@pytest.fixture
def reader(mamba, cache):
    """Trained on 21 tokens, and calibrated."""
    engine = Engine(mamba.model, mamba.tokenizer, ReaderSpec("random", "nowhere", trained_length=21))
    calibrate_channels(engine, TEXT, windows=1)
    profile(engine, TEXT, windows=1)
    return engine


@EACH
@pytest.mark.parametrize(("clause", "carried"), [("oprm", False), ("none", False), ("all", True)])
def test_the_prompt_carries_the_clause_only_where_every_methods_does(name, clause, carried, reader):
    answer = METHODS[name](reader, clause=clause).answer(CONTEXT, "w7", task=TASK)
    assert answer.details["tokens"] == len(fit(reader, TASK, TASK.prompt(CONTEXT, "w7", clause=carried))[0])
    assert not answer.truncated


@EACH
def test_a_clause_that_is_none_is_refused(name, reader):
    with pytest.raises(ValueError, match=r"clause.*oprm or all or none"):
        METHODS[name](reader, clause="some")


@EACH
def test_a_prompt_that_a_window_cuts_is_marked(name, reader):
    """Recurrent readers have none, hybrids with attention have."""
    reader.window = 40
    answer = METHODS[name](reader).answer(CONTEXT, "w7", task=TASK)
    assert answer.truncated
    assert answer.details["tokens"] <= 34
    assert "triggered" in answer.details["flags"]


@EACH
def test_the_same_question_has_the_same_answer_and_leaves_the_reader_as_it_was(name, reader):
    ids, _ = fit(reader, TASK, TASK.prompt(CONTEXT, "w7"))
    before = reader.prefill([ids]).logits
    method = METHODS[name](reader)
    first, second = (method.answer(CONTEXT, "w7", task=TASK) for _ in range(2))
    assert first == replace(second)
    assert (reader.prefill([ids]).logits == before).all()


@pytest.mark.parametrize(("heads", "kind"), [(False, "channels"), (True, "heads")])
def test_longmambas_settings_are_the_papers_for_the_kind_of_reader(heads, kind, reader, monkeypatch):
    monkeypatch.setattr("models.delta.has_heads", lambda mixer: heads)
    assert LongMamba(reader)._theta == THETA[kind]
    assert calibrate_channels(reader, TEXT, windows=2).clip == CLIP[kind]
    assert (THETA["channels"], CLIP["channels"]) == (1e-30, 20)  # Mamba-1.4B
    assert (THETA["heads"], CLIP["heads"]) == (5e-2, 5)  # Mamba2-1.3B
