"""Examples that are generated when they are asked for, so that a plan or a ``--limit`` costs only what it reads.

A text of 128k tokens takes a good part of a second to make, and a grid has hundreds; what a plan needs to know of
an example (id, bucket, answers, document) takes none of that. Shared by recall, needle, multihop, ruler, kamradt,
passkey and the long versions of the multi-hop sets. Exercised by
``python -m pytest tests/benchmarks/test_generated.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from benchmarks.base import Example, Outline
from benchmarks.lazy import LazyExamples


class Sketch(NamedTuple):
    """An example that is still to be made: what is known of it, and what makes it."""

    outline: Outline
    make: Callable[[], Example]


class GeneratedExamples(LazyExamples):
    """The examples of some sketches, in their order. One that was asked for is kept."""

    def __init__(self, sketches: Iterable[Sketch]) -> None:
        self._sketches = list(sketches)
        self._made: dict[int, Example] = {}
        self.outlines = [sketch.outline for sketch in self._sketches]

    def __len__(self) -> int:
        return len(self._sketches)

    def at(self, place: int) -> Example:
        if place not in self._made:
            self._made[place] = self._sketches[place].make()
        return self._made[place]
