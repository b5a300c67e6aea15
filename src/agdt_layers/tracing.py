"""Record each layer as one node of a torch.fx graph, so that the graph is valid for every size.

torch.fx traces with proxies, which have no shape, dtype or values. Checks inside a layer would fail on them, and
branches on a size would be frozen into the graph. As a single node, the layer checks its input when the graph runs.
"""

from __future__ import annotations

from typing import Any

from torch import fx, nn


def one_fx_node(layer: nn.Module, x: fx.Proxy, **settings: Any) -> Any:
    """Record the call of a layer as one node. The settings must contain no proxy."""
    tracer: Any = x.tracer
    if tracer.root is layer:
        raise TypeError(
            f"{type(layer).__name__} is a single node in torch.fx graphs and cannot be traced alone. "
            "Trace the model that contains it."
        )
    return tracer.create_proxy("call_module", tracer.path_of_module(layer), (x,), settings)


def refuse_fx(name: str, x: object, advice: str) -> None:
    """Raise TypeError if x is a proxy, for a call that cannot be expressed as a graph."""
    if isinstance(x, fx.Proxy):
        raise TypeError(f"{name} cannot be traced by torch.fx. {advice}")


class NotScriptable:
    """Refuses torch.jit.script, which does not support the keyword arguments of these layers."""

    def __prepare_scriptable__(self) -> None:
        raise TypeError(f"{type(self).__name__} does not support torch.jit.script. Use torch.export.")
