"""``python -m benchmarks.hotpotqa score --gold FILE --predictions FILE``: score somebody's answers, as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.hotpotqa.score import score_files
from benchmarks.scoring import print_scores, score_command
from comparison.command_line import path_of


def main(arguments: Sequence[str] | None = None) -> int:
    parser, command = score_command(
        "hotpotqa",
        "Score answers to HotpotQA as its own evaluation does.",
        "example:\n  python -m benchmarks.hotpotqa score --gold hotpot_dev_distractor_v1.json "
        "--predictions pred.json",
        "a file",
    )
    command.add_argument(
        "--gold", type=path_of, required=True, metavar="FILE", help="questions, JSON or JSON lines"
    )
    command.add_argument(
        "--predictions",
        type=path_of,
        required=True,
        metavar="FILE",
        help="answer (and sp) by the question's id",
    )
    options = parser.parse_args(arguments)
    return print_scores(parser.prog, lambda: score_files(options.gold, options.predictions))


if __name__ == "__main__":
    sys.exit(main())
