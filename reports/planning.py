"""Before a run: the smallest difference that a planned comparison can show, and roughly what it will cost.

The spread of paired differences is the one thing to guess: 0.45 to 0.55 is usual for question answering
(scores 0 to 1, correlation 0.45 between methods), less where two methods seldom differ. Questions that share a
document count for less: the design effect 1 + (m - 1) r with r = 0.3 (Miller 2024).
Exercised by ``python -m reports power --sd 0.5 --n 100 300``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.statistics import FEW_CLUSTERS, LEAST_DIFFERING, detectable_difference

USUAL_SPREAD = 0.5
WITHIN_DOCUMENT = 0.3


@dataclass(frozen=True)
class PlannedSize:
    """A planned task: its questions, at least one, and the documents (clusters) that they come from."""

    name: str
    n: int
    clusters: int
    confirmatory: bool = True


@dataclass(frozen=True)
class PlannedCost:
    """What one method is expected to read over all questions: prompt tokens, and calls of the reader before
    any answer is decoded."""

    prompt_tokens: int
    calls: int


def detectable(sizes: Sequence[PlannedSize], sd: float = USUAL_SPREAD) -> float:
    """The true difference (0 to 1) of a mean over tasks that is found with 80 % power at the 5 % level.

    `sd` is the standard deviation of the paired differences, 0 to 1. nan with fewer than 20 clusters.
    """
    if not 0.0 < sd <= 1.0:
        raise ValueError(
            f"sd is {sd:g}, expected more than 0 and at most 1: scores run from 0 to 1, 0.5 is usual"
        )
    variances = [sd**2 / size.n * _design_effect(size) for size in sizes]
    clusters = sum(size.clusters for size in sizes)
    return detectable_difference(math.sqrt(sum(variances)) / len(sizes), clusters)


def power_lines(sd: float, counts: Sequence[int]) -> list[str]:
    """The detectable difference for each number of independent questions, a line each."""
    lines = [f"paired sd {sd:g}: smallest true difference found with 80 % power at the 5 % level"]
    for n in counts:
        if n < 2:
            raise ValueError(f"n is {n}, expected at least 2 questions")
        lines.append(f"n {n:>7,}  {_points([PlannedSize('', n, n)], sd):>12}")
    return lines


def plan_lines(sizes: Sequence[PlannedSize]) -> list[str]:
    """What a planned comparison can show, for a dry run: task by task, and for the mean over tasks."""
    lines = [f"{size.name}: {_points([size])}" for size in sizes if size.clusters > 1]
    counted = [size for size in sizes if size.confirmatory]
    if len(counted) > 1:
        lines.append(f"mean over {len(counted)} tasks: {_points(counted)}")
    return lines


def _points(sizes: Sequence[PlannedSize], sd: float = USUAL_SPREAD) -> str:
    """The detectable difference in words."""
    points, clusters = 100 * detectable(sizes, sd), sum(size.clusters for size in sizes)
    if clusters < LEAST_DIFFERING:
        return "no difference, there are too few questions"
    if clusters < FEW_CLUSTERS:
        return f"no marker, there are too few questions (fewer than {FEW_CLUSTERS} clusters)"
    return f"{points:.1f} points"


def planned_cost(
    reads: str, settings: Mapping[str, str], lengths: Sequence[int], *, chunk_size: int, wording: int
) -> PlannedCost | None:
    """What a method reads over contexts of these lengths (tokens), by what its entry says that it `reads`:
    "nothing" of a context, the "whole" of it, "parts" in one prompt, "rows" of a batch. None for another word.

    `settings` are the method's options as text, of which chunk_size, overlap, budget, k, candidates, m and top
    count; `wording` is the prompt's length without a context. Decoding adds about as many calls as there are
    new tokens; a dense or pairwise retriever's own reading is left out.
    """
    size = _option(settings, "chunk_size", chunk_size)
    if reads == "nothing":
        return PlannedCost(wording * len(lengths), len(lengths))
    if reads == "whole":
        return PlannedCost(sum(lengths) + wording * len(lengths), len(lengths))
    if reads == "parts":
        kept = _option(settings, "budget", size * _option(settings, "k", 1))
        return PlannedCost(sum(min(length, kept) + wording for length in lengths), len(lengths))
    if reads == "rows":
        read = [_rows(settings, length, size, wording) for length in lengths]
        return PlannedCost(sum(one.prompt_tokens for one in read), sum(one.calls for one in read))
    return None


def _rows(settings: Mapping[str, str], length: int, size: int, wording: int) -> PlannedCost:
    """One context read in rows: all of its chunks, or those that a ranker leaves, and the best of them again."""
    overlap = min(_option(settings, "overlap", 0), size - 1)
    rows = max(1, math.ceil((length - overlap) / (size - overlap)))
    tokens = length + (rows - 1) * overlap
    if settings.get("candidates", "none") != "none" and _option(settings, "m", rows) < rows:
        rows = _option(settings, "m", rows)
        tokens = rows * size
    joined = min(_option(settings, "top", 1), rows)
    again = PlannedCost(min(joined * size, tokens) + wording, 1) if joined > 1 else PlannedCost(0, 0)
    # Rows of one length go together, the ragged last one alone.
    return PlannedCost(tokens + rows * wording + again.prompt_tokens, min(rows, 2) + again.calls)


def _design_effect(size: PlannedSize) -> float:
    return 1.0 + (size.n / size.clusters - 1.0) * WITHIN_DOCUMENT


def _option(settings: Mapping[str, str], name: str, default: int) -> int:
    text = settings.get(name, "")
    return int(text) if text.isdigit() and int(text) > 0 else default
