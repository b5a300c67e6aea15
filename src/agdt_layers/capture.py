"""Looking inside: the weights of every attention layer of a model, for one or several calls of the model."""

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
from agdt_layers.torch_compat import uncompiled

_LAYERS = (GlobalConvolutionalAttention, DifferentialTemporalEnhancer, EncoderLayer)


@contextmanager
def capture_attention(model: nn.Module) -> Iterator[dict[str, AttentionWeights | Tensor]]:
    """Collect the weights of every attention layer in a model while the context lasts.

    Args:
        model: any module that contains layers of this package.

    Yields:
        A dict from the layers' names in the model to their weights, filled again by every call of the model; a layer
        that one call runs several times has entries ``name``, ``name#2``, ``name#3``. For AGA and GCA an
        :class:`AttentionWeights` with leading axes (B, T): channel, gate and context (B, T, C), spatial (B, T, H, W).
        For DTE its gate, (B, T, C). For an encoder layer its attention weights, (B, heads, queries, T + 1), where
        token 0 is the class token. All are detached. The weights are computed apart from the model's own, so that the
        model's graph is the same with and without capture. What torch.compile has compiled runs uncompiled meanwhile.

    Raises:
        TypeError: the model is not a module.
        ValueError: the model contains no attention of this package; a traced or exported model does not.

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
            f"capture_attention found no attention of this package in {type(model).__name__}. Give the model itself: "
            "a model that torch.jit or torch.export has traced no longer holds its layers."
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
    """The weights so far. A model that is copied meanwhile is copied with its hooks and a record of its own."""

    def __init__(self) -> None:
        self.maps: dict[str, AttentionWeights | Tensor] = {}
        self.is_running = False

    def begin(self, *_: Any) -> None:
        self.maps.clear()
        self.is_running = True

    def end(self, *_: Any) -> None:
        self.is_running = False

    def add(self, name: str, weights: AttentionWeights | Tensor) -> None:
        number = 1
        # Where parts of the model are called and not the model, the last call counts.
        while self.is_running and _numbered(name, number) in self.maps:
            number += 1
        self.maps[_numbered(name, number)] = weights


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}#{number}"


class _Recorder:
    def __init__(self, name: str, record: _Record) -> None:
        self.name, self.record = name, record

    @torch.no_grad()
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
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
