"""Settings that hold for every test."""

import os

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


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> None:
    torch.manual_seed(0)
