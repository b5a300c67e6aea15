"""Fold batch norms into the preceding convolutions: the same results with fewer operations."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict
from inspect import Parameter, signature
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._pytree import tree_leaves

from agdt_layers import checks
from agdt_layers.agdtnet import AGDTNet
from agdt_layers.clips import FrameWise
from agdt_layers.hosts.plan import HANDLE
from agdt_layers.hosts.trial import first_line
from agdt_layers.torch_compat import promoted_dtype

Model = TypeVar("Model", bound=nn.Module)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_IMAGE_MODELS: dict[type[nn.Module], str] = {AGDTNet: "backbone", FrameWise: "model"}


class FoldedModel(NamedTuple, Generic[Model]):
    """The copy, the names of the folded norms, and the reason for each norm that was kept; ``print`` shows them."""

    model: Model
    folded: tuple[str, ...]
    left: dict[str, str]

    def __str__(self) -> str:
        count = f"{len(self.folded)} of {len(self.folded) + len(self.left)} batch norms folded"
        return "\n".join([count, *(f"left {name}: {reason}" for name, reason in self.left.items())])


@torch.inference_mode(mode=False)
@torch.no_grad()
def fold_batch_norms(model: Model) -> FoldedModel[Model]:
    r"""Return a copy of a trained model with its batch norms folded into the preceding convolutions.

    In eval mode a batch norm scales and shifts each channel by constants, which can be merged into the convolution:

    .. math:: w' = s w, \quad b' = s (b - \mu) + \beta, \quad s = \gamma / \sqrt{\sigma^2 + \epsilon}

    The copy gives the same results up to rounding. Module names do not change, so streams and
    :func:`capture_attention` work as before. A folded norm becomes an nn.Identity or, for timm's ``BatchNormAct2d``,
    its dropout and activation. A norm is kept if folding could change a result.

    Args:
        model: an :class:`AGDTNet` or :class:`FrameWise`, whose image model is folded, or any module that torch.fx can
            trace with the defaults of its optional arguments. The model itself does not change.

    Raises:
        TypeError, ValueError: the model is not a module, or torch.fx cannot trace it.

    Example:
        >>> from agdt_layers import build_agdtnet
        >>> net = build_agdtnet(num_frames=4).eval()
        >>> result = fold_batch_norms(net)
        >>> print(result)
        20 of 20 batch norms folded
        >>> clips = torch.rand(1, 4, 3, 64, 64)
        >>> torch.allclose(result.model(clips), net(clips), atol=1e-5)
        True
    """
    checks.module("fold_batch_norms", "model", model)
    trace = _Trace(copy.deepcopy(model).eval())  # tracing may set attributes
    norms = {name: norm for norm, name in trace.names.items() if isinstance(norm, _BatchNorm)}
    left = {name: reason for name, norm in norms.items() if (reason := trace.obstacle(norm)) is not None}
    folded = [name for name in norms if name not in left]
    rest = {name: nn.Sequential(OrderedDict(norms[name].named_children())) or nn.Identity() for name in folded}
    # deepcopy inserts the replacement wherever the model refers to the norm, even in a list.
    result = copy.deepcopy(model, {id(model.get_submodule(name)): rest[name] for name in folded}).eval()
    for name in folded:
        conv = trace.called[trace.input_of[norms[name]]]
        target, wide = result.get_submodule(trace.names[conv]), promoted_dtype(conv.weight.dtype)
        fused = fuse_conv_bn_eval(conv.to(wide), norms[name].to(wide)).to(target.weight.dtype)
        target.weight, target.bias = fused.weight, fused.bias
    return FoldedModel(result, tuple(folded), left)


class _Trace(fx.Tracer):
    """The graph of a model, and how it uses its convolutions and norms."""

    proxy_buffer_attributes = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.names = {module: name for name, module in model.named_modules()}
        while type(model) in _IMAGE_MODELS:  # a subclass may use the image model differently
            model = model.get_submodule(_IMAGE_MODELS[type(model)])
        try:
            nodes = self.trace(model).nodes
        except Exception as error:
            raise ValueError(
                f"fold_batch_norms cannot trace {type(model).__name__} with torch.fx: {first_line(error).rstrip('.')}. "
                "Fold its traceable submodules one by one."
            ) from error
        self.called: dict[Any, Any] = {n: model.get_submodule(n.target) for n in nodes if n.op == "call_module"}
        self.input_of = {module: next(iter(node.all_input_nodes), None) for node, module in self.called.items()}
        self._uses = Counter(part for module in self.called.values() for part in module.modules())
        # Reading a module's tensor also counts as a use.
        self._uses.update(model.get_submodule(n.target.rpartition(".")[0]) for n in nodes if n.op == "get_attr")
        # Outputs that the model stores in attributes, including lists and dicts.
        self._kept = {id(x.node) for m in self.names for x in tree_leaves(vars(m)) if isinstance(x, fx.Proxy)}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # Only the hook of insert_attention is known to work on proxies.
        is_hooked = len(_hooks(m)) > (HANDLE in vars(m))
        return is_hooked or isinstance(m, (*_CONVOLUTIONS, _BatchNorm)) or super().is_leaf_module(m, "")

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        # Optional arguments keep their defaults. If an instance has its own forward, that one is traced.
        forward: Any = self.root.forward
        required = [name for name, each in signature(forward).parameters.items() if each.default is Parameter.empty]
        return forward, [self.create_proxy("placeholder", name, (), {}) for name in required]

    def obstacle(self, norm: _BatchNorm) -> str | None:
        """Return why the norm cannot be folded, or None if it can."""
        if norm not in self.input_of:
            return "is not called, or is called inside a module that is not traced"
        output: Any = self.input_of[norm]
        conv = self.called.get(output)
        if not isinstance(conv, _CONVOLUTIONS):
            return "does not follow a convolution"
        if len(output.users) > 1 or id(output) in self._kept:
            return f"the output of {self.names[conv]} is also used elsewhere"
        if norm.running_mean is None:
            return "does not use running statistics"
        for module in (conv, norm):
            if self._uses[module] > 1:
                return f"{self.names[module]} is used more than once"
            if not _is_plain(module):
                return f"{self.names[module]} has hooks or parametrisations, or is not an unmodified torch.nn layer"
        return None


def _hooks(m: nn.Module) -> list[int]:
    return [*m._forward_pre_hooks, *m._forward_hooks, *m._backward_pre_hooks, *m._backward_hooks]


def _is_plain(layer: nn.Module) -> bool:
    """Return whether a layer is an unmodified torch.nn layer, or timm's norm, which applies its children at the end."""
    module, name = type(layer).__module__, type(layer).__name__
    from_torch = module.startswith("torch.nn.modules.") and not layer._modules
    from_timm = module.startswith("timm.") and name in ("BatchNormAct2d", "SyncBatchNormAct")
    unchanged = not _hooks(layer) and "forward" not in vars(layer)
    return (from_torch or from_timm) and unchanged and all(type(p) is nn.Parameter for p in layer.parameters(False))
