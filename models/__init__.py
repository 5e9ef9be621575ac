"""The reader: everything that touches torch. Importing the package alone loads nothing of it."""

import os

# Before torch starts its threads: waiting ones sleep. Those that spin on a core that somebody else needs, a training
# run beside the comparison, make every small matrix product wait for the scheduler.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
