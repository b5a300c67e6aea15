"""Device and precision of the evaluation."""

import pytest
import torch

from dfer.evaluation.answers import Device, choose_device


def test_device_and_precision_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    assert str(Device("cpu", bfloat16=False)) == "on the CPU, float32, channels_last"
    assert str(Device("cuda", bfloat16=True)) == "on a GPU, bfloat16 autocast, channels_last"


def test_precision_overrides_the_device() -> None:
    assert choose_device("bfloat16").bfloat16
    assert not choose_device("float32").bfloat16
