"""AGA under the constructor signatures by which other libraries make their attention layers.

timm's ``block_args=dict(attn_layer=...)`` needs neither class: it calls with the channels, device and dtype alone,
so it takes :class:`AdaptiveGlobalAttention` itself.
"""

from __future__ import annotations

from typing import Any, final

from agdt_layers.global_attention import GlobalAttention


@final
class TimmAttention(GlobalAttention):
    """AGA where timm expects squeeze-and-excitation, as in ``EfficientNet(se_layer=TimmAttention)``.

    timm re-initialises every nn.Conv2d after it has made the layers; with ``residual_scale=True`` (pass
    ``functools.partial(TimmAttention, residual_scale=True)``) the layer is the identity at the start all the same.

    Args:
        channels: C, the number of channels.
        rd_ratio, act_layer: width and activation of the bottleneck that squeeze-and-excitation has and AGA has not;
            accepted because timm passes them.
        settings: of :class:`AdaptiveGlobalAttention`.

    Example:
        >>> TimmAttention(64, rd_ratio=0.25, device="cpu").channels
        64
    """

    def __init__(
        self, channels: int, *, rd_ratio: float | None = None, act_layer: object = None, **settings: Any
    ) -> None:
        super().__init__(channels, adaptive=True, **settings)


@final
class MMCVAttention(GlobalAttention):
    """AGA as a plug-in of mmcv, whose builder calls with ``in_channels``.

    Register it once, ``MODELS.register_module(module=MMCVAttention)``, then
    ``plugins=[dict(cfg=dict(type="MMCVAttention"), stages=(False, True, True, False), position="after_conv3")]``.

    Args:
        in_channels: C, the number of channels.
        settings: of :class:`AdaptiveGlobalAttention`.

    Example:
        >>> MMCVAttention(in_channels=64).channels
        64
    """

    _abbr_ = "adaptive_global_attention"

    def __init__(self, in_channels: int, **settings: Any) -> None:
        super().__init__(in_channels, adaptive=True, **settings)
