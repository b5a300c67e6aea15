"""Looking inside: the weights of every attention layer of a model, for one or several calls of the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from agdt_layers import checks
from agdt_layers.global_attention import AttentionWeights, GlobalAttention
from agdt_layers.temporal import EncoderLayer
from agdt_layers.temporal_enhancer import DifferentialTemporalEnhancer
from agdt_layers.torch_compat import uncompiled


@contextmanager
def capture_attention(model: nn.Module) -> Iterator[dict[str, AttentionWeights | Tensor]]:
    """Collect the weights of every attention layer in a model while the context lasts.

    Args:
        model: any module that contains layers of this package.

    Yields:
        A dict from the layers' names in the model to their weights, filled again by every call of the model. For AGA
        and GCA an :class:`AttentionWeights` with leading axes (B, T): channel, gate and context (B, T, C), spatial
        (B, T, H, W). For DTE its gate, (B, T, C). For an encoder layer its attention weights, (B, heads, queries,
        T + 1), where token 0 is the class token. All are detached. The weights are computed apart from the model's
        own, so that the model's graph is the same with and without capture. What torch.compile has compiled runs
        uncompiled meanwhile.

    Example:
        >>> from agdt_layers import build_agdtnet
        >>> net = build_agdtnet(num_frames=4).eval()
        >>> with capture_attention(net) as maps:
        ...     scores = net(torch.randn(2, 4, 3, 64, 64))
        >>> maps["backbone.attention.layer3"].spatial.shape
        torch.Size([2, 4, 4, 4])
        >>> maps["temporal.layers.0"].shape
        torch.Size([2, 8, 5, 5])
    """
    checks.module("capture_attention", "model", model)
    maps: dict[str, AttentionWeights | Tensor] = {}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, (GlobalAttention, DifferentialTemporalEnhancer, EncoderLayer)):
            hooks.append(module.register_forward_hook(_Recorder(name, maps), with_kwargs=True))
    try:
        with uncompiled():
            yield maps
    finally:
        for hook in hooks:
            hook.remove()


class _Recorder:
    """The forward hook. Of a model that is copied meanwhile, the copy has one of its own, with a dict of its own."""

    def __init__(self, name: str, maps: dict[str, AttentionWeights | Tensor]) -> None:
        self.name, self.maps = name, maps

    @torch.no_grad()
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        settings = signature(module.forward).bind(*args, **kwargs).arguments
        x = settings.pop(next(iter(settings)))
        if isinstance(module, GlobalAttention):
            weights = module.attention_weights(x, **settings)
            num_frames = module.clip_length(x, settings.get("num_frames"))
            clips = (None if w is None else w.unflatten(0, (-1, num_frames)) for w in weights)
            self.maps[self.name] = AttentionWeights(*clips)  # type: ignore[arg-type]
        elif isinstance(module, DifferentialTemporalEnhancer):
            self.maps[self.name] = module.gate(x, **settings)
        elif isinstance(module, EncoderLayer):
            self.maps[self.name] = module.attention_weights(x, **settings)
