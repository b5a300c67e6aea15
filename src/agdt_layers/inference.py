"""Batch norms folded into the convolutions before them: the same scores from fewer operations."""

from __future__ import annotations

import copy
import gc
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Mapping
from inspect import Parameter, signature
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import torch
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from agdt_layers import checks
from agdt_layers.agdtnet import AGDTNet
from agdt_layers.clips import FrameWise
from agdt_layers.hosts.plan import HANDLE

Model = TypeVar("Model", bound=nn.Module)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_IMAGE_MODELS: dict[type[nn.Module], str] = {AGDTNet: "backbone", FrameWise: "model"}
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class FoldedModel(NamedTuple, Generic[Model]):
    """The copy, the names of the folded norms, and why each of the others was left; ``print`` shows the reasons."""

    model: Model
    folded: tuple[str, ...]
    left: Mapping[str, str]

    def __str__(self) -> str:
        count = f"{len(self.folded)} of {len(self.folded) + len(self.left)} batch norms folded"
        return "\n".join([count, *(f"left {name}: {reason}" for name, reason in self.left.items())])


@torch.inference_mode(mode=False)
@torch.no_grad()
def fold_batch_norms(model: Model) -> FoldedModel[Model]:
    r"""Return a copy of a trained model whose batch norms are folded into the convolutions before them.

    In eval mode a batch norm scales and shifts each channel by constants, which the convolution can take over:

    .. math::
        w' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} \, w, \quad
        b' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} \, (b - \mu) + \beta

    The copy gives the same results up to rounding. Its modules keep their classes and names, so streams and
    :func:`capture_attention` work as before. Each folded norm becomes an nn.Identity or, for timm's
    ``BatchNormAct2d``, its dropout and activation. A norm is left where folding could change a result.

    Args:
        model: an :class:`AGDTNet` or :class:`FrameWise`, whose image model is folded, or any module that torch.fx can
            trace with the defaults of its optional arguments. The model itself is not changed.

    Returns:
        The copy, the names of the folded norms, and why each of the others was left.

    Raises:
        TypeError: the model is not a module.
        ValueError: torch.fx cannot trace the model.

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
    # Tracing may set attributes, so it runs on a copy of its own.
    trace = _Trace(copy.deepcopy(model).eval())
    norms = {name: norm for norm, name in trace.names.items() if isinstance(norm, _BatchNorm)}
    obstacles = {name: trace.obstacle(norm) for name, norm in norms.items()}
    left = {name: reason for name, reason in obstacles.items() if reason is not None}
    folded = [name for name in norms if name not in left]
    # deepcopy puts the replacement wherever the model refers to the norm, even in a list.
    result = copy.deepcopy(model, {id(model.get_submodule(name)): _without_norm(norms[name]) for name in folded}).eval()
    for name in folded:
        conv = trace.source(norms[name])
        target = result.get_submodule(trace.names[conv])
        dtype, wide = conv.weight.dtype, torch.promote_types(conv.weight.dtype, torch.float32)
        fused = fuse_conv_bn_eval(conv.to(wide), norms[name].to(wide)).to(dtype)
        target.weight, target.bias = fused.weight, fused.bias
    return FoldedModel(result, tuple(folded), left)


class _Trace(fx.Tracer):
    """How a model uses its convolutions and norms."""

    proxy_buffer_attributes = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.names = {module: name for name, module in model.named_modules()}
        self._calls: dict[nn.Module, list[fx.Node]] = defaultdict(list)
        self._kept: WeakValueDictionary[fx.Node, fx.Proxy] = WeakValueDictionary()
        holders = (each for m in self.names for each in (m._modules, m._parameters, m._buffers))
        self._uses = Counter(id(held) for holder in holders for held in holder.values())
        # A subclass may use its image model in another way, and is traced itself.
        while type(model) in _IMAGE_MODELS:
            model = model.get_submodule(_IMAGE_MODELS[type(model)])
        try:
            graph = self.trace(model)
        except Exception as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise ValueError(
                f"fold_batch_norms cannot trace {type(model).__name__} by torch.fx: {reason}. "
                "Fold those of its submodules that can be traced, one by one."
            ) from error
        for node in graph.nodes:
            if node.op == "call_module":
                self._calls[model.get_submodule(node.target)].append(node)
            elif node.op == "get_attr":
                self._uses[id(attrgetter(node.target)(model))] += 1
        self._module = {node: module for module, nodes in self._calls.items() for node in nodes}
        self._inside = {inner: outer for outer in self._calls for inner in outer.modules() if inner is not outer}
        gc.collect()  # Now _kept holds only what the model kept, as an attribute or in a list.

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, (*_CONVOLUTIONS, _BatchNorm)) or super().is_leaf_module(m, module_qualified_name):
            return True
        # Hooks are not made for proxies, except the one of insert_attention.
        return _number_of_hooks(m) > (HANDLE in vars(m))

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        # Optional arguments keep their defaults, and a forward set on the instance is the one that is traced.
        forward: Any = self.root.forward
        required = [name for name, each in signature(forward).parameters.items() if each.default is Parameter.empty]
        return forward, [self.create_proxy("placeholder", name, (), {}) for name in required]

    def proxy(self, node: fx.Node) -> fx.Proxy:
        made = self._kept[node] = super().proxy(node)
        return made

    def source(self, norm: nn.Module) -> Any:
        """Return the module whose output the norm takes; None if it is not that of a module."""
        return next((self._module.get(each) for call in self._calls[norm] for each in call.all_input_nodes), None)

    def obstacle(self, norm: _BatchNorm) -> str | None:
        """Say why the norm cannot be folded."""
        if not self._calls[norm]:
            outer = self._inside.get(norm)
            return "is never called" if outer is None else f"is inside a {type(outer).__name__} that is one node"
        conv = self.source(norm)
        if not isinstance(conv, _CONVOLUTIONS):
            return "does not follow a convolution"
        output = self._calls[conv][0]
        if len(output.users) > 1 or output in self._kept:
            return f"the output of {self.names[conv]} is used elsewhere too"
        if norm.running_mean is None or norm.training:
            return "does not use running statistics"
        for module, known in ((conv, type(conv) in _CONVOLUTIONS), (norm, _without_norm(norm) is not None)):
            name, parameters = self.names[module], list(module.parameters(False))
            if len(self._calls[module]) > 1 or module in self._inside:
                return f"{name} is called more than once"
            if any(self._uses[id(each)] > 1 for each in (module, *parameters, *module.buffers(False))):
                return f"{name} or one of its tensors is used elsewhere too"
            if _number_of_hooks(module) > 0:
                return f"{name} has hooks"
            if is_parametrized(module):
                return f"{name} is parametrised"
            if not known or "forward" in vars(module) or any(type(each) is not nn.Parameter for each in parameters):
                return f"{name} is not as torch.nn defines it"
        return None


def _number_of_hooks(module: nn.Module) -> int:
    kinds = (module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks)
    return sum(map(len, kinds))


def _without_norm(norm: Any) -> nn.Module | None:
    """Return what a norm does beside normalising: nothing or, in timm, dropout and activation; None if unknown."""
    if type(norm) in _NORMS and not norm._modules:
        return nn.Identity()
    if not isinstance(norm, (nn.BatchNorm2d, nn.SyncBatchNorm)) or norm._modules.keys() != {"drop", "act"}:
        return None
    rest = copy.deepcopy(nn.Sequential(OrderedDict((name, norm.get_submodule(name)) for name in ("drop", "act"))))
    x = torch.linspace(-3, 3, 18 * norm.num_features).view(2, -1, 3, 3).to(norm.running_mean)
    normed = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return rest if torch.equal(rest(normed), norm(x)) else None
