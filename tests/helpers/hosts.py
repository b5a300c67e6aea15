"""Small CNNs that call their submodules in every way that attention has to live with."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """A stage with a forward pass of its own."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class Walker(nn.Module):
    """A stage that is no nn.Sequential and runs all its children, as timm's RegNet stages do."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.b1 = Block(inputs, outputs)
        self.b2 = Block(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        for child in self.children():
            x = child(x)
        return x


class Dense(nn.ModuleDict):
    """A stage that hands every child the list of all earlier maps, as DenseNet's blocks do."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__({"first": _Joined(inputs, growth), "second": _Joined(inputs + growth, growth)})

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for _, layer in self.items():
            maps.append(layer(maps))
        return torch.cat(maps, dim=1)


class _Joined(Block):
    def forward(self, maps: list[Tensor]) -> Tensor:
        return super().forward(torch.cat(maps, dim=1))


class Host(nn.Module):
    """All of them in a row: ``sequential`` (5 channels), ``own`` (7), ``walker`` (11), ``dense`` (17), ``twice``
    (17, at two sizes); ``pair`` gives a tuple, ``last`` puts channels last, ``unused`` is never called.
    """

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.sequential = nn.Sequential(Block(3, 5, 2), Block(5, 5))
        self.own = Block(5, 7)
        self.walker = Walker(7, 11)
        self.dense = Dense(11, 3)
        self.twice = Block(17, 17)
        self.pair = _Pair()
        self.last = _ChannelsLast()
        self.unused = Block(3, 3)
        self.head = nn.Linear(17, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dense(self.walker(self.own(self.sequential(x))))
        x = self.twice(nn.functional.max_pool2d(self.twice(x), 2))
        x, _ = self.pair(x)
        return self.head(self.last(x).mean(dim=(1, 2)))


class _Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class _ChannelsLast(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


def host(seed: int = 0) -> Host:
    """A host in eval mode whose running statistics are not the identity."""
    torch.manual_seed(seed)
    model = Host()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model.eval()
