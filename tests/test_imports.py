"""Imports go one way: which room may import which, what loads without torch, and who imports the programs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("benchmarks", "comparison", "methods", "models", "reports", "retrievers")
ALLOWED = {
    "benchmarks": ("comparison.command_line", "comparison.registry"),
    "models": (),
    "models.efficiency_options": ("comparison.command_line", "models"),
    "reports": ("comparison.records",),
    "retrievers": ("models", "comparison.naming", "comparison.options", "comparison.registry"),
    "methods": ("models", "retrievers", "benchmarks.base", "comparison.registry"),
    "methods.calibrate_command": ("methods", "models", "benchmarks", "comparison.command_line"),
    "comparison": ROOMS,
    "comparison.command_line": ("comparison.records",),
    "comparison.naming": (),
    "comparison.options": ("comparison.naming",),
    "comparison.records": ("models.meter",),
    "comparison.registry": (),
    "run_compare": ("comparison",),
}
"""What a module may import besides its own room; the longest name that fits it counts."""
PROGRAMS = (
    "benchmarks.hotpotqa.__main__",
    "benchmarks.infinitebench.__main__",
    "benchmarks.longbench.__main__",
    "methods.__main__",
    "methods.decimamba.__main__",
    "methods.longmamba.__main__",
    "methods.upi.__main__",
    "models.efficiency",
    "models.scan_speed",
    "models.tiny.capacity",
    "models.tiny.evaluate",
    "models.tiny.train",
    "reports.__main__",
)
"""Programs may import any room, and nothing imports them."""
TORCH_FREE = (
    "benchmarks",
    "benchmarks.base",
    "benchmarks.hotpotqa.score",
    "benchmarks.infinitebench",
    "benchmarks.infinitebench.score",
    "benchmarks.longbench",
    "benchmarks.longbench.score",
    "benchmarks.longbench_v2",
    "benchmarks.sources",
    "benchmarks.stored",
    "benchmarks.metrics",
    "comparison.answering",
    "comparison.command_line",
    "comparison.doctor",
    "comparison.folder",
    "comparison.grid",
    "comparison.imports",
    "comparison.locks",
    "comparison.naming",
    "comparison.options",
    "comparison.pending",
    "comparison.plan",
    "comparison.ray_workers",
    "comparison.records",
    "comparison.registry",
    "comparison.run",
    "comparison.schedule",
    "comparison.workers",
    "methods",
    "methods.base",
    "models",
    "models.efficiency_table",
    "models.meter",
    "models.packaged",
    "models.processes",
    "models.shapes",
    "models.specs",
    "models.token_spans",
    "reports",
    "reports.across",
    "reports.against",
    "reports.html_page",
    "reports.page",
    "reports.planning",
    "retrievers",
    "retrievers.chunking",
    "retrievers.dense",
    "retrievers.encoders",
    "retrievers.pairwise",
    "run_compare",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, Path]:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return {module_name(path): path for path in [*files, ROOT / "run_compare.py"]}


def imports(text: str, ours: set[str]) -> set[str]:
    """Our modules that a source text imports, wherever the import stands; the longest name that is one."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            assert node.module
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner in ours else node.module)
    return {name for name in names if name.partition(".")[0] in {*ROOMS, "run_compare"}}


def inside(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def forbidden(importer: str, text: str, ours: set[str]) -> list[str]:
    """The imports of one module that its room does not allow."""
    found = imports(text, ours)
    programs = [name for name in found if name in PROGRAMS and name != importer]
    if importer in PROGRAMS:
        return programs
    rule = max((name for name in ALLOWED if inside(importer, name)), key=len)
    allowed = ALLOWED[rule] if "." in rule else (*ALLOWED[rule], rule)
    return programs + [name for name in found if not any(inside(name, package) for package in allowed)]


def test_no_module_imports_against_the_arrows():
    files = sources()
    wrong = {
        name: forbidden(name, path.read_text(encoding="utf-8"), set(files)) for name, path in files.items()
    }
    assert {name: bad for name, bad in wrong.items() if bad} == {}


@pytest.mark.parametrize(
    ("importer", "text", "bad"),
    [
        ("benchmarks.recall", "from benchmarks import english", []),
        ("benchmarks.recall", "def f():\n    import models.meter", ["models.meter"]),
        ("models.engine", "from methods import base", ["methods.base"]),
        ("reports.page", "from comparison import records", []),
        ("reports.page", "from comparison.run import run", ["comparison.run"]),
        ("comparison.records", "from comparison.plan import Plan", ["comparison.plan"]),
        ("comparison.records", "from models.meter import Cost", []),
        ("methods.rag", "from benchmarks.base import Task", []),
        ("methods.rag", "from benchmarks.recall import recall", ["benchmarks.recall"]),
        ("run_compare", "from reports import write_report", ["reports"]),
        ("models.tiny.train", "from benchmarks import lessons", []),
        ("models.engine", "import models.tiny.train", ["models.tiny.train"]),
    ],
)
def test_the_walk_finds_a_wrong_arrow_wherever_it_stands(importer, text, bad):
    ours = {"methods.base", "comparison.records", "benchmarks.english", "benchmarks.lessons"}
    assert forbidden(importer, text, ours) == bad


def test_every_program_that_is_listed_is_there():
    there = set(sources())
    assert set(PROGRAMS) <= there
    assert {name for name in there if name.endswith("__main__")} <= set(PROGRAMS)


def test_what_must_load_without_torch_does():
    code = (
        "import importlib, sys\n"
        f"for name in {TORCH_FREE!r}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'torch', 'transformers', 'numba', 'ray'} & set(sys.modules)\n"
        "    assert not heavy, f'{name} loads {heavy}'\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
