"""Orders made of pairwise comparisons, as PRP uses them (Qin et al. 2023, arXiv 2306.17563, section 3).

Candidates are 0 to n-1 in their initial order. `lead(a, b)` is positive where a beats b, and 0 for a tie, in which
the one that came first stays first. Exercised by ``--method "rag:retriever=prp(algorithm=sliding)"``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

Lead = Callable[[int, int], float]


def all_pairs(n: int) -> list[tuple[int, int]]:
    """Every unordered pair: n(n-1)/2."""
    return list(combinations(range(n), 2))


def sliding(n: int, k: int, lead: Lead) -> list[int]:
    """`k` passes of bubble sort from the end, which settle the first k places: kn - k(k+1)/2 comparisons."""
    order = list(range(n))
    for settled in range(min(k, n)):
        for place in range(n - 1, settled, -1):
            if lead(order[place], order[place - 1]) > 0:
                order[place - 1], order[place] = order[place], order[place - 1]
    return order


def heapsort(n: int, k: int, lead: Lead) -> list[int]:
    """The best `k` from a heap, the others behind them in their initial order."""
    heap = list(range(n))

    def better(a: int, b: int) -> bool:
        ahead = lead(a, b)
        return ahead > 0 or (ahead == 0 and a < b)

    def sift_down(place: int) -> None:
        while True:
            top = place
            for child in (2 * place + 1, 2 * place + 2):
                if child < len(heap) and better(heap[child], heap[top]):
                    top = child
            if top == place:
                return
            heap[place], heap[top] = heap[top], heap[place]
            place = top

    for place in reversed(range(n // 2)):
        sift_down(place)
    best: list[int] = []
    while heap and len(best) < k:
        best.append(heap[0])
        last = heap.pop()
        if heap and len(best) < k:
            heap[0] = last
            sift_down(0)
    return [*best, *sorted(set(range(n)) - set(best))]
