"""AGDTNet: a clip of faces in, one score per class out."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from os import PathLike

import torch
from torch import Tensor, nn

from agdt_layers import checks
from agdt_layers.attention import AdaptiveGlobalAttention
from agdt_layers.cbam import CBAM
from agdt_layers.clip_axis import ClipAxis, call_with_clip_axis
from agdt_layers.frame_vectors import FrameVectors
from agdt_layers.hosts.trial import output_channels
from agdt_layers.old_state import accept_old_state
from agdt_layers.resnet import ResNet18
from agdt_layers.squeeze_excitation import SqueezeExcitation
from agdt_layers.temporal import DTFormer
from agdt_layers.temporal_mean import TemporalMean
from agdt_layers.tracing import NotScriptable, refuse_fx
from agdt_layers.weights import load_weights

ATTENTIONS = ("aga", "aga-without-gate", "cbam", "se", "none")
TEMPORALS = ("dtformer", "tformer", "mean")
_ATTENDED = {"layer2": 128, "layer3": 256}


class AGDTNet(NotScriptable, nn.Module):
    r"""A backbone with attention inside, frame vectors, a temporal encoder and a classifier.

    Usually made by :func:`build_agdtnet`.

    Reference: Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and
    Differential Temporal Transformer", 2026, section 3.

    Args:
        backbone: turns images (N, 3, H, W) into feature maps (N, C, h, w), and holds the attention: a
            :class:`ResNet18` made with ``attention``, or any module after :func:`insert_attention`.
        temporal: maps (B, T, C) to (B, C), and takes the keyword argument mask if clips are padded.
        num_classes: number of classes.
        device, dtype: of the parameters made here.

    Raises:
        ValueError, TypeError: a setting that does not fit, or a backbone whose output is not a feature map.

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
        channels = _channels_of(backbone)
        taken = getattr(temporal, "channels", channels)
        if taken != channels:
            raise ValueError(
                f"{name} got a backbone that gives {channels} channels and a temporal encoder that takes {taken}. "
                f"Make the encoder with channels={channels}."
            )
        self.channels = channels
        self.num_classes = num_classes
        self.backbone = backbone
        self.frame_vectors = FrameVectors(channels, **factory)
        self.temporal = temporal
        self.classifier = nn.Linear(channels, num_classes, **factory)
        accept_old_state(self)

    def reset_parameters(self) -> None:
        """Re-initialise the parameters; a part without ``reset_parameters`` keeps its own."""
        for part in self.children():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()  # type: ignore[operator]

    def forward(self, clips: Tensor, mask: Tensor | None = None) -> Tensor:
        """Score clips.

        Args:
            clips: (B, T, 3, H, W), normalised as the backbone's weights expect.
            mask: bool (B, T), True where a frame is real. In eval mode a clip padded at its end gets the scores
                that it gets unpadded; in training mode batch norm counts the padding as black frames.

        Returns:
            Scores before the softmax, (B, num_classes).
        """
        name = type(self).__name__
        refuse_fx(name, clips, "Trace a part, torch.fx.symbolic_trace(net.backbone), or use torch.export.")
        checks.clips(name, clips, 3)
        checks.module_dtype(name, clips, self)
        checks.frame_mask(name, mask, clips.shape[0], clips.shape[1], clips.device)
        if clips.shape[0] == 0:
            return clips.new_empty(0, self.num_classes)
        with checks.real_frames(name, mask):
            return self.score(self.encode(clips, mask), mask)

    def encode(self, clips: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the frame vectors of clips: (B, T, 3, H, W) -> (B, T, C)."""
        if mask is not None:
            clips = torch.where(mask[:, :, None, None, None], clips, 0)
        maps = _call_backbone(self.backbone, clips.flatten(0, 1), clips.shape[1], mask)
        return self.frame_vectors(maps).unflatten(0, (clips.shape[0], clips.shape[1]))

    def score(self, vectors: Tensor, mask: Tensor | None = None) -> Tensor:
        """Score clips by their frame vectors: (B, T, C) -> (B, num_classes)."""
        summary = self.temporal(vectors) if mask is None else self.temporal(vectors, mask=mask)
        return self.classifier(summary)


def _channels_of(backbone: nn.Module) -> int:
    # Of this package's own it is known; any other is run on a copy.
    return backbone.out_channels if isinstance(backbone, ResNet18) else output_channels(backbone)


def _call_backbone(backbone: nn.Module, frames: Tensor, num_frames: int, mask: Tensor | None) -> Tensor:
    # A backbone that takes the clip axis gets it as arguments: these also reach other threads and a forward pass that
    # is run again. For any other image model the axis travels beside the call.
    if _takes_clip_axis(backbone):
        return backbone(frames, num_frames=num_frames, mask=mask)
    return call_with_clip_axis(backbone, backbone, frames, ClipAxis(frames.shape[0], num_frames, mask))


def _takes_clip_axis(module: nn.Module) -> bool:
    """Whether a forward pass takes num_frames and mask, or passes its arguments on to one that does."""
    parameters = signature(module.forward).parameters
    if "num_frames" in parameters:
        return True
    inside = list(module.children())
    hands_on = len(inside) == 1 and any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    taken = hands_on and _takes_clip_axis(inside[0])
    if not taken and len(getattr(module, "device_ids", None) or ()) > 1:
        raise ValueError(
            "AGDTNet got a backbone inside nn.DataParallel, whose threads would not know which frames are one clip. "
            "Wrap the net: nn.DataParallel(net)."
        )
    return taken


def build_agdtnet(
    num_classes: int = 7,
    *,
    num_frames: int = 16,
    backbone: nn.Module | None = None,
    attention: str | None = None,
    temporal: str = "dtformer",
    weights: str | PathLike[str] | Mapping[str, Tensor] | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> AGDTNet:
    """Make AGDTNet, or any row of the paper's ablation (Table 2), by name.

    Args:
        num_classes: number of classes.
        num_frames: length of the longest clip in frames.
        backbone: any module that turns images (N, 3, H, W) into feature maps (N, C, h, w), with whatever attention
            :func:`insert_attention` put into it; by default a new ResNet18.
        attention: "aga" (the default), "aga-without-gate", "cbam", "se" or "none", after the second and third stage
            of the ResNet18.
        temporal: "dtformer", "tformer" (without the differential enhancement) or "mean" (plain averaging).
        weights: a file (.safetensors, .pt, .pth) or a state dict, for the ResNet18 or for the whole net; see
            :func:`load_weights`, which also reports what matched.
        dropout: of the temporal encoder, in [0, 1).
        causal: True makes AGA average over the num_frames frames up to each frame instead of over the whole clip; such
            a net :class:`AGDTStream` runs exactly. The state-dict keys are the same.
        device, dtype: of the parameters made here; by default those of the given backbone.

    Raises:
        ValueError, TypeError: a name, a setting or weights that do not fit.

    Example:
        >>> net = build_agdtnet(7, attention="se", temporal="mean")
        >>> sum(p.numel() for p in net.parameters())
        11195871
    """
    if backbone is not None:
        checks.module("build_agdtnet", "backbone", backbone)
    if backbone is not None and attention is not None:
        raise ValueError(
            f"build_agdtnet places attention={attention!r} in its own ResNet18 only. Place it in the backbone before, "
            "insert_attention(backbone, ...), and leave attention out."
        )
    if attention is None:
        attention = "aga" if backbone is None else "none"
    checks.one_of("build_agdtnet", "attention", attention, ATTENTIONS)
    checks.one_of("build_agdtnet", "temporal", temporal, TEMPORALS)
    num_frames = checks.size("build_agdtnet", "num_frames", num_frames)
    dropout = checks.probability("build_agdtnet", "dropout", dropout)
    causal = checks.flag("build_agdtnet", "causal", causal)

    factory = checks.factory("build_agdtnet", device, dtype)
    # A given backbone decides the device and the dtype of the rest.
    own = None if backbone is None else next((p for p in backbone.parameters() if p.is_floating_point()), None)
    if own is not None:
        factory = {key: getattr(own, key) if value is None else value for key, value in factory.items()}

    def attention_layer(channels: int) -> nn.Module:
        if attention == "cbam":
            return CBAM(channels, **factory)
        if attention == "se":
            return SqueezeExcitation(channels, **factory)
        window = num_frames if causal else None
        return AdaptiveGlobalAttention(channels, gate=attention == "aga", context_window=window, **factory)

    if backbone is None:
        attended = {} if attention == "none" else {stage: attention_layer(c) for stage, c in _ATTENDED.items()}
        backbone = ResNet18(attention=attended, **factory)
    channels = _channels_of(backbone)
    summary = (
        TemporalMean()
        if temporal == "mean"
        else DTFormer(
            channels,
            max_frames=num_frames,
            differential=temporal == "dtformer",
            dropout=dropout,
            **factory,
        )
    )
    net = AGDTNet(backbone, summary, num_classes=num_classes, **factory)
    if weights is not None:
        load_weights(net, weights)
    return net
