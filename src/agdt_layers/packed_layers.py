"""Layers for inference whose weight is also kept as a CPU's library wants it: a convolution and a linear map.

torch has the weight of a convolution rearranged for every call, and gives a linear map to a library that is slow at few
rows. For a clip that is lost among the arithmetic; for the one frame that a stream is given it is a large part of the
time.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from agdt_layers.torch_compat import (
    is_autocast_enabled,
    is_exporting,
    is_observed,
    is_transformed,
    pack_convolution,
    pack_linear,
    packed_convolution,
    packed_linear,
)


class PackedLayer(nn.Module):
    """A layer with the parameters, keys and values of the one that it is made from.

    The packed weight is a copy beside the parameter, used while that is the one that was packed, on a CPU in float32,
    and while nothing differentiates, traces or watches the operations. Otherwise the plain operations run.
    """

    weight: Tensor
    _packed: Tensor | None
    _origin: tuple[int, int] | None

    @classmethod
    def of(cls, plain: nn.Module, **settings: Any) -> Self:
        made = cls.__new__(cls)
        made.__setstate__({**plain.__dict__, **settings})
        return made

    @abstractmethod
    def _rearranged(self, weight: Tensor) -> Tensor | None:
        """Return the packed weight; None where that cannot be done."""

    def _packed_for(self, x: Tensor) -> Tensor | None:
        """Return the packed weight if it may be used for x."""
        fits = (
            not (is_exporting() or is_transformed())  # First, so that a compiler reads no further.
            and type(x) is Tensor
            and x.device.type == "cpu"
            and x.dtype is torch.float32
            and x.numel() > 0
            and not (torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad))
            and not (is_observed() or is_autocast_enabled("cpu"))
        )
        return self._packed if fits and self._packed is not None and self._packed_from() == self._origin else None

    def _pack(self) -> None:
        weight = self.weight
        known = type(weight) is nn.Parameter and not weight.is_inference()
        packable = known and weight.device.type == "cpu" and weight.dtype is torch.float32
        self._packed = self._rearranged(weight.detach()) if packable else None
        self._origin = None if self._packed is None else self._packed_from()

    def _packed_from(self) -> tuple[int, int]:
        """What changes when the weight is replaced, or written to in place."""
        return self.weight.data_ptr(), self.weight._version

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._pack()
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_packed", "_origin")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(dict(state))  # type: ignore[no-untyped-call]
        self._pack()


class PackedConv2d(PackedLayer, nn.Conv2d):
    """An nn.Conv2d, with the ReLU after it if asked for."""

    relu: bool = False

    def forward(self, x: Tensor) -> Tensor:
        packed = self._packed_for(x)
        if packed is not None and x.ndim == 4 and x.shape[1] == self.in_channels:
            return packed_convolution(
                x.contiguous(memory_format=torch.channels_last), packed, self.bias,
                cast(tuple[int, ...], self.padding), self.stride, self.dilation, self.groups,
                relu=self.relu,
            )  # fmt: skip
        out = super().forward(x)
        return torch.relu_(out) if self.relu else out

    def _rearranged(self, weight: Tensor) -> Tensor | None:
        if self.padding_mode != "zeros" or isinstance(self.padding, str):
            return None
        return pack_convolution(weight, self.padding, self.stride, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, relu={self.relu}"  # type: ignore[no-untyped-call]


class PackedLinear(PackedLayer, nn.Linear):
    """An nn.Linear."""

    def forward(self, x: Tensor) -> Tensor:
        packed = self._packed_for(x)
        if packed is not None and x.ndim >= 2 and x.shape[-1] == self.in_features:
            return packed_linear(x, packed, self.bias)
        return super().forward(x)

    def _rearranged(self, weight: Tensor) -> Tensor | None:
        return pack_linear(weight)
