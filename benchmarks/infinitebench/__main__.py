"""``python -m benchmarks.infinitebench score --task NAME FILE``: score somebody's predictions, as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.infinitebench.score import score_file
from benchmarks.scoring import print_scores, score_command
from comparison.command_line import path_of


def main(arguments: Sequence[str] | None = None) -> int:
    parser, command = score_command(
        "infinitebench",
        "Score predictions on InfiniteBench as its own compute_scores.py does.",
        "example:\n  python -m benchmarks.infinitebench score --task passkey results/gpt4/preds_passkey.jsonl"
        "\nAs officially, math_calc drops the first value of what lies in a folder called gpt4.",
        "a file",
    )
    command.add_argument("--task", required=True, metavar="NAME", help="such as longbook_qa_eng")
    command.add_argument(
        "file", type=path_of, metavar="FILE", help="JSON lines with prediction and ground_truth"
    )
    options = parser.parse_args(arguments)
    return print_scores(parser.prog, lambda: score_file(options.task, options.file))


if __name__ == "__main__":
    sys.exit(main())
