"""``python -m reports RUN_DIR [RUN_DIR...]``: make the report of every run folder named, from its records
alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from reports import write_report

EXAMPLES = """examples:
  python -m reports runs/demo                  make runs/demo/report.md, its CSV files and its pictures again
  python -m reports runs/demo runs/falcon      one report for each folder
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the path of every report made; one line on stderr and status 2 for a folder that gives none."""
    parser = argparse.ArgumentParser(
        prog="python -m reports",
        description="Make the report of one or more run folders again: tables, CSV files and pictures.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dir", nargs="+", metavar="RUN_DIR", help="a run folder, such as runs/demo")
    folders = parser.parse_args(arguments).run_dir
    from comparison.records import RecordError
    from reports.collect import ReportError

    status = 0
    for folder in folders:
        try:
            print(write_report(folder))
        except (ReportError, RecordError, OSError) as problem:
            print(f"error: {problem}", file=sys.stderr)
            status = 2
    return status


if __name__ == "__main__":
    sys.exit(main())
