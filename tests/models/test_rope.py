"""YaRN put in place is what transformers loads with ``rope_type="yarn"``."""

from __future__ import annotations

import copy

import pytest
import torch
from families import random_model
from transformers import LlamaForCausalLM

from models.rope import yarn
from models.specs import ReaderError


@torch.inference_mode()
def test_logits_are_those_of_a_model_that_was_configured_for_yarn():
    model = random_model("Llama")
    config = copy.deepcopy(model.config)
    config.rope_parameters = {
        **config.rope_parameters,
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    configured = LlamaForCausalLM(config).eval()
    configured.load_state_dict(model.state_dict())
    ids = torch.randint(6, 64, (1, 200), generator=torch.Generator().manual_seed(0))
    plain = model(ids).logits
    with yarn(model, 4.0, 64):
        stretched = model(ids).logits
    assert torch.allclose(stretched, configured(ids).logits, atol=1e-6)
    assert not torch.allclose(stretched, plain, atol=1e-2)
    assert torch.equal(model(ids).logits, plain)
    with pytest.raises(RuntimeError), yarn(model, 4.0, 64):
        raise RuntimeError
    assert torch.equal(model(ids).logits, plain)


@pytest.mark.parametrize("family", ["Mamba", "Rwkv"])
def test_a_reader_without_rotary_positions_is_refused_in_one_line(family):
    with (
        pytest.raises(ReaderError, match=r"has none: expected a transformer.*$") as error,
        yarn(random_model(family), 2.0, 64),
    ):
        pass
    assert "\n" not in str(error.value)


def test_positions_are_not_stretched_twice():
    model = copy.deepcopy(random_model("Llama"))
    model.model.rotary_emb.rope_type = "yarn"
    with pytest.raises(ReaderError, match="has yarn ones"), yarn(model, 2.0, 64):
        pass
