"""Options typed by a factory's signature: text in, values out, errors that name the option and its type.

``chunk_size: int | None = None`` reads ``512``, ``2k`` and ``none``; ``lengths: tuple[int, ...]`` reads
``1k;4k``; ``idk_filter: bool`` reads ``true`` and ``false``; ``keep: Literal["ends", "head"]`` reads its own
words. In an int, k is a decimal thousand: 1k = 1000. Annotations may be strings, and those that cannot be
looked up (a name imported for type checkers only) fall back on the type of the default. Exercised by
``pytest tests/comparison/test_options.py``.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from comparison.naming import Item, Spec, SpecError, join_items

Factory = Callable[..., Any]
_GUESSES = (int, float, bool, None, str)  # what an option without any type is tried as, in this order


def parameters(factory: Factory) -> tuple[dict[str, inspect.Parameter], bool]:
    """A factory's options by name, and whether it takes any others (``**options``).

    The first parameter is the reader or the token counter, and no option. Raises `SpecError` for a factory
    that has no such parameter, or no signature at all.
    """
    try:
        first, *listed = inspect.signature(factory).parameters.values()
        given = first.kind not in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    except (TypeError, ValueError):
        given = False
    if not given:
        raise SpecError(
            f"{getattr(factory, '__qualname__', factory)} cannot be called with a reader (or a token counter): "
            "expected factory(engine, **options)"
        )
    usable = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {parameter.name: parameter for parameter in listed if parameter.kind in usable}
    return named, any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in listed)


def bind(factory: Factory, spec: Spec) -> dict[str, Any]:
    """The options that a SPEC gives, typed by the factory's signature.

    Raises `SpecError` for an option that the factory does not have, a value of another type, an option
    that the factory needs and did not get.
    """
    known, open_ended = parameters(factory)
    bound = {}
    for name, items in spec.options:
        if name not in known and not open_ended:
            raise SpecError(f"{spec.name} has no option {name}: {nearest(name, known)}")
        expected = annotation(factory, known[name]) if name in known else Any
        try:
            bound[name] = _convert(items, expected)
        except _Mismatch:
            value = join_items(items)
            raise SpecError(
                f"{spec.name}: option {name} is {value!r}, expected {describe(expected)}"
            ) from None
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in bound:
            raise SpecError(f"{spec.name} needs the option {name}: {spec.name}:{name}=...")
    return bound


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error: the nearest match if there is one, then everything that is known."""
    names = list(known)
    close = get_close_matches(word, names, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"{guess}expected one of {', '.join(names)}" if names else "it has none"


def as_text(factory: Factory, bound: Mapping[str, Any]) -> dict[str, str]:
    """Every option's value as text, the defaults included: what a record's key is made of."""
    known, _ = parameters(factory)
    values = {name: parameter.default for name, parameter in known.items()} | changed(factory, bound)
    return {name: render(value) for name, value in values.items()}


def changed(factory: Factory, bound: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are not their defaults: what a label is made of. 1.0 is the default 1, true is not."""
    known, _ = parameters(factory)
    kept = {}
    for name, value in bound.items():
        default = known[name].default if name in known else inspect.Parameter.empty
        same = value == default and isinstance(value, bool) == isinstance(default, bool)
        if not same and render(value) != render(default):
            kept[name] = value
    return kept


def render(value: Any) -> str:
    """A typed value as the text that reads back as it."""
    return join_items(to_items(value))


def to_items(value: Any) -> tuple[Item, ...]:
    """A typed value as the items of a SPEC; an object (a default that no SPEC gives) by its type's name."""
    if isinstance(value, tuple | list):
        return tuple(item for part in value for item in to_items(part)) or ("",)
    if isinstance(value, bool) or value is None:
        return (str(value).lower(),)
    if isinstance(value, str | int | float | Path):
        return (str(value),)
    return (getattr(value, "__qualname__", type(value).__qualname__),)


def annotation(factory: Factory, parameter: inspect.Parameter) -> Any:
    """The type that an option is annotated with, or its default's where there is no usable annotation."""
    written = _look_up(parameter.annotation, factory)
    if written is parameter.empty or written is Any:
        default = parameter.default
        return Any if default is parameter.empty or default is None else _type_of(default)
    return written


def _look_up(written: Any, factory: Factory) -> Any:
    """An annotation, a string or not, without what ``Annotated`` adds to it."""
    maker = inspect.unwrap(factory)
    names = vars(sys.modules.get(getattr(maker, "__module__", ""), typing))
    try:
        return typing.get_type_hints(types.SimpleNamespace(__annotations__={"": written}), dict(names))[""]
    except Exception:  # a name that is imported for type checkers only, or no type
        return Any


def _type_of(default: Any) -> Any:
    if isinstance(default, tuple | list):
        return types.GenericAlias(tuple, (type(default[0]) if default else Any, ...))
    return type(default)


class _Mismatch(Exception):
    """The text is no value of the expected type."""


def _convert(items: tuple[Item, ...], expected: Any) -> Any:
    origin, inner = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return _first(items, sorted(inner, key=lambda choice: choice is str))
    if origin is typing.Literal:
        return _literal(items, inner)
    if origin in (tuple, list, Sequence) or expected in (tuple, list):
        return _convert_list(items, inner)
    if len(items) != 1:
        if expected is Any:
            return tuple(_convert((item,), Any) for item in items)
        raise _Mismatch
    return _convert_one(items[0], expected)


def _first(items: tuple[Item, ...], choices: Sequence[Any]) -> Any:
    for choice in choices:
        try:
            return _convert(items, choice)
        except _Mismatch:
            continue
    raise _Mismatch


def _literal(items: tuple[Item, ...], choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if (render(choice),) == items:
            return choice
    raise _Mismatch


def _convert_list(items: tuple[Item, ...], inner: tuple[Any, ...]) -> tuple[Any, ...]:
    """A tuple, whatever the annotation's kind of sequence: options do not change once made."""
    if items == ("",):
        items = ()
    if inner and inner[-1] is not Ellipsis and len(inner) > 1:
        if len(items) != len(inner):
            raise _Mismatch
        return tuple(_convert((item,), kind) for item, kind in zip(items, inner, strict=True))
    return tuple(_convert((item,), inner[0] if inner else Any) for item in items)


def _convert_one(item: Item, expected: Any) -> Any:
    if isinstance(item, Spec):
        if expected in (str, Any):
            return item.nested()
        raise _Mismatch
    if expected is Any:
        return _first((item,), _GUESSES)
    if expected is None or expected is types.NoneType:
        return _word(item, {"none": None})
    if expected is bool:
        return _word(item, {"true": True, "false": False})
    if expected is int:
        return _int(item)
    if expected is float:
        return _float(item)
    if expected in (str, Path):
        return expected(item)
    raise _Mismatch


def _word(text: str, words: Mapping[str, Any]) -> Any:
    if text.lower() not in words:
        raise _Mismatch
    return words[text.lower()]


def _int(text: str) -> int:
    match = re.fullmatch(r"([+-]?[0-9]{1,18})(k?)", text)
    if not match:
        raise _Mismatch
    return int(match[1]) * (1000 if match[2] else 1)


def _float(text: str) -> float:
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        raise _Mismatch
    value = float(text)
    if not math.isfinite(value):
        raise _Mismatch
    return value


def describe(expected: Any) -> str:
    """A type in the words of an error message."""
    origin, inner = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(choice) for choice in inner)
    if origin is typing.Literal:
        return " or ".join(render(choice) for choice in inner)
    if origin in (tuple, list, Sequence) or expected in (tuple, list):
        kinds = [kind for kind in inner if kind is not Ellipsis] or [Any]
        return "a list with ';' of: " + ", ".join(dict.fromkeys(describe(kind) for kind in kinds))
    words = {bool: "true or false", int: "a whole number (1k = 1000)", float: "a number", str: "text"}
    plain = {None: "none", types.NoneType: "none", Path: "a path", Any: "a value"}
    return (words | plain).get(expected) or f"a {getattr(expected, '__name__', expected)}"
