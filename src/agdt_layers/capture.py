"""Record the weights of every attention layer of a model during one or several calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from agdt_layers import checks
from agdt_layers.attention import AttentionWeights, GlobalConvolutionalAttention
from agdt_layers.temporal import DifferentialTemporalEnhancer, EncoderLayer
from agdt_layers.torch_compat import NO_BACKWARD, current_backward, uncompiled

_LAYERS = (GlobalConvolutionalAttention, DifferentialTemporalEnhancer, EncoderLayer)


@contextmanager
def capture_attention(model: nn.Module) -> Iterator[dict[str, AttentionWeights | Tensor]]:
    """Collect the weights of every attention layer in a model inside a ``with`` block.

    Args:
        model: any module that contains AGA, GCA, DTE or DTFormer.

    Yields:
        A dict from layer names to weights. Each call of the model replaces its contents. A layer that runs several
        times in one call has entries ``name``, ``name#2``, ``name#3``. For AGA and GCA an entry is an
        :class:`AttentionWeights` with leading axes (B, T): channel, gate and context (B, T, C), spatial (B, T, H, W).
        For DTE it is the gate, (B, T, C). For an encoder layer of DTFormer it is the attention weights,
        (B, heads, queries, T + 1), where token 0 is the class token. All tensors are detached. The weights are computed
        separately, so the model's own graph is the same with and without capture. Inside the block, compiled modules
        run uncompiled.

    Raises:
        TypeError: ``model`` is not a module.
        ValueError: ``model`` contains none of these layers; traced and exported models do not.

    Example:
        >>> from agdt_layers import build_agdtnet
        >>> net = build_agdtnet(num_frames=4).eval()
        >>> with capture_attention(net) as maps:
        ...     scores = net(torch.randn(2, 4, 3, 64, 64))
        >>> maps["backbone.attention.layer3"].spatial.shape
        torch.Size([2, 4, 4, 4])
    """
    checks.module("capture_attention", "model", model)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, _LAYERS)}
    if not layers:
        raise ValueError(
            f"capture_attention found no AGA, GCA, DTE or DTFormer in {type(model).__name__}. If torch.jit or "
            "torch.export traced the model, pass the original, which still has its layers."
        )
    record = _Record()
    hooks = [
        model.register_forward_pre_hook(record.begin),
        model.register_forward_hook(record.end, always_call=True),
        *(layer.register_forward_hook(_Recorder(name, record), with_kwargs=True) for name, layer in layers.items()),
    ]
    try:
        with uncompiled():
            yield record.maps
    finally:
        for hook in hooks:
            hook.remove()


class _Record:
    """The weights recorded so far. Copying the model copies its hooks together with their record."""

    def __init__(self) -> None:
        self.maps: dict[str, AttentionWeights | Tensor] = {}
        self.depth = 0  # a model may call itself

    def begin(self, *_: Any) -> None:
        if self.depth == 0:
            self.maps.clear()
        self.depth += 1

    def end(self, *_: Any) -> None:
        self.depth -= 1

    def add(self, name: str, weights: AttentionWeights | Tensor) -> None:
        number, key = 1, name
        # If a part is called outside the model's own call, its last call counts.
        while self.depth and key in self.maps:
            number += 1
            key = f"{name}#{number}"
        self.maps[key] = weights


class _Recorder:
    def __init__(self, name: str, record: _Record) -> None:
        self.name, self.record = name, record

    @torch.no_grad()
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        if current_backward()[0] != NO_BACKWARD:
            return  # activation checkpointing runs the layer again, with the same weights
        settings = signature(module.forward).bind(*args, **kwargs).arguments
        x = settings.pop(next(iter(settings)))
        if isinstance(module, GlobalConvolutionalAttention):
            weights = module.attention_weights(x, **settings)
            num_frames = module.clip_length(x, settings.get("num_frames"))
            clips = (None if w is None else w.unflatten(0, (-1, num_frames)) for w in weights)
            self.record.add(self.name, AttentionWeights(*clips))  # type: ignore[arg-type]
        elif isinstance(module, DifferentialTemporalEnhancer):
            self.record.add(self.name, module.gate(x, **settings))
        elif isinstance(module, EncoderLayer):
            self.record.add(self.name, module.attention_weights(x, **settings))
