"""pytest --device: refused in words where torch has no such device."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["cuda:99", "nonsense", "meta"])
def test_a_device_that_torch_cannot_use_is_refused(name: str) -> None:
    command = [sys.executable, "-m", "pytest", "-n", "0", "--device", name, "tests/layers/test_cbam.py"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert run.stderr.startswith(f"ERROR: --device {name}: torch cannot use it here (")
    assert run.stderr.rstrip().endswith("Leave it out for the CPU.")
    assert len(run.stderr.strip().splitlines()) == 1


def test_without_the_option_every_test_is_run_on_the_cpu(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getoption("--device") == "cpu"
    assert torch.get_default_device() == torch.device("cpu")
