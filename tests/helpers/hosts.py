"""Small hosts that call their submodules in every way that insert_attention supports."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from agdt_layers import AdaptiveGlobalAttention, insert_attention
from helpers.strategies import random_tensor

IMAGES = random_tensor((2, 3, 16, 24), 0, torch.float32)
# The submodules of Host that attention can follow.
EVERYWHERE = ["sequential", "own", "walker", "dense", "twice"]


class Block(nn.Module):
    """A stage with its own forward."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class Walker(nn.Module):
    """A stage that runs all its children but is not an nn.Sequential, like timm's RegNet stages."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.b1 = Block(inputs, outputs)
        self.b2 = Block(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        for child in self.children():
            x = child(x)
        return x


class Dense(nn.ModuleDict):
    """A stage that passes the list of all earlier maps to every child, like DenseNet's blocks."""

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
    """All stages in a row: ``sequential`` (5 channels), ``own`` (7), ``walker`` (11), ``dense`` (17), ``twice``
    (17, at two sizes). ``pair`` returns a tuple, ``last`` moves the channels last, ``unused`` is never called.
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
    """Return a host in eval mode with non-trivial running statistics."""
    torch.manual_seed(seed)
    model = Host()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model.eval()


def inserted(names: list[str] = EVERYWHERE, **settings: object) -> Host:
    model = host()
    insert_attention(model, names, example_input=IMAGES, **settings)
    return model


def attention_of(model: nn.Module) -> dict[str, AdaptiveGlobalAttention]:
    return {name: m for name, m in model.named_modules() if isinstance(m, AdaptiveGlobalAttention)}


class _Mixing(nn.Module):
    """A block on maps (N, H, W, C) like Swin's: no convolution, and a Linear as the last layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mlp = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(x.roll((1, 1), dims=(1, 2))))


class NHWCHost(nn.Module):
    """``stem`` returns (N, 8, H/4, W/4), ``mixing`` and the nn.Sequential ``stage`` return (N, H/4, W/4, 8).

    With ``size`` it accepts only images of that size, like timm's Swin; if settable, ``set_input_size`` changes it.
    With ``square`` it accepts only square images.
    """

    def __init__(self, size: tuple[int, int] | None = None, settable: bool = False, square: bool = False) -> None:
        super().__init__()
        self.size = size
        self.square = square
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.mixing = _Mixing(8)
        self.stage = nn.Sequential(_Mixing(8), _Mixing(8))
        self.same = nn.Identity()
        self.head = nn.Linear(8, 3)
        if settable:
            self.set_input_size = self._set_input_size

    def _set_input_size(self, img_size: tuple[int, int]) -> None:
        self.size = img_size

    def forward(self, x: Tensor) -> Tensor:
        if self.size not in (None, tuple(x.shape[2:])):
            raise ValueError(f"expected images of size {self.size}")
        if self.square and x.shape[2] != x.shape[3]:
            raise ValueError("expected square images")
        x = self.same(self.stage(self.mixing(self.stem(x).permute(0, 2, 3, 1))))
        return self.head(x.mean(dim=(1, 2)))


class TokenHost(nn.Module):
    """A convolutional ``stem``, then ``tokens`` (N, L, C), ``heads`` (N, 2, L, C/2) and 2 x 2 ``windows``."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 4, 4), nn.ReLU())
        self.tokens = nn.Linear(6, 6)
        self.heads = nn.Identity()
        self.windows = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        maps = self.stem(x)
        tokens = self.tokens(maps.flatten(2).transpose(1, 2))
        heads = self.heads(tokens.unflatten(2, (2, 3)).transpose(1, 2))
        windows = self.windows(maps.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 4, 5, 1).flatten(0, 2))
        return heads.mean(dim=(1, 2, 3)) + windows.mean()


class Strips(nn.Module):
    """``rows`` returns the means of rows, (N, 8, H, 1), ``columns`` the means of columns, (N, 8, 1, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.rows = nn.AdaptiveAvgPool2d((None, 1))
        self.columns = nn.AdaptiveAvgPool2d((1, None))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return (self.rows(x) + self.columns(x)).mean(dim=(1, 2, 3))


class Checkpointed(nn.Module):
    """Like timm's models: ``checkpointing`` runs the children of ``blocks`` one by one instead of ``blocks`` itself."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(3, 5), Block(5, 5))
        self.checkpointing = False

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        self.checkpointing = enable

    def forward(self, x: Tensor) -> Tensor:
        if not self.checkpointing:
            return self.blocks(x).mean(dim=(2, 3))
        for block in self.blocks.children():
            x = checkpoint(block, x, use_reentrant=False)
        return x.mean(dim=(2, 3))
