"""Settings for all tests, and the option --device for the tests of layers, network and hosts."""

import os
from pathlib import Path

import hypothesis
import pytest
import torch

# No deadline, because the first call of an operation may take a second.
hypothesis.settings.register_profile("local", deadline=None, max_examples=20)
# In CI the examples are always the same, so that failures can be reproduced.
hypothesis.settings.register_profile("ci", deadline=None, max_examples=20, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


# Tensors in tests are small, and on a busy machine more threads make them ten times slower.
torch.set_num_threads(1)

ON_ANY_DEVICE = [Path(__file__).parent / folder for folder in ("layers", "network", "hosts")]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        default="cpu",
        help="device for the tests of layers, network and hosts, such as cuda; other tests are then skipped",
    )


def pytest_configure(config: pytest.Config) -> None:
    name = config.getoption("--device")
    try:
        torch.ones(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise pytest.UsageError(f"--device {name}: torch cannot use it here ({reason}). Omit it for the CPU.") from None
    if name == "cpu":
        return
    # Before any test module creates a tensor.
    torch.set_default_device(name)
    torch.backends.cudnn.allow_tf32 = False
    # Required by torch.use_deterministic_algorithms before the first matrix product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--device") != "cpu":
        items[:] = [item for item in items if any(folder in item.path.parents for folder in ON_ANY_DEVICE)]


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> None:
    torch.manual_seed(0)
