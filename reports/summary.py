"""The paragraph that opens a report: which method is best, by how much, whether it is real, what it costs.

Every word of it follows from the numbers; nothing is said that the tables below it do not hold.
Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from reports.analysis import (
    ALL,
    CONFIRMATORY,
    MACRO,
    SIGNIFICANT,
    Analysis,
    Ranking,
    task_names,
)
from reports.collect import Run
from reports.cost import CostRow, tally
from reports.score_tables import NO_INTERVAL, NO_WIDTH
from reports.statistics import FEW_CLUSTERS, Estimate
from reports.tables import code, number, p_value, points

MOST_NAMED = 4
SAME = 1e-12


def summary(run: Run, analysis: Analysis, costs: Mapping[tuple[str, str], CostRow]) -> str:
    """One paragraph of markdown."""
    scores = {
        method.label: estimate
        for method in run.methods
        if not method.control and (estimate := analysis.results.get((method.label, MACRO, ALL)))
    }
    sentences = [_missing(run)]
    if not run.confirmatory:
        sentences.append("Every question of this run is unanswerable, so there is no mean score to compare.")
    elif not scores:
        sentences.append(
            "No method has a scored answer on every task yet, so there is no mean over tasks to compare."
        )
    elif not analysis.rankings[MACRO].leaders:
        sentences += _without_leader(run, scores, analysis.rankings[MACRO])
    else:
        sentences += _with_leader(run, analysis, costs)
    return " ".join(sentence for sentence in sentences if sentence)


def _with_leader(run: Run, analysis: Analysis, costs: Mapping[tuple[str, str], CostRow]) -> list[str]:
    ranking = analysis.rankings[MACRO]
    best, *level = ranking.leaders
    score = ranking.means[best]
    asked = _questions(run, score)
    asked = asked if ranking.alike else f"the {asked} that all have answered"
    compared = f"{len(ranking.means)} methods compared"
    opening = f"On {asked}, {code(best)} answers best of the {compared}: {_score(run, score)}"
    ties = _level(ranking, [label for label in level if label != run.baseline])
    if not run.baseline:
        return [f"{opening}.", ties, "No baseline is among the methods, so no difference is tested."]
    if best == run.baseline:
        return [f"{opening}; it is the baseline.", ties, *_closest(analysis, ranking)]
    contrast = analysis.contrasts.get((best, MACRO, ALL))
    if contrast is None:
        return [f"{opening}.", ties, f"The baseline {code(run.baseline)} has not answered every task yet."]
    gap = contrast.difference.estimate
    side = "above" if gap.mean >= 0 else "below"
    lead = (
        f"{opening}, {points(abs(gap.mean))} points {side} the baseline {code(run.baseline)}{_both(gap, score)} "
        f"({_range(gap, '95 % interval of the difference: ')})."
    )
    return [lead, _verdict(run, analysis, best), ties, _cost(run, best, costs)]


def _without_leader(run: Run, scores: Mapping[str, Estimate], ranking: Ranking) -> list[str]:
    """One method alone, or too few clusters, or too few in common, to name a best one."""
    if not ranking.alike:
        return [
            "The methods have too few questions in common to name a best one: all of them need answers to the same "
            f"questions, from {FEW_CLUSTERS} clusters or more."
        ]
    best = max(scores, key=lambda label: scores[label].mean)
    value = f"{_score(run, scores[best])}, on {_questions(run, scores[best])}"
    if len(scores) == 1:
        return [
            f"{code(best)} scores {value}; no other method (controls aside) has answered every task, so "
            "there is nothing to compare it with."
        ]
    return [
        "There are too few examples to name a best method: at least two methods need answers from "
        f"{FEW_CLUSTERS} clusters or more. The highest so far is {code(best)} with {value}."
    ]


def _questions(run: Run, estimate: Estimate) -> str:
    tasks = task_names(run, MACRO)
    named = [code(task) for task in tasks]
    listed = f" ({', '.join(named)})" if len(tasks) <= MOST_NAMED else ""
    where = f"of {named[0]}" if len(tasks) == 1 else f"in {len(tasks)} tasks{listed}"
    documents = "1 document" if estimate.clusters == 1 else f"{estimate.clusters} documents"
    grouped = "" if estimate.clusters == estimate.n else f" from {documents}"
    return f"{estimate.n} questions {where}{grouped}"


def _score(run: Run, estimate: Estimate) -> str:
    """A mean with its interval, in parentheses where there are too few clusters to give one."""
    average = " on average over the tasks" if len(run.confirmatory) > 1 else ""
    mean = f"{points(estimate.mean)} of 100 points{average}"
    return mean if estimate.few else f"{mean} ({_range(estimate, '95 % interval ')})"


def _range(estimate: Estimate, words: str = "") -> str:
    if math.isnan(estimate.low):
        return NO_INTERVAL
    return NO_WIDTH if estimate.flat else f"{words}{points(estimate.low)} to {points(estimate.high)}"


def _both(gap: Estimate, score: Estimate) -> str:
    """On what a difference rests, where that is more than the ranking does."""
    return "" if gap.n == score.n else f" on the {gap.n} questions that both have answered"


def _verdict(run: Run, analysis: Analysis, best: str) -> str:
    contrast = analysis.contrasts[best, MACRO, ALL]
    p, m = contrast.p_adjusted, analysis.family_sizes[CONFIRMATORY]
    own = sum(one.family == CONFIRMATORY for one in analysis.contrasts.values())
    where = " in all models" if m > own else ""
    adjusted = (
        f"adjusted for the {m} methods tested against the baseline{where}" if m > 1 else "one method tested"
    )
    tested = f"(p = {p_value(p)}, {adjusted})"
    if contrast.significant:
        rare = f"Chance alone would hardly give such a difference {tested}"
        if contrast.difference.estimate.beyond_zero:
            return f"{rare}."
        return (
            f"{rare}, though the interval includes zero: it and the sign-flip test, which decides, can disagree where "
            "a few questions differ much more than the rest."
        )
    if math.isnan(contrast.difference.estimate.low):
        return f"No difference is claimed {tested}: all answers on one of the tasks are about one document."
    chance = f"That difference may be chance {tested}"
    if math.isnan(contrast.difference.detectable):
        return f"{chance}."
    if contrast.difference.estimate.beyond_zero:
        return f"{chance}, though its interval does not include zero: {_why_apart(run, analysis, best)}."
    return (
        f"{chance}: before any adjustment, this many examples would reliably (80 % power) show only a true difference "
        f"of {points(contrast.difference.detectable)} points or more."
    )


def _why_apart(run: Run, analysis: Analysis, best: str) -> str:
    """Why an interval can exclude zero where the test finds nothing."""
    p = analysis.contrasts[best, MACRO, ALL].p
    if p is not None and p < SIGNIFICANT:
        return f"the interval is that of one method (p = {p_value(p)} before the adjustment)"
    gaps = [analysis.contrasts[best, task, ALL].difference.estimate.mean for task in task_names(run, MACRO)]
    if min(gaps) < 0.0 < max(gaps):
        return (
            "the tasks pull in opposite directions; the interval takes these tasks as given, the sign-flip test does "
            "not"
        )
    return "the two draw the line at slightly different places, and the sign-flip test decides"


def _level(ranking: Ranking, labels: list[str]) -> str:
    if not labels:
        return ""
    names = [code(label) for label in labels]
    who = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    gaps = [ranking.gaps[label].estimate for label in labels]
    found = [_range(gap) for gap in gaps]
    unknown = next((words for words in (NO_INTERVAL, NO_WIDTH) if words in found), "")
    why = f"the difference has {unknown}" if unknown else "the 95 % interval of the difference includes zero"
    return f"{who} cannot be told from {code(ranking.best)}: {why}."


def _closest(analysis: Analysis, ranking: Ranking) -> list[str]:
    """The strongest rival of a baseline that wins."""
    rivals = {
        method: contrast
        for (method, _, _), contrast in analysis.contrasts.items()
        if contrast.family == CONFIRMATORY
    }
    if not rivals:
        return []
    closest = max(rivals, key=lambda label: rivals[label].difference.estimate.mean)
    gap = rivals[closest].difference.estimate
    tested = f"({_range(gap)}, adjusted p = {p_value(rivals[closest].p_adjusted)})"
    both = _both(gap, ranking.means[ranking.best])
    if gap.mean > SAME:
        return [f"{code(closest)} is {points(gap.mean)} points above it{both} {tested}."]
    apart = f"{points(gap.mean, signed=True)} points from it" if gap.mean < -SAME else "with the same score"
    return [f"No method beats {code(ranking.best)}; {code(closest)} comes closest, {apart}{both} {tested}."]


def _cost(run: Run, best: str, costs: Mapping[tuple[str, str], CostRow]) -> str:
    row, base = costs.get((best, ALL)), costs.get((run.baseline, ALL))
    if not (row and base):
        return ""
    parts = []
    if row.ratio:
        parts.append(f"takes {number(row.ratio.mean, 2)} times as long per question as {code(run.baseline)}")
    if row.tokens_ratio is not None:
        reading = number(row.tokens_ratio, 2)
        parts.append("reads as many tokens" if reading == "1.00" else f"reads {reading} times as many tokens")
    return f"{code(best)} {' and '.join(parts)}." if parts else ""


def _missing(run: Run) -> str:
    """What an unfinished or failing run must say before anything else."""
    tallies = [tally(run, method.label, ALL) for method in run.methods]
    planned, missing, failed = (
        sum(getattr(one, kind) for one in tallies) for kind in ("planned", "missing", "failed")
    )
    sentences = []
    if missing:
        sentences.append(
            f"**This run is not finished: {missing} of {planned} answers are missing**, and what follows may "
            "change."
        )
    if failed:
        fate = "score zero" if run.failures == "zero" else "are left out of every mean and pair"
        sentences.append(f"{failed} answers failed and {fate}.")
    return " ".join(sentences)
