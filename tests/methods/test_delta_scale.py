"""The constant-scale control."""

from __future__ import annotations

import pytest

from benchmarks.base import Task
from methods.base import fit
from methods.delta_scale import DeltaScale
from methods.full import Full
from models.delta_scaling import scaling
from models.engine import Engine
from models.specs import ReaderSpec

TASK = Task("t", "w1 w2 ", " : {question} ? :", "value", 6)
CONTEXT = " ".join(f"w{i % 50}" for i in range(3, 60))


def test_the_answer_is_decoded_from_the_scaled_prefill(mamba):
    ids, _ = fit(mamba, TASK, TASK.prompt(CONTEXT, "w7"))
    with scaling(mamba.model, 0.25):
        prefill = mamba.prefill([ids])
    answer = DeltaScale(mamba, factor=0.25).answer(CONTEXT, "w7", task=TASK)
    assert answer.text == mamba.decode(prefill, 6, stop=TASK.stop)
    assert answer.details == {"tokens": 63, "factor": 0.25, "flags": ["triggered"]}


@pytest.mark.parametrize(
    ("trained", "factor", "flags"), [(21, 0.333333, ["triggered"]), (63, 1.0, []), (99, 1.0, [])]
)
def test_without_a_factor_it_is_the_trained_length_over_the_prompts(mamba, trained, factor, flags):
    reader = Engine(mamba.model, mamba.tokenizer, ReaderSpec("random", "nowhere", trained_length=trained))
    answer = DeltaScale(reader).answer(CONTEXT, "w7", task=TASK)
    assert answer.details == {"tokens": 63, "factor": factor, "flags": flags}
    if not flags:
        assert answer.text == Full(reader).answer(CONTEXT, "w7", task=TASK).text


def test_a_reader_whose_window_ends_at_its_trained_length_needs_a_factor(mamba):
    reader = Engine(mamba.model, mamba.tokenizer, ReaderSpec("random", "nowhere", trained_length=21))
    reader.window = 22  # a prompt of 21 and one new token
    with pytest.raises(ValueError, match=r"changes prompts of 22 .* reads 22 .*: give factor=") as error:
        DeltaScale(reader)
    assert "\n" not in str(error.value)
    DeltaScale(reader, factor=0.5)
    reader.window = 23
    DeltaScale(reader)


@pytest.mark.parametrize(("options", "reason"), [({"factor": 0.0}, "factor=0.0"), ({}, "give factor=")])
def test_factors_that_cannot_be_are_refused(mamba, options, reason):
    with pytest.raises(ValueError, match=reason):
        DeltaScale(mamba, **options)
