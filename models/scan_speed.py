"""How fast `models/selective_scan.py` is, with its backward pass, beside transformers' own fallback on a CPU.

python -m models.scan_speed             microseconds a token and layer, the best of several runs
python -m pytest tests/models/test_scan_speed.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from transformers.models.mamba.modeling_mamba import mamba_selective_scan

from comparison.command_line import Parser
from models.selective_scan import causal_conv_silu, selective_scan

LENGTH, CHANNELS, STATE = 275, 256, 16  # tokens of a sequence; channels and state of the embedded model


def draw(batch: int) -> tuple[list[Tensor], Tensor]:
    """The arguments of `selective_scan`, and a gradient of its output."""
    random = torch.Generator().manual_seed(0)
    wide = torch.randn(batch, LENGTH, 4 * CHANNELS + 2 * STATE, generator=random)
    x, z, dt, dy, B, C = wide.split([CHANNELS] * 4 + [STATE] * 2, dim=-1)
    rates = -torch.rand(CHANNELS, STATE, generator=random)
    inputs = [x, dt, rates, B, C, torch.ones(CHANNELS), z, torch.zeros(CHANNELS)]
    return [v.requires_grad_() for v in inputs], dy


def scan(*inputs: Tensor) -> Tensor:
    return selective_scan(*inputs)[0]


def convolution(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, *_: Tensor) -> Tensor:
    return causal_conv_silu(x, A[:, :4], D)[0]


def fallback(x, dt, A, B, C, D, z, dt_bias) -> Tensor:
    x, dt, B, C, z = (v.transpose(1, 2) for v in (x, dt, B, C, z))
    return mamba_selective_scan(x, dt, A, B, C, D, z, dt_bias, delta_softplus=True).transpose(1, 2)


def train(forward: Callable[..., Tensor], inputs: Sequence[Tensor], dy: Tensor) -> None:
    forward(*inputs).backward(dy)


def microseconds(work: Callable[[], object], tokens: int, repeats: int) -> float:
    """Of a token, in the best run."""
    seconds = []
    for _ in range(repeats + 1):  # the first run compiles
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:]) / tokens * 1e6


def main(arguments: Sequence[str] | None = None) -> None:
    about = "Microseconds a token and layer of the scan beside transformers' own fallback, on this CPU."
    Parser(prog="python -m models.scan_speed", description=about).parse_args(arguments)
    print(f"{CHANNELS} channels, state {STATE}, {torch.get_num_threads()} threads; us a token and layer")
    print(f"{'':22} {'tokens':9} {'forward':>8} {'and backward':>13}")
    # The fallback's backward is quadratic in length and slow enough for one sequence, once.
    for name, function, batch, repeats in (
        ("selective scan", scan, 16, 20),
        ("transformers' fallback", fallback, 16, 2),
        ("selective scan", scan, 1, 20),
        ("transformers' fallback", fallback, 1, 1),
        ("convolution and SiLU", convolution, 16, 20),
    ):
        inputs, dy = draw(batch)
        tokens = batch * LENGTH
        with torch.no_grad():
            forward = microseconds(partial(function, *inputs), tokens, repeats)
        line = f"{name:22} {batch:2} x {LENGTH:4} {forward:8.2f}"
        if function is not fallback or batch == 1:
            line += f"{microseconds(partial(train, function, inputs, dy), tokens, repeats):13.2f}"
        print(line)


if __name__ == "__main__":
    main()
