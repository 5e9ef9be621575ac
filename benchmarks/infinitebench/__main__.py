"""``python -m benchmarks.infinitebench score --task NAME FILE``: score somebody's predictions, as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.infinitebench.score import score_file


def main(arguments: Sequence[str] | None = None) -> int:
    """The score on stdout, what was wrong with the file on stderr; status 2 where nothing can be scored."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.infinitebench",
        description="Score predictions on InfiniteBench as its own compute_scores.py does.",
        epilog="example:\n  python -m benchmarks.infinitebench score --task passkey results/gpt4/preds_passkey.jsonl"
        "\nAs officially, math_calc drops the first value of what lies in a folder called gpt4.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command = parser.add_subparsers(required=True, metavar="score").add_parser(
        "score", help="score a file", epilog=parser.epilog, formatter_class=parser.formatter_class
    )
    command.add_argument("--task", required=True, metavar="NAME", help="such as longbook_qa_eng")
    command.add_argument(
        "file", type=Path, metavar="FILE", help="JSON lines with prediction and ground_truth"
    )
    options = parser.parse_args(arguments)
    try:
        result, notes = score_file(options.task, options.file)
    except (ValueError, OSError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    for note in notes:
        print(note, file=sys.stderr)
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
