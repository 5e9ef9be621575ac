"""The methods, by name: built in, from a plugin's entry point, or ``module.path:Factory``.

Listing imports none of them. Exercised by ``python run_compare.py --list``.
"""

from __future__ import annotations

from dataclasses import dataclass

from comparison import registry

GROUP = "run_compare.methods"


@dataclass(frozen=True)
class Entry(registry.Entry):
    """A built-in, and what it reads of a context, for the forecast of a dry run: "nothing", the "whole" of it,
    "parts" of it in one prompt, all of it in "rows" of a batch; empty where that is not known in advance."""

    reads: str = ""


BUILT_IN: dict[str, Entry] = {
    "full": Entry("methods.full:Full", "the whole context in one prompt", "whole"),
    "truncate": Entry(
        "methods.truncate:Truncate", "the ends, the head or the tail of the context, to a budget", "parts"
    ),
    "oprm": Entry(
        "methods.oprm:OPRM", "chunks read as a batch, the answer from the surest that has one", "rows"
    ),
    "rag": Entry("methods.rag:RAG", "the best chunks by a retriever, in one prompt", "parts"),
    "decimamba": Entry(
        "methods.decimamba:DeciMamba",
        "tokens with small time steps dropped inside a Mamba (DeciMamba)",
        "whole",
    ),
    "longmamba": Entry(
        "methods.longmamba:LongMamba",
        "small time steps set to zero in a Mamba's slow channels (LongMamba)",
        "whole",
    ),
    "upi": Entry(
        "methods.upi:UPI",
        "smaller time steps where a Mamba looks furthest back, beyond its trained length (UPI)",
        "whole",
    ),
    "delta_scale": Entry(
        "methods.delta_scale:DeltaScale",
        "all time steps of a Mamba times one constant, while it reads",
        "whole",
    ),
    "yarn": Entry(
        "methods.yarn:Yarn", "the whole context by a transformer with stretched positions (YaRN)", "whole"
    ),
    "iterative_summary": Entry(
        "methods.iterative_summary:IterativeSummary", "chunk by chunk, carrying notes that the reader writes"
    ),
    "closed_book": Entry(
        "methods.closed_book:ClosedBook", "control: the question with an empty context", "nothing"
    ),
    "random_chunk": Entry("methods.random_chunk:RandomChunk", "control: one chunk drawn at random", "parts"),
    "oracle_chunk": Entry(
        "methods.oracle_chunk:OracleChunk", "control: the chunk with the most evidence", "parts"
    ),
    "best_of_chunks": Entry(
        "methods.best_of_chunks:BestOfChunks", "control: every chunk answers, the best score counts", "rows"
    ),
}
REGISTRY = registry.Registry("method", GROUP, BUILT_IN)
describe, find = REGISTRY.describe, REGISTRY.find
