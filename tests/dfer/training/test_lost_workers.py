"""The processes that load clips: one that is killed, and those of a run that is killed."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.tiny_runs import tiny_flags, write_coloured_lists

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the loading processes")

CODE = """
import sys, train
from helpers.tiny_runs import add_tiny_model
add_tiny_model()
train.leave(train.main(sys.argv[1:]))
"""


@contextmanager
def loading_run(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A run that trains, and the processes that load its clips."""
    out = folder / "out"
    flags = [*tiny_flags(write_coloured_lists(folder / "clips"), out, epochs=5000), "--workers", "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CODE, *flags]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (out / "last.ckpt").exists():
            assert process.poll() is None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield process, [int(child) for child in children]


def test_killed_worker_ends_the_run_with_one_line(tmp_path: Path) -> None:
    """The first to go where memory runs short."""
    with loading_run(tmp_path) as (process, loading):
        os.kill(loading[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.fullmatch(
        r"train\.py: DataLoader worker \(pid \d+\) is killed by signal: Killed; the machine may be short of memory: "
        r"give fewer --workers; run the same command with --resume to continue",
        errors.splitlines()[-1],
    ), errors
    # Before it there may be a word of the process itself, which Python lets out where it was just handing over a clip.
    assert "lightning" not in errors


def test_no_worker_outlives_a_killed_run(tmp_path: Path) -> None:
    with loading_run(tmp_path) as (process, loading):
        process.kill()
        process.communicate(timeout=120)
    assert loading
    end = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in loading):
        assert time.monotonic() < end
        time.sleep(0.1)
