"""Nets for sequences of vectors: padding changes nothing, and the encoders differ as named."""

import pytest
import torch

from agdt_layers import DTFormer
from dfer.models.vector_nets import VECTOR_MODELS, VectorNet
from helpers.strategies import random_tensor


@pytest.mark.parametrize("model", VECTOR_MODELS)
@torch.no_grad()
def test_padding_does_not_change_the_scores(model: str) -> None:
    net = VectorNet(model, 5, 3, 11, width=8).eval()
    vectors = random_tensor((2, 7, 5), 0, torch.float32)
    padded = torch.full((2, 11, 5), torch.nan)
    padded[:, :7] = vectors
    torch.testing.assert_close(net(padded), net(vectors))
    assert net(padded).shape == (2, 3)


@pytest.mark.parametrize("model", VECTOR_MODELS)
def test_scores_depend_on_the_order_of_frames_unless_they_are_averaged(model: str) -> None:
    net = VectorNet(model, 5, 3, 7, width=8).eval()
    vectors = random_tensor((2, 7, 5), 0, torch.float32)
    difference = (net(vectors) - net(vectors.flip(1))).abs().max()
    assert (difference < 1e-6) == (model == "vectors+mean")


def test_only_dtformer_enhances_differences() -> None:
    encoders = {model: VectorNet(model, 5, 3, 7, width=8).temporal for model in VECTOR_MODELS}
    assert isinstance(encoders["vectors+tformer"], DTFormer)
    more = [sum(p.numel() for p in encoders[f"vectors+{name}"].parameters()) for name in ("dtformer", "tformer")]
    assert more[0] > more[1]
