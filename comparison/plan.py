"""Names to a plan: flags and TOML are merged, and every SPEC is resolved, before a model is loaded.

Torch-free itself (resolving a method imports that method's module).
Exercised by ``python run_compare.py --dry-run`` and ``--list``.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import benchmarks
import methods
import retrievers
from comparison import options
from comparison.imports import Imported, parse_import
from comparison.naming import Spec, SpecError, parse, parse_nested
from models.specs import READERS, ReaderSpec, describe, reader_spec

METHODS = ("full", "truncate", "closed_book", "random_chunk", "oracle_chunk", "oprm", "rag")
BENCHMARKS = ("recall", "needle", "multihop")
DEFAULTS: dict[str, Any] = {
    "model": "tiny",
    "method": list(METHODS),
    "benchmark": list(BENCHMARKS),
    "baseline": "full",
    "limit": None,
    "seed": 0,
    "device": "auto",
    "dtype": "auto",
    "trust-remote-code": False,
    "data-dir": None,
    "import-predictions": [],
    "out": "runs/compare",
}
RANKERS = ("retriever", "candidates")
"""The options of methods that name a ranker, which must be found before a model is loaded."""
REGISTRIES: dict[str, Any] = {"method": methods, "benchmark": benchmarks, "retriever": retrievers}


class PlanError(ValueError):
    """A comparison that cannot be run as asked; the message is one line."""


@dataclass(frozen=True)
class Resolved:
    """A SPEC that was found and understood.

    `label` names it in every table; `spec` is the canonical text without defaults, `nested` the same as an
    option of another SPEC; `options` are the typed values given, `settings` every option's value as text.
    """

    label: str
    spec: str
    nested: str
    name: str
    factory: Callable[..., Any]
    options: Mapping[str, Any]
    settings: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """Everything that was asked for, resolved. `baseline` is the label of one of the methods; those of
    `imports` are methods whose predictions are in a folder."""

    reader: ReaderSpec
    methods: tuple[Resolved, ...]
    benchmarks: tuple[Resolved, ...]
    baseline: str
    limit: int | None
    seed: int
    device: str
    dtype: str
    trust_remote_code: bool
    data_dir: Path | None
    out: Path
    imports: Mapping[str, Path] = field(default_factory=dict)


def make_plan(given: Mapping[str, Any]) -> Plan:
    """Resolve settings by their long flags' names; those not given have their `DEFAULTS`.

    Raises ValueErrors of one line: `PlanError`, `SpecError`, the registries' and the reader's own.
    """
    settings = DEFAULTS | dict(given)
    if settings["limit"] is not None and settings["limit"] < 1:
        raise PlanError(f"--limit is {settings['limit']}, expected at least 1")
    if not settings["benchmark"]:
        raise PlanError("no benchmark was named, expected at least one")
    reader = reader_spec(settings["model"])
    chosen = [resolve("method", text) for text in settings["method"]]
    folders = [parse_import(text) for text in settings["import-predictions"]]
    chosen += [_imported(label) for label, _ in folders]
    baseline, chosen = _with_baseline(settings["baseline"], chosen)
    _refuse_doubles("method", chosen)
    asked = [resolve("benchmark", text) for text in settings["benchmark"]]
    _refuse_doubles("benchmark", asked)
    for benchmark in asked:
        _check_readable(reader, benchmark)
    data_dir = settings["data-dir"]
    return Plan(
        reader=reader,
        methods=tuple(chosen),
        benchmarks=tuple(asked),
        baseline=baseline,
        limit=settings["limit"],
        seed=settings["seed"],
        device=settings["device"],
        dtype=settings["dtype"],
        trust_remote_code=settings["trust-remote-code"],
        data_dir=None if data_dir is None else Path(data_dir),
        out=Path(settings["out"]),
        imports=dict(folders),
    )


# Settings


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a TOML file: its keys are the long flags without their dashes."""
    try:
        with path.open("rb") as file:
            settings = tomllib.load(file)
    except OSError as problem:
        raise PlanError(f"cannot read {path}: {problem.strerror}") from problem
    except ValueError as problem:
        raise PlanError(f"{path} is not TOML: {problem}") from problem
    for name, value in settings.items():
        if name not in DEFAULTS:
            raise PlanError(f"{path} has the unknown key {name!r}: {options.nearest(name, DEFAULTS)}")
        _check_type(path, name, value)
    return settings


def _check_type(path: Path, name: str, value: Any) -> None:
    if isinstance(DEFAULTS[name], list):
        good = isinstance(value, list) and all(isinstance(spec, str) for spec in value)
        expected = "a list of LABEL=DIR" if name == "import-predictions" else "a list of SPECs"
    elif name in ("limit", "seed"):
        good, expected = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif name == "trust-remote-code":
        good, expected = isinstance(value, bool), "true or false"
    else:
        good, expected = isinstance(value, str), "text"
    if not good:
        raise PlanError(f"{path} has {name} = {value!r}, expected {expected}")


# Names


def resolve(kind: str, text: str) -> Resolved:
    """Find a method, benchmark or retriever by its SPEC and type its options by the signature."""
    spec = parse_nested(text) if kind == "retriever" else parse(text)
    factory = _find(kind, spec.name)
    bound = options.bind(factory, spec)
    for option in RANKERS if kind == "method" else ():
        if isinstance(bound.get(option), str):
            bound[option] = resolve("retriever", bound[option]).nested
    changed = options.changed(factory, bound)
    items = tuple((name, options.to_items(changed[name])) for name in sorted(changed))
    canonical = Spec(spec.name, items)
    return Resolved(
        label=spec.label or str(canonical),
        spec=str(canonical),
        nested=canonical.nested(),
        name=spec.name,
        factory=factory,
        options=bound,
        settings=options.as_text(factory, bound),
    )


def _imported(label: str) -> Resolved:
    name = "imported"
    return Resolved(label, name, name, name, Imported, {}, {})


def _find(kind: str, name: str) -> Callable[..., Any]:
    """The registry's factory. A name that is not there is a ValueError; a module that is there and
    breaks while it is imported fails with its own traceback, for its author to read."""
    registry = REGISTRIES[kind]
    module, colon, attribute = name.partition(":")
    if colon and module in registry.BUILT_IN:
        raise SpecError(f"{kind} {module} has {attribute!r} where an option key=value was expected")
    try:
        return registry.find(name)
    except ValueError as problem:
        cause = problem.__cause__
        missing = isinstance(cause, AttributeError) or (
            isinstance(cause, ModuleNotFoundError) and f"{module}.".startswith(f"{cause.name}.")
        )
        if cause is None or missing:
            raise
        raise cause from None


def _with_baseline(text: str, chosen: Sequence[Resolved]) -> tuple[str, list[Resolved]]:
    """The baseline's label, and the methods with it: named by label or SPEC, put first if absent."""
    if any(method.label == text for method in chosen):
        return text, list(chosen)
    baseline = resolve("method", text)
    present = any(method.label == baseline.label for method in chosen)
    return baseline.label, [*chosen] if present else [baseline, *chosen]


def _refuse_doubles(kind: str, chosen: Iterable[Resolved]) -> None:
    for label, count in Counter(one.label for one in chosen).items():
        if count > 1:
            raise SpecError(f"{count} {kind}s are called {label!r}; name one of them: LABEL=SPEC")


def _check_readable(reader: ReaderSpec, benchmark: Resolved) -> None:
    """The embedded model knows the suite's words alone; what a plugin holds is its author's to know."""
    entry = benchmarks.BUILT_IN.get(benchmark.name)
    if reader.suite_english_only and entry is not None and not entry.suite_english:
        other = next(spec.name for spec in READERS if not spec.suite_english_only)
        raise PlanError(
            f"--model {reader.name} reads only the suite's synthetic English, which {benchmark.name} is "
            f"not: name another reader, as --model {other} (or any hub id or folder)"
        )


def listing() -> str:
    """Every method, benchmark, retriever and reader: name, one line, origin. None of them is imported."""
    blocks = []
    rows_of = {kind: registry.describe() for kind, registry in REGISTRIES.items()}
    for kind, rows in (rows_of | {"reader": describe()}).items():
        width = max((len(row[0]) for row in rows), default=0)
        lines = [f"  {name:{width}}  {line} [{origin}]" for name, line, origin in rows]
        blocks.append("\n".join([f"{kind}s", *lines]))
    return "\n\n".join(blocks)
