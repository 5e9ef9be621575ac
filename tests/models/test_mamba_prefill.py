"""Prompts read tile by tile against the same models as transformers runs them: logits, caches, greedy answers."""

from __future__ import annotations

import copy
import inspect
from functools import partial
from pathlib import Path
from typing import Any

import mamba_pairs
import pytest
import torch
from mamba_pairs import FAMILIES, build, draw
from transformers import DynamicCache, MambaForCausalLM

from models import mamba_prefill
from models.cpu_mamba import attach

close = partial(mamba_pairs.close, tolerance=2e-6)
SIZES: dict[str, Any] = {"hidden_size": 24, "num_hidden_layers": 3}  # no multiple of sixteen
caches_agree = partial(mamba_pairs.caches_agree, tolerance=2e-6)


def pair(family: str = "mamba", **settings: Any) -> tuple[Any, Any]:
    """The model as transformers runs it and a copy with our forwards."""
    theirs = build(family, **{**SIZES, **settings})
    ours = copy.deepcopy(theirs)
    attach(ours)
    return theirs, ours


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Tiles of about eight tokens, and the shape of every one that is read."""
    seen: list[tuple[int, ...]] = []
    read = mamba_prefill.Layer.read

    def record(layer: Any, hidden: torch.Tensor, *arguments: Any, **options: Any) -> None:
        seen.append(tuple(hidden.shape))
        read(layer, hidden, *arguments, **options)

    monkeypatch.setattr(mamba_prefill, "TILE", 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(mamba_prefill.Layer, "read", record)
    return seen


def answer(model: Any, ids: torch.Tensor) -> list[int]:
    output, new = model(ids, use_cache=True, logits_to_keep=1), []
    while len(new) < 12:
        new.append(int(output.logits[0, -1].argmax()))
        step = torch.tensor([[new[-1]]])
        output = model(step, cache_params=output.cache_params, use_cache=True, logits_to_keep=1)
    return new


@torch.inference_mode()
@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (5, 4), (1, 8), (1, 40), (2, 13)])
@pytest.mark.parametrize("keep", [0, 1, 10])
def test_logits_and_cache_are_those_of_transformers(family, shape, keep, tiles):
    theirs, ours = pair(family)
    ids = draw(*shape)
    expected = theirs(ids, use_cache=True, logits_to_keep=keep)
    given = ours(ids, use_cache=True, logits_to_keep=keep)
    assert tiles
    assert close(given.logits, expected.logits)
    assert caches_agree(given.cache_params, expected.cache_params)
    assert type(given) is type(expected)
    assert ours(ids, use_cache=False).cache_params is None


@torch.inference_mode()
def test_short_rows_share_a_tile_and_long_ones_are_cut_evenly(tiles):
    _, ours = pair(num_hidden_layers=1)
    ours(draw(5, 3))
    ours(draw(2, 21))
    assert tiles == [(3, 3, 24), (2, 3, 24)] + [(1, 7, 24)] * 6


@torch.inference_mode()
@pytest.mark.parametrize(
    "settings",
    [
        {"use_conv_bias": False},
        {"use_bias": True},
        {"state_size": 16, "expand": 4},
        {"tie_word_embeddings": False},
    ],
)
def test_other_shapes_are_read_as_well(settings, tiles):
    theirs, ours = pair(**{"hidden_size": 32, **settings})
    ids = draw(2, 19)
    expected, given = theirs(ids, logits_to_keep=1), ours(ids, logits_to_keep=1)
    assert tiles
    assert close(given.logits, expected.logits)
    assert caches_agree(given.cache_params, expected.cache_params)


@torch.inference_mode()
def test_several_threads_give_what_one_gives(monkeypatch):
    _, ours = pair(hidden_size=64)
    ids = draw(2, 50)
    alone = ours(ids)
    monkeypatch.setattr(mamba_prefill, "workers_for", lambda tasks, updates: min(tasks, 3))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    together = ours(ids)
    assert torch.equal(together.logits, alone.logits) or close(together.logits, alone.logits, tolerance=1e-6)
    assert caches_agree(together.cache_params, alone.cache_params)


@torch.inference_mode()
@pytest.mark.parametrize("cuts", [(2,), (3, 5), (20,)])
def test_a_prompt_read_in_parts_equals_one_pass(cuts, tiles):
    _, ours = pair()
    ids = draw(2, 33)
    whole = ours(ids, use_cache=True)
    cache, parts = None, []
    for start, end in zip((0, *cuts), (*cuts, 33), strict=True):
        part = ours(ids[:, start:end], cache_params=cache, use_cache=True)
        cache, _ = part.cache_params, parts.append(part.logits)
    assert close(torch.cat(parts, 1), whole.logits)
    assert caches_agree(cache, whole.cache_params)


@torch.inference_mode()
@pytest.mark.parametrize("family", list(FAMILIES))
def test_greedy_answers_are_those_of_transformers(family, tiles):
    theirs, ours = pair(family)
    ids = draw(1, 30)
    assert answer(ours, ids) == answer(theirs, ids)
    assert len(tiles) == 3 * 4


@torch.inference_mode()
def test_the_embedded_reader_answers_as_without_us():
    theirs = MambaForCausalLM.from_pretrained(Path(mamba_prefill.__file__).parent / "tiny").eval()
    ours = copy.deepcopy(theirs)
    attach(ours)
    ids = torch.randint(3, theirs.config.vocab_size, (1, 700), generator=torch.Generator().manual_seed(0))
    assert close(ours(ids).logits, theirs(ids).logits)
    assert answer(ours, ids) == answer(theirs, ids)


def hook(model: Any) -> None:
    model.backbone.layers[1].mixer.in_proj.register_forward_hook(lambda *_: None)


def replace_mixer(model: Any) -> None:
    mixer = model.backbone.layers[1].mixer
    mixer.forward = lambda hidden_states, **_: hidden_states


@torch.inference_mode()
@pytest.mark.parametrize("change", [hook, replace_mixer, torch.nn.Module.double, torch.nn.Module.train])
def test_a_model_that_was_changed_runs_through_its_modules(change, tiles):
    _, ours = pair()
    ours.register_forward_hook(lambda *_: None)  # one around the whole model changes nothing inside
    ours(draw(1, 9))
    assert tiles
    tiles.clear()
    change(ours)
    ours(draw(1, 9))
    assert not tiles


@pytest.mark.parametrize(
    "options",
    [
        {"attention_mask": torch.ones(1, 9, dtype=torch.long)},
        {"output_hidden_states": True},
        {"return_dict": False},
        {"labels": draw(1, 9)},
        {"logits_to_keep": torch.tensor([2, 3])},
    ],
)
def test_other_requests_go_through_the_modules(options, tiles):
    theirs, ours = pair()
    ids = draw(1, 9)
    with torch.inference_mode():
        expected, given = theirs(ids, **options), ours(ids, **options)
        assert len(given) == len(expected)
        assert close(given[0], expected[0])
        assert not tiles
        ours(ids)
        assert tiles.pop()
        cache = DynamicCache(config=ours.config)
        for layer in cache.layers:
            layer.activate_past_recording()
        tiles.clear()
        ours(ids, cache_params=cache, use_cache=True)
    assert ours(ids).logits.requires_grad
    assert not tiles


def test_the_forward_keeps_its_signature_and_a_copy_its_own_weights():
    theirs, ours = pair()
    assert inspect.signature(ours.forward) == inspect.signature(theirs.forward)
    with torch.inference_mode():
        before = ours(draw(1, 5)).logits
        other = copy.deepcopy(ours)
        for weight in other.parameters():
            weight.data.zero_()
        assert torch.equal(ours(draw(1, 5)).logits, before)
        assert not other(draw(1, 5)).logits.any()
