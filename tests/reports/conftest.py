"""What the tests of the reports share: a fake run on disk, read and analysed once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import DEMO, SMALL, FakeTask

from reports.analysis import Analysis, analyse
from reports.collect import Run, read_run


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SMALL.write(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="session")
def small(small_folder: Path) -> tuple[Run, Analysis]:
    """Four methods, three tasks, 0/1 scores, every question a cluster."""
    run = read_run(small_folder)
    return run, analyse(run)


@pytest.fixture(scope="session")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Analysis]:
    """Graded scores, three questions to a document, and documents that feed two tasks."""
    tasks = [replace(task, per_document=3) for task in DEMO.tasks if task.name in ("recall", "multihop")]
    tasks.append(FakeTask("notes", (("short", {}), ("long", {})), 33, per_document=3))
    fake = replace(DEMO, tasks=tuple(tasks), graded=True, skill=lambda method, *_: len(method) % 7 / 7)
    run = read_run(fake.write(tmp_path_factory.mktemp("runs") / "graded"))
    return run, analyse(run)
