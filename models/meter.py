"""What a method costs: seconds by phase, tokens, forward calls and peak memory, for every method alike.

Torch-free: the engine hands in how its device drains its queue and reads its peak (a `Gauge`), so that
records and reports read a `Cost` without importing torch. Exercised by ``pytest
tests/models/test_meter.py``.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CLEAR_REFS = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


@dataclass
class Cost:
    """The cost of one answer.

    `seconds` is wall time by phase ("prefill", "decode", "score" and whatever a method names) and "total";
    `prompt_tokens` counts every token read, as often as it is read; `new_tokens` every token decoded;
    `calls` the forward calls of the reader; `encoder_tokens` what a ranker's own encoder read; `peak_bytes`
    the highest memory (allocated on CUDA, resident on a CPU, what was there before included); `halvings`
    how often memory ran out and the micro-batch was halved.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    prompt_tokens: int = 0
    new_tokens: int = 0
    calls: int = 0
    encoder_tokens: int = 0
    peak_bytes: int = 0
    halvings: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values, seconds to the microsecond."""
        return asdict(self) | {"seconds": {phase: round(spent, 6) for phase, spent in self.seconds.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Cost:
        """The inverse of `to_json`; a field that an older record lacks keeps its default, an unknown one is
        an error."""
        return cls(**{**values, "seconds": dict(values.get("seconds", {}))})


@dataclass(frozen=True)
class Gauge:
    """How a device's memory peak is set back and read, in bytes, and how its queue is drained before the
    clock is."""

    reset: Callable[[], None]
    peak: Callable[[], int]
    synchronize: Callable[[], None]


def resident_gauge() -> Gauge:
    """The process's own peak of resident memory: the kernel's high-water mark, set back where that is allowed
    (Linux), and otherwise the highest since the process started."""
    try:
        _reset_high_water()
        _high_water()
    except (OSError, StopIteration):
        return Gauge(_nothing, _highest_ever, _nothing)
    return Gauge(_reset_high_water, _high_water, _nothing)


def _nothing() -> None:
    pass


def _reset_high_water() -> None:
    CLEAR_REFS.write_text("5")  # 5 sets VmHWM back to the present resident size; see proc(5)


def _high_water() -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _highest_ever() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, kibibytes elsewhere


class Meter:
    """Adds up a `Cost` while it runs; outside of a run its counts go to a `Cost` that nobody reads."""

    def __init__(self, gauge: Gauge) -> None:
        self.gauge = gauge
        self.cost = Cost()
        self._running = False
        self._in_phase = False

    @contextmanager
    def run(self) -> Iterator[Cost]:
        """Yields the cost, complete ("total", peak) when the block ends, with or without an error.

        RuntimeError inside another run: the device has one peak counter."""
        if self._running:
            raise RuntimeError(
                "a meter is already running on this engine: leave its block before starting another"
            )
        self._running = True
        try:  # Ctrl-C may come at any call, and leaves a meter that can run again
            self.cost, self._in_phase = Cost(), False
            self.gauge.synchronize()
            self.gauge.reset()
            started = time.perf_counter()
            try:
                yield self.cost
            finally:
                self.gauge.synchronize()
                self.cost.seconds["total"] = time.perf_counter() - started
                self.cost.peak_bytes = self.gauge.peak()
        finally:
            self._running = False
            self.cost = Cost()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the block's wall seconds to the phase `name`. The outermost phase owns the time: a ranker
        that scores inside "retrieve" costs retrieval, and the phases never add up to more than the total."""
        if self._in_phase:
            yield
            return
        self._in_phase = True
        self.gauge.synchronize()
        started = time.perf_counter()
        try:
            yield
        finally:
            self.gauge.synchronize()
            seconds = self.cost.seconds
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
            self._in_phase = False
