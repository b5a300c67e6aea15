"""Kernel launches, counted without a GPU: operators that are dispatched and are no views."""

from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

# They allocate or relabel memory and launch nothing.
_IDLE = (
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "detach",
    "_unsafe_view",
    "lift_fresh",
)


class Launches(TorchDispatchMode):
    """The names of the operators that do work, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        if not func.is_view and name not in _IDLE:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def launches(run: Callable[[], object]) -> list[str]:
    with Launches() as counter:
        run()
    return counter.names
