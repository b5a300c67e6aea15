"""A progress bar for work that takes longer than two seconds."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

Item = TypeVar("Item")
SECONDS = 2.0


def track(items: Iterable[Item], what: str, total: int | None) -> Iterator[Item]:
    """Yield the items; on a terminal a bar appears on stderr after two seconds. total: number of items, if known."""
    if not sys.stderr.isatty():
        yield from items
        return
    bar, began = Progress(console=Console(stderr=True)), time.monotonic()
    task = bar.add_task(what, total=total)
    try:
        for item in items:
            yield item
            bar.advance(task)
            if not bar.live.is_started and time.monotonic() - began > SECONDS:
                bar.start()
    finally:
        bar.stop()
