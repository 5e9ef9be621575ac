"""The forward calls that are watched, and the products that the floor times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch

from models import floor
from models.engine import Engine

Rows = Callable[[int, int], list[list[int]]]


def test_forward_calls_are_counted_by_shape_and_timed(reader: Callable[..., Engine], rows: Rows) -> None:
    engine = reader()
    drained: list[None] = []
    with floor.watch_forwards(engine.model, lambda: drained.append(None)) as calls, engine.meter() as cost:
        engine.generate(rows(1, 9)[0], 3)
        engine.prefill(rows(4, 9))
    engine.prefill(rows(2, 9))
    assert calls.shapes == Counter({(1, 9): 1, (1, 1): 2, (4, 36): 1})
    assert 0 < calls.seconds < cost.seconds["total"]
    assert len(drained) == 8


def test_rows_of_several_lengths_count_their_own_tokens(rows: Rows) -> None:
    engine = Engine.load("tiny", device="cpu")
    with floor.watch_forwards(engine.model, lambda: None) as calls:
        engine.prefill([rows(1, 9)[0], rows(1, 5)[0]])
    assert calls.shapes == Counter({(2, 14): 1})


def test_the_floor_multiplies_every_linear_layer_by_every_token_and_the_head_by_the_last(
    reader: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = reader("Mamba").model
    products: list[tuple[int, int]] = []

    def linear(tokens: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        products.append((len(tokens), weight.numel()))

    monkeypatch.setattr(torch.nn.functional, "linear", linear)
    monkeypatch.setattr(floor, "REPEATS", 1)
    floor.floor_seconds(model, Counter({(3, 15): 2}), lambda: None)
    head = model.get_output_embeddings().weight.numel()
    wanted = [(15, p.numel()) for n, p in model.named_parameters() if n.endswith("proj.weight")]
    assert sorted(products) == sorted([*wanted, (3, head)])


def test_the_best_of_several_products_counts(
    reader: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter([0.0, 5.0, 0.0, 2.0, 0.0, 3.0])
    monkeypatch.setattr(floor.time, "perf_counter", lambda: next(ticks))
    head = reader().model.get_output_embeddings()
    assert floor._product_seconds([head], 4, lambda: None) == 2.0


def test_a_call_beyond_the_piece_is_timed_on_the_piece_and_scaled(
    reader: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[int] = []

    def seconds(layers: list[object], tokens: int, _: object) -> float:
        timed.append(tokens)
        return 1.0

    monkeypatch.setattr(floor, "PIECE", 10)
    monkeypatch.setattr(floor, "_product_seconds", seconds)
    assert floor.floor_seconds(reader().model, Counter({(1, 25): 1, (2, 8): 3}), lambda: None) == 3.5 + 3 * 2
    assert timed == [10, 1, 8, 2]


def test_the_floor_runs_the_products_as_the_reader_does(reader: Callable[..., Engine]) -> None:
    head, called = reader().model.get_output_embeddings(), list[int]()
    head.forward = lambda states: called.append(len(states))
    try:
        floor._product_seconds([head], 3, lambda: None)
    finally:
        del head.forward
    assert called == [3] * floor.REPEATS
