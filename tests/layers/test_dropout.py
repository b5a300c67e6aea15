"""Dropout of the temporal encoder: after the attention and the MLP of every layer, only in training mode."""

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import DTFormer, build_agdtnet
from helpers.strategies import random_tensor

RATE = 0.25
# Each branch is tested with the last linear map of the other set to zero.
BRANCHES = {"attention": "mlp.2", "MLP": "projection"}


def zeroed(layer: nn.Module, name: str) -> nn.Module:
    for parameter in layer.get_submodule(name).parameters():
        nn.init.zeros_(parameter)
    return layer


def branch(layer: nn.Module, tokens: Tensor) -> Tensor:
    return layer(tokens) - tokens


@pytest.mark.parametrize("other", BRANCHES.values(), ids=BRANCHES)
@torch.no_grad()
def test_dropout_zeroes_a_quarter_of_a_branch_and_scales_the_rest(other: str) -> None:
    former = DTFormer(96, depth=2, heads=2, mlp_channels=32, dropout=RATE).double()
    tokens = random_tensor((7, 11, 96), 0)
    for layer in former.layers:
        zeroed(layer, other)
        kept_whole, dropped = branch(layer.eval(), tokens), branch(layer.train(), tokens)
        is_dropped = dropped == 0
        # The standard error of this share is 0.005.
        assert abs(is_dropped.double().mean() - RATE) < 0.02
        torch.testing.assert_close(dropped[~is_dropped], kept_whole[~is_dropped] / (1 - RATE))


@pytest.mark.parametrize("other", BRANCHES.values(), ids=BRANCHES)
@torch.no_grad()
def test_network_dropout_acts_on_both_branches_of_every_layer(other: str) -> None:
    net = build_agdtnet(3, dropout=RATE)
    vectors = random_tensor((2, 5, 512), 1, torch.float32)
    for chosen in net.temporal.layers:
        # All other layers are in eval mode, so any variation comes from this one.
        net.eval()
        zeroed(chosen, other).train()
        assert not torch.equal(net.temporal(vectors), net.temporal(vectors))
    net.eval()
    assert torch.equal(net.temporal(vectors), net.temporal(vectors))


@torch.no_grad()
def test_without_dropout_training_and_eval_mode_agree() -> None:
    net = build_agdtnet(3)
    vectors = random_tensor((2, 5, 512), 2, torch.float32)
    assert torch.equal(net.train().temporal(vectors), net.eval().temporal(vectors))
