"""Prompts read tile by tile against the same models as transformers runs them: logits, caches, greedy answers."""

from __future__ import annotations

import copy
import inspect
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

import mamba_pairs
import pytest
import torch
from mamba_pairs import FAMILIES, build, draw, read_in_parts
from transformers import DynamicCache, MambaForCausalLM

from models import mamba_prefill
from models.cache import select_row
from models.cpu_mamba import attach, mixes_lengths

close = partial(mamba_pairs.close, tolerance=2e-6)
SIZES: dict[str, Any] = {"hidden_size": 24, "num_hidden_layers": 3}  # no multiple of sixteen
caches_agree = partial(mamba_pairs.caches_agree, tolerance=2e-6)


def pair(family: str = "mamba", **settings: Any) -> tuple[Any, Any]:
    """The model as transformers runs it and a copy with our forwards."""
    theirs = build(family, **{**SIZES, **settings})
    ours = copy.deepcopy(theirs)
    attach(ours)
    return theirs, ours


@torch.inference_mode()
@pytest.mark.parametrize("words", [False, True])
def test_what_the_kernel_works_in_begins_with_a_line_of_the_cache(words, monkeypatch):
    """Products that load and store across lines take up to twice the time."""
    places: list[int] = []
    read = mamba_prefill.Layer.read

    def record(layer: Any, hidden: Any, tile: Any, memory: Any, **options: Any) -> None:
        places.extend(
            (hidden.ctypes.data, memory.ctypes.data, hidden.strides[0], memory.strides[0] * len(memory))
        )
        read(layer, hidden, tile, memory, **options)

    monkeypatch.setattr(mamba_prefill.Layer, "read", record)
    _, ours = pair(time_step_rank=4)
    (ours.bfloat16() if words else ours)(draw(3, 301))
    assert places
    assert all(place % 64 == 0 for place in places)


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Tiles of about eight tokens, one after the other, and the sequences and steps of every one that is read."""
    seen: list[tuple[int, int]] = []
    read = mamba_prefill.Layer.read

    def record(layer: Any, hidden: Any, tile: Any, *arguments: Any, **options: Any) -> None:
        seen.append((tile.rows.stop - tile.rows.start, tile.steps))
        read(layer, hidden, tile, *arguments, **options)

    monkeypatch.setattr(mamba_prefill, "TILE", 8)
    monkeypatch.setattr(mamba_prefill, "LEAST", 6)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(mamba_prefill.Layer, "read", record)
    return seen


def answer(model: Any, ids: torch.Tensor) -> list[int]:
    output, new = model(ids, use_cache=True, logits_to_keep=1), list[int]()
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
    assert tiles == [(2, 3), (2, 3), (1, 3)] + [(1, 6)] * 4 + [(1, 9)] * 2


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
def test_the_last_layer_goes_on_from_the_scan_only_where_logits_are_wanted(monkeypatch):
    _, ours = pair()
    wanted: dict[int, list[int]] = {}
    read = mamba_prefill.Layer.read

    def record(layer: Any, hidden: Any, tile: Any, *arguments: Any, **options: Any) -> None:
        wanted.setdefault(tile.start, []).append(options["wanted"])
        read(layer, hidden, tile, *arguments, **options)

    monkeypatch.setattr(mamba_prefill, "TILE", 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(mamba_prefill.Layer, "read", record)
    ours(draw(1, 21), logits_to_keep=11)
    assert wanted == {0: [6, 6, 0], 6: [6, 6, 2], 12: [9, 9, 9]}  # of every tile, layer after layer


@torch.inference_mode()
@pytest.mark.parametrize("shape", [(1, 100), (2, 50), (7, 20), (3, 1)])
@pytest.mark.parametrize("threads", [2, 3])
def test_several_threads_give_what_one_gives(shape, threads, tiles, monkeypatch):
    _, ours = pair()
    ids = draw(*shape)
    alone = ours(ids, use_cache=True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    together = ours(ids, use_cache=True)
    assert close(together.logits, alone.logits)
    assert caches_agree(together.cache_params, alone.cache_params)


@torch.inference_mode()
@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("lengths", [(9, 21), (30, 7, 7, 2), (5, 6, 7, 8, 9), (1, 40)])
def test_rows_of_several_lengths_are_read_as_each_alone(lengths, threads, family, tiles, monkeypatch):
    _, ours = pair(family)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    ids = draw(len(lengths), max(lengths))
    keep = min(2, *lengths)
    together = ours(ids, use_cache=True, logits_to_keep=keep, lengths=lengths)
    for row, length in enumerate(lengths):
        alone = ours(ids[row : row + 1, :length], use_cache=True, logits_to_keep=keep)
        assert close(together.logits[row : row + 1], alone.logits)
        assert caches_agree(select_row(together.cache_params, row, ids.device), alone.cache_params)


@torch.inference_mode()
def test_only_a_model_as_it_was_loaded_mixes_lengths():
    theirs, ours = pair()
    assert mixes_lengths(ours)
    assert not mixes_lengths(theirs)
    hook(ours)
    assert not mixes_lengths(ours)
    with pytest.raises(ValueError, match="one length"):
        ours(draw(2, 9), lengths=[9, 4])


@torch.inference_mode()
def test_a_fresh_cache_is_filled_as_transformers_fills_it_and_torn_from_two_blocks():
    theirs, ours = pair()
    ids = draw(2, 9)
    expected = theirs(ids, use_cache=True).cache_params.layers
    given = ours(ids, use_cache=True).cache_params.layers
    for layer, other in zip(given, expected, strict=True):
        assert vars(layer).keys() == vars(other).keys()
        for name, value in vars(layer).items():
            if name not in ("conv_states", "recurrent_states"):
                assert value == getattr(other, name), name
    for name in ("conv_states", "recurrent_states"):
        blocks = {getattr(layer, name)[0].untyped_storage().data_ptr() for layer in given}
        assert len(blocks) == 1


@torch.inference_mode()
def test_reading_many_tiles_leaves_nothing_behind(tiles):
    _, ours = pair()
    ids = draw(1, 200)
    ours(ids)
    tracemalloc.start()
    try:
        ours(ids)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5):
            ours(ids)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(tiles) == 7 * 3 * 25
    assert after - before < 60_000  # the notes of 525 tiles, and not 200 bytes more for each


@pytest.mark.parametrize(
    ("lengths", "layers", "threads", "steps"),
    [
        ([23], 3, 2, [23]),
        ([100], 3, 2, [48, 52]),
        ([512], 3, 2, [60, 66, 66, 60, 66, 66, 60, 68]),
        ([512], 24, 2, [252, 260]),
        ([512], 24, 1, [252, 260]),
        ([100], 24, 64, [24, 24, 24, 28]),
        ([500] * 2, 24, 4, [246, 246, 254, 254]),
        ([500] * 4, 24, 4, [246] * 4 + [254] * 4),
        ([200] * 3, 3, 2, [200, 200, 48, 48, 54, 50]),  # the one left over is cut for both
        ([500, 250], 24, 2, [246, 250, 254]),
    ],
)
def test_sequences_are_cut_for_all_threads_and_no_smaller_than_they_must_be(lengths, layers, threads, steps):
    assert [tile.steps for tile in mamba_prefill.cut(lengths, layers, threads, 6)] == steps


@pytest.mark.parametrize(
    ("lengths", "threads", "steps"),
    [([512], 2, [256, 256]), ([80], 4, [32, 48]), ([60], 2, [60]), ([250, 500], 2, [250, 224, 276])],
)
def test_tiles_that_go_on_are_a_multiple_of_what_a_product_takes_at_a_time(lengths, threads, steps):
    assert [tile.steps for tile in mamba_prefill.cut(lengths, 24, threads, 32)] == steps


@torch.inference_mode()
def test_a_model_is_cut_by_what_its_products_take_at_a_time(tiles, monkeypatch):
    asked: list[bool] = []
    monkeypatch.setattr(mamba_prefill, "rows_at_once", lambda words: asked.append(words) or 16)
    _, ours = pair(time_step_rank=4)
    ours(draw(1, 50))
    ours.bfloat16()(draw(1, 50))
    assert asked == [False, True]
    assert {steps for _, steps in tiles} == {16, 18}


def test_more_low_rank_numbers_than_channels_are_left_to_the_modules():
    config = build("mamba", hidden_size=16, time_step_rank=32).config
    assert mamba_prefill.fits(config, torch.float32)
    config.time_step_rank = 34
    assert not mamba_prefill.fits(config, torch.float32)


@pytest.mark.parametrize("multiple", [1, 6, 32])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_tiles_of_a_sequence_follow_each_other_and_cover_it(threads, multiple):
    lengths = [700, 20, 20, 20, 300, 512, 1]
    tiles = mamba_prefill.cut(lengths, 3, threads, multiple)
    assert min(tile.steps for tile in tiles) > 0
    for row, length in enumerate(lengths):
        own = [place for place, tile in enumerate(tiles) if tile.rows.start <= row < tile.rows.stop]
        assert [tiles[place].before for place in own] == [-1, *own[:-1]]
        assert [tiles[place].start for place in own] == [0, *(tiles[place].end for place in own[:-1])]
        assert {tiles[place].length for place in own} == {tiles[own[-1]].end} == {length}


def test_sequences_that_are_short_share_a_tile_and_leave_none_to_one_thread():
    shared = [tile.rows.stop - tile.rows.start for tile in mamba_prefill.cut([20] * 40, 24, 2, 6)]
    assert shared == [12, 12, 12, 4]
    assert [tile.tokens for tile in mamba_prefill.cut([20] * 6, 24, 2, 6)] == [60, 60]
    assert [tile.tokens for tile in mamba_prefill.cut([1] * 3, 24, 2, 6)] == [3]


@torch.inference_mode()
@pytest.mark.parametrize("cuts", [(2,), (3, 5), (20,)])
def test_a_prompt_read_in_parts_equals_one_pass(cuts, tiles):
    _, ours = pair()
    ids = draw(2, 33)
    whole = ours(ids, use_cache=True)
    logits, cache = read_in_parts(ours, ids, cuts)
    assert close(logits, whole.logits)
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
    # either is 6e-5 from float64, and how far they are apart differs with the processor's products
    assert mamba_pairs.close(ours(ids).logits, theirs(ids).logits, tolerance=1e-5)
    assert answer(ours, ids) == answer(theirs, ids)


def hook(model: Any) -> None:
    model.backbone.layers[1].mixer.in_proj.register_forward_hook(lambda *_: None)


def hook_the_embeddings(model: Any) -> None:
    model.backbone.embeddings.register_forward_hook(lambda *_: None)


def replace_mixer(model: Any) -> None:
    mixer = model.backbone.layers[1].mixer
    mixer.forward = lambda hidden_states, **_: hidden_states


@torch.inference_mode()
@pytest.mark.parametrize(
    "change", [hook, hook_the_embeddings, replace_mixer, torch.nn.Module.double, torch.nn.Module.train]
)
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
