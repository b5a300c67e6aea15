"""Record each layer as one node of a torch.fx graph, so that the graph is valid for every size.

torch.fx traces with proxies, which have no shape, dtype or values. A check in a layer would fail on them, and a branch
on a size would be frozen into the graph. As one node, the layer checks its input when the graph runs.
"""

from __future__ import annotations

from typing import Any

from torch import fx, nn


def one_fx_node(layer: nn.Module, x: fx.Proxy, **settings: Any) -> Any:
    """Record the call of a layer, with settings that hold no proxy, as one node."""
    tracer: Any = x.tracer
    if tracer.root is layer:
        raise TypeError(
            f"{type(layer).__name__} is one node in a graph of torch.fx and cannot be traced alone. "
            "Trace the model that holds it."
        )
    return tracer.create_proxy("call_module", tracer.path_of_module(layer), (x,), settings)


def is_recorded(x: object) -> bool:
    """Whether torch.fx is tracing, so that x has neither shape nor dtype."""
    return isinstance(x, fx.Proxy)


def refuse_fx(name: str, x: object, advice: str) -> None:
    """Raise TypeError if x is a proxy: a graph could not preserve the meaning of the call."""
    if isinstance(x, fx.Proxy):
        raise TypeError(f"{name} cannot be traced by torch.fx. {advice}")


class NotScriptable:
    """Refuses torch.jit.script, which compiles a subset of Python without the keywords that these layers take."""

    def __prepare_scriptable__(self) -> None:
        raise TypeError(f"{type(self).__name__} cannot be compiled by torch.jit.script. Use torch.export.")
