"""Scaled time steps against the recurrence written down once more."""

from __future__ import annotations

from dataclasses import replace

import mamba_reference as reference
import pytest
import torch

from models.delta_scaling import scaling

FAMILIES = ("Mamba", "FalconMamba", "Mamba2")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("factor", [0.25, 2.0])
def test_every_step_of_the_prompt_is_scaled_and_no_decoded_one(family, factor, reader, rows):
    engine, ids = reader(family), rows(1, 23)[0]

    def change(layer, steps):
        prompt = steps.delta[: len(ids)] * factor
        return reference.unchanged(layer, replace(steps, delta=torch.cat([prompt, steps.delta[len(ids) :]])))

    expected = engine.prefill([ids]).logits
    with scaling(engine.model, factor):
        prefill = engine.prefill([ids])
    state, logits, new = engine._own_state(prefill), prefill.logits, []
    for _ in range(3):
        exact = reference.logits(engine.model, ids + new, change)[-1].float()
        assert (logits[0, -1] - exact).abs().max() <= 3e-5 * exact.abs().max()
        new.append(int(logits[0, -1].argmax()))
        logits, state = engine._forward([[new[-1]]], 1, state)
    assert torch.equal(engine.prefill([ids]).logits, expected)
