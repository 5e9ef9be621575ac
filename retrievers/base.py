"""The contract of a ranker: a question and chunks in, an order of chunks out.

A ranker is built by ``factory(engine, **options)``; every option has a default, and the type that it is annotated
with, or else its default's (a tuple is a list with ``;``). Every ranker sorts by `rank`, so that ties fall
the same way in all of them. Beside it stands what several of them do with ids and with scores. Torch-free.
Exercised by ``pytest tests/retrievers``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import fmean
from typing import TYPE_CHECKING, Any, Protocol, get_args

if TYPE_CHECKING:
    from retrievers.chunking import Chunk

RECORDED = 64  # chunks, rows or pairs whose numbers are kept in a record


@dataclass(frozen=True)
class Ranking:
    """`order` holds positions in the chunks as given, best first; `scores` one number a chunk, in the order
    given (higher is better, the scale is the ranker's own); `flags` what a reader of the record should know:
    a flag that is True is listed by name, any other small value is kept beside it. `settled` says how many of
    the first places the ranker has found out (None: all of them)."""

    order: list[int]
    scores: list[float]
    flags: Mapping[str, Any] = field(default_factory=dict)
    settled: int | None = None


class Ranker(Protocol):
    """Ranks the chunks of one context; the question alone is the query, never the instruction around it.

    A ranker with weights of its own says which in `weights`: hub ids with the commits that were loaded, and
    folders (with an empty text), because another revision may give another answer."""

    def rank(self, question: str, chunks: Sequence[Chunk]) -> Ranking: ...


def weights_of(ranker: Ranker | None) -> dict[str, str]:
    """The weights that a ranker has beside the reader's, by hub id or folder; none for most."""
    return dict(getattr(ranker, "weights", {}))


def rank(scores: Sequence[float]) -> list[int]:
    """Positions by falling score, the earlier first on a tie. ValueError for a score that is not a number."""
    if any(math.isnan(score) for score in scores):
        raise ValueError("a ranker returned a score that is not a number: expected one finite score a chunk")
    return sorted(range(len(scores)), key=lambda position: -scores[position])


def tied(scores: Sequence[float]) -> bool:
    """Whether the best score is shared."""
    return scores.count(max(scores, default=0.0)) > 1


def split_by(counts: Iterable[int], scores: Iterable[float]) -> list[list[float]]:
    """The scores of all windows in a row, by chunk: `counts` says how many each has."""
    rest = iter(scores)
    return [list(islice(rest, count)) for count in counts]


def chunk_scores(by_chunk: Sequence[Sequence[float]], best: int) -> list[float]:
    """The mean of every chunk's `best` highest window scores; a chunk without windows comes below all."""
    means = [fmean(sorted(scores, reverse=True)[:best]) if scores else None for scores in by_chunk]
    lowest = min((mean for mean in means if mean is not None), default=1.0)
    return [lowest - 1.0 if mean is None else mean for mean in means]


def log_probabilities(ids: Sequence[int], logits: Any) -> Any:
    """Log-probability (nats) of every id, one for each of the first positions of `logits` [positions, vocabulary]."""
    return logits[: len(ids)].log_softmax(-1)[range(len(ids)), list(ids)]


def shared_prefix(ids: Sequence[int], others: Sequence[int]) -> int:
    """How many ids both begin with."""
    pairs = zip(ids, others, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(ids), len(others)))


def check_choice(option: str, value: object, choices: Any) -> None:
    """ValueError unless `value` is one of the Literal `choices`."""
    if value not in get_args(choices):
        raise ValueError(f"{option}={value!r} is unknown: expected {' or '.join(get_args(choices))}")
