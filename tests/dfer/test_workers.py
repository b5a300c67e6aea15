"""Every job returns its result or error, even if its process dies."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dfer.errors import BadInput
from dfer.workers import WorkerDied, run_jobs
from helpers.worker_jobs import refuse, start


def test_every_job_yields_a_result_or_an_exception() -> None:
    jobs = ["a", "killed", "b", "crashes", "leaves", "quits", "bad input", "disk full", "awkward", "c"]
    outcomes = dict(run_jobs(start, jobs, workers=2))
    assert sorted(outcomes) == sorted(jobs)
    for name in "abc":
        assert outcomes[name] == f"{name} done"
    how_they_died = {"killed": "SIGKILL", "crashes": "SIGSEGV", "leaves": "exit code 7", "quits": "exit code 8"}
    for name, how in how_they_died.items():
        assert isinstance(outcomes[name], WorkerDied)
        assert how in str(outcomes[name])
    assert isinstance(outcomes["bad input"], BadInput)
    assert isinstance(outcomes["disk full"], OSError)
    assert outcomes["disk full"].errno == 28
    assert isinstance(outcomes["awkward"], RuntimeError)
    assert str(outcomes["awkward"]) == "Awkward: 1 and 2"


def test_failed_start_is_reported_for_each_job() -> None:
    outcomes = [outcome for _, outcome in run_jobs(refuse, ["a", "b"], workers=1)]
    assert [str(outcome) for outcome in outcomes] == ["no weights", "no weights"]


def test_no_process_is_started_without_jobs() -> None:
    assert list(run_jobs(start, [], workers=4)) == []


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def read_when_there(path: Path) -> int:
    end = time.monotonic() + 30
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return int(path.read_text())


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


@linux
def test_closing_the_iterator_ends_the_processes(tmp_path: Path) -> None:
    outcomes = run_jobs(start, ["a", f"sleeps in {tmp_path / 'id'}"], workers=2)
    assert next(outcomes) == ("a", "a done")
    process = read_when_there(tmp_path / "id")
    assert is_running(process)
    outcomes.close()
    assert not is_running(process)


@linux
def test_killing_the_parent_ends_the_processes(tmp_path: Path) -> None:
    code = "from dfer.workers import run_jobs; from helpers.worker_jobs import start; import sys\n"
    code += "if __name__ == '__main__': list(run_jobs(start, [sys.argv[1]], 1))"
    (tmp_path / "parent.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    job = f"sleeps in {tmp_path / 'id'}"
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py"), job], env=environment)
    process = read_when_there(tmp_path / "id")
    parent.kill()
    parent.wait()
    end = time.monotonic() + 10
    while is_running(process):
        assert time.monotonic() < end
        time.sleep(0.02)
