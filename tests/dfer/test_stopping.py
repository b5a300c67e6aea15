"""SIGTERM and Ctrl-C: an exit code of their own and one line that says how to go on."""

import multiprocessing.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from dfer.experiments.campaign import Run
from dfer.experiments.hard_faces import HardFaces, Protocol
from dfer.stopping import Stopped, signals_delayed, stoppable
from dfer.workers import run_jobs
from helpers.tiny_runs import tiny_flags, write_coloured_lists
from helpers.train_processes import finished, start, wait_for

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_run_reports_it_and_can_be_resumed(tmp_path: Path, number: signal.Signals) -> None:
    out, printed = tmp_path / "out", tmp_path / "printed"
    clips = write_coloured_lists(tmp_path)
    process = start(tiny_flags(clips, out, epochs=5000, recipe="dfew"), printed)
    wait_for((out / "last.ckpt").exists, process)
    assert process.pid is not None
    os.kill(process.pid, number)
    assert finished(process) == 128 + number
    last = printed.read_text().splitlines()[-1]
    assert last == (f"train.py: stopped by {number.name}; run the same command with --resume to continue")
    assert "Traceback" not in printed.read_text()
    done = sum(line.startswith("epoch ") for line in printed.read_text().splitlines())
    # The line of an epoch is printed before its checkpoint is whole: the signal may come between.
    assert finished(start(tiny_flags(clips, out, "--resume", epochs=done + 1, recipe="dfew"), printed)) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_the_workers_changes_nothing(tmp_path: Path, number: signal.Signals) -> None:
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
        f"train.py: stopped by {number.name}; run the same command with --resume to continue"
    ]


def test_earlier_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped, match="stopped by SIGTERM") as stop, stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.value.exit_code == 143
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def signalled_twice() -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.raise_signal(signal.SIGINT)


def test_second_signal_does_not_interrupt_the_cleanup() -> None:
    with pytest.raises(Stopped, match="SIGTERM"), stoppable():
        signalled_twice()


def test_delayed_signal_arrives_at_the_end_of_the_block() -> None:
    reached = []

    def block() -> None:
        signal.raise_signal(signal.SIGTERM)
        reached.append("the end")

    with pytest.raises(Stopped, match="SIGTERM"), stoppable(), signals_delayed():
        block()
    assert reached


def runs_of_an_ablation(folder: Path) -> None:
    list(HardFaces(Protocol(), workers=2).make(folder, [Run("agdtnet", 0), Run("agdtnet", 1)]))


def jobs_of_a_preparation(folder: Path) -> None:
    list(run_jobs(_no_work, [1, 2], workers=2))


def _no_work() -> Callable[[int], int]:
    return abs


@pytest.mark.parametrize("start_processes", [runs_of_an_ablation, jobs_of_a_preparation])
def test_signal_during_process_start_leaves_no_traceback(
    start_processes: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    resource_tracker.ensure_running()  # It is started in the same way, and stays.
    started = multiprocessing.util.spawnv_passfds
    pids = []

    def start_and_signal(*arguments: object) -> int:
        pids.append(started(*arguments))
        signal.raise_signal(signal.SIGTERM)  # The process runs, and has not been sent yet what it shall do.
        return pids[-1]

    monkeypatch.setattr(multiprocessing.util, "spawnv_passfds", start_and_signal)
    with pytest.raises(Stopped), stoppable():
        start_processes(tmp_path)
    assert pids
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
    assert capfd.readouterr().err == ""
