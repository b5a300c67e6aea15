"""How a model is optimised, by name: the one place of these values, each of which a flag of its own overrides.

Of `dfew` and `ferv39k` the optimiser, schedule, epochs and batch size are the paper's. Of `daisee` the schedule, the
balanced order and the batch size are, and the rest is this package's choice, as dropout is everywhere. `rendered` and
`series` are for training from scratch.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A value of None belongs to another optimiser or schedule."""

    optimiser: Literal["sgd", "adamw"]
    schedule: Literal["steps", "restarts", "one-cycle"]
    learning_rate: float
    temporal_learning_rate: float | None = None
    """Of the temporal encoder, where it is another."""
    momentum: float | None = None
    weight_decay: float
    step_size: int | None = None
    """Epochs after which the learning rate is multiplied by gamma."""
    gamma: float | None = None
    restart_after: int | None = None
    """Epochs of the first cosine, T_0; each one after it is restart_factor times as long, T_mult."""
    restart_factor: int | None = None
    epochs: int
    batch_size: int
    dropout: float
    balanced: bool
    """Clips are drawn with replacement, every class equally often."""


# DFEW and FERV39k are trained alike.
STEPS = Recipe(
    optimiser="sgd",
    schedule="steps",
    learning_rate=1e-3,
    momentum=0.9,
    weight_decay=1e-4,
    step_size=7,
    gamma=0.5,
    epochs=100,
    batch_size=40,
    dropout=0.0,
    balanced=False,
)

RECIPES = {
    "rendered": Recipe(
        optimiser="adamw",
        schedule="one-cycle",
        learning_rate=4e-4,
        # No batch norm steadies the temporal encoder: it takes smaller steps.
        temporal_learning_rate=1e-4,
        weight_decay=0.05,
        epochs=3,
        batch_size=8,
        dropout=0.1,
        balanced=False,
    ),
    "series": Recipe(
        optimiser="adamw",
        schedule="one-cycle",
        learning_rate=1e-3,
        weight_decay=0.01,
        epochs=40,
        batch_size=16,
        dropout=0.1,
        balanced=False,
    ),
    "dfew": STEPS,
    "ferv39k": STEPS,
    "daisee": Recipe(
        optimiser="sgd",
        schedule="restarts",
        learning_rate=1e-3,
        momentum=0.9,
        weight_decay=1e-4,
        restart_after=10,
        restart_factor=2,
        epochs=100,
        batch_size=40,
        dropout=0.0,
        balanced=True,
    ),
}
