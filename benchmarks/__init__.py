"""The registry of benchmarks: a table of strings for the built-in ones, package metadata for plugins.

Nothing is imported until it is asked for. A benchmark is a factory
``factory(count_tokens, *, seed=0, **options) -> Iterable[TaskSet]`` (see ``benchmarks/base.py``). A
plugin registers it under the entry-point group ``run_compare.benchmarks``, or it is named as
``module.path:Factory``.
``python run_compare.py --list`` prints what `describe` returns.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import reduce
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

GROUP = "run_compare.benchmarks"


class Entry(NamedTuple):
    """Where a built-in lives, what it is in one line, and whether it is the suite's own synthetic English
    (all that the embedded model can read)."""

    target: str
    line: str
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


def describe() -> list[tuple[str, str, str]]:
    """Name, one line and origin ("built in" or the distribution) of every benchmark; imports none."""
    rows = [(name, entry.line, "built in") for name, entry in BUILT_IN.items()]
    for plugin in entry_points(group=GROUP):
        summary = plugin.dist.metadata["Summary"] if plugin.dist else None
        rows.append((plugin.name, summary or plugin.value, _origin(plugin)))
    return rows


def find(name: str) -> Callable[..., Any]:
    """The factory called `name`: a built-in, a plugin, or ``module.path:Factory``.

    ValueError where the name is unknown (with the nearest match), where two origins claim it (naming both),
    or where the import fails (the cause is chained).
    """
    if ":" in name:
        return _load(name, name, "named on the command line")
    plugins = [plugin for plugin in entry_points(group=GROUP) if plugin.name == name]
    origins = ["built in"] * (name in BUILT_IN) + [_origin(plugin) for plugin in plugins]
    if not origins:
        known = [known for known, _, _ in describe()]
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = (
            f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}, or module.path:Factory"
        )
        raise ValueError(f"unknown benchmark {name!r}: {hint} (run_compare.py --list describes them)")
    if len(origins) > 1:
        claims = " and ".join(origins)
        raise ValueError(f"benchmark {name!r} is claimed twice ({claims}): uninstall or rename one")
    return _load(name, plugins[0].value if plugins else BUILT_IN[name].target, origins[0])


def _origin(plugin: EntryPoint) -> str:
    return plugin.dist.name if plugin.dist else plugin.value


def _load(name: str, target: str, origin: str) -> Callable[..., Any]:
    module, _, attribute = target.partition(":")
    try:
        factory = reduce(getattr, attribute.split("."), import_module(module))
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"benchmark {name!r} ({origin}): cannot import {target}: {cause}") from error
    if not callable(factory):
        raise ValueError(f"benchmark {name!r} ({origin}): {target} is not a factory, it cannot be called")
    return factory
