"""Which faults a chaos run meets: drawn from its seed, one for each attempt. Exercised by ``python -m tests.chaos``."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from chaos_disk import KINDS, PAUSE

from benchmarks.base import stable_seed

TIMEOUT = ("--timeout", "3")
MODES: dict[str, tuple[tuple[str, ...], ...]] = {
    "serial": ((),),
    "timeout": (TIMEOUT,),
    "shards": tuple(("--shard", f"{number}/3") for number in (1, 2, 3)),
}
"""The flags of each process that a run is shared between: one alone, one with a worker, three shards."""
MOST = 5
ONCE = 60
"""The operations of an attempt that are not for answers: `run.json`, the examples, the report."""
BLOCKED = ("run", "run/records", "run/examples")
STATUS = {"kill": -9, "power cut": -9, "interrupt": 130, "full disk": 2, "read-only": 2}
"""What a process ends with that met such a fault of its disk."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong in one attempt, in the process number `place`.

    The kinds of `chaos_disk` at the operation number `at`; those of the reader from its question number `at` on,
    `times` times; or, from outside: "stab" and "stab worker", a kill -9 after `after` seconds; "stab while it hangs",
    one of the driver while its worker hangs; "blocked", a file where a `folder` should be; "second driver", the
    same command and others that could give the same answers, while the first stands still at its answer number `at`.
    Before the attempt the last line of a record file may lose bytes (`torn`, a share of the line)."""

    kind: str
    place: int
    at: int = 0
    folder: str = ""
    times: int = 1
    after: float = 0.0
    torn: float = 0.0

    @property
    def environment(self) -> dict[str, str]:
        """What tells a process of its fault."""
        disk = PAUSE if self.kind == "second driver" else self.kind if self.kind in KINDS else None
        environment = {"CHAOS_DISK": json.dumps({"kind": disk, "at": self.at})}
        if self.kind in (*READER, *HANGS):
            kind = "hang" if self.kind in HANGS else self.kind
            environment["CHAOS_READER"] = json.dumps({"kind": kind, "at": self.at, "times": self.times})
        return environment

    def __str__(self) -> str:
        moment = f"@{self.after:.2f}s" if self.after else f" {self.folder}" if self.folder else f"@{self.at}"
        again = f"x{self.times}" if self.times > 1 else ""
        return f"{self.kind}{moment}{again}{'+torn' if self.torn else ''}"


NO_FAULT = Fault("none", 0)
READER = ("out of memory", "NaN logits", "die")
OUTSIDE = ("stab", "blocked", "second driver")
HANGS = ("hang", "stab while it hangs")
WORKER = (*HANGS, "stab worker")


def draw(seed: int, operations: int) -> tuple[str, list[Fault]]:
    """A seed's mode and its faults in order; a clean run puts `operations` to its disk."""
    dice = random.Random(stable_seed("chaos", seed))
    mode = dice.choice(list(MODES))
    count = dice.randint(1, MOST)
    likely = (operations // (count + 1) + ONCE) // len(MODES[mode])
    return mode, [draw_fault(dice, mode, likely) for _ in range(count)]


def draw_fault(dice: random.Random, mode: str, operations: int) -> Fault:
    """One fault of an attempt that is likely to come to so many operations."""
    often = WORKER if mode == "timeout" else KINDS
    kind = dice.choice(dice.choice((KINDS, often, often, OUTSIDE, READER)))
    return Fault(
        kind=kind,
        place=dice.randrange(len(MODES[mode])),
        at=dice.randint(1, operations if kind in KINDS else 3),
        folder=dice.choice(BLOCKED) if kind == "blocked" else "",
        times=dice.choice((1, 2, 6) if kind in READER[:2] else (1, 2) if kind in ("die", "hang") else (1,)),
        after=dice.uniform(0.2, 1.2) if kind in ("stab", "stab worker") else 0.0,
        torn=dice.random() if dice.random() < 0.3 else 0.0,
    )
