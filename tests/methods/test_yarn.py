"""YaRN as a method: a longer window while it answers, and no longer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.base import Task
from methods.base import fit
from methods.full import Full
from methods.yarn import Yarn
from models.engine import Engine
from models.rope import yarn
from models.specs import ReaderSpec

TASK = Task("t", "w1 w2 ", " : {question} ? :", "value", 6)
CONTEXT = " ".join(f"w{i % 50}" for i in range(3, 60))  # 63 tokens with the wording


@pytest.fixture
def transformer(mamba):
    """A random two-layer Llama with a window of 32 tokens."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = LlamaConfig(vocab_size=64, max_position_embeddings=32, eos_token_id=1, bos_token_id=2, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        for parameter in model.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return Engine(model, mamba.tokenizer, ReaderSpec("random", "nowhere"))


def test_the_whole_prompt_is_read_and_answered_with_stretched_positions(transformer):
    ids, _ = fit(transformer, TASK, TASK.prompt(" ".join(CONTEXT.split()[:20]), "w7"))
    assert len(ids) <= 32
    assert Full(transformer).answer(CONTEXT, "w7", task=TASK).truncated
    answer = Yarn(transformer, factor=4.0).answer(CONTEXT, "w7", task=TASK)
    assert not answer.truncated
    assert answer.details == {"window": 128}
    assert transformer.window == 32
    whole = transformer.encode(TASK.prompt(CONTEXT, "w7"), chat=True)
    with yarn(transformer.model, 4.0, 32):
        transformer.window = 128
        assert transformer.generate(whole, 6, stop=TASK.stop) == answer.text


def test_beyond_the_longer_window_the_prompt_is_cut_and_marked(transformer):
    assert Yarn(transformer, factor=1.5).answer(CONTEXT, "w7", task=TASK).truncated
    assert transformer.window == 32


@pytest.mark.parametrize(("clause", "carried"), [("oprm", False), ("none", False), ("all", True)])
def test_the_prompt_carries_the_clause_only_where_every_methods_does(
    transformer, monkeypatch, clause, carried
):
    task = replace(TASK, after=" : {question}{clause} ? :", no_answer_clause=" w8 w9 w10")
    read = []
    monkeypatch.setattr(transformer, "generate", lambda ids, *_, **__: read.append(ids) or "")
    Yarn(transformer, clause=clause).answer("w3 w4", "w7", task=task)
    assert read == [fit(transformer, task, task.prompt("w3 w4", "w7", clause=carried))[0]]


def test_a_reader_whose_window_is_not_known_is_refused(transformer):
    transformer.window = None
    with pytest.raises(ValueError, match="random has no window to stretch: use full"):
        Yarn(transformer).answer(CONTEXT, "w7", task=TASK)


def test_what_cannot_be_stretched_is_refused(transformer, mamba):
    with pytest.raises(ValueError, match="stretches nothing"):
        Yarn(transformer, factor=1.0)
    with pytest.raises(ValueError, match="has none"):
        Yarn(mamba)
    with pytest.raises(ValueError, match=r"clause.*oprm or all or none"):
        Yarn(transformer, clause="some")
