"""A convolution for inference, with the ReLU after it, whose weight is kept as a CPU's library wants it.

torch has the weight rearranged for every call. For a clip that is lost among the arithmetic; for the one frame that a
stream is given it is a large part of the time.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from agdt_layers.torch_compat import (
    is_autocast_enabled,
    is_exporting,
    is_observed,
    is_transformed,
    pack_convolution,
    packed_convolution,
)


class PackedConv2d(nn.Conv2d):
    """The same parameters, keys and values as the nn.Conv2d that it is made from, and a ReLU if asked for.

    The packed weight is a copy beside the parameter, used while that is the one that was packed, on a CPU in float32,
    and while nothing differentiates, traces or watches the operations. Otherwise the plain operations run.
    """

    relu: bool

    @classmethod
    def of(cls, plain: nn.Conv2d, *, relu: bool = False) -> PackedConv2d:
        made = cls.__new__(cls)
        made.__setstate__({**plain.__dict__, "relu": relu})
        return made

    def forward(self, x: Tensor) -> Tensor:
        if self._fits(x) and (packed := self._packed) is not None and self._packed_from() == self._origin:
            return packed_convolution(
                x.contiguous(memory_format=torch.channels_last), packed, self.bias,
                cast(tuple[int, ...], self.padding), self.stride, self.dilation, self.groups,
                relu=self.relu,
            )  # fmt: skip
        out = super().forward(x)
        return torch.relu_(out) if self.relu else out

    def _fits(self, x: Tensor) -> bool:
        return (
            not (is_exporting() or is_transformed())  # First, so that a compiler reads no further.
            and type(x) is Tensor
            and x.device.type == "cpu"
            and x.dtype is torch.float32
            and x.ndim == 4
            and x.shape[0] > 0
            and x.shape[1] == self.in_channels
            and not (torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad))
            and not (is_observed() or is_autocast_enabled("cpu"))
        )

    def _pack(self) -> None:
        weight = self.weight
        known = type(weight) is nn.Parameter and not weight.is_inference()
        packable = known and weight.device.type == "cpu" and weight.dtype is torch.float32
        self._packed, self._origin = None, None
        if packable and self.padding_mode == "zeros" and not isinstance(self.padding, str):
            self._packed = pack_convolution(weight.detach(), self.padding, self.stride, self.dilation, self.groups)
            self._origin = self._packed_from()

    def _packed_from(self) -> tuple[int, int]:
        """What changes when the weight is replaced, or written to in place."""
        return self.weight.data_ptr(), self.weight._version

    def _apply(self, fn: Any, recurse: bool = True) -> PackedConv2d:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._pack()
        return self

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, relu={self.relu}"  # type: ignore[no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_packed", "_origin")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(dict(state))  # type: ignore[no-untyped-call]
        self._pack()
