"""AGA as other libraries build it: a stand-in calls exactly as their builders do; test_timm_hosts.py asks timm."""

from typing import Any

import torch
from torch import nn

from agdt_layers import AdaptiveGlobalAttention, MMCVAttention, TimmAttention
from helpers.strategies import random_tensor


def mmcv_builder(cfg: dict[str, Any], postfix: int | str = "", **settings: Any) -> tuple[str, nn.Module]:
    """Build as mmcv's ``build_plugin_layer`` does: the class by its registered name, all settings by keyword."""
    registry = {"MMCVAttention": MMCVAttention}
    options = dict(cfg)
    plugin = registry[options.pop("type")]
    return f"{plugin._abbr_}{postfix}", plugin(**settings, **options)


def test_mmcv_form() -> None:
    name, layer = mmcv_builder({"type": "MMCVAttention", "gate": False}, postfix=1, in_channels=7)
    assert name == "adaptive_global_attention1"
    assert isinstance(layer, MMCVAttention)
    assert layer.channels == 7
    assert layer.channel.gate is None
    stage = nn.Module()
    stage.add_module(name, layer)
    assert layer(random_tensor((2, 7, 5, 3), 0, torch.float32)).shape == (2, 7, 5, 3)


def test_timm_squeeze_excitation_form() -> None:
    # EfficientNet first tries rd_ratio on 8 channels, then builds every block's layer.
    assert TimmAttention(8, rd_ratio=1.0).channels == 8
    layer = TimmAttention(7, rd_ratio=0.25, act_layer=nn.SiLU, device="meta", dtype=torch.bfloat16)
    plain = AdaptiveGlobalAttention(7, device="meta", dtype=torch.bfloat16)
    assert {key: (v.shape, v.dtype, v.device) for key, v in layer.state_dict().items()} == {
        key: (v.shape, v.dtype, v.device) for key, v in plain.state_dict().items()
    }


def test_residual_scale_is_the_identity_after_a_library_draws_the_convolutions_anew() -> None:
    layer = AdaptiveGlobalAttention(7, residual_scale=True)
    for module in layer.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        x = 100 * random_tensor((2, 7, 5, 3), 1, dtype)
        assert torch.equal(layer.to(dtype)(x), x)
    layer = layer.float()
    torch.nn.init.constant_(layer.residual_scale, 0.5)
    x = random_tensor((2, 7, 5, 3), 2, torch.float32)
    half = layer(x) - x
    torch.nn.init.constant_(layer.residual_scale, 1.0)
    torch.testing.assert_close(2 * half, layer(x) - x)
    layer.reset_parameters()
    assert torch.equal(layer(x), x)
