"""The benchmarks, by name: built in, from a plugin's entry point, or ``module.path:Factory``.

Listing imports none of them. A benchmark is a factory
``factory(count_tokens, *, seed=0, **options) -> Iterable[TaskSet]`` (see ``benchmarks/base.py``).
Exercised by ``python run_compare.py --list``.
"""

from __future__ import annotations

from dataclasses import dataclass

from comparison import registry

GROUP = "run_compare.benchmarks"


@dataclass(frozen=True)
class Entry(registry.Entry):
    """A built-in, and whether it is the suite's own synthetic English (all that the embedded model can read)."""

    suite_english: bool = False


BUILT_IN: dict[str, Entry] = {
    "recall": Entry("benchmarks.recall:recall", "one of many facts asked, at constant length", True),
    "needle": Entry(
        "benchmarks.needle:needle", "one fact in filler, on a grid of lengths times depths", True
    ),
    "multihop": Entry(
        "benchmarks.multihop:multihop", "two facts (or one, or three) that share an entity", True
    ),
    "longbench": Entry("benchmarks.longbench:longbench", "LongBench, 21 tasks in the official wording"),
    "longbench_e": Entry(
        "benchmarks.longbench:longbench_e", "LongBench_e, 13 tasks, even over three buckets of length"
    ),
    "longbench_v2": Entry(
        "benchmarks.longbench_v2:longbench_v2", "LongBench v2, 503 questions of four options"
    ),
    "infinitebench": Entry(
        "benchmarks.infinitebench:infinitebench", "InfiniteBench, 12 tasks beyond 100k tokens"
    ),
    "kamradt": Entry("benchmarks.kamradt:kamradt", "Kamradt's needle in a folder of texts of your own"),
    "passkey": Entry(
        "benchmarks.passkey:passkey", "the passkey in repeated sentences, or as DeciMamba hides it"
    ),
    "ruler": Entry("benchmarks.ruler:ruler", "RULER's needle tasks, made with the reader's tokenizer"),
    "hotpotqa": Entry("benchmarks.hotpotqa:hotpotqa", "HotpotQA, distractor setting, and longer versions"),
    "musique": Entry("benchmarks.musique:musique", "MuSiQue-Ans, and longer versions"),
    "2wikimqa": Entry("benchmarks.wikimqa:wikimqa", "2WikiMultihopQA, and longer versions"),
}
REGISTRY = registry.Registry("benchmark", GROUP, BUILT_IN)
describe, find = REGISTRY.describe, REGISTRY.find
