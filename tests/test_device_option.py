"""pytest --device: a one-line error if torch cannot use the device."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["cuda:99", "nonsense", "meta"])
def test_unavailable_device_raises_a_one_line_error(name: str) -> None:
    command = [sys.executable, "-m", "pytest", "-n", "0", "--device", name, "tests/layers/test_cbam.py"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert run.stderr.startswith(f"ERROR: --device {name}: torch cannot use it here (")
    assert run.stderr.rstrip().endswith("Omit it for the CPU.")
    assert len(run.stderr.strip().splitlines()) == 1


def test_default_device_is_the_cpu(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getoption("--device") == "cpu"
    assert torch.get_default_device() == torch.device("cpu")
