"""Reciprocal rank fusion against its formula."""

from __future__ import annotations

import pytest

from retrievers import build
from retrievers.base import Ranking, rank
from retrievers.bm25 import BM25
from retrievers.fusion import Hybrid, shared_ranks


class Fixed:
    def __init__(self, *scores, **flags):
        self.scores, self.flags = list(scores), flags

    def rank(self, question, chunks):
        return Ranking(rank(self.scores), self.scores, self.flags)


def test_scores_are_the_sums_of_reciprocal_ranks(chunks):
    hybrid = Hybrid(None, retrievers=(Fixed(3.0, 2.0, 1.0), Fixed(0.1, 0.3, 0.2)), k0=60)
    ranking = hybrid.rank("q", chunks("a", "b", "c"))
    assert ranking.scores == pytest.approx([1 / 61 + 1 / 63, 1 / 62 + 1 / 61, 1 / 63 + 1 / 62])
    assert ranking.order == [1, 0, 2]


def test_a_small_k0_lets_first_places_count(chunks):
    rankers = (Fixed(9, 8, 7, 6), Fixed(1, 4, 3, 2))
    orders = [Hybrid(None, retrievers=rankers, k0=k0).rank("q", chunks(*"abcd")).order[0] for k0 in (0, 60)]
    assert orders == [1, 1]
    rankers = (Fixed(9, 8, 7, 6, 5), Fixed(1, 4, 5, 3, 2))
    firsts = [Hybrid(None, retrievers=rankers, k0=k0).rank("q", chunks(*"abcde")).order for k0 in (0, 60)]
    assert firsts[0].index(0) < firsts[1].index(0)


def test_equal_scores_share_the_best_of_their_ranks():
    assert shared_ranks([2.0, 5.0, 2.0, 1.0]) == [2, 1, 2, 4]


def test_a_ranker_that_finds_nothing_leaves_the_order_to_the_other(chunks):
    hybrid = Hybrid(None, retrievers=(BM25(), Fixed(0.1, 0.3, 0.2, windows=[1, 1, 1])))
    ranking = hybrid.rank("zebra", chunks("a", "b", "c"))
    assert ranking.order == [1, 2, 0]
    assert ranking.flags["parts"] == [{"fallback": True, "tie": True}, {"windows": [1, 1, 1]}]


def test_chunks_that_no_ranker_tells_apart_tie(chunks):
    alike = Hybrid(None, retrievers=(Fixed(1.0, 1.0), Fixed(2.0, 2.0))).rank("q", chunks("a", "b"))
    assert (alike.order, alike.flags["tie"]) == ([0, 1], True)
    apart = Hybrid(None, retrievers=(Fixed(1.0, 1.0), Fixed(2.0, 3.0))).rank("q", chunks("a", "b"))
    assert (apart.order, apart.flags["tie"]) == ([1, 0], False)


def test_its_spec_names_the_rankers_with_their_options():
    hybrid = build("hybrid(retrievers=bm25(variant=l);hybrid(retrievers=bm25;bm25,k0=1),k0=5)", None)
    assert hybrid.k0 == 5.0
    assert hybrid.rankers[0].formula.__name__ == "BM25L"
    assert [type(inner) for inner in hybrid.rankers[1].rankers] == [BM25, BM25]


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("hybrid(retrievers=bm25)", "two retrievers"),
        ("hybrid(retrievers=bm25;bm52)", "did you mean bm25"),
        ("hybrid(retrievers=bm25;bm25,k0=-1)", "k0=-1"),
    ],
)
def test_what_does_not_fit_is_refused(spec, part):
    with pytest.raises(ValueError, match=part):
        build(spec, None)
