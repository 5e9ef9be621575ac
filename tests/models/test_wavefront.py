"""Steps of a wavefront: each once, after those that it needs, several at a time, and stopped by an error."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from models.wavefront import Front, sweep

Step = Callable[[int, int, int], None]
PATIENCE = 20.0


def side_by_side(tiles: int, tracks: int) -> list[int]:
    """Which tile comes before each where `tracks` sequences take turns."""
    return [max(tile - tracks, -1) for tile in range(tiles)]


class Steps:
    """Steps as they begin and end."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.ended: list[tuple[int, int]] = []
        self.workers: set[int] = set()
        self.missing: list[tuple[int, int]] = []
        self.open = 0

    def step_of(self, layers: int, before: list[int]) -> Step:
        def step(worker: int, tile: int, layer: int) -> None:
            needed = [(tile, layer - 1), (before[tile], layer)]
            self.missing += [n for n in needed if min(n) >= 0 and n not in self.ended]
            self.begun.append((tile, layer))
            through = {tile for tile, layer in self.ended if layer == layers - 1}
            self.open = max(self.open, len({tile for tile, _ in self.begun} - through))
            self.workers.add(worker)
            self.ended.append((tile, layer))

        return step


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize(
    ("before", "layers"),
    [
        (side_by_side(1, 1), 1),
        (side_by_side(7, 1), 3),
        (side_by_side(9, 3), 2),
        (side_by_side(5, 5), 4),
        (side_by_side(40, 2), 3),
        ([-1, -1, 0, 1, 3, -1, 2, 4, 5, 8, 9], 3),  # sequences of four, four and three tiles
    ],
)
def test_every_step_is_taken_once_and_after_those_that_it_needs(before, layers, workers):
    steps = Steps()
    sweep(steps.step_of(layers, before), before=before, layers=layers, workers=workers)
    tiles = len(before)
    assert sorted(steps.begun) == [(tile, layer) for tile in range(tiles) for layer in range(layers)]
    assert not steps.missing
    assert steps.open <= 2 * workers
    assert steps.workers <= set(range(workers))


@pytest.mark.parametrize(("tracks", "together"), [(1, {(0, 1), (1, 0)}), (2, {(0, 0), (1, 0)})])
def test_two_workers_are_in_two_tiles_at_the_same_time(tracks, together):
    meeting = threading.Barrier(2)

    def step(worker: int, tile: int, layer: int) -> None:
        if (tile, layer) in together:
            meeting.wait(PATIENCE)

    sweep(step, before=side_by_side(4, tracks), layers=3, workers=2)
    assert not meeting.broken


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("where", [(0, 0), (2, 1), (5, 2)])
def test_an_error_in_a_step_ends_the_sweep_and_is_raised(error, where):
    steps = Steps()
    take = steps.step_of(3, side_by_side(20, 1))

    def step(worker: int, tile: int, layer: int) -> None:
        take(worker, tile, layer)
        if (tile, layer) == where:
            raise error

    with pytest.raises(error):
        sweep(step, before=side_by_side(6, 1), layers=3, workers=2)
    if where != (5, 2):
        assert len(steps.begun) < 6 * 3


def test_a_slow_tile_holds_up_only_a_bounded_number_of_others():
    steps, reached = Steps(), threading.Event()
    take = steps.step_of(3, side_by_side(20, 1))

    def step(worker: int, tile: int, layer: int) -> None:
        take(worker, tile, layer)
        if (tile, layer) == (0, 2):
            reached.wait(0.2)
        if tile >= 4:
            reached.set()

    sweep(step, before=side_by_side(20, 1), layers=3, workers=2)
    assert steps.open <= 4
    assert len(steps.ended) == 60


def test_the_others_do_the_work_of_a_worker_that_never_comes():
    steps = Steps()
    before = side_by_side(4, 1)
    Front(before, layers=3, reach=4).work(steps.step_of(3, before), 1)
    assert len(steps.ended) == 12
    assert not steps.missing


def test_sweeps_of_several_threads_do_not_meet():
    found = [Steps() for _ in range(3)]

    def run(steps: Steps) -> None:
        before = side_by_side(30, 1)
        sweep(steps.step_of(3, before), before=before, layers=3, workers=2)

    threads = [threading.Thread(target=run, args=(steps,)) for steps in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert [len(steps.ended) for steps in found] == [90] * 3
    assert not any(steps.missing for steps in found)
