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
    can_count_writes,
    count_writes,
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
    and while nothing differentiates, traces or watches the operations. Otherwise the plain operations run. What torch
    does not count goes unseen: a weight written to through its ``numpy()`` or its storage, before torch 2.8 also
    through its ``data``.
    """

    weight: Tensor
    _packed: Tensor | None
    _origin: tuple[Tensor, Tensor, int] | None

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
            and not self._is_trained(x)
            and not (is_observed() or is_autocast_enabled("cpu"))
        )
        return self._packed if fits and self._is_as_packed() else None

    def _is_trained(self, x: Tensor) -> bool:
        """Whether gradients are to be found, or the weight is trained by an optimiser; fused ones count no changes."""
        if self.weight.requires_grad:
            return True
        wanted = x.requires_grad or any(p is not None and p.requires_grad for p in self._parameters.values())
        return wanted and torch.is_grad_enabled()

    def _pack(self) -> None:
        self._packed, self._origin = None, None
        weight = self.weight
        # What is written to shared memory by another process, nobody counts in this one.
        known = can_count_writes(weight) and not (weight.is_inference() or weight.is_shared())
        if known and weight.device.type == "cpu" and weight.dtype is torch.float32:
            self._packed = self._rearranged(weight.detach())
        if self._packed is not None:
            count_writes(weight)
            # The second holds the memory, so that no other weight comes to lie where this one was.
            self._origin = weight, weight.detach(), weight._version

    def _is_as_packed(self) -> bool:
        """Whether the weight was not replaced, pointed to other memory, reshaped or written to."""
        if self._origin is None:
            return False
        weight, memory, version = self._origin
        return self.weight is weight and weight._version == version and weight.is_set_to(memory)

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

    def forward(self, input: Tensor) -> Tensor:
        packed = self._packed_for(input) if self._pads_with_zeros() else None
        if packed is not None and input.ndim == 4 and input.shape[1] == self.in_channels:
            return packed_convolution(
                input.contiguous(memory_format=torch.channels_last), packed, self.bias,
                cast(tuple[int, ...], self.padding), self.stride, self.dilation, self.groups,
                relu=self.relu,
            )  # fmt: skip
        out = super().forward(input)
        return torch.relu_(out) if self.relu else out

    def _rearranged(self, weight: Tensor) -> Tensor | None:
        if not self._pads_with_zeros():
            return None
        return pack_convolution(weight, self.padding, self.stride, self.dilation, self.groups)

    def _pads_with_zeros(self) -> bool:
        return self.padding_mode == "zeros" and not isinstance(self.padding, str)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, relu={self.relu}"  # type: ignore[no-untyped-call]


class PackedLinear(PackedLayer, nn.Linear):
    """An nn.Linear."""

    def forward(self, input: Tensor) -> Tensor:
        packed = self._packed_for(input)
        if packed is not None and input.ndim >= 2 and input.shape[-1] == self.in_features:
            return packed_linear(input, packed, self.bias)
        return super().forward(input)

    def _rearranged(self, weight: Tensor) -> Tensor | None:
        return pack_linear(weight)
