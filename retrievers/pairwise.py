"""Pairwise ranking prompting (PRP; Qin et al. 2023, arXiv 2306.17563): which of two passages is more relevant?

The reader itself is the judge. It reads every pair in both orders, whole prompts in pad-free batches, and the
log-probabilities of the two labels as its next token are compared; nothing is sampled or parsed. The wording is
ours. The question stands at the end, after both passages: a recurrent judge binds it to what it has read, and
could not learn the task with the question in front. The embedded model is trained on this very prompt.
Exercised by ``--method rag:retriever=prp`` and ``--method "rag:retriever=prp(rule=hard,algorithm=sliding)"``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from retrievers.base import RECORDED, Ranking, check_choice, rank, tied
from retrievers.bm25 import BM25
from retrievers.chunking import Chunk
from retrievers.judge import Judge, Reply
from retrievers.passages import best_windows, fit_passages
from retrievers.sorting import all_pairs, heapsort, sliding

if TYPE_CHECKING:
    from models.engine import Engine

Rule = Literal["soft", "hard"]
Algorithm = Literal["allpair", "heapsort", "sliding"]
Pair = tuple[int, int]


def pair_prompt(passage_a: str, passage_b: str, question: str) -> str:
    """The prompt for one ordered pair; the reader's next token is compared over `judge.LABELS`."""
    return (
        f"Passage A: {passage_a}\n\nPassage B: {passage_b}\n\n"
        f"Which passage is more relevant to the question: {question} Answer:"
    )


class Verdict(NamedTuple):
    """One pair's replies, in the order asked and with the passages exchanged."""

    forward: Reply
    backward: Reply

    @property
    def lead(self) -> float:
        """By how much the first passage leads: half the difference of the gaps, in which a liking for one of
        the labels cancels."""
        return (self.forward.gap - self.backward.gap) / 2

    @property
    def consistent(self) -> bool:
        """Whether both orders name the same passage."""
        return self.forward.gap * self.backward.gap < 0

    def score(self, rule: Rule) -> float:
        """Positive where the first passage wins, 0 for a tie; `hard` lets it win if both orders name it."""
        return self.lead if rule == "soft" or self.consistent else 0.0


@dataclass
class PRP:
    """Ranks BM25's best `m` chunks by comparing them; the others stay behind them in BM25's order.

    `rule=soft` takes the mean of both orders, `hard` calls everything a tie that the two orders do not agree
    on. `algorithm=allpair` compares all pairs at once; `heapsort` and `sliding` settle the best `k` places
    with fewer comparisons, one after the other; places beyond them are in no particular order, and a method
    that takes some is flagged `unsettled_places`. A chunk longer than `passage_tokens` is shown by the window
    of that length that BM25 finds best: two long chunks together would overflow a recurrent judge.

    Flags: `comparisons` (asked for), `prompts` (read; a pair is read once, in both orders), `judge_tokens`,
    `consistency` (share of pairs on which both orders agree; below about 0.65 the judge is near guessing),
    `a_share` (of prompts answered A), `invalid` (of prompts whose likeliest token is no label), `pairs`
    (i, j and the gaps of both orders, i and j being chunks), `fallback` (BM25 found nothing to go by), `tie`
    (under `allpair`, which counts points), `passage_cut` (the reader's window holds no two passages of
    `passage_tokens`: all are shorter)."""

    engine: Engine
    _: KW_ONLY
    rule: Rule = "soft"
    algorithm: Algorithm = "allpair"
    m: int = 10
    k: int = 1
    passage_tokens: int = 512

    def __post_init__(self) -> None:
        check_choice("rule", self.rule, Rule)
        check_choice("algorithm", self.algorithm, Algorithm)
        for option, least in (("m", 2), ("k", 1), ("passage_tokens", 2)):
            if getattr(self, option) < least:
                raise ValueError(f"{option}={getattr(self, option)} is too small: expected at least {least}")
        self.judge = Judge(self.engine)

    def rank(self, question: str, chunks: Sequence[Chunk]) -> Ranking:
        """Judges one context's chunks. A single chunk is not judged."""
        first = BM25().rank(question, chunks)
        judged, others = first.order[: self.m], first.order[self.m :]
        passages, cut = self._passages(question, [chunks[i] for i in judged])
        pairs = Pairs(self.judge, question, passages)
        settled = len(judged)
        flags = {"fallback": first.flags["fallback"], "passage_cut": cut}
        if self.algorithm == "allpair":
            points = all_pair_points(pairs, self.rule)
            places = rank(points)
            flags["tie"] = tied(points)
        else:
            settled = min(self.k, settled)
            sort = heapsort if self.algorithm == "heapsort" else sliding
            places = sort(len(judged), self.k, lambda a, b: pairs.ask(a, b).score(self.rule))
            points = [float(len(judged) - 1 - places.index(i)) for i in range(len(judged))]
        scores = dict(zip(judged, points, strict=True))
        scores |= {chunk: -1.0 - place for place, chunk in enumerate(others)}
        order = [*(judged[place] for place in places), *others]
        return Ranking(order, [scores[i] for i in range(len(chunks))], flags | pairs.flags(judged), settled)

    def _passages(self, question: str, chunks: Sequence[Chunk]) -> tuple[list[str], bool]:
        """What the judge is shown of every chunk, and whether its window took a cut."""

        def prompt_tokens(passage: str) -> int:
            return max(map(len, self.judge.rows(pair_prompt(passage, passage, question))))

        passages = best_windows(self.engine, question, chunks, self.passage_tokens)
        return fit_passages(self.engine, question, chunks, passages, prompt_tokens)


def all_pair_points(pairs: Pairs, rule: Rule) -> list[float]:
    """The points of every passage: a win is worth one, a tie a half, and under `soft` the sigmoid of the
    lead."""
    count = len(pairs.passages)
    points = [0.0] * count
    pairs.read(all_pairs(count))
    for i, j in all_pairs(count):
        score = pairs.ask(i, j).score(rule)
        sign = math.tanh(score / 2) if rule == "soft" else (score > 0) - (score < 0)
        points[i] += (1 + sign) / 2
        points[j] += (1 - sign) / 2
    return points


@dataclass
class Pairs:
    """The judge's verdicts on one question's passages, every pair read once."""

    judge: Judge
    question: str
    passages: Sequence[str]
    verdicts: dict[Pair, Verdict] = field(default_factory=dict)
    comparisons: int = 0
    tokens: int = 0

    def read(self, wanted: Iterable[Pair]) -> None:
        """Read the pairs (i < j) that are not known yet, all in one go."""
        new = [pair for pair in wanted if pair not in self.verdicts]
        orders = [order for i, j in new for order in ((i, j), (j, i))]
        prompts = [pair_prompt(self.passages[a], self.passages[b], self.question) for a, b in orders]
        replies, tokens = self.judge.replies(prompts)
        self.tokens += tokens
        self.verdicts |= {
            pair: Verdict(*both)
            for pair, both in zip(new, zip(replies[::2], replies[1::2], strict=True), strict=True)
        }

    def ask(self, a: int, b: int) -> Verdict:
        """The verdict with `a` as the first passage."""
        self.comparisons += 1
        pair = (min(a, b), max(a, b))
        self.read([pair])
        verdict = self.verdicts[pair]
        return verdict if a < b else Verdict(verdict.backward, verdict.forward)

    def flags(self, chunks: Sequence[int]) -> dict[str, Any]:
        """What the record keeps; shares are left out where nothing was asked. `chunks` are the passages'."""
        replies = [reply for verdict in self.verdicts.values() for reply in verdict]
        found: dict[str, Any] = {
            "comparisons": self.comparisons,
            "prompts": len(replies),
            "judge_tokens": self.tokens,
        }
        if replies:
            found |= {
                "consistency": share(verdict.consistent for verdict in self.verdicts.values()),
                "a_share": share(reply.gap > 0 for reply in replies),
                "invalid": share(reply.invalid for reply in replies),
            }
        found["pairs"] = [
            [chunks[i], chunks[j], round(verdict.forward.gap, 3), round(verdict.backward.gap, 3)]
            for (i, j), verdict in list(self.verdicts.items())[:RECORDED]
        ]
        return found


def share(truths: Iterable[bool]) -> float:
    """How many of the truths are true, from 0 to 1."""
    return round(fmean(truths), 3)
