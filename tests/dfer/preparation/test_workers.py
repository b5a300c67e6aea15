"""Every job returns its result or error, even if its process dies."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dfer.errors import BadInput
from dfer.preparation.workers import WorkerDied, run_jobs
from helpers.worker_jobs import refuse, start


def test_results_failures_and_deaths_are_all_accounted_for() -> None:
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


def test_a_worker_that_cannot_start_gives_its_reason_for_each_job() -> None:
    outcomes = [outcome for _, outcome in run_jobs(refuse, ["a", "b"], workers=1)]
    assert [str(outcome) for outcome in outcomes] == ["no weights", "no weights"]


def test_without_jobs_nothing_is_started() -> None:
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
def test_leaving_early_ends_the_processes(tmp_path: Path) -> None:
    outcomes = run_jobs(start, ["a", f"sleeps in {tmp_path / 'id'}"], workers=2)
    assert next(outcomes) == ("a", "a done")
    process = read_when_there(tmp_path / "id")
    assert is_running(process)
    outcomes.close()
    assert not is_running(process)


@linux
def test_the_sudden_death_of_the_parent_ends_the_processes(tmp_path: Path) -> None:
    code = "from dfer.preparation.workers import run_jobs; from helpers.worker_jobs import start; import sys\n"
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
