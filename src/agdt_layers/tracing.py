"""In a graph of torch.fx a layer is one node, so that the graph is valid for every size.

torch.fx traces a model with proxies, which have no shape, no dtype and no values: whatever a layer checks, or decides
by a size, would fail or be frozen into the graph. Recorded as one node, the layer decides when the graph runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import signature
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
        tracer: Any = x.tracer
        if tracer.root is self:
            raise TypeError(
                f"{type(self).__name__} is one node in a graph of torch.fx and cannot be traced alone. "
                "Trace the model that holds it."
            )
        # T and the mask of the call are known during tracing, and no longer when the graph runs.
        axis = current_clip_axis(self)
        if axis is not None and "num_frames" in signature(forward).parameters and not (args or kwargs):
            kwargs = {"num_frames": axis.num_frames, "mask": axis.mask}
        return tracer.create_proxy("call_module", tracer.path_of_module(self), (x, *args), kwargs)

    return recorded  # type: ignore[return-value]


def is_recorded(x: object) -> bool:
    """Say whether torch.fx is tracing, so that x has neither shape nor dtype."""
    return isinstance(x, fx.Proxy)


def refuse_fx(name: str, x: object, advice: str) -> None:
    """Refuse a proxy where a graph could not preserve the meaning of the call."""
    if isinstance(x, fx.Proxy):
        raise TypeError(f"{name} cannot be traced by torch.fx. {advice}")


class NotScriptable:
    """Refuses torch.jit.script, which compiles a subset of Python without the keywords that these layers take."""

    def __prepare_scriptable__(self) -> None:
        raise TypeError(f"{type(self).__name__} cannot be compiled by torch.jit.script. Use torch.export.")
