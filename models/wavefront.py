"""Tiles of prompts through a model's layers, several tiles at a time, each step on one thread.

A step is one tile in one layer. In a recurrent model it needs the layer below on the same tile and the same layer
on the tile before it in the sequence, and nothing else: while one thread takes a tile through a layer, another takes
the tile before it through the next one (the wavefront of a dynamic programme). Nothing is forked and joined within
a step, and threads meet only to ask what comes next.

    python -m pytest tests/models/test_wavefront.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Condition

from models.threads import share


def open_tiles(workers: int) -> int:
    """How many tiles are on their way at most, neighbours in their order, so that what a tile holds between its
    layers is bounded."""
    return 2 * workers


def sweep(step: Callable[[int, int, int], None], *, before: Sequence[int], layers: int, workers: int) -> None:
    """Call `step(worker, tile, layer)` once for every tile and layer, at most one call per worker at a time.

    `before` holds for every tile the one before it in its sequence, a lower one (-1: none). Among the open tiles,
    which are the lowest, the one with the fewest layers behind it goes first: a layer's weights are then still in
    the third-level cache for the others. What a step raises stops the sweep."""
    front = Front(before, layers, open_tiles(workers))
    share(lambda worker, *_: front.work(step, worker), workers, workers)


class Front:
    """Which steps are done, and which may come next. A thread that dies between two steps costs nothing: the others
    take them all."""

    def __init__(self, before: Sequence[int], layers: int, reach: int) -> None:
        self.before, self.layers, self.reach = before, layers, reach
        self.depth = [0] * len(before)  # layers that the tile has behind it
        self.busy: set[int] = set()
        self.first = 0  # the first tile that is not through
        self.stopped = False
        self.changed = Condition()

    def work(self, step: Callable[[int, int, int], None], worker: int) -> None:
        """Take steps until none is left."""
        try:
            while (tile := self.take()) is not None:
                step(worker, tile, self.depth[tile])
                self.leave(tile)
        except BaseException:
            with self.changed:
                self.stopped = True
                self.changed.notify_all()
            raise

    def take(self) -> int | None:
        """A tile to take through its next layer, once there is one; None at the end."""
        with self.changed:
            while not self.stopped and self.first < len(self.depth):
                window = range(self.first, min(self.first + self.reach, len(self.depth)))
                tile = min(filter(self.ready, window), key=self.depth.__getitem__, default=None)
                if tile is not None:
                    self.busy.add(tile)
                    return tile
                self.changed.wait()
            return None

    def ready(self, tile: int) -> bool:
        before = self.before[tile]
        if tile in self.busy or self.depth[tile] == self.layers:
            return False
        return before < self.first or self.depth[before] > self.depth[tile]

    def leave(self, tile: int) -> None:
        with self.changed:
            self.busy.remove(tile)
            self.depth[tile] += 1
            while self.first < len(self.depth) and self.depth[self.first] == self.layers:
                self.first += 1
            self.changed.notify_all()
