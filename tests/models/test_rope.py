"""YaRN put in place is what transformers loads with ``rope_type="yarn"``."""

from __future__ import annotations

import copy

import pytest
import torch
from families import random_model
from transformers import LlamaConfig, LlamaForCausalLM

from models.rope import yarn
from models.specs import ReaderError

TRAINED = 64
IDS = torch.randint(6, 64, (1, 200), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model():
    """Heads wide enough to have frequencies on either side of YaRN's ramp and on it."""
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = LlamaForCausalLM(LlamaConfig(vocab_size=64, max_position_embeddings=TRAINED, **sizes)).eval()
        for parameter in made.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return made


@torch.inference_mode()
@pytest.mark.parametrize("factor", [1.5, 4.0])
def test_logits_are_those_of_a_model_that_was_configured_for_yarn(model, factor):
    config = copy.deepcopy(model.config)
    config.rope_parameters = {
        **config.rope_parameters,
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": TRAINED,
    }
    configured = LlamaForCausalLM(config).eval()
    configured.load_state_dict(model.state_dict())
    plain = model(IDS).logits
    with yarn(model, factor, TRAINED):
        stretched = model(IDS).logits
    assert torch.allclose(stretched, configured(IDS).logits, atol=1e-5)
    assert not torch.allclose(stretched, plain, atol=1e-2)
    with yarn(model, factor, 2 * TRAINED):
        assert not torch.allclose(model(IDS).logits, stretched, atol=1e-3)


@torch.inference_mode()
def test_positions_are_put_back_even_after_an_error(model):
    plain = model(IDS).logits
    with yarn(model, 4.0, TRAINED):
        pass
    assert torch.equal(model(IDS).logits, plain)
    with pytest.raises(RuntimeError), yarn(model, 4.0, TRAINED):
        raise RuntimeError
    assert torch.equal(model(IDS).logits, plain)


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
