"""Which of two forms of the same mathematics is used, one for a CPU and one for a GPU.

On a GPU small operations cost their launch, so few of them are best, whatever they do. A CPU has no launches but a
cache: it avoids a second pass over a map, and a convolution to a single channel, whose backward pass is slow there.
Both forms are tested against the equations.
"""

from __future__ import annotations

from torch import Tensor


def prefers_few_launches(x: Tensor) -> bool:
    """Whether to use the form with the fewest operations for x."""
    return x.device.type != "cpu"
