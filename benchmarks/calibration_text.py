"""What a reader of the suite's own English is calibrated on: prompts of the synthetic benchmarks, on a seed that no
comparison uses by default. Exercised by ``python -m methods.longmamba calibrate --model tiny``.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.base import TaskSet
from benchmarks.needle import needle
from benchmarks.recall import recall

SEED = 700


def calibration_text(count_tokens: Callable[[str], int], length: int) -> str:
    """Six prompts of about `length` tokens each, some with many facts and some with few."""
    sets: list[TaskSet] = [
        *recall(count_tokens, seed=SEED, length=length, facts=(10, 40), samples=2),
        *needle(count_tokens, seed=SEED, lengths=(length,), depths=(0, 100), samples=1),
    ]
    return "\n\n".join(
        one.task.prompt(example.context, example.question) for one in sets for example in one.examples
    )
