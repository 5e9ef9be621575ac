"""States of every family: what can be cut, that a cut row is its own, that a copy is safe to decode from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from families import FAMILIES, READ_AGAIN, read, table
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from models.cache import can_select, copy_state, obstacle, select_row, start_state, state_argument

CPU = torch.device("cpu")
Models = Callable[[str], PreTrainedModel]
Rows = Callable[[int, int], list[list[int]]]


def tensors(state: DynamicCache) -> Iterator[torch.Tensor]:
    for layer in state.layers:
        kept: dict[str, Any] = vars(layer)
        for value in [*kept.values(), *kept.get("conv_states", {}).values()]:
            if isinstance(value, torch.Tensor) and value.ndim > 1:
                yield value
        for value in kept.get("recurrent_states", {}).values():
            if value is not None:
                yield value


def test_every_family_is_cut_or_read_again_as_the_readme_says() -> None:
    ways = {line.split("|")[1].strip(): "read again" in line for line in table().splitlines()[2:]}
    assert ways == {family: family in READ_AGAIN for family in FAMILIES}
    readme = Path(__file__).parents[2] / "README.md"
    assert table() in readme.read_text(encoding="utf-8"), "put what families.py prints into the README"


def test_a_cut_row_equals_the_row_read_alone(cut_family: str, random_model: Models, rows: Rows) -> None:
    batch = rows(3, 11)
    cut = select_row(read(random_model(cut_family), batch), 1, CPU)
    alone = read(random_model(cut_family), batch[1:2])
    pairs = list(zip(tensors(cut), tensors(alone), strict=True))
    assert pairs
    for mine, wanted in pairs:
        torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=0)


def test_a_cut_row_keeps_nothing_of_the_batch_alive_and_leaves_it_as_it_was(
    cut_family: str, random_model: Models, rows: Rows
) -> None:
    state = read(random_model(cut_family), rows(3, 11))
    before = [tensor.clone() for tensor in tensors(state)]
    cut = select_row(state, 2, CPU)
    for mine, whole in zip(tensors(cut), tensors(state), strict=True):
        assert mine.shape[0] == 1
        assert whole.shape[0] == 3
        assert mine.untyped_storage().nbytes() == mine.numel() * mine.element_size()
    for tensor, was in zip(tensors(state), before, strict=True):
        torch.testing.assert_close(tensor, was, atol=0, rtol=0)


def test_decoding_from_a_copy_leaves_the_original_as_it_was(
    cut_family: str, random_model: Models, rows: Rows
) -> None:
    state = read(random_model(cut_family), rows(1, 11))
    before = [tensor.clone() for tensor in tensors(state)]
    own = copy_state(state)
    model = random_model(cut_family)
    with torch.inference_mode():
        model(input_ids=torch.tensor([[7]]), use_cache=True, **{state_argument(model): own})
    changed = [not torch.equal(mine, was) for mine, was in zip(tensors(own), before, strict=True)]
    assert any(changed)
    for tensor, was in zip(tensors(state), before, strict=True):
        torch.testing.assert_close(tensor, was, atol=0, rtol=0)


def test_a_state_on_modules_is_not_cut_though_its_cache_could_be(random_model: Models) -> None:
    model = random_model("RecurrentGemma")
    assert obstacle(model, start_state(model)) == "keeps its state on its modules"


def test_a_list_or_no_state_is_not_cut(random_model: Models, rows: Rows) -> None:
    model = random_model("Rwkv")
    assert obstacle(model, read(model, rows(2, 5))) == "returns a list of its own"
    assert not can_select(model, None)


def test_a_layer_or_a_cache_of_unknown_make_is_not_cut(random_model: Models) -> None:
    class Compressed(DynamicLayer):
        pass

    class Cache(DynamicCache):
        pass

    state = DynamicCache()
    state.layers = [DynamicLayer()]
    assert can_select(random_model("Llama"), state)
    state.layers = [Compressed()]
    assert obstacle(random_model("Llama"), state) == "keeps layers of its own (Compressed)"
    assert not can_select(random_model("Llama"), Cache())
