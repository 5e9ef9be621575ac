"""DeciMamba as a method: what it protects, what it records, what it refuses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks.base import PLAIN_QA, Task
from methods.base import fit, tail_tokens
from methods.decimamba import DeciMamba
from methods.full import Full
from models.decimation import Decimation, decimating
from models.engine import Engine
from models.specs import READERS, ReaderSpec

TASK = Task("t", "w1 w2 ", " : {question} ? :", "value", 6)
CONTEXT = " ".join(f"w{i % 50}" for i in range(3, 60))
QUESTION = "w7 w9"
AFTER = 5  # : w7 w9 ? :


def test_below_the_base_the_answer_is_the_full_contexts_and_nothing_is_flagged(mamba):
    answer = DeciMamba(mamba, layers=(0, 1), base=64).answer(CONTEXT, QUESTION, task=TASK)
    assert answer.text == Full(mamba).answer(CONTEXT, QUESTION, task=TASK).text
    assert answer.details == {"tokens": 64, "kept": 64, "kept_share": 1.0, "question_kept": 1.0, "flags": []}


@pytest.mark.parametrize(("base", "kept"), [(126, 64), (125, 63)])
def test_with_a_beta_below_1_it_is_the_last_layers_budget_up_to_which_nothing_changes(mamba, base, kept):
    """63 unprotected tokens; the second layer keeps half the base."""
    answer = DeciMamba(mamba, layers=(0, 1), base=base, beta=0.5).answer(CONTEXT, QUESTION, task=TASK)
    assert answer.details["kept"] == kept
    if kept == 64:
        assert answer.text == Full(mamba).answer(CONTEXT, QUESTION, task=TASK).text


@pytest.mark.parametrize(("variant", "protected"), [("maxp", 1), ("tail", AFTER)])
def test_the_answer_is_decoded_from_the_decimated_prefill(mamba, variant, protected):
    ids, _ = fit(mamba, TASK, TASK.prompt(CONTEXT, QUESTION))
    with decimating(mamba.model, Decimation((0,), 9, 1.0, 3, protected), len(ids)) as survivors:
        prefill = mamba.prefill([ids])
    answer = DeciMamba(mamba, variant=variant, layers=(0,), base=9, minimum=3).answer(
        CONTEXT, QUESTION, task=TASK
    )
    assert answer.text == mamba.decode(prefill, 6, stop=TASK.stop)
    kept = survivors.positions[0]
    assert answer.details["kept"] == len(kept) == 9 + protected
    assert answer.details["kept_share"] == round((9 + protected) / 64, 4)
    assert answer.details["question_kept"] == int((kept >= 64 - AFTER).sum()) / AFTER
    assert answer.details["flags"] == ["triggered"]


def test_the_tail_variant_keeps_the_whole_question_and_maxp_need_not(mamba):
    shares = [
        DeciMamba(mamba, variant=variant, layers=(1,), base=1, minimum=1)
        .answer(CONTEXT, QUESTION, task=TASK)
        .details["question_kept"]
        for variant in ("tail", "maxp")
    ]
    assert shares[0] == 1.0
    assert shares[1] <= 2 / AFTER


def test_the_cost_of_decimation_is_a_prefill_and_a_decoding(mamba):
    with mamba.meter() as cost:
        DeciMamba(mamba, layers=(0,), base=9).answer(CONTEXT, QUESTION, task=TASK)
    assert cost.prompt_tokens == 64
    assert {"prefill", "decode"} <= set(cost.seconds)


@pytest.mark.parametrize("context", [CONTEXT, "w1 :", "w7 w9 ? :", ""])
def test_the_tail_is_what_follows_the_context(mamba, context):
    assert tail_tokens(mamba, TASK, context, QUESTION) == AFTER
    assert tail_tokens(mamba, PLAIN_QA, context, "w3") >= 1


def test_layers_and_base_are_the_readers_own_unless_given(mamba):
    spec = ReaderSpec("known", "nowhere", trained_length=30, decimated=((1,), 12))
    known = Engine(mamba.model, mamba.tokenizer, spec)
    assert DeciMamba(known)._plan(1) == Decimation((1,), 12, 1.0, 20, 1)
    assert DeciMamba(known, layers=(0, 1), base=5, beta=0.5)._plan(3) == Decimation((0, 1), 5, 0.5, 20, 3)
    bare = ReaderSpec("bare", "nowhere", trained_length=30)
    assert DeciMamba(Engine(mamba.model, mamba.tokenizer, bare), layers=(0,))._plan(1).base == 30


def test_the_embedded_reader_keeps_its_trained_length_in_its_last_layer():
    spec = next(spec for spec in READERS if spec.name == "tiny")
    assert spec.decimated == ((2,), spec.trained_length)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "no decimating layers are known for random.*python -m methods.decimamba sweep"),
        ({"layers": (0,)}, "trained on is not known: give base="),
        ({"layers": (2,), "base": 5}, "expected ascending layers of the reader's 2"),
        ({"layers": (0,), "base": 0}, "base=0 is too small"),
        ({"layers": (0,), "base": 5, "minimum": 0}, "minimum=0 is too small"),
        ({"layers": (0,), "base": 5, "beta": 1.5}, "beta=1.5"),
        ({"layers": (0,), "base": 5, "beta": 0.0}, "beta=0.0 is outside of 0 to 1"),
        ({"layers": (0,), "base": 5, "variant": "norm_p"}, "expected maxp or tail"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_read(mamba, options, reason):
    with pytest.raises(ValueError, match=reason) as error:
        DeciMamba(mamba, **options)
    assert "\n" not in str(error.value)


def test_a_reader_without_a_delta_is_refused(mamba):
    import torch

    engine = SimpleNamespace(spec=mamba.spec, model=torch.nn.Linear(2, 2))
    for options in ({"layers": (0,), "base": 5}, {}):  # the layers are not asked for first
        with pytest.raises(ValueError, match="has no delta"):
            DeciMamba(engine, **options)
