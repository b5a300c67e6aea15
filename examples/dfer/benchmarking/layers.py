"""Single attention layers and their peers: launches, memory kept for the backward pass, and time."""

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agdt_layers import CBAM, AdaptiveGlobalAttention, DTFormer
from dfer.benchmarking.measuring import Run, forward, forward_backward, interleaved_medians, launches
from dfer.benchmarking.report import Row

AGA, TIMM_CBAM = "AGA", "timm's CbamModule"
_TIMM = {
    TIMM_CBAM: ("timm.layers.cbam", "CbamModule"),
    "timm's SEModule": ("timm.layers.squeeze_excite", "SEModule"),
    "timm's EcaModule": ("timm.layers.eca", "EcaModule"),
}
# The maps after the four stages of a ResNet18, for a clip of 16 frames of 112 x 112.
SHAPES = ((16, 64, 28, 28), (16, 128, 14, 14), (16, 256, 7, 7), (16, 512, 4, 4))
WAYS: dict[str, Callable[[nn.Module, Tensor], Run]] = {"forward": forward, "forward + backward": forward_backward}


@dataclass(frozen=True)
class LayerCost:
    """Milliseconds and launches by kind of pass; ``kept`` is the memory kept for backward divided by the map's size."""

    layer: str
    shape: tuple[int, ...]
    milliseconds: dict[str, float]
    launches: dict[str, int]
    kept: float


def attention_layers(shape: tuple[int, ...]) -> dict[str, nn.Module]:
    """AGA, this package's CBAM, and timm's attention layers if timm is installed."""
    layers: dict[str, nn.Module] = {AGA: AdaptiveGlobalAttention(shape[1], num_frames=shape[0])}
    layers["this package's CBAM"] = CBAM(shape[1])
    if not skipped_peers():
        layers |= {name: getattr(importlib.import_module(file), cls)(shape[1]) for name, (file, cls) in _TIMM.items()}
    return layers


def skipped_peers() -> Sequence[str]:
    """Names of timm's layers if timm or torchvision, which it imports, is not installed."""
    found = all(importlib.util.find_spec(package) for package in ("timm", "torchvision"))
    return () if found else tuple(_TIMM)


def layer_costs(device: str, seconds: float) -> Iterator[LayerCost]:
    for shape in SHAPES:
        x = torch.randn(shape, device=device)
        layers = {name: layer.to(device) for name, layer in attention_layers(shape).items()}
        medians = {
            way: interleaved_medians(
                {name: prepare(layer, x) for name, layer in layers.items()}, seconds=seconds, device=device
            )
            for way, prepare in WAYS.items()
        }
        for name, layer in layers.items():
            yield LayerCost(
                name,
                shape,
                {way: medians[way][name] for way in WAYS},
                {way: len(launches(prepare(layer, x))) for way, prepare in WAYS.items()},
                kept_bytes(layer, x) / x.nbytes,
            )


def kept_bytes(layer: nn.Module, x: Tensor) -> int:
    """Bytes that autograd keeps for the backward pass, without the parameters and the input."""
    free = {tensor.untyped_storage().data_ptr() for tensor in (x, *layer.parameters())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = layer(x.requires_grad_())
    x.requires_grad_(False)
    del out
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in free)


def temporal_encoder(device: str, seconds: float) -> Row:
    """DTFormer against torch's encoder of the same size."""
    layer = nn.TransformerEncoderLayer(512, 8, 1024, 0.0, "gelu", batch_first=True, norm_first=True)
    peer = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).to(device)
    x = torch.randn(8, 16, 512, device=device)
    runs = {"ours": forward_backward(DTFormer().to(device), x), "theirs": forward_backward(peer, x)}
    medians = interleaved_medians(runs, seconds=seconds, device=device)
    return Row("DTFormer, forward + backward", "nn.TransformerEncoder", "ms", medians["ours"], medians["theirs"], 1.15)
