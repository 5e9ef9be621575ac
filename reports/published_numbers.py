"""Published numbers of recurrent readers, as data: what `reports.published` sets beside a run's own.

From Ben-Kish et al. 2025 (OPRM, arXiv 2505.07793) and the authors' talk slides; the LongBench means are read off a
chart, to about 0.1. The truncated RWKV-6 row is an independent evaluation's. Exercised by
``python -m reports RUN_DIR --paper``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reports.collect import ALL

FALCON = "tiiuae/falcon-mamba-7b-instruct"
FALCON3 = "tiiuae/Falcon3-Mamba-7B-Instruct"
GEMMA = "google/recurrentgemma-9b-it"
RWKV = "RWKV/v6-Finch-7B-HF"
CHART = "OPRM paper, chart (about ±0.1)"
SLIDES = "OPRM talk slides"
PAPER = "OPRM paper"
FORK = "independent evaluation, 4,096 tokens, no chat markers"


@dataclass(frozen=True)
class Published:
    """One number in points. `model` is a hub id, "" where the source names none; `task` a task of `benchmark`
    without suffixes, "" for the mean over all of them; `method` the name of ours that comes closest; `value` an int
    where the source gives no decimals."""

    model: str
    benchmark: str
    task: str
    bucket: str
    method: str
    value: float
    source: str

    @property
    def name(self) -> str:
        """What the number is of, such as "hotpotqa_e, 4-8k" or "LongBench mean"."""
        title = {"longbench": "LongBench", "longbench_e": "LongBench_e", "longbench_v2": "LongBench v2"}
        whole = title.get(self.benchmark, "InfiniteBench") + " mean"
        one = f"{self.task}_e" if self.benchmark == "longbench_e" else self.task
        return (one if self.task else whole) + ("" if self.bucket == ALL else f", {self.bucket}")


LONGBENCH = tuple(
    "narrativeqa qasper multifieldqa_en hotpotqa 2wikimqa musique gov_report qmsum multi_news trec triviaqa "
    "samsum passage_count passage_retrieval_en lcc repobench-p".split()
)
CATEGORIES = {
    "single-doc QA": ("qasper", "multifieldqa_en"),
    "multi-doc QA": ("hotpotqa", "2wikimqa"),
    "summaries": ("gov_report", "multi_news"),
    "few-shot": ("trec", "triviaqa", "samsum"),
    "synthetic": ("passage_count", "passage_retrieval_en"),
    "code": ("lcc", "repobench-p"),
}
"""The tasks of LongBench_e by category."""

_MEANS = {
    FALCON: "24.7 31.7 31.7 37.0 26.8 34.2 20.2 33.7",
    FALCON3: "28.2 32.2 32.8 36.3 31.7 33.7 30.4 33.8",
    GEMMA: "19.0 28.6 20.7 32.0 18.5 30.5 17.9 29.4",
    RWKV: "16.3 24.6 25.7 27.4 12.6 25.1 13.0 26.0",
}
_MEAN_PLACES = (("longbench", ALL), ("longbench_e", "0-4k"), ("longbench_e", "4-8k"), ("longbench_e", "8k+"))
_V2 = {GEMMA: 26.2, RWKV: 22.7, FALCON: 29.4, FALCON3: 30.8}
_HOTPOTQA = {
    "full": (36.35, 21.18, 18.4),
    "random_chunk": (35.53, 23.02, 27.62),
    "oprm": (39.71, 37.1, 35.18),
}
_INFINITE = {
    "passkey": (0, 99.8),
    "number_string": (0, 100),
    "kv_retrieval": (0, 31.3),
    "longbook_sum_eng": (20.1, 22.08),
    "longbook_qa_eng": (11.0, 23.2),
    "longbook_choice_eng": (45.4, 59.4),
    "longdialogue_qa_eng": (4.0, 8.0),
    "code_debug": (27.1, 24.56),
    "code_run": (0, 0),
    "math_calc": (0, 0),
    "math_find": (26.86, 33.14),
    "": (12.2, 36.5),
}
_TRUNCATED = {
    **{"narrativeqa": 20.75, "qasper": 40.20, "multifieldqa_en": 36.01, "hotpotqa": 22.74, "2wikimqa": 16.30},
    **{"musique": 10.49, "gov_report": 31.64, "qmsum": 21.31, "multi_news": 26.06, "trec": 55.5},
    **{"triviaqa": 86.89, "samsum": 44.25, "passage_count": 5.0, "lcc": 73.84, "repobench-p": 54.10},
}
_MULTI_HOP = {
    ("longbench_e", "hotpotqa", "0-4k"): (27.97, 38.68),
    ("longbench_e", "hotpotqa", "4-8k"): (21.57, 34.37),
    ("longbench_e", "hotpotqa", "8k+"): (17.21, 36.07),
    ("longbench", "hotpotqa", ALL): (22.17, 35.09),
    ("longbench_e", "2wikimqa", "0-4k"): (25.26, 30.37),
    ("longbench_e", "2wikimqa", "4-8k"): (25.33, 28.88),
    ("longbench_e", "2wikimqa", "8k+"): (16.61, 27.01),
    ("longbench", "2wikimqa", ALL): (21.39, 25.08),
    ("longbench", "musique", ALL): (8.37, 18.4),
}
INFINITE_TASKS = tuple(task for task in _INFINITE if task)


def _pair(
    model: str, benchmark: str, task: str, bucket: str, values: tuple[float, float], source: str
) -> Iterator[Published]:
    """Plain reading and OPRM."""
    for method, value in zip(("full", "oprm"), values, strict=True):
        yield Published(model, benchmark, task, bucket, method, value, source)


def _means() -> Iterator[Published]:
    for model, text in _MEANS.items():
        values = [float(value) for value in text.split()]
        for place, (benchmark, bucket) in enumerate(_MEAN_PLACES):
            both = (values[2 * place], values[2 * place + 1])
            yield from _pair(model, benchmark, "", bucket, both, CHART)


NUMBERS: tuple[Published, ...] = (
    *_means(),
    *(Published(model, "longbench_v2", "", ALL, "oprm", value, PAPER) for model, value in _V2.items()),
    *(
        Published(FALCON, "longbench_e", "hotpotqa", bucket, method, value, f"{SLIDES}, chunks of 3,000")
        for method, values in _HOTPOTQA.items()
        for bucket, value in zip(("0-4k", "4-8k", "8k+"), values, strict=True)
    ),
    *(
        one
        for task, both in _INFINITE.items()
        for one in _pair(FALCON3, "infinitebench", task, ALL, both, PAPER)
    ),
    *(Published(RWKV, "longbench", task, ALL, "truncate", value, FORK) for task, value in _TRUNCATED.items()),
)
"""By reader."""

MULTI_HOP: tuple[Published, ...] = tuple(
    one for place, both in _MULTI_HOP.items() for one in _pair("", *place, both, SLIDES)
)
"""Of a reader that the slide does not name."""

EXTENSION: dict[str, tuple[float | None, ...]] = {
    "full": (5.94, 5.92, 7.80, 12.56, 3.00, 12.92),
    "decimamba": (6.42, 6.19, 9.78, 17.54, 3.12, 35.17),
    "longmamba": (6.76, 7.57, 10.34, 28.21, 2.88, 42.78),
    "oprm": (11.36, 8.92, 20.22, None, 2.60, 43.25),
}
"""LongBench_e by category (in the order of `CATEGORIES`), Mamba-1.4B, trained at 2,048 tokens. The slide's means are
left out: they are over different sets of tasks."""

LONGBENCH_CATEGORIES = CATEGORIES | {
    "single-doc QA": ("narrativeqa", "qasper", "multifieldqa_en"),
    "multi-doc QA": ("hotpotqa", "2wikimqa", "musique"),
    "summaries": ("gov_report", "qmsum", "multi_news"),
    "synthetic": ("passage_retrieval_en",),
}
"""The tasks of LongBench by category, as the source of `TRUNCATED` counts them (of the synthetic ones probably one)."""

TRUNCATED: dict[tuple[str, int], tuple[float, ...]] = {
    ("RecurrentGemma-9B-it", 7500): (24.48, 21.88, 21.88, 54.36, 9.00, 60.63),
    ("RecurrentGemma-2B-it", 7500): (18.05, 8.31, 20.94, 46.29, 4.00, 53.79),
    ("RWKV-5-7B", 3500): (4.31, 1.46, 16.47, 59.67, 4.01, 44.26),
    ("Mamba-2.8B", 1500): (7.18, 6.29, 19.05, 38.92, 1.17, 47.50),
}
"""LongBench by category (in the order of `LONGBENCH_CATEGORIES`), by reader and the tokens that a context was cut to in
the middle; from a benchmark of cache compression."""

LENGTHS = (2048, 4096, 8192, 16384, 32768, 65536, 131072)
SECONDS = {"full": (2.0, 2.5, 3.5, 5.7, 10.2, 18.9, 36.2), "oprm": (2.2, 2.5, 3.2, 4.7, 7.8, 14.0, 26.9)}
GIGABYTES = {
    "full": (14.9, 15.3, 15.9, 17.2, 19.9, 25.2, 35.7),
    "oprm": (15.3, 15.6, 16.3, 17.8, 20.6, 26.2, 37.3),
}
"""Of `FALCON3` on one GPU, by length of the context in tokens (`LENGTHS`)."""
