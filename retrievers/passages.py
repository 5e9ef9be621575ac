"""What a ranker that asks the reader itself shows it of a chunk: the part that BM25 finds best, where the whole is
too long.

Passages are cut, never the prompt around them: without its end the question or the cue would be gone.
Exercised by ``--method rag:retriever=prp`` and, on a reader with a window, ``rag:retriever=query_likelihood``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from models.specs import ReaderError
from retrievers.base import split_by
from retrievers.bm25 import BM25
from retrievers.chunking import Chunk, windows

if TYPE_CHECKING:
    from models.engine import Engine


def best_windows(engine: Engine, question: str, chunks: Sequence[Chunk], size: int) -> list[str]:
    """Every chunk's window of `size` reader tokens with the highest BM25 score, the first on a tie; a shorter
    chunk whole."""
    cut = [windows(chunk.text, engine.offsets(chunk.text), size) or [chunk] for chunk in chunks]
    ranking = BM25().rank(question, [window for found in cut for window in found])
    by_chunk = zip(cut, split_by(map(len, cut), ranking.scores), strict=True)
    return [found[scores.index(max(scores))].text.strip() for found, scores in by_chunk]


def fit_passages(
    engine: Engine,
    question: str,
    chunks: Sequence[Chunk],
    passages: list[str],
    prompt_tokens: Callable[[str], int],
) -> tuple[list[str], bool]:
    """The passages of the chunks, and whether they had to be cut: to best windows of one length with which
    every prompt fits the reader's window. `prompt_tokens` counts the prompt made of a passage.

    Readers without a window are shown what is given. ReaderError where no passage fits."""
    if engine.window is None:
        return passages, False
    empty, cut = prompt_tokens(""), False
    room = engine.window - empty
    size = max(map(engine.count_tokens, passages), default=0)
    while (longest := max(map(prompt_tokens, passages), default=0)) > engine.window:
        # less every time: cut out and encoded again, a passage can come out longer
        size = size * room // (longest - empty) if room > 0 else 0
        if size < 2:
            raise ReaderError(
                f"the reader's window of {engine.window} tokens has no room for a passage beside a ranker's "
                f"prompt of {empty}: expected a reader with a longer window or another retriever (bm25)"
            )
        passages, cut = best_windows(engine, question, chunks, size), True
    return passages, cut
