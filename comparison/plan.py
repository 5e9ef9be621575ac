"""Names to a plan: flags and TOML are merged, and every SPEC is resolved, before a model is loaded.

Torch-free itself (resolving a method imports that method's module).
Exercised by ``python run_compare.py --dry-run`` and ``--list``.
"""

from __future__ import annotations

import math
import os
import tomllib
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import benchmarks
import methods
import retrievers
from comparison import options
from comparison.imports import Imported, parse_import
from comparison.naming import Spec, SpecError, parse, parse_nested
from models.specs import READERS, ReaderSpec, at_revision, describe, reader_spec

METHODS = ("full", "truncate", "closed_book", "random_chunk", "oracle_chunk", "oprm", "rag")
BENCHMARKS = ("recall", "needle", "multihop")
DEFAULTS: dict[str, Any] = {
    "model": "tiny",
    "revision": None,
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
    "shard": None,
    "timeout": None,
    "executor": "serial",
    "workers": None,
    "ray-address": None,
}
EXECUTORS = ("serial", "ray")
DTYPES = ("auto", "float32", "float16", "bfloat16")
RANKERS = ("retriever", "candidates", "retrievers")
"""The options of methods and of rankers that name rankers, which must be found before a model is loaded."""
REGISTRIES = {one.kind: one for one in (methods.REGISTRY, benchmarks.REGISTRY, retrievers.REGISTRY)}


class PlanError(ValueError):
    """A comparison that cannot be run as asked; the message is one line."""


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `of` equal parts of every task; all methods of an example are in one part."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``i/n``. Raises `PlanError` for anything else."""
        number, slash, of = text.strip().partition("/")
        sound = slash and all(part.isascii() and part.isdecimal() and len(part) < 10 for part in (number, of))
        if not sound or not 1 <= int(number) <= int(of):
            raise PlanError(f"--shard {text!r}: expected i/n with i from 1 to n, such as 2/8")
        return cls(int(number), int(of))

    @property
    def writer(self) -> str:
        return f"shard-{self.number}-of-{self.of}"

    def places(self, examples: int) -> range:
        """The places of this part's examples in a task of so many."""
        return range(self.number - 1, examples, self.of)


@dataclass(frozen=True)
class Resolved:
    """A SPEC that was found and understood.

    `label` names it in every table; `spec` is the canonical text without defaults; `options` are the typed
    values given, `settings` every option's value as text.
    """

    label: str
    spec: str
    name: str
    factory: Callable[..., Any]
    options: Mapping[str, Any]
    settings: Mapping[str, str]

    @property
    def imported(self) -> bool:
        """Whether its predictions are in a folder, so that the reader is never asked."""
        return self.factory is Imported


@dataclass(frozen=True)
class Plan:
    """Everything that was asked for, resolved. `baseline` is the label of one of the methods; those of
    `imports` are methods whose predictions are in a folder. `timeout` is in seconds an answer; `workers` and
    `ray_address` are the executor `ray`'s."""

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
    imports: Mapping[str, Path]
    shard: Shard | None
    timeout: float | None
    executor: str
    workers: int | None
    ray_address: str | None

    @property
    def writer(self) -> str:
        """The name under which a run folder is written: two runs of one name would double their answers."""
        return self.shard.writer if self.shard else "serial"


def make_plan(given: Mapping[str, Any]) -> Plan:
    """Resolve settings by their long flags' names; those not given have their `DEFAULTS`.

    Raises ValueErrors of one line: `PlanError`, `SpecError`, the registries' and the reader's own.
    """
    check_settings(given, "the plan")
    settings = DEFAULTS | dict(given)
    if settings["limit"] is not None and settings["limit"] < 1:
        raise PlanError(f"--limit is {settings['limit']}, expected at least 1")
    for name in ("out", "data-dir"):  # an unset variable of a script is not the current folder
        if settings[name] is not None and not str(settings[name]).strip():
            raise PlanError(f"--{name} is empty, expected a folder")
    if settings["data-dir"] is not None and not os.path.isdir(settings["data-dir"]):
        raise PlanError(
            f"--data-dir {str(settings['data-dir'])!r} is no folder: name the one that the data lie in"
        )
    if not settings["benchmark"]:
        raise PlanError("no benchmark was named, expected at least one")
    _check_execution(settings)
    reader = at_revision(reader_spec(settings["model"]), settings["revision"])
    chosen = [resolve("method", text) for text in settings["method"]]
    folders = [parse_import(text) for text in settings["import-predictions"]]
    chosen += [Resolved(label, "imported", "imported", Imported, {}, {}) for label, _ in folders]
    baseline, chosen = _with_baseline(settings["baseline"], chosen)
    _refuse_doubles("method", chosen)
    asked = [resolve("benchmark", text) for text in settings["benchmark"]]
    _refuse_doubles("benchmark", asked)
    for benchmark in asked:
        _check_readable(reader, benchmark)
    for method in chosen:
        if not method.imported:
            _check_values(reader, method)
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
        shard=None if settings["shard"] is None else Shard.parse(settings["shard"]),
        timeout=settings["timeout"],
        executor=settings["executor"],
        workers=settings["workers"],
        ray_address=settings["ray-address"],
    )


def _check_execution(settings: Mapping[str, Any]) -> None:
    """Raises `PlanError` where what was asked of the workers cannot be."""
    timeout, workers, executor = settings["timeout"], settings["workers"], settings["executor"]
    if timeout is not None and not 0 < timeout < math.inf:
        raise PlanError(f"--timeout is {timeout:g}, expected seconds above 0")
    if executor not in EXECUTORS:
        raise PlanError(f"--executor is {executor!r}, expected {' or '.join(EXECUTORS)}")
    if workers is not None and workers < 1:
        raise PlanError(f"--workers is {workers}, expected at least 1")
    for name in ("workers", "ray-address"):
        if settings[name] is not None and executor != "ray":
            raise PlanError(f"--{name} is for --executor ray, which was not asked for")


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
    check_settings(settings, str(path))
    return settings


def check_settings(settings: Mapping[str, Any], where: str) -> None:
    """Raises `PlanError` for a setting that there is none of, and for a value of another type than its own."""
    for name, value in settings.items():
        if name not in DEFAULTS:
            raise PlanError(f"{where} has the unknown key {name!r}: {options.nearest(str(name), DEFAULTS)}")
        if value is not None or DEFAULTS[name] is not None:
            _check_type(where, name, value)


def _check_type(where: str, name: str, value: Any) -> None:
    if isinstance(DEFAULTS[name], list):
        good = isinstance(value, list | tuple) and all(isinstance(spec, str) for spec in value)
        expected = "a list of LABEL=DIR" if name == "import-predictions" else "a list of SPECs"
    elif name == "timeout":
        good, expected = isinstance(value, int | float) and not isinstance(value, bool), "seconds"
    elif name in ("limit", "seed", "workers"):
        good, expected = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif name == "dtype":
        good, expected = value in DTYPES, " or ".join(DTYPES)
    elif name == "trust-remote-code":
        good, expected = isinstance(value, bool), "true or false"
    elif name in ("model", "data-dir", "out"):
        good, expected = isinstance(value, str | Path), "text or a path"
    else:
        good, expected = isinstance(value, str), "text"
    if not good:
        raise PlanError(f"{where} has {name} = {value!r}, expected {expected}")


# Names


def resolve(kind: str, text: str) -> Resolved:
    """Find a method, benchmark or retriever by its SPEC and type its options by the signature."""
    spec = parse_nested(text) if kind == "retriever" else parse(text)
    factory = _find(kind, spec.name)
    bound = options.bind(factory, spec)
    if kind != "benchmark":
        bound |= {option: _canonical(bound[option]) for option in RANKERS if option in bound}
    changed = options.changed(factory, bound)
    items = tuple((name, options.to_items(changed[name])) for name in sorted(changed))
    canonical = Spec(spec.name, items)
    return Resolved(
        label=spec.label or str(canonical),
        spec=str(canonical),
        name=spec.name,
        factory=factory,
        options=bound,
        settings=options.as_text(factory, bound),
    )


def _canonical(rankers: Any) -> Any:
    """A ranker's SPEC, or several, in the canonical form that an option holds; anything else as it is."""
    if isinstance(rankers, tuple):
        return tuple(map(_canonical, rankers))
    return parse(resolve("retriever", rankers).spec).nested() if isinstance(rankers, str) else rankers


def rankers_of(resolved: Resolved) -> list[Callable[..., Any]]:
    """The factories of the rankers that a method's options name, their defaults included, and a ranker's own."""
    return [ranker.factory for ranker in _rankers(resolved)]


def _rankers(resolved: Resolved) -> list[Resolved]:
    known, _ = options.parameters(resolved.factory)
    values = {name: parameter.default for name, parameter in known.items()} | dict(resolved.options)
    found = []
    for option in RANKERS:
        named = values.get(option)
        for spec in named if isinstance(named, tuple | list) else (named,):
            with suppress(ValueError):  # an own method's option of that name that is no ranker
                if isinstance(spec, str):
                    ranker = resolve("retriever", spec)
                    found += [ranker, *_rankers(ranker)]
    return found


def _find(kind: str, name: str) -> Callable[..., Any]:
    """The registry's factory. A name that is not there is a ValueError; a module that is there and
    breaks while it is imported fails with its own traceback, for its author to read."""
    registry = REGISTRIES[kind]
    module, colon, attribute = name.partition(":")
    if colon and module in registry.built_in:
        raise SpecError(f"{kind} {module} has {attribute!r} where an option key=value was expected")
    try:
        return registry.find(name)
    except ValueError as problem:
        cause = problem.__cause__
        if cause is None or _leads_nowhere(cause):
            raise
        raise ImportError(f"{kind} {name!r} failed while it was imported, with the error above") from cause


def _leads_nowhere(cause: BaseException) -> bool:
    """Whether there is no such module or attribute: none of the module's own lines was run."""
    frames = traceback.extract_tb(cause.__traceback__)[1:]
    own = any("importlib" not in frame.filename for frame in frames)
    return isinstance(cause, AttributeError | ModuleNotFoundError) and not own


def _with_baseline(text: str, chosen: list[Resolved]) -> tuple[str, list[Resolved]]:
    """The baseline's label, and the methods with it: named by label or SPEC, put first if absent."""
    labels = {method.label for method in chosen}
    if text in labels:
        return text, chosen
    baseline = resolve("method", text)
    return baseline.label, chosen if baseline.label in labels else [baseline, *chosen]


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


def _check_values(reader: ReaderSpec, method: Resolved) -> None:
    """Raises `PlanError` for option values that a built-in method or one of its rankers refuses: each is built on a
    reader of which no more is known than its row, and looks at its options and that row before it misses the rest."""
    built = (method, *_rankers(method))
    if any(one.name not in methods.BUILT_IN and one.name not in retrievers.BUILT_IN for one in built):
        return  # what a plugin does with a reader that is none, nobody can say
    for one in built:
        try:
            with suppress(AttributeError):
                one.factory(SimpleNamespace(spec=reader), **one.options)
        except ValueError as problem:
            raise PlanError(f"method {method.label}: {problem}") from problem


def listing() -> str:
    """Every method, benchmark, retriever and reader: name, one line, origin. None of them is imported."""
    blocks = []
    rows_of = {kind: registry.describe() for kind, registry in REGISTRIES.items()}
    for kind, rows in (rows_of | {"reader": describe()}).items():
        width = max((len(row[0]) for row in rows), default=0)
        lines = [f"  {name:{width}}  {line} [{origin}]" for name, line, origin in rows]
        blocks.append("\n".join([f"{kind}s", *lines]))
    return "\n\n".join(blocks)
