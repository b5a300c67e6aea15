"""ResNet18 has torchvision's state-dict keys and shapes, and computes the published architecture."""

import copy

import pytest
import torch

import reference
from agdt_layers import ResNet18
from helpers.agreement import assert_agrees, leaves_of, settled
from helpers.strategies import random_tensor


def ecosystem_shapes() -> dict[str, tuple[int, ...]]:
    """Return the keys and shapes of torchvision's ResNet18 without the classifier, derived from the architecture."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}

    def norm(name: str, channels: int) -> None:
        for entry in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{entry}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    before = 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (channels, before, 3, 3)
            norm(f"{name}.bn1", channels)
            shapes[f"{name}.conv2.weight"] = (channels, channels, 3, 3)
            norm(f"{name}.bn2", channels)
            if before != channels:
                shapes[f"{name}.downsample.0.weight"] = (channels, before, 1, 1)
                norm(f"{name}.downsample.1", channels)
            before = channels
    return shapes


def test_state_dict_keys_are_those_of_torchvision_and_timm() -> None:
    shapes = {name: tuple(value.shape) for name, value in ResNet18(device="meta").state_dict().items()}
    assert shapes == ecosystem_shapes()
    assert len(shapes) == 120


def test_features_and_gradients_agree_with_the_architecture() -> None:
    network = settled()
    images = random_tensor((2, 3, 33, 29), 1)
    leaves = leaves_of(network, images)
    literal = reference.resnet18(images, {**network.state_dict(keep_vars=True)})
    assert literal.shape == (2, 512, 2, 1)
    assert_agrees(network(images), literal, leaves, tolerance=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_frames": "junk"}, "expects num_frames to be an integer, got 'junk'"),
        ({"num_frames": 4}, "axis 0, 6, is not a multiple of 4"),
        ({"num_frames": 3, "mask": torch.ones(3, 2, dtype=torch.bool)}, r"expects mask \(B, T\) = \(2, 3\)"),
    ],
)
def test_clip_settings_are_checked_without_attention(settings: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        ResNet18()(torch.zeros(6, 3, 32, 32), **settings)


def test_output_has_512_channels_and_a_32nd_of_the_image_size() -> None:
    network = ResNet18(device="meta")
    assert network(torch.empty(1, 3, 112, 112, device="meta")).shape == (1, 512, 4, 4)
    assert sum(p.numel() for p in network.parameters()) == 11_176_512


def test_running_statistics_change_only_in_training_mode() -> None:
    network = settled()
    before = copy.deepcopy(network.state_dict())
    images = random_tensor((2, 3, 32, 32), 2)
    network(images)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    network.train()(images)
    assert not torch.equal(before["bn1.running_mean"], network.bn1.running_mean)
