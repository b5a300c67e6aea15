"""From frame vectors to one vector per clip: the differential temporal transformer (DTFormer).

The paper's symbols and the names here: Z is ``tokens``, M is ``depth``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from agdt_layers import checks, device_forms, functional
from agdt_layers.precision import in_dtype
from agdt_layers.temporal_enhancer import DifferentialTemporalEnhancer
from agdt_layers.tracing import NotScriptable, one_fx_node
from agdt_layers.untouched import is_untouched


class EncoderLayer(nn.Module):
    r"""One pre-norm encoder layer (eqs. 23-25).

    .. math:: Z = Z + \mathrm{MHSA}(\mathrm{LN}(Z)), \quad Z = Z + \mathrm{MLP}(\mathrm{LN}(Z))

    MLP is Linear, GELU, Linear; scores are scaled by 1 / sqrt(C / heads).
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        mlp_channels: int,
        dropout: float,
        **factory: Any,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(channels, **factory)
        self.query_key_value = nn.Linear(channels, 3 * channels, **factory)
        self.projection = nn.Linear(channels, channels, **factory)
        self.mlp_norm = nn.LayerNorm(channels, **factory)
        self.mlp = nn.Sequential(
            nn.Linear(channels, mlp_channels, **factory), nn.GELU(), nn.Linear(mlp_channels, channels, **factory)
        )
        self.dropout = nn.Dropout(dropout)
        self._reset_linears()

    def reset_parameters(self) -> None:
        self.attention_norm.reset_parameters()
        self.mlp_norm.reset_parameters()
        self._reset_linears()

    def _reset_linears(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor, mask: Tensor | None = None, num_queries: int | None = None) -> Tensor:
        """Update the first num_queries tokens (by default all) from all tokens: (B, L, C) -> (B, num_queries, C).

        mask is bool (B, L), True where a token may be attended to.
        """
        normed = self.attention_norm(tokens)
        projection = self.query_key_value
        # The least work takes eight launches, that for all tokens two. On meta, work is counted and nothing launched.
        least_work = normed.is_meta or not device_forms.prefers_few_launches(normed)
        if num_queries is not None and least_work and is_untouched(projection, nn.Linear, "weight", "bias"):
            weight, bias = in_dtype(normed.dtype, projection.weight, projection.bias)
            attended = functional.attention_of_few(normed, weight, bias, self.heads, num_queries, mask)
        else:
            attended = functional.self_attention(projection(normed), self.heads, mask)[:, :num_queries]
        updated = tokens[:, :num_queries] + self.dropout(self.projection(attended))
        return updated + self.dropout(self.mlp(self.mlp_norm(updated)))

    def attention_weights(
        self, tokens: Tensor, *, mask: Tensor | None = None, num_queries: int | None = None
    ) -> Tensor:
        """Return the softmax that :meth:`forward` applies to the same input, (B, heads, num_queries, L)."""
        projected = self.query_key_value(self.attention_norm(tokens))
        return functional.attention_probabilities(projected, self.heads, mask)[:, :, :num_queries]


class DTFormer(NotScriptable, nn.Module):
    r"""Differential temporal transformer (DTFormer): one vector per clip from its frame vectors.

    .. math::
        Z_0 = [\mathrm{cls}; \mathrm{DTE}(x)] + P, \quad Z_m = \mathrm{Encoder}_m(Z_{m-1}), \quad
        y = Z_M[\mathrm{cls}]

    Reference: Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and
    Differential Temporal Transformer", 2026, eqs. 14-25. The paper prints no sizes; the defaults are those of the
    T-Former of Former-DFER, whose design it extends.

    Args:
        channels: C, the number of channels.
        depth: M, the number of encoder layers.
        heads: attention heads; divides C.
        mlp_channels: width of the MLP.
        max_frames: length of the longest clip in frames; shorter clips use the first positions.
        dropout: probability after attention and after the MLP, in [0, 1).
        differential: False leaves the enhancement out (the paper's TFormer).
        step, boundary: of :class:`DifferentialTemporalEnhancer`.
        device, dtype: of the parameters.

    Raises:
        ValueError, TypeError: a setting or an input that does not fit, such as more frames than max_frames; the message
            suggests a fix.

    State dict:
        ``class_token`` (1, 1, C), ``position`` (1, max_frames + 1, C), ``enhancer.*``, and for each layer m
        ``layers.m.attention_norm.*``, ``layers.m.query_key_value.*``, ``layers.m.projection.*``,
        ``layers.m.mlp_norm.*``, ``layers.m.mlp.0.*``, ``layers.m.mlp.2.*``.

    Example:
        >>> former = DTFormer(64, depth=2, heads=4, mlp_channels=128, max_frames=16)
        >>> former(torch.randn(2, 11, 64)).shape
        torch.Size([2, 64])
    """

    def __init__(
        self,
        channels: int = 512,
        *,
        depth: int = 3,
        heads: int = 8,
        mlp_channels: int = 1024,
        max_frames: int = 16,
        dropout: float = 0.0,
        differential: bool = True,
        step: int = 1,
        boundary: str = "zero",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        channels = checks.size(name, "channels", channels)
        depth = checks.size(name, "depth", depth, at_most=1024)
        mlp_channels = checks.size(name, "mlp_channels", mlp_channels)
        max_frames = checks.size(name, "max_frames", max_frames)
        heads = checks.divides(name, "heads", heads, "channels", channels)
        dropout = checks.probability(name, "dropout", dropout)
        differential = checks.flag(name, "differential", differential)
        factory = checks.factory(name, device, dtype)
        self.channels = channels
        self.max_frames = max_frames
        self.enhancer = (
            DifferentialTemporalEnhancer(channels, step=step, boundary=boundary, **factory) if differential else None
        )
        self.class_token = nn.Parameter(torch.empty(1, 1, channels, **factory))
        self.position = nn.Parameter(torch.empty(1, max_frames + 1, channels, **factory))
        self.layers = nn.ModuleList(
            EncoderLayer(channels, heads, mlp_channels, dropout, **factory) for _ in range(depth)
        )
        self._reset_embeddings()

    def reset_parameters(self) -> None:
        """Re-initialise the parameters: embeddings normal with standard deviation 0.02, linear maps Xavier uniform."""
        self._reset_embeddings()
        if self.enhancer is not None:
            self.enhancer.reset_parameters()
        for layer in self.layers:
            layer.reset_parameters()  # type: ignore[operator]

    def _reset_embeddings(self) -> None:
        nn.init.normal_(self.class_token, std=0.02)
        nn.init.normal_(self.position, std=0.02)

    @one_fx_node
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Summarise frame vectors.

        Args:
            x: (B, T, C), T at most max_frames.
            mask: bool (B, T), True where a frame is real. A clip padded at its end gives the same result as
                unpadded.

        Returns:
            The class token's output, (B, C).
        """
        name = type(self).__name__
        checks.sequence(name, x, self.channels)
        checks.frame_mask(name, mask, x.shape[0], x.shape[1], x.device)
        checks.parameter_dtype(name, x, self.class_token)
        num_frames = x.shape[1]
        if num_frames > self.max_frames:
            raise ValueError(
                f"{name} was made for at most max_frames={self.max_frames} frames, got {tuple(x.shape)}: T = "
                f"{num_frames}. Sample fewer frames or make it with max_frames={num_frames}."
            )
        if x.shape[0] == 0:
            return x.new_empty(0, self.channels)
        may_attend = None
        if mask is not None:
            # Masking the scores alone would let NaN and inf of padded frames through the values.
            x = torch.where(mask[:, :, None], x, 0)
            may_attend = pad(mask, (1, 0), value=True)
        if self.enhancer is not None:
            with checks.real_frames(name, mask):
                x = self.enhancer(x) if mask is None else self.enhancer(x, mask=mask)
        else:
            checks.real_frames(name, mask)
        tokens = torch.cat([self.class_token.expand(x.shape[0], -1, -1).to(x.dtype), x], dim=1)
        tokens = tokens + self.position.narrow(1, 0, num_frames + 1).to(x.dtype)
        for layer in self.layers[:-1]:
            tokens = layer(tokens, mask=may_attend)
        # Only the class token leaves the last layer, so only its row is computed there.
        return self.layers[-1](tokens, mask=may_attend, num_queries=1)[:, 0]

    def extra_repr(self) -> str:
        return f"{self.channels}, max_frames={self.max_frames}"
