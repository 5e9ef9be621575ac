"""Scaled time steps against the recurrence written down once more."""

from __future__ import annotations

import copy
from dataclasses import replace

import mamba_reference as reference
import pytest
import torch

from models.delta_scaling import scaling
from models.specs import ReaderError

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


def some_channels(model) -> torch.Tensor:
    """Every third of the second layer's, none of the first's."""
    chosen = torch.zeros(2, model.backbone.layers[0].mixer.A_log.shape[0], dtype=torch.bool)
    chosen[1, ::3] = True
    return chosen


@pytest.mark.parametrize("family", FAMILIES)
def test_the_steps_of_the_chosen_channels_alone_are_scaled_and_decoding_goes_on(family, reader, rows):
    engine, ids = reader(family), rows(1, 23)[0]
    chosen = some_channels(engine.model)

    def change(layer, steps):
        factors = torch.where(chosen[layer], 0.3, 1.0).double()
        prompt = steps.delta[: len(ids)] * factors
        return reference.unchanged(layer, replace(steps, delta=torch.cat([prompt, steps.delta[len(ids) :]])))

    with scaling(engine.model, 0.3, chosen):
        prefill = engine.prefill([ids])
    state, logits, new = engine._own_state(prefill), prefill.logits, []
    plain = engine.prefill([ids]).logits
    assert (logits - plain).abs().max() > 1e-3 * plain.abs().max()
    for _ in range(4):
        exact = reference.logits(engine.model, ids + new, change)[-1].float()
        assert (logits[0, -1] - exact).abs().max() <= 3e-5 * exact.abs().max()
        new.append(int(logits[0, -1].argmax()))
        logits, state = engine._forward([[new[-1]]], 1, state)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_layer_without_a_chosen_channel_is_not_touched(family, reader):
    model = reader(family).model
    own = [layer.mixer.forward for layer in model.backbone.layers]
    with scaling(model, 0.3, some_channels(model)):
        assert model.backbone.layers[0].mixer.forward == own[0]
        assert model.backbone.layers[1].mixer.forward != own[1]
    assert [layer.mixer.forward for layer in model.backbone.layers] == own


@pytest.mark.parametrize("family", FAMILIES)
def test_all_channels_chosen_is_the_constant_scale_and_a_factor_of_one_changes_nothing(family, reader, rows):
    engine, batch = reader(family), rows(2, 23)
    everyone = torch.ones_like(some_channels(engine.model))
    with scaling(engine.model, 0.3, everyone):
        chosen = engine.prefill(batch).logits
    with scaling(engine.model, 0.3):
        assert torch.equal(chosen, engine.prefill(batch).logits)
    plain = engine.prefill(batch).logits
    for whom in (None, some_channels(engine.model)):
        with scaling(engine.model, 1.0, whom):
            same = engine.prefill(batch).logits
        assert (same - plain).abs().max() <= 3e-5 * plain.abs().max()


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_a_batch_are_scaled_as_alone(family, reader, rows):
    engine, batch = reader(family), rows(3, 23)
    with scaling(engine.model, 0.3, some_channels(engine.model)):
        together = engine.prefill(batch)
        for row, ids in enumerate(batch):
            alone = engine.prefill([ids])
            exact = alone.logits[0]
            assert (together.logits[row] - exact).abs().max() <= 3e-5 * exact.abs().max()
            assert engine.decode(engine.select(together, row), 5) == engine.decode(alone, 5)


@pytest.mark.parametrize("family", ["Llama", "RecurrentGemma", "Rwkv"])
def test_a_reader_without_a_delta_is_refused(family, reader):
    with pytest.raises(ReaderError, match="has no delta"), scaling(reader(family).model, 0.5):
        pass


@pytest.mark.parametrize("family", ["Mamba", "Mamba2"])
def test_on_another_device_the_scan_is_transformers_own(family, random_model):
    """The meta device stands for any that our scans cannot read."""
    model = copy.deepcopy(random_model(family)).to("meta")
    with torch.inference_mode(), scaling(model, 0.5):
        assert model(torch.ones(1, 9, dtype=torch.long, device="meta")).logits.device.type == "meta"
