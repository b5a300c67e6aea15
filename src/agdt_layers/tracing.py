"""A layer in a graph of torch.fx is one node, so that the graph holds for every size.

A tracer of torch.fx runs a model on proxies, which have no shape, no dtype and no values: what a layer checks, or
decides by a size, would be fixed for ever or fail. Recorded whole, the layer decides it when the graph runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from torch import fx, nn

from agdt_layers.clip_axis import current_clip_axis

Forward = TypeVar("Forward", bound=Callable[..., Any])


def one_fx_node(forward: Forward) -> Forward:
    """Decorate the forward pass of a layer that takes feature maps or frame vectors first."""

    @functools.wraps(forward)
    def recorded(self: nn.Module, x: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(x, fx.Proxy):
            return forward(self, x, *args, **kwargs)
        return x.tracer.create_proxy("call_module", x.tracer.path_of_module(self), (x, *args), kwargs)  # type: ignore[attr-defined]

    return recorded  # type: ignore[return-value]


def one_fx_node_of_clips(forward: Forward) -> Forward:
    """Decorate likewise a layer that learns T and the mask from the clip axis, which is known now and not later."""
    one_node = one_fx_node(forward)

    @functools.wraps(forward)
    def recorded(self: nn.Module, x: Any, **kwargs: Any) -> Any:
        axis = current_clip_axis(self)
        if axis is not None and isinstance(x, fx.Proxy) and kwargs.get("num_frames") is None:
            kwargs = {"num_frames": axis.num_frames, "mask": axis.mask, **kwargs}
        return one_node(self, x, **kwargs)

    return recorded  # type: ignore[return-value]


def refuse_fx(name: str, x: object, advice: str) -> None:
    """Refuse a proxy where a graph could not keep what the call means."""
    if isinstance(x, fx.Proxy):
        raise TypeError(f"{name} cannot be traced by torch.fx. {advice}")
