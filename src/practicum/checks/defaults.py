"""How closely a check looks unless it is told otherwise. A certificate of less does not open the gate to training."""

TASKS_PER_SPLIT = 8
"""Tasks of each split that are played."""

REPETITIONS = 4
"""How often every eight episodes run in eight threads; chosen from the curve that `benchmarks/checks.py` prints."""
