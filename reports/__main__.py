"""``python -m reports RUN_DIR``: make the report of a run folder from its records alone; of several folders
one joined report; of one against an older one what changed. ``show`` prints one question, ``power`` plans."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from comparison.command_line import Parser, path_of, run_program

EXAMPLES = """examples:
  python -m reports runs/demo                      make runs/demo/report.md, report.html and all beside it again
  python -m reports runs/demo --margin 1           which methods are at most 1 point worse than the baseline?
  python -m reports runs/demo --failures exclude   failed answers left out (they score zero otherwise)
  python -m reports runs/demo --paper              published numbers beside ours, labelled as made elsewhere
  python -m reports runs/falcon runs/gemma         one report of several models' runs, in runs/falcon+gemma
  python -m reports runs/new --against runs/old    what got worse or better; status 1 if something got worse
  python -m reports show runs/demo --example ID    one question, and what every method made of it
  python -m reports power --sd 0.5 --n 100 300     what a comparison of this size can show
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 where something got worse, 2 for a user's error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = {"show": _show, "power": _power}.get(given[0] if given else "")
    return run_program(
        "python -m reports", partial(command, given[1:]) if command else partial(_report, given)
    )


def _report(arguments: Sequence[str]) -> int:
    flags = Parser(
        prog="python -m reports",
        description="Make the report of run folders: tables, pictures, CSV, LaTeX, JSON and one HTML page.",
        epilog=EXAMPLES,
    )
    flags.add_argument(
        "run_dir", nargs="+", type=path_of, metavar="RUN_DIR", help="a run folder; several are joined"
    )
    flags.add_argument(
        "--against", type=path_of, metavar="RUN_DIR", help="compare with this older run instead"
    )
    flags.add_argument("--margin", metavar="P", type=float, help="no worse than the baseline by P points?")
    flags.add_argument(
        "--failures", choices=("zero", "exclude"), default="zero", help="what a failed answer counts (zero)"
    )
    flags.add_argument("--paper", action="store_true", help="published numbers beside ours")
    flags.add_argument("--out", metavar="DIR", type=path_of, help="where the joined report goes")
    asked = flags.parse_args(arguments)
    if asked.margin is not None and not 0.0 < asked.margin < 100.0:
        flags.error(f"--margin is {asked.margin:g}, expected points above 0 and below 100")
    options = {"margin": None if asked.margin is None else asked.margin / 100, "failures": asked.failures}
    if asked.against:
        return _against(flags, asked, options)
    if len(asked.run_dir) > 1:
        from reports.across import write_joined_report

        print(write_joined_report(asked.run_dir, asked.out, paper=asked.paper, **options))
        return 0
    if asked.out:
        flags.error("--out is for several run folders: the report of one is written into it")
    from reports.page import write_report

    print(write_report(asked.run_dir[0], paper=asked.paper, **options))
    return 0


def _against(flags: Parser, asked: argparse.Namespace, options: dict) -> int:
    if len(asked.run_dir) > 1 or asked.out or asked.paper:
        flags.error("--against takes one run folder beside the older one, and neither --out nor --paper")
    from reports.against import WORSE, summary_line, write_against

    written, changes = write_against(asked.run_dir[0], asked.against, **options)
    print(f"{summary_line(changes)}\n{written}")
    return 1 if changes.found(WORSE) else 0


def _show(arguments: Sequence[str]) -> int:
    flags = Parser(prog="python -m reports show", description="One question and every method's answer to it.")
    flags.add_argument("run_dir", type=path_of, metavar="RUN_DIR", help="a run folder, such as runs/demo")
    flags.add_argument(
        "--example", metavar="ID", required=True, help="the id in the records and in report.html"
    )
    asked = flags.parse_args(arguments)
    from reports.collect import read_run
    from reports.examples import example_text, find_examples

    run = read_run(asked.run_dir)
    print("\n\n".join(example_text(run, one) for one in find_examples(run, asked.example)))
    return 0


def _power(arguments: Sequence[str]) -> int:
    flags = Parser(
        prog="python -m reports power", description="The smallest difference that a comparison can show."
    )
    flags.add_argument("--sd", type=float, required=True, help="spread of the paired differences, 0 to 1")
    flags.add_argument("--n", type=int, nargs="+", required=True, help="numbers of questions")
    asked = flags.parse_args(arguments)
    from reports.planning import power_lines

    print("\n".join(power_lines(asked.sd, asked.n)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
