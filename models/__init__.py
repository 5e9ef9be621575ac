"""The reader: everything that touches torch. Importing the package alone loads nothing of it."""

import os

# Before torch starts its threads: one that has nothing to do waits awake for a tenth of a millisecond or two, as long as
# it takes to be woken. Left to itself GNU's OpenMP waits for longer on a core that somebody else may need, a training
# run beside the comparison; told to wait asleep, it makes every small product wait for its threads.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
