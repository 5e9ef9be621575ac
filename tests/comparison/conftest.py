"""A plan over scripted pieces, and the run of it."""

from __future__ import annotations

import pytest
from comparison_fakes import FakeEngine, Last, Sometimes, count_words

from comparison import grid
from comparison.plan import make_plan
from comparison.run import compare, compare_with_workers


@pytest.fixture(autouse=True)
def _fresh_fakes():
    Last.calls.clear()
    Sometimes.broken = True


@pytest.fixture
def run(tmp_path):
    """Runs methods (names in comparison_fakes) into one folder; returns the tally."""

    def go(
        *methods,
        benchmark="comparison_fakes:words",
        engine=None,
        out=tmp_path / "run",
        command="a test",
        **settings,
    ):
        given = {
            "model": "fake/reader",
            "method": [f"comparison_fakes:{method}" for method in methods],
            "baseline": f"comparison_fakes:{methods[0]}",
            "benchmark": [benchmark],
            "out": str(out),
        }
        plan = make_plan(given | settings)
        tasks = grid.load_tasks(plan, count_words)
        if plan.timeout or plan.executor == "ray":
            return compare_with_workers(plan, tasks, FakeEngine, command=command)
        return compare(plan, tasks, engine or FakeEngine(), command=command)

    return go
