"""What a wheel holds: every file of every package; ``pytest tests/test_packaging.py``."""

from __future__ import annotations

import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
ROOMS = {package.partition(".")[0] for package in SETUPTOOLS["packages"]}


def test_every_file_of_a_package_is_in_the_wheel():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "--", *ROOMS], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no checkout")
    for path in map(Path, listed.stdout.splitlines()):
        package = ".".join(path.parent.parts)
        assert package in SETUPTOOLS["packages"]
        patterns = ["*.py", *SETUPTOOLS["package-data"].get(package, ())]
        assert any(fnmatch(path.name, pattern) for pattern in patterns), f"{path} is in no wheel"
