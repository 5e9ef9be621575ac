"""`run_compare.py` with the scripted reader of `chaos_pieces` and a disk that may go wrong: one attempt of a chaos run.

The environment says where the scratch folder is (`CHAOS`) and what goes wrong there (`CHAOS_DISK`, `CHAOS_READER`).
Worker processes import this file too, and so have the scripted reader. Exercised by ``python -m tests.chaos``.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).parents[2]))

import chaos_pieces
import comparison_fakes

from comparison import provenance

# A version follows the checkout's files, and somebody may be editing them between two attempts.
provenance.method_version = lambda *behind: "1"
comparison_fakes.FakeEngine = chaos_pieces.Reader
comparison_fakes.install()
# Pictures take three quarters of an attempt, and are written as the other files of a report are.
pictures = ModuleType("reports.plots")
pictures.draw = lambda *_: []  # type: ignore[attr-defined]
sys.modules["reports.plots"] = pictures

if __name__ == "__main__":
    from chaos_disk import Disk

    import run_compare

    scratch = Path(os.environ["CHAOS"])
    disk = Disk(scratch / "run", scratch, **json.loads(os.environ["CHAOS_DISK"]))
    disk.install()
    atexit.register(lambda: (scratch / "operations").write_text(str(disk.count)))
    sys.exit(run_compare.main())
