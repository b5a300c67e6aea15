"""Jobs for worker processes, in a module that a newly spawned process can import."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dfer.errors import BadInput


class Awkward(Exception):
    """An exception that cannot be unpickled."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


def start() -> Callable[[str], str]:
    return do


def do(job: str) -> str:
    if job == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    if job == "leaves":
        os._exit(7)
    if job == "quits":
        sys.exit(8)
    if job == "bad input":
        raise BadInput("not this")
    if job == "disk full":
        raise OSError(28, "No space left on device", "somewhere")
    if job == "awkward":
        raise Awkward(1, 2)
    if job.startswith("sleeps in "):
        Path(job.removeprefix("sleeps in ")).write_text(str(os.getpid()))
        time.sleep(600)
    return f"{job} done"


def refuse() -> Callable[[str], str]:
    raise BadInput("no weights")
