"""A cross-encoder reads the question and a window of the chunk together; the chunk's score is its best window's.

MaxP (Dai and Callan 2019) over windows that overlap by half, on sentence-transformers' `CrossEncoder`, whose
own way with a long chunk would be to cut it off. Exercised by ``--method rag:retriever=cross_encoder``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from retrievers.base import RECORDED, Ranking, chunk_scores, rank, split_by, tied
from retrievers.chunking import Chunk, windows
from retrievers.encoders import NO_LIMIT, EncoderError, from_disk_or_hub, offsets, one_line, require, sources

if TYPE_CHECKING:
    from models.engine import Engine

FEWEST = 16  # tokens of a window that say anything


@dataclass
class CrossEncoderRanker:
    """`model` is a hub id or a folder; `window` the longest piece of a chunk it is shown, in its own tokens
    (shorter where question and window together are more than it reads).

    Flags: `windows` (how many each chunk has), `tie`."""

    engine: Engine
    _: KW_ONLY
    model: str = "cross-encoder/ms-marco-MiniLM-L6-v2"
    window: int = 256

    def __post_init__(self) -> None:
        if self.window < FEWEST:
            raise ValueError(f"window={self.window} is too small: expected at least {FEWEST} tokens")
        self.loaded = open_cross_encoder(self.model, str(self.engine.device))
        self.weights = sources(self.model)

    def rank(self, question: str, chunks: Sequence[Chunk]) -> Ranking:
        """Scores one context's chunks; those without text are last. EncoderError for a question that leaves no
        room for a window."""
        tokenizer = self.loaded.tokenizer
        size = min(self.window, self._room(question))
        cut = [windows(chunk.text, offsets(tokenizer, chunk.text), size) for chunk in chunks]
        texts = [window.text for found in cut for window in found]
        scores = [0.0] * len(chunks)
        if texts:
            read = tokenizer([question] * len(texts), texts, verbose=False)["input_ids"]
            self.engine.count_encoder_tokens(sum(map(len, read)))
            pairs = [(question, text) for text in texts]
            found_scores = self.loaded.predict(pairs, show_progress_bar=False).tolist()
            scores = chunk_scores(split_by(map(len, cut), found_scores), 1)
        flags = {"tie": tied(scores), "windows": [len(found) for found in cut][:RECORDED]}
        return Ranking(rank(scores), scores, flags)

    def _room(self, question: str) -> int:
        """Tokens of a window that fit beside the question."""
        tokenizer, limit = self.loaded.tokenizer, self.loaded.max_seq_length or NO_LIMIT
        asked = len(offsets(tokenizer, question)) + int(tokenizer.num_special_tokens_to_add(pair=True))
        if limit - asked < FEWEST:
            raise EncoderError(
                f"the question has {asked} tokens and {self.model} reads {limit}: expected {FEWEST} to be left"
            )
        return limit - asked


@cache
def open_cross_encoder(name: str, device: str) -> Any:
    """The model in float32, once a process and device; EncoderError where it is missing or refused."""
    require("sentence_transformers", "dense", "cross_encoder")
    from sentence_transformers import CrossEncoder

    def load(local: bool) -> Any:
        return CrossEncoder(name, device=device, local_files_only=local, model_kwargs={"dtype": "float32"})

    with one_line(name):
        loaded = from_disk_or_hub(name, load)
    if loaded.num_labels != 1:
        raise EncoderError(
            f"{name} gives {loaded.num_labels} numbers a pair: expected a reranker, which gives 1"
        )
    return loaded
