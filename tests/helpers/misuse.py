"""Layers that are called wrongly, and what the message of such an error must be like."""

import re
from collections.abc import Callable

import pytest
import torch

from agdt_layers import AdaptiveGlobalAttention, DifferentialTemporalEnhancer, DTFormer, build_agdtnet

# What a user does wrong, the error, what its message must contain.
Misuse = tuple[Callable[[], object], type[Exception], tuple[str, ...]]


def attention(**options) -> AdaptiveGlobalAttention:
    return AdaptiveGlobalAttention(5, **options)


def enhancer(**options) -> DifferentialTemporalEnhancer:
    return DifferentialTemporalEnhancer(5, **options)


def encoder(**options) -> DTFormer:
    return DTFormer(6, **({"depth": 1, "heads": 3, "mlp_channels": 7, "max_frames": 4} | options))


NET = build_agdtnet(3, num_frames=2, attention="none", temporal="mean").eval()


def mask(*rows: str) -> torch.Tensor:
    """A mask as a picture: one string per clip, "#" for a real frame and "." for a padded one."""
    return torch.tensor([[frame == "#" for frame in row] for row in rows])


def assert_the_message_helps(misuse: Callable[[], object], error: type[Exception], fragments: tuple[str, ...]) -> None:
    """A message names what it should, is short, and has every placeholder filled in."""
    with pytest.raises(error) as caught:
        misuse()
    message = str(caught.value)
    missing = [f for f in fragments if not re.search(rf"(?<!\w){re.escape(f)}(?!\w)|^{re.escape(f)}", message)]
    assert not missing, f"{missing} not in: {message}"
    assert len(message) < 320, "one or two lines"
    assert not re.search(r"[{}]", message), "a placeholder was never filled in"
