"""Every comparison system has the size and the count of multiply-adds that its publication or its code has."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from agdt_layers import build_agdtnet
from dfer.models import AGDTNET_ROWS, COMPARISON_SYSTEMS, build_model

# Millions of parameters; giga multiply-adds of 16 frames; the side of a frame; whether the convolutions alone count.
# No publication prints the size of vgg11-lstm and resnet18-lstm, or the count of vgg16-lstm: those are our own counts.
PUBLISHED = {
    "c3d": (78.03, 38.55, 112, False),
    "i3d": (12.29, 27.79, 224, False),
    "vgg11-lstm": (133.2, 29.9, 112, True),
    "vgg13-lstm": (133.4, 44.7, 112, True),
    "vgg16-lstm": (138.7, 61.4, 112, True),
    "resnet18-lstm-dfew": (17.39, 9.12, 112, False),
    "resnet18-lstm": (13.05, 7.79, 112, False),
    "former-dfer": (18.03, 8.3, 112, False),
}


def on_meta(name: str, size: int = 112) -> torch.nn.Module:
    with torch.device("meta"):
        return build_model(name, 7, size=size).eval()


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def multiply_adds(model: torch.nn.Module, size: int, convolutions_only: bool) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 16, 3, size, size, device="meta"))
    counts = counter.get_flop_counts()["Global"]
    return sum(n for op, n in counts.items() if "convolution" in str(op) or not convolutions_only) / 2


def assert_prints_as(value: float, published: float) -> None:
    decimals = len(str(published).split(".")[1])
    assert f"{value:.{decimals}f}" == f"{published:.{decimals}f}"


def test_every_system_is_in_the_table() -> None:
    assert PUBLISHED.keys() == COMPARISON_SYSTEMS.keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_match_the_published_number(name: str) -> None:
    assert_prints_as(parameters(on_meta(name)) / 1e6, PUBLISHED[name][0])


@pytest.mark.parametrize("name", PUBLISHED)
def test_multiply_adds_match_the_published_number(name: str) -> None:
    _, giga, size, convolutions_only = PUBLISHED[name]
    assert_prints_as(multiply_adds(on_meta(name, size), size, convolutions_only) / 1e9, giga)


def test_docstrings_state_the_other_counts() -> None:
    assert round(multiply_adds(on_meta("i3d"), 112, False) / 1e9, 2) == 6.98
    vgg = [multiply_adds(on_meta(f"vgg{depth}-lstm"), 112, False) / 1e9 for depth in (11, 13, 16)]
    assert [round(count, 1) for count in vgg] == [31.9, 46.7, 63.4]
    named, theirs = on_meta("resnet18-lstm"), on_meta("resnet18-lstm-dfew")
    assert round(100 * (parameters(theirs) / parameters(named) - 1)) == 33
    assert round(100 * (multiply_adds(theirs, 112, False) / multiply_adds(named, 112, False) - 1)) == 17


@pytest.mark.parametrize("name", AGDTNET_ROWS)
def test_ablation_rows_are_the_librarys_nets(name: str) -> None:
    attention, temporal = AGDTNET_ROWS[name]
    with torch.device("meta"):
        expected = build_agdtnet(7, num_frames=16, attention=attention, temporal=temporal)
    shapes = {key: value.shape for key, value in expected.state_dict().items()}
    assert {key: value.shape for key, value in on_meta(name).state_dict().items()} == shapes


def test_ablation_rows_differ() -> None:
    assert len(set(AGDTNET_ROWS.values())) == len(AGDTNET_ROWS) == 7
