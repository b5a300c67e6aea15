"""How many processes and threads load clips."""

import os


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """A loading process for each core but the one that trains; at least one, at most the four of the paper."""
    return max(1, min(4, usable_cores() - 1))
