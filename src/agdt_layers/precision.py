"""Half precision: feature maps may be stored in it; attention weights are computed in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from agdt_layers.torch_compat import is_autocast_enabled


def promoted_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return float64 for float64, and float32 for everything narrower."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def promoted(x: Tensor) -> Tensor:
    """Return x in float32, or unchanged if it is float64."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def in_dtype(dtype: torch.dtype, *tensors: Tensor) -> list[Tensor]:
    """Convert the tensors to one dtype."""
    # Even with nothing to convert, Tensor.to takes as long as an operation on a vector.
    return [tensor if tensor.dtype == dtype else tensor.to(dtype) for tensor in tensors]


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Suspend autocast on x's device; it would round the weights to half precision between two products."""
    device = x.device.type
    if is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


def called(module: nn.Module, x: Tensor) -> Tensor:
    """Call a module in the dtype of its own parameters, and return the result in the dtype of x."""
    own = next((p.dtype for p in module.parameters() if p.is_floating_point()), x.dtype)
    return module(x.to(own)).to(x.dtype)
