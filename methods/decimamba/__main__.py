"""Choose DeciMamba's layer and base: ``python -m methods.decimamba sweep --model NAME --benchmark SPEC``.

As its authors advise for a reader that was not tuned for it: one decimating layer, every second one between 0.2
and 0.6 of the depth (all layers of a shallow reader), each with the trained length and twice that as base. Examples
are drawn on a seed of their own, on which nothing is reported; for a benchmark with data of its own, name the
development split in the SPEC. Ties go to the setting that was tried first. One that dropped no token of any prompt is
`full` under another name: its score is shown, and it is not proposed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from comparison.command_line import Parser, add_reader, reader_options, run_program
from comparison.grid import PlannedTask, load_tasks
from comparison.plan import make_plan
from methods.base import Answer
from methods.decimamba import DeciMamba
from methods.full import Full

if TYPE_CHECKING:
    from models.engine import Engine

SEED = 600
LIMIT = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 2 after a message of one line on stderr."""
    return run_program("python -m methods.decimamba", partial(_sweep, arguments))


def _sweep(arguments: Sequence[str] | None) -> int:
    from models.engine import Engine

    asked = parse(arguments)
    options = reader_options(asked)
    plan = make_plan(
        {
            "model": asked.model,
            "method": ["full"],
            "benchmark": asked.benchmark,
            "seed": asked.seed,
            "limit": asked.limit,
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
    )
    engine = Engine.load(asked.model, **options)
    tasks = load_tasks(plan, engine.count_tokens)
    layers = asked.layers or candidates(engine)
    bases = asked.base or [one * trained_length(engine) for one in (1, 2)]
    print(f"{'method':56} score  triggered  tail kept   ({sum(len(t.examples) for t in tasks)} examples)")
    print(f"{'full':56} {score(Full(engine), tasks)[0]:5.3f}", flush=True)
    results = {}
    for layer in layers:
        for base in bases:
            name = f"decimamba:variant={asked.variant},layers={layer},base={base}"
            method = DeciMamba(engine, variant=asked.variant, layers=(layer,), base=base)
            mean, triggered, question = score(method, tasks)
            print(f"{name:56} {mean:5.3f}  {triggered:9.0%}  {question:9.0%}", flush=True)
            if triggered:
                results[name] = mean
    if not results:
        raise ValueError(
            "no setting dropped a token: give a --benchmark of longer prompts, or a smaller --base"
        )
    print(f"best: --method {max(results, key=lambda name: results[name])}")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    flags = Parser(prog="python -m methods.decimamba", description=(__doc__ or "").split("\n")[0])
    command = flags.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "sweep", help="score layers and bases on examples that are reported on nowhere"
    )
    add_reader(command)
    command.add_argument(
        "--benchmark", required=True, action="append", metavar="SPEC", help="what to score on; again for more"
    )
    command.add_argument(
        "--variant", default="maxp", choices=("maxp", "tail"), help="decimamba's own option (default: maxp)"
    )
    command.add_argument(
        "--layers", type=int, nargs="+", help="default: every second from 0.2 to 0.6 of the depth"
    )
    command.add_argument("--base", type=int, nargs="+", help="default: the trained length and twice that")
    command.add_argument("--limit", type=int, default=LIMIT, help=f"examples a task, default {LIMIT}")
    command.add_argument("--seed", type=int, default=SEED, help=f"of generated examples, default {SEED}")
    return flags.parse_args(arguments)


def candidates(engine: Engine) -> list[int]:
    """Layers to try: all of a shallow reader, of a deep one every second of those in question."""
    from models.delta import mixers

    depth = len(mixers(engine.model))
    if depth < 10:
        return list(range(depth))
    return list(range(round(0.2 * depth), round(0.6 * depth) + 1, 2))


def trained_length(engine: Engine) -> int:
    if engine.spec.trained_length is None:
        raise ValueError(f"the length that {engine.spec.name} was trained on is not known: give --base")
    return engine.spec.trained_length


def score(method: Full | DeciMamba, tasks: Iterable[PlannedTask]) -> tuple[float, float, float]:
    """Mean score, share of triggered answers, mean share of the question's tokens that were kept."""
    scores: list[float] = []
    answers: list[Answer] = []
    for planned in tasks:
        for example in planned.examples:
            task = planned.task.about(example)
            answers.append(method.answer(example.context, example.question, task=task))
            scores.append(task.score(answers[-1].text, example))
    n = len(scores)
    triggered = sum("triggered" in answer.details.get("flags", ()) for answer in answers)
    return (
        sum(scores) / n,
        triggered / n,
        sum(answer.details.get("question_kept", 1.0) for answer in answers) / n,
    )


if __name__ == "__main__":
    sys.exit(main())
