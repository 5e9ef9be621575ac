"""Dense retrieval: the question's vector against those of the chunk's windows (Dragon, MiniLM, any encoder).

An encoder reads less than a chunk: a chunk is cut into windows that overlap by half (for Dragon 254 tokens and
two special ones), and its score is that of its best window (MaxP; `agg` has two others). Scores are float32 dot
products. Exercised by ``--method rag:retriever=dragon`` and ``--method "rag:retriever=dense(encoder=minilm),k=3"``.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal

from retrievers.base import RECORDED, Ranking, check_choice, chunk_scores, rank, split_by, tied
from retrievers.chunking import Chunk, windows
from retrievers.encoders import EncoderError, open_encoder, require

if TYPE_CHECKING:
    import torch

    from models.engine import Engine

Agg = Literal["max", "mean_top3", "first"]
Index = Literal["matmul", "faiss"]
KEPT = 16_384  # vectors: 50 MB of Dragon's
FAISS_GPU_MOST = 2_048  # results that faiss returns from a GPU


@dataclass
class Dense:
    """`encoder` is a name of `encoders.KNOWN`, a hub id or a folder; `window` its longest text in its own tokens
    (None: the encoder's own); `agg` makes a chunk's score of its windows'; `index=faiss` searches an exact
    faiss index instead of multiplying.

    Vectors are kept by their text's hash, because many examples ask about one context; every ranker keeps its
    own, so that no method is spared what another one has paid for.
    Flags: `windows` (how many each chunk has: a maximum over more of them is higher), `best_window` (its
    characters in the context), `tie`, `question_cut` where the question is longer than the encoder reads."""

    engine: Engine
    _: KW_ONLY
    encoder: str = "minilm"
    window: int | None = None
    agg: Agg = "max"
    index: Index = "matmul"

    def __post_init__(self) -> None:
        check_choice("agg", self.agg, Agg)
        check_choice("index", self.index, Index)
        if self.index == "faiss":
            require("faiss", "faiss-gpu" if self.engine.device.type == "cuda" else "faiss-cpu", "index=faiss")
        self.loaded = open_encoder(self.encoder, str(self.engine.device))
        longest = self.loaded.window if self.window is None else self.window
        self.room = longest - self.loaded.special
        if self.room < 2 or longest > self.loaded.limit:
            raise EncoderError(
                f"window={longest} does not suit the encoder {self.encoder}: "
                f"expected {self.loaded.special + 2} to {self.loaded.limit} tokens"
            )
        self.weights = self.loaded.weights
        self.kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def rank(self, question: str, chunks: Sequence[Chunk]) -> Ranking:
        """Scores one context's chunks; those without text are last."""
        cut = [windows(chunk.text, self.loaded.offsets(chunk.text), self.room) for chunk in chunks]
        if self.agg == "first":
            cut = [found[:1] for found in cut]
        texts = [window.text for found in cut for window in found]
        if not texts:
            scores = [0.0] * len(chunks)
            return Ranking(rank(scores), scores, {"tie": tied(scores)})
        (asked,) = self.loaded.count_tokens([question])
        self.engine.count_encoder_tokens(min(asked, self.loaded.limit))
        query = self.loaded.encode([question], "query")[0]
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        distinct = dict(zip(keys, texts, strict=True))  # a text twice in a product can differ in the last bit
        product = search_faiss if self.index == "faiss" else search
        by_key = dict(zip(distinct, product(query, self._vectors(distinct)), strict=True))
        by_chunk = split_by(map(len, cut), (by_key[key] for key in keys))
        scores = chunk_scores(by_chunk, 3 if self.agg == "mean_top3" else 1)
        order = rank(scores)
        best = cut[order[0]][by_chunk[order[0]].index(max(by_chunk[order[0]]))]
        start = chunks[order[0]].start
        flags = {
            "tie": tied(scores),
            "question_cut": asked > self.loaded.limit,
            "windows": [len(found) for found in cut][:RECORDED],
            "best_window": [start + best.start, start + best.end],
        }
        return Ranking(order, scores, flags)

    def _vectors(self, texts: Mapping[bytes, str]) -> torch.Tensor:
        """float32 [texts, dimensions] in their order; only what is not kept is encoded and counted."""
        import torch

        new = {key: text for key, text in texts.items() if key not in self.kept}
        if new:
            self.engine.count_encoder_tokens(sum(self.loaded.count_tokens(list(new.values()))))
            vectors = self.loaded.encode(list(new.values()), "document")
            self.kept.update(zip(new, vectors, strict=True))
        for key in texts:
            self.kept.move_to_end(key)
        found = torch.stack([self.kept[key] for key in texts])
        while len(self.kept) > KEPT:
            self.kept.popitem(last=False)
        return found


@dataclass
class Dragon(Dense):
    """Dragon+ (Lin et al. 2023): two towers, raw dot products, windows of 256."""

    encoder: str = "dragon"


@dataclass
class DragonRoberta(Dense):
    """Dragon's pair of RoBERTa towers."""

    encoder: str = "dragon-roberta"


def search(query: torch.Tensor, vectors: torch.Tensor) -> list[float]:
    """Dot products of `query` [dimensions] with `vectors` [n, dimensions], where they lie, in float32."""
    return (vectors.float() @ query.float()).tolist()


def search_faiss(query: torch.Tensor, vectors: torch.Tensor) -> list[float]:
    """The same scores from an exact faiss index, on a GPU where faiss has one and can return so many."""
    import faiss
    import numpy as np

    count, dimensions = vectors.shape
    index: Any = faiss.IndexFlatIP(dimensions)
    if faiss.get_num_gpus() and count <= FAISS_GPU_MOST:
        index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    index.add(vectors.float().cpu().numpy())
    values, places = index.search(query.float().cpu().numpy()[None], count)
    scores = np.empty(count, dtype=np.float32)
    scores[places[0]] = values[0]
    return scores.tolist()
