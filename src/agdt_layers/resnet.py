"""ResNet18 up to its last feature map, with the state-dict keys of torchvision and timm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from agdt_layers import checks
from agdt_layers.clips import ClipAxis, call_with_clip_axis
from agdt_layers.tracing import NotScriptable


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int, **factory: Any) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False, **factory)
        self.bn1 = nn.BatchNorm2d(channels, **factory)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False, **factory)
        self.bn2 = nn.BatchNorm2d(channels, **factory)
        self.act2 = nn.ReLU()
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False, **factory), nn.BatchNorm2d(channels, **factory)
            )
            if stride != 1 or in_channels != channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        # Allocating a map costs 5 % of the network's time. In training, full backward hooks forbid in-place operations.
        return self.act2(x + shortcut if torch.is_grad_enabled() else x.add_(shortcut))


class ResNet18(NotScriptable, nn.Module):
    """ResNet18 without its classifier: (N, 3, H, W) -> (N, 512, H / 32, W / 32), rounded up.

    Reference: He et al., "Deep Residual Learning for Image Recognition", 2016.

    The keys are those of torchvision's ResNet18 (``conv1``, ``bn1``, ``layer1.0.conv1``, ...) without ``fc``, so its
    pretrained files load. The keys of attention layers are ``attention.<stage>.*``.

    Args:
        attention: a dict from stage names, layer1 to layer4, to the layer that follows the stage; by default empty.
        device, dtype: of the parameters created here.

    Raises:
        ValueError, TypeError: a key of attention that is not the name of a stage, or a value that is not a module.

    Example:
        >>> ResNet18()(torch.randn(2, 3, 112, 112)).shape
        torch.Size([2, 512, 4, 4])
    """

    out_channels = 512

    def __init__(
        self,
        *,
        attention: Mapping[str, nn.Module] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory = checks.factory(type(self).__name__, device, dtype)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False, **factory)
        self.bn1 = nn.BatchNorm2d(64, **factory)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for index, width in enumerate((64, 128, 256, 512)):
            stage = nn.Sequential(
                BasicBlock(channels, width, 1 if index == 0 else 2, **factory), BasicBlock(width, width, 1, **factory)
            )
            self.add_module(f"layer{index + 1}", stage)
            channels = width
        self._reset_convolutions()
        stages = [name for name, _ in self.stages()]
        attention = {} if attention is None else attention
        checks.by_name(type(self).__name__, "attention", attention)
        for name in attention:
            checks.one_of(type(self).__name__, "every key of attention", name, stages)
            checks.module(type(self).__name__, f"the attention of {name}", attention[name])
        self.attention = nn.ModuleDict(attention)

    def reset_parameters(self) -> None:
        """Re-initialise the parameters: convolutions He normal by fan-out, batch norm with weight 1 and bias 0."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        self._reset_convolutions()
        for layer in self.attention.values():
            layer.reset_parameters()  # type: ignore[operator]

    def _reset_convolutions(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, x: Tensor) -> Tensor:
        """Run the layers before the first stage: (N, 3, H, W) -> (N, 64, H / 4, W / 4), rounded up."""
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return the four residual stages with their names, layer1 to layer4."""
        return [(name, getattr(self, name)) for name in ("layer1", "layer2", "layer3", "layer4")]

    def forward(self, x: Tensor, num_frames: int | None = None, mask: Tensor | None = None) -> Tensor:
        """Compute the last feature map.

        Args:
            x: images or the folded frames of clips, (N, 3, H, W).
            num_frames: frames per clip, T; by default every image is a separate clip.
            mask: bool (B, T), True where a frame is real; requires num_frames. Attention layers return padded frames
                unchanged.

        Returns:
            (N, 512, H / 32, W / 32), rounded up.
        """
        if isinstance(x, fx.Proxy):
            traced: Any = num_frames
            return call_with_clip_axis(self._maps, x, ClipAxis(x.shape[0], traced, mask))
        name = type(self).__name__
        checks.images(name, x, 3)
        checks.module_dtype(name, x, self)
        if num_frames is None:
            checks.no_mask(name, mask)
            return self._maps(x)
        checks.folded(name, x, checks.positive_integer(name, "num_frames", num_frames))
        checks.frame_mask(name, mask, x.shape[0] // num_frames, num_frames, x.device)
        with checks.real_frames(name, mask):
            return call_with_clip_axis(self._maps, x, ClipAxis(x.shape[0], num_frames, mask))

    def _maps(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for name, stage in self.stages():
            x = stage(x)
            if name in self.attention:
                x = self.attention[name](x)
        return x
