"""Counting kernel launches without a GPU: operators that are dispatched and do work."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# They are no views, and yet they launch nothing: they allocate, relabel or compare types.
_IDLE = frozenset(
    {
        "empty",
        "empty_like",
        "empty_strided",
        "new_empty",
        "new_empty_strided",
        "_unsafe_view",
        "lift_fresh",
        "promote_types",
    }
)


class _Launches(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        if not func.is_view and name not in _IDLE:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def launches(run: Callable[[], object]) -> list[str]:
    """Name the operators of a run that do work, in their order; on a GPU each launches about one kernel.

    Count under no_grad: inference_mode shows composite operators whole, and another number comes out.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError("launches() counts other operators under inference_mode. Take torch.no_grad() instead.")
    with _Launches() as counter:
        run()
    return counter.names
