"""SIGTERM and Ctrl-C: an exit code of their own and one line that says how to go on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dfer.training.stopping import Stopped, stoppable
from helpers.tiny_runs import tiny_flags, write_coloured_lists
from helpers.train_processes import finished, start, wait_for

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_says_so_and_can_go_on(tmp_path: Path, number: signal.Signals) -> None:
    out, printed = tmp_path / "out", tmp_path / "printed"
    clips = write_coloured_lists(tmp_path)
    process = start(tiny_flags(clips, out, epochs=5000, recipe="dfew"), printed)
    wait_for((out / "last.ckpt").exists, process)
    assert process.pid is not None
    os.kill(process.pid, number)
    assert finished(process) == 128 + number
    last = printed.read_text().splitlines()[-1]
    assert last == (f"train.py: stopped by {number.name}; the same command with --resume goes on from the last epoch")
    assert "Traceback" not in printed.read_text()
    done = sum(line.startswith("epoch ") for line in printed.read_text().splitlines())
    # The line of an epoch is printed before its checkpoint is whole: the signal may come between.
    assert finished(start(tiny_flags(clips, out, "--resume", epochs=done + 1, recipe="dfew"), printed)) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_workers_too_changes_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """As a terminal sends Ctrl-C, and a cluster's scheduler SIGTERM."""
    out, clips = tmp_path / "out", write_coloured_lists(tmp_path)
    code = (
        "import sys, train; from helpers.tiny_runs import add_tiny_model; add_tiny_model(); "
        "sys.exit(train.main(sys.argv[1:]))"
    )
    flags = [*tiny_flags(clips, out, epochs=5000), "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", code, *flags],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        while not (out / "last.ckpt").exists():
            assert process.poll() is None
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert errors.splitlines() == [
        f"train.py: stopped by {number.name}; the same command with --resume goes on from the last epoch"
    ]


def test_the_handlers_of_before_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped, match="stopped by SIGTERM") as stop, stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.value.exit_code == 143
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
