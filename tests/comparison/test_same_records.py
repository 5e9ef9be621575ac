"""The embedded model's records are the same whoever gives the answers: one process, shards, workers, Ray."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pytest
from test_shard import answers

from comparison import grid
from comparison.plan import make_plan
from comparison.run import compare, compare_with_workers, open_reader

GRID = {
    "model": "tiny",
    "method": ["full", "oprm", "rag", "oracle_chunk"],
    "benchmark": ["recall:facts=10;50,samples=6", "multihop:persons=20"],
    "limit": 4,
    "device": "cpu",
}
READER = partial(open_reader, "tiny", device="cpu")


def go(folder, **settings):
    plan = make_plan(GRID | {"out": str(folder)} | settings)
    tasks = grid.load_tasks(plan, grid.token_counter(plan.reader))
    if plan.timeout or plan.executor == "ray":
        return compare_with_workers(plan, tasks, READER, command="a test")
    return compare(plan, tasks, READER(), command="a test")


def assert_alike(one, other):
    """Equal, but for floats: within 1e-4."""
    if isinstance(one, Mapping):
        assert one.keys() == other.keys()
        for name in one:
            assert_alike(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_alike(a, b)
    else:
        assert one == (pytest.approx(other, abs=1e-4) if isinstance(other, float) else other)


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    go(folder)
    return answers(folder)


def test_shards_give_the_records_of_a_serial_run(serial, tmp_path):
    assert [go(tmp_path, shard=f"{number}/3").left > 0 for number in (2, 3, 1)] == [True, True, False]
    assert_alike(answers(tmp_path), serial)


def test_a_watched_worker_gives_the_records_of_a_serial_run(serial, tmp_path):
    go(tmp_path, timeout=300.0)
    assert_alike(answers(tmp_path), serial)


def test_two_ray_workers_go_on_with_a_serial_run_and_give_its_records(serial, tmp_path):
    pytest.importorskip("ray")
    go(tmp_path, limit=1)
    tally = go(tmp_path, executor="ray", workers=2)
    assert (tally.found, tally.answered) == (16, len(serial) - 16)
    assert_alike(answers(tmp_path), serial)
