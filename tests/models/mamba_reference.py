"""Mamba, Falcon-Mamba and Mamba-2 written down once more, one position after the other, in float64: what the hooks
of `models/delta.py` are proved against. Whole sequences only, no cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class Steps:
    """What a layer hands to its scan: x [length, heads, width], delta [length, heads], B, C [length, heads, n], A
    [heads, n], the gate [length, channels]; a channel of Mamba-1 is a head of width 1."""

    x: Tensor
    delta: Tensor
    B: Tensor
    C: Tensor
    A: Tensor
    gate: Tensor

    def at(self, keep: Tensor) -> Steps:
        return Steps(self.x[keep], self.delta[keep], self.B[keep], self.C[keep], self.A, self.gate[keep])


Change = Callable[[int, Steps], tuple[Steps, Tensor]]
"""(layer, its steps) to the steps that are scanned and the positions that are left behind the layer."""


def unchanged(layer: int, steps: Steps) -> tuple[Steps, Tensor]:
    return steps, torch.arange(len(steps.x))


@torch.inference_mode()
def logits(model: Any, ids: list[int], change: Change = unchanged) -> Tensor:
    """Of all positions that are left, [kept, vocabulary]."""
    weights = {name: value.double() for name, value in model.state_dict().items()}
    hidden = weights["backbone.embeddings.weight"][torch.tensor(ids)]
    epsilon = model.config.layer_norm_epsilon
    for layer, block in enumerate(model.backbone.layers):
        own, mixer = (
            under(weights, f"backbone.layers.{layer}."),
            under(weights, f"backbone.layers.{layer}.mixer."),
        )
        normed = rms(hidden, epsilon) * own["norm.weight"]
        read = heads if "dt_bias" in mixer else channels
        steps, keep = change(layer, read(block.mixer, mixer, normed))
        hidden = hidden[keep] + close(mixer, steps, scan(steps, mixer["D"]), block.mixer, epsilon)
    return rms(hidden, epsilon) * weights["backbone.norm_f.weight"] @ weights["lm_head.weight"].t()


def under(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def rms(x: Tensor, epsilon: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt()


def convolve(x: Tensor, mixer: dict[str, Tensor]) -> Tensor:
    weight = mixer["conv1d.weight"].squeeze(1)
    padded = F.pad(x, (0, 0, weight.shape[1] - 1, 0))
    y = sum(padded[i : i + len(x)] * weight[:, i] for i in range(weight.shape[1]))
    return F.silu(y + mixer["conv1d.bias"])


def channels(module: Any, mixer: dict[str, Tensor], normed: Tensor) -> Steps:
    x, gate = (normed @ mixer["in_proj.weight"].t()).chunk(2, -1)
    x = convolve(x, mixer)
    n = module.ssm_state_size
    low, B, C = (x @ mixer["x_proj.weight"].t()).split([module.time_step_rank, n, n], -1)
    if hasattr(module, "rms_eps"):
        low, B, C = (rms(part, module.rms_eps) for part in (low, B, C))
    delta = F.softplus(low @ mixer["dt_proj.weight"].t() + mixer["dt_proj.bias"])
    heads = x.shape[1]
    B, C = (part[:, None].expand(-1, heads, -1) for part in (B, C))
    return Steps(x[..., None], delta, B, C, -mixer["A_log"].exp(), gate)


def heads(module: Any, mixer: dict[str, Tensor], normed: Tensor) -> Steps:
    sizes = [module.intermediate_size, module.conv_dim, module.num_heads]
    gate, x, dt = (normed @ mixer["in_proj.weight"].t()).split(sizes, -1)
    states = module.n_groups * module.ssm_state_size
    x, B, C = convolve(x, mixer).split([module.intermediate_size, states, states], -1)
    each = module.num_heads // module.n_groups
    B, C = (part.view(len(x), module.n_groups, -1).repeat_interleave(each, 1) for part in (B, C))
    delta = F.softplus(dt + mixer["dt_bias"])
    return Steps(x.view(len(x), module.num_heads, -1), delta, B, C, -mixer["A_log"].exp()[:, None], gate)


def scan(steps: Steps, D: Tensor) -> Tensor:
    """y [length, channels]: h_t = exp(delta_t A) h_{t-1} + delta_t x_t B_t, y_t = C_t h_t + D x_t."""
    h, outputs = torch.zeros(*steps.x.shape[1:], steps.B.shape[-1], dtype=torch.float64), []
    for x, delta, B, C in zip(steps.x, steps.delta, steps.B, steps.C, strict=True):
        decay = (delta[:, None] * steps.A).exp()[:, None]
        h = decay * h + (delta[:, None] * x)[..., None] * B[:, None]
        outputs.append((h * C[:, None]).sum(-1) + D[:, None] * x)
    return torch.stack(outputs).flatten(1)


def close(mixer: dict[str, Tensor], steps: Steps, y: Tensor, module: Any, epsilon: float) -> Tensor:
    y = y * F.silu(steps.gate)
    if "norm.weight" in mixer:
        groups = y.view(len(y), module.n_groups, -1)
        y = rms(groups, epsilon).flatten(1) * mixer["norm.weight"]
    return y @ mixer["out_proj.weight"].t()
