"""The methods, by name: built in, from a plugin's entry point, or ``module.path:Factory``.

Listing imports none of them. Exercised by ``python run_compare.py --list``.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import reduce
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from methods.base import Method

GROUP = "run_compare.methods"


class Entry(NamedTuple):
    """Where a factory is ("module:Factory", imported when it is asked for), and one line about it."""

    target: str
    line: str


BUILT_IN: dict[str, Entry] = {
    "full": Entry("methods.full:Full", "the whole context in one prompt"),
    "truncate": Entry(
        "methods.truncate:Truncate", "the ends, the head or the tail of the context, to a budget"
    ),
    "oprm": Entry("methods.oprm:OPRM", "chunks read as a batch, the answer from the surest that has one"),
    "rag": Entry("methods.rag:RAG", "the best chunks by a retriever, in one prompt"),
    "decimamba": Entry(
        "methods.decimamba:DeciMamba", "tokens with small time steps dropped inside a Mamba (DeciMamba)"
    ),
    "longmamba": Entry(
        "methods.longmamba:LongMamba", "small time steps set to zero in a Mamba's slow channels (LongMamba)"
    ),
    "upi": Entry(
        "methods.upi:UPI",
        "smaller time steps where a Mamba looks furthest back, beyond its trained length (UPI)",
    ),
    "delta_scale": Entry(
        "methods.delta_scale:DeltaScale", "all time steps of a Mamba times one constant, while it reads"
    ),
    "yarn": Entry("methods.yarn:Yarn", "the whole context by a transformer with stretched positions (YaRN)"),
    "iterative_summary": Entry(
        "methods.iterative_summary:IterativeSummary", "chunk by chunk, carrying notes that the reader writes"
    ),
    "closed_book": Entry("methods.closed_book:ClosedBook", "control: the question with an empty context"),
    "random_chunk": Entry("methods.random_chunk:RandomChunk", "control: one chunk drawn at random"),
    "oracle_chunk": Entry("methods.oracle_chunk:OracleChunk", "control: the chunk with the most evidence"),
    "best_of_chunks": Entry(
        "methods.best_of_chunks:BestOfChunks", "control: every chunk answers, the best score counts"
    ),
}


def describe() -> list[tuple[str, str, str]]:
    """Name, one line and origin ("built in" or the distribution) of every method, without importing any."""
    rows = [(name, entry.line, "built in") for name, entry in BUILT_IN.items()]
    for plugin in entry_points(group=GROUP):
        summary = plugin.dist.metadata["Summary"] if plugin.dist else None
        rows.append((plugin.name, summary or plugin.value, _origin(plugin)))
    return rows


def find(name: str) -> Callable[..., Method]:
    """The factory called `name`: a built-in, a plugin, or ``module.path:Factory``.

    ValueError where the name is unknown (with the nearest match), where two origins claim it (naming both),
    or where the import fails (the cause is chained)."""
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
        raise ValueError(f"unknown method {name!r}: {hint} (run_compare.py --list describes them)")
    if len(origins) > 1:
        raise ValueError(
            f"method {name!r} is claimed twice ({' and '.join(origins)}): uninstall or rename one"
        )
    return _load(name, plugins[0].value if plugins else BUILT_IN[name].target, origins[0])


def _origin(plugin: EntryPoint) -> str:
    return plugin.dist.name if plugin.dist else plugin.value


def _load(name: str, target: str, origin: str) -> Callable[..., Method]:
    module, _, attribute = target.partition(":")
    try:
        factory = reduce(getattr, attribute.split("."), import_module(module))
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"method {name!r} ({origin}) cannot be imported from {target}: {cause}") from error
    if not callable(factory):
        raise ValueError(f"method {name!r} ({origin}): {target} is not a factory, it cannot be called")
    return factory
