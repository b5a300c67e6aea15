"""AGDTNet: from a clip of faces to one score per class."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from os import PathLike
from typing import Any

import torch
from torch import Tensor, fx, nn

from agdt_layers import checks
from agdt_layers.attention import AdaptiveGlobalAttention
from agdt_layers.baselines import CBAM, SqueezeExcitation, TemporalMean
from agdt_layers.clips import call_on_clips, refuse_data_parallel
from agdt_layers.kernels import PooledKernel
from agdt_layers.resnet import ResNet18
from agdt_layers.temporal import DTFormer
from agdt_layers.torch_compat import full_precision, promoted, uncompiled
from agdt_layers.tracing import NotScriptable, one_fx_node, refuse_fx
from agdt_layers.weights import load_weights

ATTENTIONS: Mapping[str, Callable[..., nn.Module]] = {
    "aga": AdaptiveGlobalAttention,
    "aga-without-gate": partial(AdaptiveGlobalAttention, gate=False),
    "cbam": CBAM,
    "se": SqueezeExcitation,
}
TEMPORALS = ("dtformer", "tformer", "mean")
_ATTENDED = {"layer2": 128, "layer3": 256}


class FrameVectors(NotScriptable, nn.Module):
    """One vector per frame: GAP of a depthwise 3 x 3 convolution, (N, C, H, W) -> (N, C) (section 3.3)."""

    def __init__(self, channels: int, **factory: Any) -> None:
        super().__init__()
        self.channels = channels
        self.conv = PooledKernel(channels, 1, 3, 3, bias=True, **factory)

    def reset_parameters(self) -> None:
        self.conv.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(x, fx.Proxy):
            return one_fx_node(self, x)
        checks.images(type(self).__name__, x, self.channels)
        with full_precision(x):
            return self.conv(promoted(x)).to(x.dtype)


class AGDTNet(NotScriptable, nn.Module):
    r"""A backbone with attention inside, frame vectors, a temporal encoder and a classifier.

    :func:`build_agdtnet` creates it from names.

    Reference: Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and
    Differential Temporal Transformer", 2026, section 3.

    Args:
        backbone: maps images (N, 3, H, W) to feature maps (N, C, h, w), and contains the attention: a
            :class:`ResNet18` created with ``attention``, or any module after :func:`insert_attention`.
        temporal: maps (B, T, C) to (B, C), and accepts the keyword argument ``mask`` if clips are padded.
        num_classes: number of classes.
        device, dtype: of the parameters created here.

    Raises:
        ValueError, TypeError: an invalid setting, or a backbone whose output is not a feature map.

    Example:
        >>> net = build_agdtnet(num_classes=7, num_frames=4)
        >>> net(torch.randn(2, 4, 3, 64, 64)).shape
        torch.Size([2, 7])
    """

    def __init__(
        self,
        backbone: nn.Module,
        temporal: nn.Module,
        *,
        num_classes: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        checks.module(name, "backbone", backbone)
        checks.module(name, "temporal", temporal)
        num_classes = checks.size(name, "num_classes", num_classes)
        factory = checks.factory(name, device, dtype)
        refuse_data_parallel(name, backbone)
        channels = _output_channels(backbone)
        taken = getattr(temporal, "channels", channels)
        if taken != channels:
            raise ValueError(
                f"{name} got a backbone with {channels} output channels, but a temporal encoder for {taken}. "
                f"Create the encoder with channels={channels}."
            )
        self.channels = channels
        self.num_classes = num_classes
        self.backbone = backbone
        self.frame_vectors = FrameVectors(channels, **factory)
        self.temporal = temporal
        self.classifier = nn.Linear(channels, num_classes, **factory)

    def reset_parameters(self) -> None:
        """Re-initialise the parameters, except of parts without ``reset_parameters``."""
        for part in self.children():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()  # type: ignore[operator]

    def forward(self, clips: Tensor, mask: Tensor | None = None) -> Tensor:
        """Score clips.

        Args:
            clips: (B, T, 3, H, W), normalised as the backbone's weights expect.
            mask: bool (B, T), True where a frame is real. In eval mode, padding a clip at its end does not change its
                scores. In training mode, batch norm's statistics include the padding as black frames.

        Returns:
            Scores before the softmax, (B, num_classes).
        """
        name = type(self).__name__
        refuse_fx(name, clips, "Trace the backbone, torch.fx.symbolic_trace(net.backbone), or use torch.export.")
        with self._checked(clips, mask):
            return self.score(self._vectors(clips, mask), mask)

    def encode(self, clips: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the frame vectors of clips: (B, T, 3, H, W) -> (B, T, C)."""
        with self._checked(clips, mask):
            return self._vectors(clips, mask)

    def score(self, vectors: Tensor, mask: Tensor | None = None) -> Tensor:
        """Score clips by their frame vectors: (B, T, C) -> (B, num_classes)."""
        checks.sequence(type(self).__name__, vectors, self.channels)
        checks.module_dtype(type(self).__name__, vectors, self)
        summary = self.temporal(vectors) if mask is None else self.temporal(vectors, mask=mask)
        return self.classifier(summary)

    def _checked(self, clips: Tensor, mask: Tensor | None) -> AbstractContextManager[None]:
        name = type(self).__name__
        checks.clips(name, clips, 3)
        checks.module_dtype(name, clips, self)
        checks.frame_mask(name, mask, clips.shape[0], clips.shape[1], clips.device)
        return checks.real_frames(name, mask)

    def _vectors(self, clips: Tensor, mask: Tensor | None) -> Tensor:
        maps = call_on_clips(type(self).__name__, self.backbone, clips, mask)
        return self.frame_vectors(maps).unflatten(0, clips.shape[:2])


def _output_channels(backbone: nn.Module) -> int:
    """Return C of a model that maps images (N, 3, H, W) to feature maps (N, C, h, w)."""
    stated = getattr(type(backbone), "out_channels", None)
    if isinstance(stated, int):
        return stated
    shape = _output_shape(backbone, 224)
    if isinstance(shape, str) or len(shape) != 4:
        raise ValueError(f"AGDTNet expects a backbone that returns feature maps (N, C, H, W); this returns {shape}.")
    try:
        larger = _output_shape(backbone, 288)
    except ValueError:
        return shape[1]  # the backbone accepts a single image size
    if larger[1] != shape[1]:
        raise ValueError(
            f"AGDTNet expects a backbone that returns feature maps (N, C, H, W); this returns {shape}, whose axis 1 "
            "grows with the image. Is it (N, H, W, C)? Then end the backbone with x.permute(0, 3, 1, 2)."
        )
    return shape[1]


def _output_shape(backbone: nn.Module, size: int) -> tuple[int, ...] | str:
    own = next((p for p in backbone.parameters() if p.is_floating_point()), torch.empty(0))
    image = torch.zeros(1, 3, size, size, device=own.device, dtype=own.dtype)
    try:
        with torch.no_grad(), uncompiled():
            output = copy.deepcopy(backbone).eval()(image)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"AGDTNet failed to run the backbone on an image {tuple(image.shape)}: {type(error).__name__}: {reason}"
        ) from error
    return tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__


def build_agdtnet(
    num_classes: int = 7,
    *,
    num_frames: int = 16,
    backbone: nn.Module | None = None,
    attention: str | Callable[[int], nn.Module] | None = None,
    temporal: str = "dtformer",
    weights: str | PathLike[str] | Mapping[str, Tensor] | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> AGDTNet:
    """Create AGDTNet, or any row of the paper's ablation (Table 2), by name.

    Args:
        num_classes: number of classes.
        num_frames: length of the longest clip in frames.
        backbone: any module that maps images (N, 3, H, W) to feature maps (N, C, h, w), including attention from
            :func:`insert_attention`; by default a new ResNet18.
        attention: the layer after the second and third stage of the ResNet18: "aga" (the default), "aga-without-gate",
            "cbam", "se", "none", or a class or function that creates a layer from a number of channels.
        temporal: "dtformer", "tformer" (without the differential enhancement) or "mean" (plain averaging).
        weights: a file (.safetensors, .pt, .pth) or a state dict, for the ResNet18 or for the whole net. It is loaded
            by :func:`load_weights`, which also reports what matched.
        dropout: of the temporal encoder, in [0, 1).
        causal: if True, AGA averages over the num_frames frames up to each frame instead of over the whole clip, and
            :class:`AGDTStream` reproduces the net exactly. The state-dict keys are the same.
        device, dtype: of the parameters created here; by default those of the given backbone.

    Raises:
        ValueError, TypeError: an unknown name, an invalid setting, or weights that do not fit.

    Example:
        >>> net = build_agdtnet(7, attention="se", temporal="mean")
        >>> sum(p.numel() for p in net.parameters())
        11195871
    """
    if backbone is not None:
        checks.module("build_agdtnet", "backbone", backbone)
    if backbone is not None and attention is not None:
        raise ValueError(
            "build_agdtnet applies attention only to its own ResNet18. For another backbone, omit attention and call "
            "insert_attention(backbone, ...) first."
        )
    if attention is None:
        attention = "aga" if backbone is None else "none"
    if isinstance(attention, nn.Module):
        checks.layer_factory("build_agdtnet", "attention", attention)
    if not callable(attention):
        checks.one_of("build_agdtnet", "attention", attention, (*ATTENTIONS, "none"))
    checks.one_of("build_agdtnet", "temporal", temporal, TEMPORALS)
    num_frames = checks.size("build_agdtnet", "num_frames", num_frames)
    dropout = checks.probability("build_agdtnet", "dropout", dropout)
    causal = checks.flag("build_agdtnet", "causal", causal)
    if causal and callable(attention):
        raise ValueError(
            "build_agdtnet applies causal only to attention given by name. Omit causal and set the window: "
            f"attention=functools.partial(AdaptiveGlobalAttention, context_window={num_frames})."
        )

    factory = checks.factory("build_agdtnet", device, dtype)
    # A given backbone decides the device and the dtype of the rest.
    own = None if backbone is None else next((p for p in backbone.parameters() if p.is_floating_point()), None)
    if own is not None:
        factory = {key: getattr(own, key) if value is None else value for key, value in factory.items()}

    def attention_layer(channels: int) -> nn.Module:
        if not callable(attention):
            window = {"context_window": num_frames} if causal and attention.startswith("aga") else {}
            return ATTENTIONS[attention](channels, **window, **factory)
        layer = attention(channels)
        checks.module("build_agdtnet", f"attention({channels})", layer)
        return layer.to(**factory)

    if backbone is None:
        attended = {} if attention == "none" else {stage: attention_layer(c) for stage, c in _ATTENDED.items()}
        if len({id(layer) for layer in attended.values()}) < len(attended):
            raise ValueError("build_agdtnet got an attention that returns the same layer twice. Create a new one.")
        backbone = ResNet18(attention=attended, **factory)
    channels = _output_channels(backbone)
    summary = (
        TemporalMean()
        if temporal == "mean"
        else DTFormer(channels, max_frames=num_frames, differential=temporal == "dtformer", dropout=dropout, **factory)
    )
    net = AGDTNet(backbone, summary, num_classes=num_classes, **factory)
    if weights is not None:
        load_weights(net, weights)
    return net
