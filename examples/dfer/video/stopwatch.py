"""The seconds that a run spends in each stage."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch import nn

Item = TypeVar("Item")


class Stopwatch:
    """Seconds by stage; a nested stage is not counted in the outer one.

    >>> stopwatch = Stopwatch()
    >>> with stopwatch.stage("detect"):
    ...     pass
    >>> list(stopwatch.seconds)
    ['detect']
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inside: list[float] = []  # seconds of the stages nested in each running one

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        self._inside.append(0.0)
        try:
            yield
        finally:
            elapsed = time.perf_counter() - began
            self.seconds[name] += elapsed - self._inside.pop()
            if self._inside:
                self._inside[-1] += elapsed

    def iterate(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items and count the time to make them as a stage."""
        iterator = iter(items)
        while True:
            with self.stage(name):
                item = next(iterator, self)
            if item is self:
                return
            yield item  # type: ignore[misc]

    def follow(self, name: str, module: nn.Module) -> None:
        """Count all later calls of a module as a stage."""
        running = []

        def begin(*_: object) -> None:
            running.append(self.stage(name))
            running[-1].__enter__()

        def end(*_: object) -> None:
            running.pop().__exit__(None, None, None)

        module.register_forward_pre_hook(begin)
        module.register_forward_hook(end)
