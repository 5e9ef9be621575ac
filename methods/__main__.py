"""Check a method against the contract: ``python -m methods check oprm``.

``python -m methods check --list`` names the checks; ``python -m methods check my_methods:FirstSentences:n=40`` checks
a factory that is on the path. One line a check; status 0, 1 where one failed, 2 for a user's error.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from comparison.command_line import Parser, add_trust, run_program
from comparison.plan import Resolved, resolve
from comparison.records import printable

if TYPE_CHECKING:
    from methods.trial import Trial

EXAMPLES = """\
examples:
  python -m methods check oprm:chunk_size=512               a method by its SPEC, on the embedded reader
  python -m methods check my_methods:FirstSentences:n=40    a factory of your own, not installed
  python -m methods check yarn --model smollm2              another reader, where the embedded one is not suited
  python -m methods check --list                            what is checked
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_program("python -m methods", partial(_run, arguments))


def _run(arguments: Sequence[str] | None) -> int:
    flags = Parser(
        prog="python -m methods",
        description="Check a method against the contract of methods/base.py, on a real reader.",
        epilog=EXAMPLES,
    )
    flags.add_argument("command", choices=("check", "answers"), help="check it, or print its answers as JSON")
    flags.add_argument(
        "method", nargs="?", metavar="SPEC", help="a name, NAME:key=value or module.path:Factory"
    )
    flags.add_argument("--model", metavar="NAME", default="tiny", help="the reader (tiny, the embedded one)")
    add_trust(flags)
    flags.add_argument("--list", action="store_true", help="name the checks, and stop")
    asked = flags.parse_args(arguments)
    if asked.list:
        from methods.conformance import CHECKS

        print("\n".join(f"{check.name:15} {check.line}" for check in CHECKS))
        return 0
    if asked.method is None:
        flags.error("expected a method's SPEC")
    resolved = resolve("method", asked.method)
    trial = open_trial(resolved, asked.model, asked.trust_remote_code)
    if asked.command == "answers":
        print(json.dumps(trial.answers()))
        return 0
    return check(resolved, trial, asked)


def open_trial(resolved: Resolved, model: str, trusted: bool = False) -> Trial:
    """The reader, and how the method is built for it. ValueError where the method refuses this reader."""
    from methods.trial import Trial
    from models.engine import Engine

    engine = Engine.load(model, trust_remote_code=trusted)
    build = partial(resolved.factory, engine, **resolved.options)
    try:
        build()
    except ValueError as problem:
        raise ValueError(
            f"{resolved.name} cannot be built for the reader {model}: {problem} (--model names another)"
        ) from problem
    except Exception:  # the kit's first check says so
        pass
    return Trial(engine, build, partial(answers_elsewhere, resolved.spec, model, trusted))


def answers_elsewhere(spec: str, model: str, trusted: bool) -> list[str]:
    """`Trial.answers` of another process, in which strings hash otherwise."""
    switches = ["--trust-remote-code"] if trusted else []
    done = subprocess.run(
        [sys.executable, "-m", "methods", "answers", spec, "--model", model, *switches],
        env=os.environ | {"PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the other process failed: {done.stderr.strip().splitlines()[-1:]}")
    return list(json.loads(done.stdout.splitlines()[-1]))


def check(resolved: Resolved, trial: Trial, asked: argparse.Namespace) -> int:
    """Print one line a check, then what to do; 1 where one failed."""
    from methods.conformance import verdicts

    print(f"method {resolved.spec} on reader {asked.model}", flush=True)
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    for verdict in verdicts(trial):
        counts[verdict.status] += 1
        print(printable(f"{verdict.name:15} {verdict.status} {verdict.why}".rstrip()), flush=True)
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    if counts["FAILED"]:
        print("mend what FAILED (the contract is in methods/base.py) and run the same command again")
        return 1
    trust = " --trust-remote-code" if asked.trust_remote_code else ""
    print(
        f'compare it: python run_compare.py --model {asked.model}{trust} --method "{resolved.spec}" '
        "--benchmark recall"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
