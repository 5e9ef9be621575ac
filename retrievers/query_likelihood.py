"""Query likelihood: the reader's own log-probability of the question after the chunk (Ponte and Croft 1998).

The mean over the question's tokens, in nats. OPRM's other criterion (``oprm:select=query_likelihood``) is the
same quantity in the benchmark's wording; here it picks text for RAG, without any other model.
Exercised by ``--method rag:retriever=query_likelihood``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retrievers.base import Ranking, log_probabilities, rank, shared_prefix, tied
from retrievers.chunking import Chunk
from retrievers.passages import fit_passages

if TYPE_CHECKING:
    from models.engine import Engine


def passage_prompt(passage: str) -> str:
    """What stands before the question."""
    return f"Passage: {passage}\n\nQuestion:"


class QueryLikelihood:
    """Reads every chunk once, in pad-free batches. Flags: `tie`, and `passage_cut` where the reader's window is too
    short for a chunk: every chunk is then shown by its best window of one length."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def rank(self, question: str, chunks: Sequence[Chunk]) -> Ranking:
        """Scores one context's chunks."""

        def row_of(passage: str) -> list[int]:
            return self.engine.encode(f"{passage_prompt(passage)} {question}")

        texts = [chunk.text for chunk in chunks]
        texts, cut = fit_passages(self.engine, question, chunks, texts, lambda text: len(row_of(text)))
        rows = [row_of(text) for text in texts]
        before = [self.engine.encode(passage_prompt(text)) for text in texts]
        asked = [len(row) - shared_prefix(row, ids) for row, ids in zip(rows, before, strict=True)]
        scores = [0.0] * len(chunks)
        # the last token is only predicted, but read as well: its logits are not used
        for positions, prefill in self.engine.prefill_batches(rows, last=max(asked, default=0) + 1):
            for row, position in enumerate(positions):
                ids = rows[position][-asked[position] :]
                log_p = log_probabilities(ids, prefill.logits[row, -len(ids) - 1 :])
                scores[position] = float(log_p.mean())
            del prefill  # or the batch's states would live on while the next one is read
        return Ranking(rank(scores), scores, {"tie": tied(scores), "passage_cut": cut})
