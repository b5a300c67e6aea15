"""Where a CPU and a GPU want different forms of the same mathematics, and which of the two is taken.

A GPU waits for launches: few operations, whatever they do. A CPU has no launches and a cache: no convolution to a
single channel, whose derivative is slow there, and no second pass over a map. Both forms are held to the equations.
"""

from __future__ import annotations

from torch import Tensor


def prefers_few_launches(x: Tensor) -> bool:
    """Say whether the form with the fewest operations is taken for x."""
    return x.device.type != "cpu"
