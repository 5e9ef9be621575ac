"""The reader: everything that touches torch. Importing the package alone loads nothing of it."""

import os

# Before torch starts its threads: one that has nothing to do waits awake for some tenths of a millisecond, which covers
# what lies between a token's products. Left to itself GNU's OpenMP waits thirty times as long, on a core that somebody
# else may need; told to wait asleep, it makes every small product wait until its threads are woken.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
