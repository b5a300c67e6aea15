"""A progress bar for work that takes longer than two seconds."""

import sys
from collections.abc import Iterable, Iterator
from threading import Timer
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
    bar = Progress(console=Console(stderr=True))
    task = bar.add_task(what, total=total)
    # A timer also shows the bar while the first item takes long.
    timer = Timer(SECONDS, bar.start)
    timer.daemon = True
    timer.start()
    try:
        for item in items:
            yield item
            bar.advance(task)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
