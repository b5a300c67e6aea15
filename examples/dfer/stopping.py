"""SIGTERM and Ctrl-C end a run with a line and an exit code of their own, never in the middle of a delicate step."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

BOTH = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """Not a KeyboardInterrupt: Lightning catches that one and ends in its own way."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """While the block runs, the first of the two signals raises Stopped, and no second one cuts the end short."""
    with _handled_by(_stop):
        yield


@contextmanager
def signals_delayed() -> Iterator[None]:
    """What comes while the block runs takes effect at its end.

    For the start of a process: multiprocessing starts it first and then sends what it shall do, and one that gets only
    half of that ends with a traceback.
    """
    came: list[int] = []
    try:
        with _handled_by(lambda number, frame: came.append(number)):
            yield
    finally:
        if came:
            signal.raise_signal(came[0])


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python hands signals to the main thread alone.
        yield
        return
    before = [(number, signal.signal(number, handler)) for number in BOTH]
    try:
        yield
    finally:
        for number, earlier in before:
            signal.signal(number, earlier)


def _stop(number: int, frame: FrameType | None) -> None:
    for each in BOTH:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)


def leave_signals_to_the_run(worker: int) -> None:
    """For the processes that load clips: a terminal and a cluster's scheduler send both signals to them too.

    A worker that SIGTERM ended in its usual way would be reported by the run as a failure.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
