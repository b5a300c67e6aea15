"""AGDTNet: a clip of faces in, one score a class out."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

import torch
from torch import Tensor, nn

from agdt_layers import checks
from agdt_layers.attention import AdaptiveGlobalAttention
from agdt_layers.cbam import CBAM
from agdt_layers.clip_axis import call_with_clip_axis
from agdt_layers.frame_vectors import FrameVectors
from agdt_layers.resnet import ResNet18
from agdt_layers.squeeze_excitation import SqueezeExcitation
from agdt_layers.temporal import DTFormer
from agdt_layers.temporal_mean import TemporalMean
from agdt_layers.trial_run import output_channels
from agdt_layers.weights import load_weights

ATTENTIONS = ("aga", "aga-without-gate", "cbam", "se", "none")
TEMPORALS = ("dtformer", "tformer", "mean")
_ATTENDED = {"layer2": 128, "layer3": 256}


class AGDTNet(nn.Module):
    r"""A ResNet18 with attention after its second and third stage, frame vectors, a temporal encoder, a classifier.

    Reference: Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and
    Differential Temporal Transformer", 2026. Usually made by :func:`build_agdtnet`.

    Args:
        backbone: a ResNet18, or any module that turns images (N, 3, H, W) into feature maps (N, C, h, w).
        attention: layers by the name of the stage of ResNet18 that they follow; may be empty. Another backbone brings
            its attention along, by :func:`insert_attention`.
        temporal: (B, T, C) -> (B, C), with a keyword mask.
        num_classes: length of the scores.
        channels: C, the number of channels.
        device, dtype: of the parameters made here.

    Example:
        >>> net = build_agdtnet(num_classes=7, num_frames=4)
        >>> net(torch.randn(2, 4, 3, 64, 64)).shape
        torch.Size([2, 7])
    """

    def __init__(
        self,
        backbone: nn.Module,
        attention: Mapping[str, nn.Module],
        temporal: nn.Module,
        *,
        num_classes: int,
        channels: int = ResNet18.out_channels,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.positive_integer(type(self).__name__, "num_classes", num_classes)
        if isinstance(backbone, ResNet18):
            stages = [name for name, _ in backbone.stages()]
            for name in attention:
                checks.one_of(type(self).__name__, "every key of attention", name, stages)
        elif attention:
            raise ValueError(
                f"{type(self).__name__} places attention in ResNet18 only, got a {type(backbone).__name__}. "
                "Place it before: insert_attention(backbone, ...)."
            )
        self.backbone = backbone
        self.attention = nn.ModuleDict(attention)
        self.frame_vectors = FrameVectors(channels, device, dtype)
        self.temporal = temporal
        self.classifier = nn.Linear(channels, num_classes, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw all parameters anew; a backbone that has no ``reset_parameters`` keeps its own."""
        for part in (
            self.backbone,
            *self.attention.values(),
            self.frame_vectors,
            self.temporal,
            self.classifier,
        ):
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()  # type: ignore[operator]

    def forward(self, clips: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Score clips.

        Args:
            clips: (B, T, 3, H, W), normalised as the backbone's weights expect.
            mask: bool (B, T), True where a frame is real. In eval mode a clip padded at its end scores as it does
                unpadded; in train mode batch norm counts the padding as black frames.

        Returns:
            Scores before the softmax, (B, num_classes).
        """
        name = type(self).__name__
        checks.clips(name, clips, 3)
        checks.parameter_dtype(name, clips, self.classifier.weight)
        batch, num_frames = clips.shape[:2]
        checks.frame_mask(name, mask, batch, num_frames)
        if batch == 0:
            return clips.new_empty(0, self.classifier.out_features)
        if mask is not None:
            clips = torch.where(mask[:, :, None, None, None], clips, 0)
        vectors = self.frame_vectors(self._maps(clips, mask)).unflatten(0, (batch, num_frames))
        return self.classifier(self.temporal(vectors, mask=mask))

    def _maps(self, clips: Tensor, mask: Tensor | None) -> Tensor:
        if not isinstance(self.backbone, ResNet18):
            return call_with_clip_axis(self.backbone, clips, mask)
        x = self.backbone.stem(clips.flatten(0, 1))
        for name, stage in self.backbone.stages():
            x = stage(x)
            if name in self.attention:
                x = _attend(self.attention[name], x, clips.shape[1], mask)
        return x


def _attend(layer: nn.Module, x: Tensor, num_frames: int, mask: Tensor | None) -> Tensor:
    # Of the layers in Table 2 only AGA lets the frames of a clip see each other.
    if isinstance(layer, AdaptiveGlobalAttention):
        return layer(x, num_frames=num_frames, mask=mask)
    return layer(x)


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
        num_classes: length of the scores.
        num_frames: the longest clip.
        backbone: any module that turns images (N, 3, H, W) into feature maps (N, C, h, w), with the attention that
            :func:`insert_attention` put into it; by default a new ResNet18.
        attention: "aga" (the default), "aga-without-gate", "cbam", "se" or "none", after the second and third stage
            of the ResNet18.
        temporal: "dtformer", "tformer" (without the differential enhancement) or "mean" (plain averaging).
        weights: a file (.safetensors, .pt, .pth) or a state dict, for the ResNet18 or for the whole net; see
            :func:`load_weights`, which also reports what matched.
        dropout: of the temporal encoder, in [0, 1).
        causal: True lets AGA average over the num_frames frames up to each frame instead of over the whole clip: the
            net that :class:`AGDTStream` runs exactly. The keys are the same.
        device, dtype: of the parameters.

    Raises:
        ValueError, TypeError: a name or a setting that does not fit, or weights that do not.

    Example:
        >>> net = build_agdtnet(7, attention="se", temporal="mean")
        >>> sum(p.numel() for p in net.parameters())
        11195871
    """
    if backbone is not None and attention is not None:
        raise ValueError(
            f"build_agdtnet places attention={attention!r} in its own ResNet18 only. Place it in the backbone before, "
            "insert_attention(backbone, ...), and leave attention out."
        )
    if attention is None:
        attention = "aga" if backbone is None else "none"
    checks.one_of("build_agdtnet", "attention", attention, ATTENTIONS)
    checks.one_of("build_agdtnet", "temporal", temporal, TEMPORALS)
    checks.positive_integer("build_agdtnet", "num_frames", num_frames)

    def attention_layer(channels: int) -> nn.Module:
        if attention == "cbam":
            return CBAM(channels, device=device, dtype=dtype)
        if attention == "se":
            return SqueezeExcitation(channels, device=device, dtype=dtype)
        window = num_frames if causal else None
        gate = attention == "aga"
        return AdaptiveGlobalAttention(channels, gate=gate, context_window=window, device=device, dtype=dtype)

    attended = {} if attention == "none" else {stage: attention_layer(c) for stage, c in _ATTENDED.items()}
    channels = ResNet18.out_channels if backbone is None else output_channels(backbone, torch.zeros(1, 3, 224, 224))
    summary = (
        TemporalMean()
        if temporal == "mean"
        else DTFormer(
            channels,
            max_frames=num_frames,
            differential=temporal == "dtformer",
            dropout=dropout,
            device=device,
            dtype=dtype,
        )
    )
    if backbone is None:
        backbone = ResNet18(device=device, dtype=dtype)
    net = AGDTNet(backbone, attended, summary, num_classes=num_classes, channels=channels, device=device, dtype=dtype)
    if weights is not None:
        load_weights(net, weights)
    return net
