"""The product of a tile with a weight against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from models.tile_product import COLUMNS, DEPTH, PANEL, ROWS, SPARE, product
from models.vector_math import LANES

RANDOM = np.random.default_rng(0)
NOTHING = np.empty(0, np.float32)


def draw(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def multiply(
    tokens: int, inputs: int, outputs: int, *, bias: bool = False, add: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The product and what it should be; memory that is not the product's stays as it was."""
    rows, columns = tokens + SPARE, outputs + -outputs % LANES
    x, weight = draw(rows, inputs), draw(outputs, inputs)
    y, shift = draw(rows + 1, columns + LANES), draw(outputs) if bias else NOTHING
    exact = x[:tokens].astype(np.float64) @ weight.T.astype(np.float64)
    exact += shift if bias else 0.0
    exact += y[:tokens, :outputs] if add else 0.0
    written = tokens + -tokens % ROWS
    beside, below = y[:rows, columns:].copy(), y[written:].copy()
    panel = np.full((PANEL, LANES), np.nan, np.float32)
    product(x, weight, shift, y, panel, tokens, add)
    assert np.array_equal(y[:rows, columns:], beside)
    assert np.array_equal(y[written:], below)
    packed = min(COLUMNS, columns // LANES) * min(DEPTH, inputs)  # more would be read from beyond the weight
    assert np.isnan(panel[packed:]).all()
    return y[:tokens, :outputs], exact


def close(value: np.ndarray, exact: np.ndarray) -> bool:
    return bool(np.abs(value - exact).max() <= 1e-6 * np.abs(exact).max())


@pytest.mark.parametrize("tokens", [1, 2, 5, 6, 7, 12, 31])
@pytest.mark.parametrize("outputs", [1, 15, 16, 17, 40, 48, 64, 70, 128])
def test_any_number_of_tokens_and_outputs(tokens, outputs):
    assert close(*multiply(tokens, 48, outputs))


@pytest.mark.parametrize(
    "inputs", [1, 3, 8, 16, 24, 100, DEPTH - 1, DEPTH, DEPTH + 1, DEPTH + 16, 2 * DEPTH + 9]
)
@pytest.mark.parametrize("outputs", [24, 96])
def test_any_number_of_inputs(inputs, outputs):
    assert close(*multiply(13, inputs, outputs))


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_bias_and_what_is_there_are_added(bias, add):
    assert close(*multiply(8, DEPTH + 8, 40, bias=bias, add=add))
