"""The rankers, by name: built in, from a plugin's entry point, or ``module.path:Factory``.

Listing imports none of them. A ranker is an option of a method (``rag:retriever=bm25(variant=okapi),k=3``),
so its SPEC is the nested form, ``name`` or ``name(key=value,...)``.
Exercised by ``pytest tests/retrievers/test_ranker_names.py``.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from functools import reduce
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from models.engine import Engine
    from retrievers.base import Ranker

GROUP = "run_compare.retrievers"


class Entry(NamedTuple):
    """Where a factory is ("module:Factory", imported when it is asked for), and one line about it."""

    target: str
    line: str


BUILT_IN: dict[str, Entry] = {
    "bm25": Entry("retrievers.bm25:BM25", "words shared with the question, weighed by rarity (rank_bm25)"),
    "dense": Entry(
        "retrievers.dense:Dense", "vectors by any encoder: encoder=minilm, gte-modernbert, hub id, folder"
    ),
    "dragon": Entry("retrievers.dense:Dragon", "vectors by Dragon+ (two towers; weights for research only)"),
    "dragon-roberta": Entry(
        "retrievers.dense:DragonRoberta", "vectors by Dragon's RoBERTa towers (the same)"
    ),
    "hybrid": Entry("retrievers.fusion:Hybrid", "reciprocal rank fusion of several: retrievers=bm25;dense"),
    "cross_encoder": Entry(
        "retrievers.cross_encoder:CrossEncoderRanker", "question and window read together"
    ),
    "query_likelihood": Entry(
        "retrievers.query_likelihood:QueryLikelihood",
        "how likely the reader finds the question after the chunk",
    ),
    "prp": Entry("retrievers.pairwise:PRP", "the reader compares chunks in pairs, both orders"),
}


def describe() -> list[tuple[str, str, str]]:
    """Name, one line and origin ("built in" or the distribution) of every one, without importing any."""
    rows = [(name, entry.line, "built in") for name, entry in BUILT_IN.items()]
    for plugin in entry_points(group=GROUP):
        summary = plugin.dist.metadata["Summary"] if plugin.dist else None
        rows.append((plugin.name, summary or plugin.value, _origin(plugin)))
    return rows


def find(name: str) -> Callable[..., Ranker]:
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
        raise ValueError(f"unknown retriever {name!r}: {hint} (run_compare.py --list describes them)")
    if len(origins) > 1:
        raise ValueError(
            f"retriever {name!r} is claimed twice ({' and '.join(origins)}): uninstall or rename one"
        )
    return _load(name, plugins[0].value if plugins else BUILT_IN[name].target, origins[0])


def _origin(plugin: EntryPoint) -> str:
    return plugin.dist.name if plugin.dist else plugin.value


def _load(name: str, target: str, origin: str) -> Callable[..., Ranker]:
    module, _, attribute = target.partition(":")
    try:
        factory = reduce(getattr, attribute.split("."), import_module(module))
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(
            f"retriever {name!r} ({origin}) cannot be imported from {target}: {cause}"
        ) from error
    if not callable(factory):
        raise ValueError(f"retriever {name!r} ({origin}): {target} is not a factory, it cannot be called")
    return factory


def parse(spec: str) -> tuple[Callable[..., Ranker], dict[str, Any]]:
    """Factory and typed options of a ranker's SPEC; no engine is needed. ValueError for what does not fit."""
    call = re.fullmatch(r"\s*([\w.-]+(?::[\w.]+)?)\s*(?:\((.*)\))?\s*", spec, re.DOTALL)
    if not call:
        raise ValueError(f"{spec!r} is not a retriever: expected name or name(key=value,...)")
    factory, options = find(call[1]), {}
    parameters = list(inspect.signature(factory).parameters.values())[1:]  # the first is the engine
    accepted = {parameter.name: parameter for parameter in parameters}
    for part in _parts(call[2] or ""):
        key, _, text = (piece.strip() for piece in part.partition("="))
        if key not in accepted or not text:
            raise ValueError(
                f"{spec!r}: cannot read {part!r}; {call[1]} takes {', '.join(accepted) or 'no options'}"
            )
        options[key] = _typed(key, text, _annotation(factory, accepted[key]))
    return factory, options


def build(spec: str | Ranker, engine: Engine) -> Ranker:
    """The ranker that a SPEC names, for this engine; a ranker that is there already is handed back."""
    if not isinstance(spec, str):
        return spec
    factory, options = parse(spec)
    return factory(engine, **options)


def _parts(options: str, separator: str = ",") -> list[str]:
    """Cut at the separators outside of parentheses."""
    parts, depth = [""], 0
    for character in options:
        depth += (character == "(") - (character == ")")
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _annotation(factory: Callable[..., Ranker], parameter: inspect.Parameter) -> Any:
    """The type of an option: as annotated, or else its default's; Any where neither says."""
    maker = inspect.unwrap(factory)
    names = vars(sys.modules.get(getattr(maker, "__module__", ""), typing))
    written = types.SimpleNamespace(__annotations__={"option": parameter.annotation})
    found = Any
    if parameter.annotation is not parameter.empty:
        with suppress(Exception):  # a name that is imported for type checkers only
            found = typing.get_type_hints(written, dict(names))["option"]
    default = parameter.default
    if found is not Any or default is None or default is parameter.empty:
        return found
    return (
        types.GenericAlias(tuple, (type(default[0]), ...))
        if default and type(default) is tuple
        else type(default)
    )


def _typed(key: str, text: str, expected: Any) -> object:
    """`text` as a value of the expected type. ValueError that says which."""
    try:
        return _value(text, expected)
    except (KeyError, ValueError):
        raise ValueError(f"{key}={text}: expected {_words(expected)}") from None


def _words(expected: Any) -> str:
    """A type in the words of an error message."""
    origin, inner = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_words, inner))
    if origin is typing.Literal:
        return " or ".join(map(str, inner))
    plain = {int: "a whole number", float: "a number", bool: "true or false", types.NoneType: "none"}
    return plain.get(expected, f"a value of type {getattr(expected, '__name__', expected)}")


def _value(text: str, expected: Any) -> object:
    """What `comparison.options` makes of the same text, once it is in its canonical form."""
    origin, inner = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        several = len(_parts(text, ";")) > 1
        origin, inner = typing.Union, (tuple,) if several else (int, float, bool, None, str)
    if origin in (typing.Union, types.UnionType):
        for choice in sorted(inner, key=lambda choice: choice is str):  # which takes anything
            with suppress(KeyError, ValueError):
                return _value(text, choice)
        raise ValueError(text)
    if origin is typing.Literal:
        return {str(choice): choice for choice in inner}[text]
    if tuple in (origin, expected):
        return tuple(_value(part, inner[0] if inner else Any) for part in _parts(text, ";"))
    if expected in (None, types.NoneType):
        return {"none": None}[text.lower()]
    if expected is bool:
        return {"true": True, "false": False}[text.lower()]
    return expected(text) if expected in (int, float, Path) else text
