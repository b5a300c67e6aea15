"""A process that loads clips is the first to go where memory runs short."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.tiny_runs import tiny_flags, write_coloured_lists

CODE = """
import sys, train
from helpers.tiny_runs import add_tiny_model
add_tiny_model()
train.leave(train.main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the loading processes")
def test_a_loading_process_that_is_killed_is_one_line(tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = [*tiny_flags(write_coloured_lists(tmp_path / "clips"), out, epochs=5000), "--workers", "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CODE, *flags]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (out / "last.ckpt").exists():
            assert process.poll() is None
        loading = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(loading[0]), signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.fullmatch(
        r"train\.py: DataLoader worker \(pid \d+\) is killed by signal: Killed; the machine may be short of memory: "
        r"give fewer --workers; the same command with --resume goes on from the last epoch\n",
        errors,
    ), errors
