"""The rankers, by name: built in, from a plugin's entry point, or ``module.path:Factory``.

Listing imports none of them. A ranker is an option of a method (``rag:retriever=bm25(variant=okapi),k=3``),
so its SPEC is the nested form, ``name`` or ``name(key=value,...)``.
Exercised by ``pytest tests/retrievers/test_ranker_names.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comparison.naming import parse_nested
from comparison.options import bind
from comparison.registry import Entry, Registry

if TYPE_CHECKING:
    from models.engine import Engine
    from retrievers.base import Ranker

GROUP = "run_compare.retrievers"

BUILT_IN: dict[str, Entry] = {
    "bm25": Entry("retrievers.bm25:BM25", "words shared with the question, weighed by rarity (rank_bm25)"),
    "dense": Entry(
        "retrievers.dense:Dense", "vectors by any encoder: encoder=minilm, gte-modernbert, hub id, folder"
    ),
    "dragon": Entry("retrievers.dense:Dragon", "vectors by Dragon+ (two towers; weights for research only)"),
    "dragon-roberta": Entry(
        "retrievers.dense:DragonRoberta", "vectors by Dragon's RoBERTa towers (the same)"
    ),
    "hybrid": Entry("retrievers.fusion:Hybrid", "reciprocal rank fusion of several: retrievers=bm25;dense"),
    "cross_encoder": Entry(
        "retrievers.cross_encoder:CrossEncoderRanker", "question and window read together"
    ),
    "query_likelihood": Entry(
        "retrievers.query_likelihood:QueryLikelihood",
        "how likely the reader finds the question after the chunk",
    ),
    "prp": Entry("retrievers.pairwise:PRP", "the reader compares chunks in pairs, both orders"),
}
REGISTRY = Registry("retriever", GROUP, BUILT_IN)
describe, find = REGISTRY.describe, REGISTRY.find


def build(spec: str | Ranker, engine: Engine) -> Ranker:
    """The ranker that a SPEC names, for this engine; a ranker that is there already is handed back.

    ValueError for what is no SPEC, a name that is not known, an option that does not fit."""
    if not isinstance(spec, str):
        return spec
    named = parse_nested(spec)
    factory = find(named.name)
    return factory(engine, **bind(factory, named))
