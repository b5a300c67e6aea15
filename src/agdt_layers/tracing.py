"""In a graph of torch.fx a layer is one node, so that the graph is valid for every size.

torch.fx traces a model with proxies, which have no shape, no dtype and no values: whatever a layer checks, or decides
by a size, would fail or be frozen into the graph. Recorded as one node, the layer decides when the graph runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from torch import fx, nn

from agdt_layers.clip_axis import current_clip_axis

Forward = TypeVar("Forward", bound=Callable[..., Any])


def one_fx_node(forward: Forward) -> Forward:
    """Decorate the forward pass of a layer whose first argument is a feature map or frame vectors."""

    @functools.wraps(forward)
    def recorded(self: nn.Module, x: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(x, fx.Proxy):
            return forward(self, x, *args, **kwargs)
        return x.tracer.create_proxy("call_module", x.tracer.path_of_module(self), (x, *args), kwargs)  # type: ignore[attr-defined]

    return recorded  # type: ignore[return-value]


def one_fx_node_of_clips(forward: Forward) -> Forward:
    """Likewise for a layer that learns T and the mask from the clip axis, which is known only while tracing."""
    one_node = one_fx_node(forward)

    @functools.wraps(forward)
    def recorded(self: nn.Module, x: Any, **kwargs: Any) -> Any:
        axis = current_clip_axis(self)
        if axis is not None and isinstance(x, fx.Proxy) and kwargs.get("num_frames") is None:
            kwargs = {"num_frames": axis.num_frames, "mask": axis.mask, **kwargs}
        return one_node(self, x, **kwargs)

    return recorded  # type: ignore[return-value]


def refuse_fx(name: str, x: object, advice: str) -> None:
    """Refuse a proxy where a graph could not preserve the meaning of the call."""
    if isinstance(x, fx.Proxy):
        raise TypeError(f"{name} cannot be traced by torch.fx. {advice}")
