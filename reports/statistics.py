"""Numbers for paired comparisons of methods on the same examples: arrays in, numbers out.

Clustered means and differences follow Miller (2024, "Adding error bars to evals"): examples that share a
document are one cluster, and every interval and every test draws on the one `partition` below. Intervals are
Student t with cluster-robust errors, G/(G-1) and G-1 degrees of freedom; p-values come from flipping the
signs of whole clusters. Passing `tasks` turns every function into its macro version: example i of a task with
n examples, one of k tasks, weighs 1/(k n), and errors are centred per task, so that a document that feeds two
tasks stays one cluster. Passing `categories` too gives the mean over their macro means: 1/(c k n), k tasks being
in the example's category.

Exercised by ``python -m pytest tests/reports/test_statistics.py tests/reports/test_claims.py``, against scipy and
statsmodels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]
Labels = Sequence[str] | Sequence[int] | NDArray

CONFIDENCE = 0.95
POWER = 0.80
DRAWS = 10_000
FEW_CLUSTERS = 20
LEAST_DIFFERING = 6
"""The fewest clusters that must differ, all to one side, for `sign_flip` to give a p below 0.05: 2 / 2**6."""
_BLOCK_ELEMENTS = 1 << 17  # a megabyte of signs: what fits in a cache is several times faster
_NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Clusters:
    """Examples sorted into groups: `codes[i]`, 0 to `count` - 1, is the group of example i."""

    codes: NDArray[np.int64]
    count: int

    def sums(self, values: Floats) -> Floats:
        """The sum of `values` [n] over each group [count]."""
        return np.bincount(self.codes, weights=values, minlength=self.count).astype(float)


@dataclass(frozen=True)
class Estimate:
    """A mean of n values in G clusters with its 95 % interval; `rule` is "t" or "wilson".

    With one cluster, in all or in one of the tasks of a macro mean, a t interval does not exist: nothing is known of
    that spread, and `se`, `low` and `high` are nan. So it is for a mean of answers that all score alike, task by
    task; of a difference such clusters give an interval without width, which `lowest` reads.
    """

    n: int
    clusters: int
    mean: float
    low: float
    high: float
    se: float
    rule: str

    @property
    def flat(self) -> bool:
        """Whether the interval has no width, as all clusters are alike."""
        return self.se <= _NO_SPREAD

    @property
    def few(self) -> bool:
        """Whether the clusters are too few to trust the interval or to call anything significant."""
        return self.clusters < FEW_CLUSTERS

    @property
    def in_points(self) -> tuple[float, float, float]:
        """The mean and its interval times 100."""
        return 100.0 * self.mean, 100.0 * self.low, 100.0 * self.high

    @property
    def beyond_zero(self) -> bool:
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True)
class Difference:
    """First column minus second on the same examples.

    `correlation` is between the two columns, within tasks; `effect` is mean / sd of the differences;
    `detectable` is the smallest true difference that `sign_flip` at the 5 % level would find 80 % of the time with
    this many clusters, this spread, and tasks that differ as much as here: the test takes how they pull apart for
    chance, the interval does not (to first order, where tasks differ in size). Where fewer than `LEAST_DIFFERING`
    clusters differ otherwise than most, their spread is no guide, and it is at least the share d of G `parts` won or
    lost whole of which 80 % of runs have six or more: P(Binomial(G, d) >= 6) = I_d(6, G - 5), the regularized
    incomplete beta function. nan stands where a number does not exist (fewer than 20 clusters, of which nothing
    is called significant, a constant column, clusters that all differ by the same amount).
    `parts` is the number of equal parts that may be lost whole: clusters, or questions where 20 clusters or more differ
    in every task; of a mean over tasks as many in every task as the smallest has, which may be the only one that loses.
    """

    estimate: Estimate
    correlation: float
    effect: float
    wins: int
    ties: int
    losses: int
    detectable: float
    parts: int


def partition(labels: Labels) -> Clusters:
    """Sort examples into clusters by equality of their labels."""
    names, codes = np.unique(np.asarray(labels), return_inverse=True)
    return Clusters(codes, len(names))


def mean_interval(
    values: ArrayLike, labels: Labels, tasks: Labels | None = None, categories: Labels | None = None
) -> Estimate:
    """The clustered mean of scores [n] in 0 to 1 with its 95 % interval.

    t, except where every score is 0 or every score is 1: there the t interval would have no width, and
    Wilson's with n = clusters is given. Where it has none for another reason (each of the tasks all right or all
    wrong) there is no interval. Raises ValueError on an empty column.
    """
    column = _column(values)
    clusters = partition(labels)
    if np.all(column == column[0]) and column[0] in (0.0, 1.0):
        low, high = wilson(int(column[0]) * clusters.count, clusters.count)
        return Estimate(len(column), clusters.count, float(column[0]), low, high, math.nan, "wilson")
    found = _t_interval(column, clusters, *_task_weights(len(column), tasks, categories))
    return replace(found, low=math.nan, high=math.nan, se=math.nan) if found.flat else found


def log_ratio_interval(ratios: ArrayLike, labels: Labels) -> Estimate:
    """The geometric mean of ratios [n] > 0 with its 95 % interval: the t interval of the logarithms, taken
    back."""
    column = np.log(_column(ratios))
    logs = _t_interval(column, partition(labels), *_task_weights(len(column)))
    mean, low, high = (float(np.exp(bound)) for bound in (logs.mean, logs.low, logs.high))
    return replace(logs, mean=mean, low=low, high=high)


def difference(
    first: ArrayLike, second: ArrayLike, labels: Labels, tasks: Labels | None = None
) -> Difference:
    """The paired difference first - second over the same examples [n], with its cluster-robust t interval."""
    one, two = _column(first), _column(second)
    if len(one) != len(two):
        raise ValueError(f"paired columns differ in length: {len(one)} and {len(two)}; pair by example first")
    deltas = one - two
    weights, groups = _task_weights(len(deltas), tasks)
    clusters = partition(labels)
    estimate = _t_interval(deltas, clusters, weights, groups)
    spread = _spread(deltas, weights)
    odd = np.abs(clusters.sums(weights * (deltas - np.quantile(deltas, 0.5, method="lower")))) > _NO_SPREAD
    parts = _parts(odd, clusters, groups)
    return Difference(
        estimate=estimate,
        correlation=_correlation(_centred(one, groups), _centred(two, groups), weights),
        effect=estimate.mean / spread if spread > _NO_SPREAD else math.nan,
        wins=int(np.sum(deltas > _NO_SPREAD)),
        ties=int(np.sum(np.abs(deltas) <= _NO_SPREAD)),
        losses=int(np.sum(deltas < -_NO_SPREAD)),
        detectable=math.nan
        if estimate.flat
        else _detectable(deltas, estimate, clusters, weights, int(odd.sum()), parts),
        parts=parts,
    )


def lowest(found: Difference) -> float:
    """The lower end of a difference for a claim of non-inferiority; nan with one cluster.

    It is that of the t interval, or of Wilson's where that is lower: a t interval is too narrow where few clusters
    differ, and has no width where none does. For Wilson's a mean d below zero stands for -d G of G `parts`
    lost whole, and one above it for none of them, w being the share that may be lost: (1 - w) max(d, 0) - w.
    """
    estimate = found.estimate
    lost = wilson(max(-estimate.mean, 0.0) * found.parts, found.parts)[1]
    return float(np.minimum(estimate.low, (1.0 - lost) * max(estimate.mean, 0.0) - lost))


def sign_flip(
    deltas: ArrayLike, labels: Labels, tasks: Labels | None = None, *, seed: int, draws: int = DRAWS
) -> float:
    """Two-sided p of the mean difference when the signs of whole clusters are exchangeable.

    Exact over all 2^G assignments where they are no more than `draws`, else (1 + hits) / (1 + draws) over
    random ones. Clusters whose differences cancel are left out: flipping them changes nothing. On 0/1 scores,
    one example to a cluster, the exact form is exact McNemar. Memory is bounded, and the result does not
    depend on the block's size.
    """
    column = _column(deltas)
    weights, _ = _task_weights(len(column), tasks)
    sums = partition(labels).sums(weights * column)
    observed, scale = abs(float(sums.sum())), float(np.abs(sums).max())
    sums = np.abs(sums[np.abs(sums) > _NO_SPREAD * scale])
    if not sums.size:
        return 1.0
    exact = sums.size <= math.log2(draws)
    # Sums that tie with the observed one must count as hits whatever order they were added in.
    threshold = observed - 1e-10 * float(sums.sum())
    blocks = _all_signs(sums.size) if exact else _random_signs(sums.size, draws, seed)
    hits = sum(int(np.sum(np.abs(2.0 * (block @ sums) - sums.sum()) >= threshold)) for block in blocks)
    return hits / 2**sums.size if exact else (1 + hits) / (1 + draws)


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjustment: controls the chance of any false claim in the family."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(stepped, 1.0)[np.argsort(order)]


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Benjamini and Hochberg's step-up adjustment: controls the expected share of false claims."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    stepped = np.minimum.accumulate(scaled[::-1])[::-1]
    return np.minimum(stepped, 1.0)[np.argsort(order)]


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion, of `successes` in `trials`."""
    z2 = float(special.ndtri(0.5 + CONFIDENCE / 2)) ** 2
    rate = successes / trials
    middle = rate + z2 / (2 * trials)
    half = float(np.sqrt(z2 * rate * (1 - rate) / trials + z2**2 / (4 * trials**2)))
    low, high = (middle - half) / (1 + z2 / trials), (middle + half) / (1 + z2 / trials)
    return (0.0 if successes == 0 else low), (1.0 if successes == trials else high)


def detectable_difference(se: float, clusters: int, assumed: float | None = None) -> float:
    """The true difference found with 80 % power by a two-sided 5 % t test where the standard error is `se`, and
    `assumed` is the one that the test reckons with (the same by default); nan for fewer than 20 clusters."""
    if clusters < FEW_CLUSTERS:
        return math.nan
    return (
        _t_quantile(0.5 + CONFIDENCE / 2, clusters) * (se if assumed is None else assumed)
        + _t_quantile(POWER, clusters) * se
    )


def _detectable(
    deltas: Floats, estimate: Estimate, clusters: Clusters, weights: Floats, differing: int, parts: int
) -> float:
    """`Difference.detectable`, of differences that have a spread."""
    # The error that the test sees: about the mean over tasks instead of about each task's own.
    sums = clusters.sums(weights * (deltas - estimate.mean))
    seen = detectable_difference(estimate.se, clusters.count, _error(sums, clusters.count))
    if differing >= LEAST_DIFFERING:
        return seen
    whole = special.betaincinv(LEAST_DIFFERING, parts - LEAST_DIFFERING + 1, POWER)
    return float(np.maximum(seen, whole))  # nan where one of them is


def _column(values: ArrayLike) -> Floats:
    column = np.asarray(values, dtype=float)
    if column.ndim != 1 or not column.size:
        raise ValueError(f"expected a non-empty column of numbers, got shape {column.shape}")
    return column


def _task_weights(
    n: int, tasks: Labels | None = None, categories: Labels | None = None
) -> tuple[Floats, Clusters]:
    """Weights 1 / (c k_category n_task) that sum to one, and the tasks as groups."""
    whole = Clusters(np.zeros(n, dtype=np.int64), 1)
    groups = whole if tasks is None else partition(tasks)
    above = whole if categories is None else partition(categories)
    sizes = groups.sums(np.ones(n))[groups.codes]
    # One over its task's size, over the examples of a category: the number of its tasks.
    within = np.round(above.sums(1.0 / sizes))
    return 1.0 / (above.count * within[above.codes] * sizes), groups


def _centred(values: Floats, groups: Clusters) -> Floats:
    means = groups.sums(values) / groups.sums(np.ones(len(values)))
    return values - means[groups.codes]


def _t_interval(values: Floats, clusters: Clusters, weights: Floats, groups: Clusters) -> Estimate:
    """Weighted mean; error from the cluster sums of the values centred per task (`groups`); G - 1 degrees of
    freedom."""
    mean, count, se = float(weights @ values), clusters.count, math.nan
    if _fewest(groups, clusters) > 1:
        se = _error(clusters.sums(weights * _centred(values, groups)), count)
    half = _t_quantile(0.5 + CONFIDENCE / 2, count) * se
    return Estimate(len(values), count, mean, mean - half, mean + half, se, "t")


def _parts(odd: NDArray[np.bool_], clusters: Clusters, groups: Clusters) -> int:
    """`Difference.parts`, where the `odd` clusters differ otherwise than most."""
    few = _fewest(groups, clusters, odd[clusters.codes]) < FEW_CLUSTERS
    units = clusters if few else partition(np.arange(len(clusters.codes)))
    return min(units.count, groups.count * _fewest(groups, units))


def _fewest(groups: Clusters, clusters: Clusters, among: NDArray[np.bool_] | slice = slice(None)) -> int:
    """The clusters of the task that has the fewest, `among` these examples."""
    pairs = np.unique(np.stack([groups.codes, clusters.codes])[:, among], axis=1)
    return int(np.bincount(pairs[0], minlength=groups.count).min())


def _error(sums: Floats, count: int) -> float:
    """The standard error of a weighted mean from the sums over its clusters."""
    return float(np.sqrt(count / (count - 1) * (sums @ sums))) if count > 1 else math.nan


def _t_quantile(probability: float, clusters: int) -> float:
    return float(special.stdtrit(clusters - 1, probability)) if clusters > 1 else math.nan


def _spread(values: Floats, weights: Floats) -> float:
    """Weighted standard deviation; with equal weights the usual one with n - 1."""
    left = 1.0 - float(weights @ weights)
    if left <= _NO_SPREAD:
        return math.nan
    return float(np.sqrt(weights @ (values - weights @ values) ** 2 / left))


def _correlation(one: Floats, two: Floats, weights: Floats) -> float:
    """Weighted Pearson correlation of two columns already centred."""
    variances = float(weights @ one**2), float(weights @ two**2)
    if min(variances) <= _NO_SPREAD**2:
        return math.nan
    return float(weights @ (one * two)) / float(np.sqrt(variances[0] * variances[1]))


def _all_signs(count: int) -> Iterator[Floats]:
    """Every row of `count` bits, a block of rows at a time."""
    rows = max(1, _BLOCK_ELEMENTS // count)
    for start in range(0, 2**count, rows):
        numbers = np.arange(start, min(start + rows, 2**count), dtype=np.int64)
        yield (numbers[:, None] >> np.arange(count) & 1).astype(float)


def _random_signs(count: int, draws: int, seed: int) -> Iterator[Floats]:
    """`draws` rows of `count` random bits, a block at a time.

    Each row takes whole 64-bit words from the generator, so that the stream is the same for every block's
    size.
    """
    generator = np.random.default_rng(seed)
    rows, width = max(1, _BLOCK_ELEMENTS // count), -(-count // 64) * 8
    for start in range(0, draws, rows):
        block = min(rows, draws - start)
        words = np.frombuffer(generator.bytes(block * width), dtype=np.uint8).reshape(block, width)
        yield np.unpackbits(words, axis=1, count=count).astype(float)
