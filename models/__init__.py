"""The reader: everything that touches torch. Importing the package alone loads nothing of it."""

import os

# Before torch starts its threads: waiting ones sleep. Those that spin on a core somebody else needs made a small
# comparison beside a training run take 57 s instead of 22.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
