"""Optimiser and schedule of a model, by name. Each value has a flag of its own that overrides it.

The optimiser, schedule, epochs and batch size of `dfew` and `ferv39k` are the paper's, and so are the schedule, the
balanced order and the batch size of `daisee`. The other values of `daisee`, and dropout everywhere, are this package's.
`rendered` and `series` train from scratch.
"""

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """None: the optimiser or schedule has no such value."""

    optimiser: Literal["sgd", "adamw"]
    schedule: Literal["steps", "restarts", "one-cycle"]
    epochs: int
    batch_size: int
    learning_rate: float
    temporal_learning_rate: float | None = None
    momentum: float | None = None
    weight_decay: float
    step_size: int | None = None
    gamma: float | None = None
    restart_after: int | None = None
    restart_factor: int | None = None
    dropout: float = 0.0
    balanced: bool = False


DFEW = Recipe(
    optimiser="sgd", schedule="steps", epochs=100, batch_size=40, learning_rate=1e-3, momentum=0.9, weight_decay=1e-4,
    step_size=7, gamma=0.5,
)  # fmt: skip
# The temporal encoder has no batch norm to steady it, so it takes smaller steps.
RENDERED = Recipe(
    optimiser="adamw", schedule="one-cycle", epochs=3, batch_size=8, learning_rate=4e-4, temporal_learning_rate=1e-4,
    weight_decay=0.05, dropout=0.1,
)  # fmt: skip
RECIPES = {
    "rendered": RENDERED,
    "series": replace(
        RENDERED, epochs=40, batch_size=16, learning_rate=1e-3, temporal_learning_rate=None, weight_decay=0.01
    ),
    "dfew": DFEW,
    "ferv39k": DFEW,
    "daisee": replace(
        DFEW, schedule="restarts", step_size=None, gamma=None, restart_after=10, restart_factor=2, balanced=True
    ),
}
