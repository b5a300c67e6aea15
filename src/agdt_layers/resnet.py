"""ResNet18 up to its last feature map, with the state-dict keys that the PyTorch ecosystem uses."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False, device=device, dtype=dtype)
        self.bn1 = nn.BatchNorm2d(channels, device=device, dtype=dtype)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False, device=device, dtype=dtype)
        self.bn2 = nn.BatchNorm2d(channels, device=device, dtype=dtype)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False, device=device, dtype=dtype),
                nn.BatchNorm2d(channels, device=device, dtype=dtype),
            )
            if stride != 1 or in_channels != channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += shortcut
        return self.relu(x)


class ResNet18(nn.Module):
    """ResNet18 without its classifier: (N, 3, H, W) -> (N, 512, H / 32, W / 32), rounded up.

    Reference: He et al., "Deep Residual Learning for Image Recognition", 2016.

    The keys are those of the ecosystem's ResNet18 (``conv1``, ``bn1``, ``layer1.0.conv1``, ...) without ``fc``, so
    its pretrained files load.

    Args:
        device, dtype: of the parameters.

    Example:
        >>> ResNet18()(torch.randn(2, 3, 112, 112)).shape
        torch.Size([2, 512, 4, 4])
    """

    out_channels = 512

    def __init__(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False, device=device, dtype=dtype)
        self.bn1 = nn.BatchNorm2d(64, device=device, dtype=dtype)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for index, width in enumerate((64, 128, 256, 512)):
            stage = nn.Sequential(
                BasicBlock(channels, width, 1 if index == 0 else 2, device, dtype),
                BasicBlock(width, width, 1, device, dtype),
            )
            self.add_module(f"layer{index + 1}", stage)
            channels = width
        self._draw_convolutions()

    def reset_parameters(self) -> None:
        """Draw all parameters anew: convolutions He normal by fan-out, norms 1 and 0."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        self._draw_convolutions()

    def _draw_convolutions(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, x: Tensor) -> Tensor:
        """What comes before the first stage: (N, 3, H, W) -> (N, 64, H / 4, W / 4), rounded up."""
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def stages(self) -> Iterator[tuple[str, nn.Module]]:
        """Give the four residual stages with their names, layer1 to layer4."""
        for index in range(1, 5):
            name = f"layer{index}"
            yield name, self.get_submodule(name)

    def forward(self, x: Tensor) -> Tensor:
        """Give the last feature map: (N, 3, H, W) -> (N, 512, H / 32, W / 32), rounded up."""
        x = self.stem(x)
        for _, stage in self.stages():
            x = stage(x)
        return x
