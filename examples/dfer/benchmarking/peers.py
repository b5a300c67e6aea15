"""The attention layers that AGA is compared with, and a plain pass over the map."""

import importlib
import importlib.util
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from agdt_layers import CBAM

TIMM_CBAM, OWN_CBAM = "timm's CbamModule", "this package's CBAM"
_TIMM = {
    TIMM_CBAM: ("timm.layers.cbam", "CbamModule"),
    "timm's SEModule": ("timm.layers.squeeze_excite", "SEModule"),
    "timm's EcaModule": ("timm.layers.eca", "EcaModule"),
}


def peers(channels: int) -> dict[str, nn.Module]:
    """CBAM of this package, and timm's attention layers where timm can be imported."""
    layers: dict[str, nn.Module] = {OWN_CBAM: CBAM(channels)}
    if not skipped_peers():
        layers |= {name: getattr(importlib.import_module(file), cls)(channels) for name, (file, cls) in _TIMM.items()}
    return layers


def skipped_peers() -> Sequence[str]:
    """Name the layers that are left out because timm, or the torchvision that it imports, is not installed."""
    found = all(importlib.util.find_spec(package) for package in ("timm", "torchvision"))
    return () if found else tuple(_TIMM)


class Scale(nn.Module):
    """One plain pass over the map, x * s: what any attention takes at the least."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale
