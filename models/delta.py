"""The time steps of a Mamba on their way to the scan: a hook that reads, changes or gathers them while a prompt is
read.

All mixers of transformers 5.23 with a delta call one of two scans with the raw steps r, before bias and softplus:
delta = clamp(softplus(r + bias)). `intercepted` gives mixers transformers' own forward in which that call goes
through an `Edit`, and puts back what was there before. A step is changed by changing r, so every kernel does the
rest as ever: delta = 0 (decay 1, nothing written: the state skips the token) is r = -1e4. On a CPU the scans are
those of `models/selective_scan.py` and `models/cpu_mamba2.py`, elsewhere whatever transformers runs.

    python -m pytest tests/models/test_delta.py
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FunctionType, MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.cpu_mamba2 import SCAN as HEADS_SCAN
from models.cpu_mamba2 import rebound, with_fallback
from models.selective_scan import selective_scan
from models.specs import ReaderError

CHANNELS_SCAN = "mamba_selective_scan"
SKIP = -1e4  # softplus of it is zero, and half precision holds it
PURE = ("mamba", "falcon_mamba", "mamba2")  # families whose every layer is a mixer with a delta


def mixers(model: nn.Module) -> list[Any]:
    """The modules that scan with a delta, in the order of the layers. ReaderError if there is none."""
    found = [module for module in model.modules() if _scan_of(module)]
    if not found:
        kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
        raise ReaderError(
            f"a {kind} reader has no delta: expected Mamba, Falcon-Mamba, Mamba-2 or a hybrid of them"
        )
    return found


def has_heads(mixer: Any) -> bool:
    """Whether a step belongs to a head (Mamba-2) and not to a channel."""
    return _scan_of(mixer) == HEADS_SCAN


def rates(mixer: Any) -> Tensor:
    """A, negative and float32: [heads], or [channels, states] in Mamba-1."""
    return -torch.exp(mixer.A_log.detach().float())


@dataclass(frozen=True)
class ScanCall:
    """One call of a mixer's scan. `raw` is [batch, length, channels or heads], before bias and softplus; the
    tensors of `inputs` (x, B, C) are as transformers passes them, with time on axis `time`."""

    scan: Callable[..., Any]
    raw: Tensor
    inputs: tuple[Tensor, Tensor, Tensor]
    A: Tensor
    options: dict[str, Any]
    time: int

    def delta(self, first: int = 0, last: int | None = None) -> Tensor:
        """Delta of the positions `first` to `last`, float32 [batch, length, channels or heads]."""
        steps = F.softplus(self.raw[:, first:last].float() + self._bias())
        return steps.clamp(*self.options.get("dt_limit", (0.0, float("inf"))))

    def with_raw(self, raw: Tensor) -> ScanCall:
        """The call with other raw steps of the same shape. A kernel that lifts every delta to a floor (Zamba2,
        Nemotron-H) would lift a zero as well: there the floor goes into the other steps."""
        low, high = self.options.get("dt_limit", (0.0, float("inf")))
        if low == 0:
            return replace(self, raw=raw)
        floor = torch.log(torch.expm1(torch.tensor(low))).to(raw.device) - self._bias()
        lifted = torch.where(raw <= SKIP / 2, raw, torch.maximum(raw.float(), floor).to(raw.dtype))
        return replace(self, raw=lifted, options=self.options | {"dt_limit": (0.0, high)})

    def with_delta(self, delta: Tensor) -> ScanCall:
        """The call with other steps, float32 [batch, length, channels or heads], none negative."""
        raw = delta + torch.log(-torch.expm1(-delta)) - self._bias()  # the inverse of softplus
        options = {name: value for name, value in self.options.items() if name != "dt_limit"}
        call = replace(self, options=options)
        return replace(call, raw=raw.clamp(min=SKIP).to(self.raw.dtype))

    def at(self, positions: Tensor) -> ScanCall:
        """The call for some positions only, [batch, kept], with the steps that they have."""
        z = self.options.get("z")
        options = self.options if z is None else self.options | {"z": take(z, positions, self.time)}
        x, B, C = (take(tensor, positions, self.time) for tensor in self.inputs)
        return replace(self, raw=take(self.raw, positions, 1), inputs=(x, B, C), options=options)

    def run(self) -> Any:
        """What the mixer expects of its scan: y, or y and the last state."""
        x, B, C = self.inputs
        return self.scan(x, self.raw.movedim(1, self.time), self.A, B, C, **self.options)

    def _bias(self) -> Tensor:
        bias = self.options.get("delta_bias", self.options.get("dt_bias"))
        return torch.zeros(()) if bias is None else bias.float()


Edit = Callable[[ScanCall], Any]
"""Takes a call and returns what the scan would: `call.run()` changes nothing."""


@contextmanager
def intercepted(edits: Sequence[tuple[Any, Edit]]) -> Iterator[None]:
    """The scans of the named mixers go through their edits inside the block. A mixer's forward is put back as it
    was, swapped or not, even after an error."""
    before = [(mixer, vars(mixer).get("forward")) for mixer, _ in edits]
    try:
        for mixer, edit in edits:
            mixer.forward = MethodType(_edited(mixer, edit), mixer)
        yield
    finally:
        for mixer, forward in before:
            if forward is not None:
                mixer.forward = forward
            elif "forward" in vars(mixer):
                del mixer.forward


def take(tensor: Tensor, positions: Tensor, time: int) -> Tensor:
    """The positions [batch, kept] of a tensor whose first axis is the batch and whose axis `time` is time."""
    return tensor.gather(time, _spread(positions, tensor, time))


def put(tensor: Tensor, positions: Tensor, time: int, length: int) -> Tensor:
    """The inverse of `take`: zeros of `length` with the tensor's values at the positions."""
    shape = [*tensor.shape[:time], length, *tensor.shape[time + 1 :]]
    return tensor.new_zeros(shape).scatter(time, _spread(positions, tensor, time), tensor)


def _spread(positions: Tensor, tensor: Tensor, time: int) -> Tensor:
    shape = [1] * tensor.dim()
    shape[0], shape[time] = positions.shape
    size = [*tensor.shape[:time], positions.shape[1], *tensor.shape[time + 1 :]]
    return positions.view(shape).expand(size)


def _scan_of(module: nn.Module) -> str | None:
    code = getattr(inspect.unwrap(type(module).forward), "__code__", None)
    names = code.co_names if code and hasattr(module, "A_log") else ()
    return next((name for name in (CHANNELS_SCAN, HEADS_SCAN) if name in names), None)


def _edited(mixer: Any, edit: Edit) -> FunctionType:
    """transformers' own forward of the mixer, which finds `edit` where it looks for its scan."""
    own: Any = inspect.unwrap(type(mixer).forward)
    name = _scan_of(mixer)
    assert name is not None
    theirs = own.__globals__[name]
    scan, time = (with_fallback(theirs), 1) if name == HEADS_SCAN else (_with_cpu_scan(theirs), 2)

    def call(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, **options: Any) -> Any:
        return edit(ScanCall(scan, dt.movedim(time, 1), (x, B, C), A, options, time))

    return rebound(own, name, call)


def _with_cpu_scan(theirs: Any) -> Any:
    """Our scan of Mamba-1 on a CPU, and `theirs` elsewhere."""

    def scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, **options: Any) -> Any:
        known = {"D", "z", "delta_bias", "delta_softplus"}
        complete = all(options.get(name) is not None for name in known)
        if x.device.type != "cpu" or not complete or not options["delta_softplus"]:
            return theirs(x, dt, A, B, C, **options)
        x, dt, B, C, z = (tensor.transpose(1, 2) for tensor in (x, dt, B, C, options["z"]))
        y, last = selective_scan(x, dt, A, B, C, options["D"], z, options["delta_bias"])
        y = y.transpose(1, 2)
        return (y, last) if options.get("return_last_state") else y

    return scan
