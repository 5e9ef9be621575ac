"""Query likelihood: the reader's own log-probability of the question after the chunk (Ponte and Croft 1998).

The mean over the question's tokens, in nats. OPRM's other criterion (``oprm:select=query_likelihood``) is the
same quantity in the benchmark's wording; here it picks text for RAG, without any other model.
Exercised by ``--method rag:retriever=query_likelihood``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retrievers.base import Ranking, rank, tied
from retrievers.chunking import Chunk

if TYPE_CHECKING:
    from models.engine import Engine

PASSAGE = "Passage: {passage}\n\nQuestion:"


class QueryLikelihood:
    """Reads every chunk once, in pad-free batches. Flags: `tie`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def rank(self, question: str, chunks: Sequence[Chunk]) -> Ranking:
        """Scores one context's chunks."""
        prompts = [PASSAGE.replace("{passage}", chunk.text) for chunk in chunks]
        rows = [self.engine.encode(f"{prompt} {question}") for prompt in prompts]
        asked = [
            len(row) - shared(row, self.engine.encode(prompt))
            for row, prompt in zip(rows, prompts, strict=True)
        ]
        scores = [0.0] * len(chunks)
        if rows:
            # the last token is only predicted, but read as well: its logits are not used
            for positions, prefill in self.engine.prefill_batches(rows, last=max(asked) + 1):
                for row, position in enumerate(positions):
                    ids = rows[position][-asked[position] :]
                    logits = prefill.logits[row, -len(ids) - 1 : -1]
                    log_p = logits.log_softmax(-1)[list(range(len(ids))), ids]
                    scores[position] = float(log_p.mean())
                del prefill  # or the batch's states would live on while the next one is read
        return Ranking(rank(scores), scores, {"tie": tied(scores)})


def shared(ids: Sequence[int], others: Sequence[int]) -> int:
    """How many ids both begin with."""
    pairs = zip(ids, others, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(ids), len(others)))
