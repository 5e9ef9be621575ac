"""Reciprocal rank fusion against its formula."""

from __future__ import annotations

import pytest

from methods.base import ranking_details
from retrievers import build
from retrievers.base import Ranking, rank
from retrievers.bm25 import BM25
from retrievers.fusion import Hybrid, shared_ranks
from retrievers.pairwise import PRP


class Fixed:
    def __init__(self, *scores, settled=None, **flags):
        self.scores, self.settled, self.flags = list(scores), settled, flags

    def rank(self, question, chunks):
        return Ranking(rank(self.scores), self.scores, self.flags, self.settled)


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


def test_places_beyond_the_settled_ones_share_a_rank():
    assert shared_ranks([2.0, 5.0, 3.0, 1.0], settled=2) == [3, 1, 2, 3]
    assert shared_ranks([2.0, 5.0, 3.0, 1.0], settled=0) == [1] * 4


def test_what_a_ranker_has_not_settled_has_no_vote(chunks):
    first, second = Fixed(9, 8, 7, 6, 5), Fixed(1, 2, 3, 4, 5, settled=1)
    ranking = Hybrid(None, retrievers=(first, second), k0=0).rank("q", chunks(*"abcde"))
    assert ranking.order == [0, 4, 1, 2, 3]
    assert ranking.scores == pytest.approx(
        [1 + 1 / 2, 1 / 2 + 1 / 2, 1 / 3 + 1 / 2, 1 / 4 + 1 / 2, 1 / 5 + 1]
    )


@pytest.mark.parametrize(
    ("settled", "expected"), [((None, None), None), ((2, None), 2), ((3, 2), 2), ((None, 0), 0)]
)
def test_as_many_places_are_settled_as_the_least_settled_ranker_has(chunks, settled, expected):
    rankers = [Fixed(3, 2, 1, settled=known) for known in settled]
    assert Hybrid(None, retrievers=(*rankers, BM25())).rank("q", chunks(*"abc")).settled == expected
    nested = Hybrid(None, retrievers=(Hybrid(None, retrievers=tuple(rankers)), BM25()))
    assert nested.rank("q", chunks(*"abc")).settled == expected


def test_more_places_of_a_fusion_with_prp_than_the_judge_settled_are_flagged(scripted_judge, chunks):
    prp = PRP(scripted_judge(lambda a, b: float(b > a) - 0.5), algorithm="sliding", k=2)
    ranking = Hybrid(None, retrievers=(BM25(), prp)).rank("q", chunks("a", "b", "c", "d"))
    flagged = ["unsettled_places" in ranking_details(ranking, k)[0] for k in (1, 2, 3, 4)]
    assert flagged == [False, False, True, False]


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
    hybrid = build("hybrid(retrievers=bm25(variant=okapi);hybrid(retrievers=bm25;bm25,k0=1),k0=5)", None)
    assert hybrid.k0 == 5.0
    assert hybrid.rankers[0].formula.__name__ == "BM25Okapi"
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
