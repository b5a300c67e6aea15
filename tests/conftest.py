"""Settings that hold for every test, and the device that the tests of the layers and of the network run on."""

import os
from pathlib import Path

import hypothesis
import pytest
import torch

# The first call of an operation may take a second: a deadline would measure the machine, not the code.
hypothesis.settings.register_profile("local", deadline=None, max_examples=20)
# In CI the same examples are drawn every time: a failure there is a failure here.
hypothesis.settings.register_profile("ci", deadline=None, max_examples=20, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


# The tests' tensors are small: on a busy machine, threads that wait for each other cost ten times what they give.
torch.set_num_threads(1)

ON_ANY_DEVICE = [Path(__file__).parent / folder for folder in ("layers", "network", "hosts")]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        default="cpu",
        help="where the tests of the layers and of the network run, such as cuda; other tests are then left out",
    )


def pytest_configure(config: pytest.Config) -> None:
    name = config.getoption("--device")
    try:
        torch.ones(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise pytest.UsageError(
            f"--device {name}: torch cannot use it here ({reason}). Leave it out for the CPU."
        ) from None
    if name == "cpu":
        return
    # Before any test module makes a tensor.
    torch.set_default_device(name)
    torch.backends.cudnn.allow_tf32 = False
    # torch.use_deterministic_algorithms asks for it before the first product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--device") != "cpu":
        items[:] = [item for item in items if any(folder in item.path.parents for folder in ON_ANY_DEVICE)]


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> None:
    torch.manual_seed(0)
