"""From a run folder to a report: statistics, tables, pictures, one page. Imports no torch, and numpy only when a
report is made.

Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

from pathlib import Path


def write_report(run_dir: Path | str) -> Path:
    """Make the report of a run folder inside it; returns the path of ``report.md``. See `reports.page`."""
    from reports.page import write_report as write

    return write(run_dir)
