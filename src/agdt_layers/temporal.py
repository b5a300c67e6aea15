"""Differential temporal enhancement (DTE), and the temporal transformer that contains it (DTFormer).

The paper's symbols and the names here: alpha_f and alpha_b are ``alpha_forward`` and ``alpha_backward``, the shift s is
``step``, the depthwise convolution of eq. 19 is ``conv``, Z is ``tokens``, M is ``depth``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import pad

from agdt_layers import checks, functional
from agdt_layers.kernels import TemporalKernel
from agdt_layers.torch_compat import full_precision, promoted
from agdt_layers.tracing import NotScriptable, one_fx_node


class DifferentialTemporalEnhancer(NotScriptable, nn.Module):
    r"""Differential temporal enhancement (DTE): add the gated change between frames to each frame vector.

    .. math::
        \Delta_f[t] = x[t + s] - x[t], \quad \Delta_b[t] = x[t] - x[t - s], \quad
        d = \alpha_f \Delta_f + \alpha_b \Delta_b, \\
        y = x + \sigma(\mathrm{Conv1d}(d)) \cdot d

    A clip of identical frames is returned unchanged, and a vector added to every frame is added to the output. Both
    alphas start at 0.5, where d is the central difference.

    Reference: Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and
    Differential Temporal Transformer", 2026, eqs. 14-21. The paper's Roll(X, +s) means the frame s later, as its text
    states. A literal torch.roll gives the same functions with (alpha_f, alpha_b) replaced by (-alpha_b, -alpha_f).
    The printed ranges exclude the wrapped frames, so differences that reach beyond the clip are zero by default. The
    paper's text argues for the cyclic roll, ``boundary="wrap"``.

    Args:
        channels: C, the number of channels.
        step: s, in frames.
        kernel_size: of the depthwise convolution over time, odd.
        boundary: "zero"; "wrap", which treats the clip as a cycle in the differences and in the convolution, so that
            the layer commutes with cyclic shifts in time; or "roll", which does so only in the differences and pads
            the convolution with zeros, perhaps the most literal reading of eqs. 14-15 and 19.
        device, dtype: of the parameters.

    Raises:
        ValueError, TypeError: an invalid setting or input; the message suggests a fix.

    State dict:
        ``alpha_forward`` (1), ``alpha_backward`` (1), ``conv.weight`` (C, 1, k) with k the kernel size,
        ``conv.bias`` (C).

    Example:
        >>> enhancer = DifferentialTemporalEnhancer(512)
        >>> still = torch.ones(2, 16, 512)
        >>> torch.equal(enhancer(still), still)
        True
    """

    def __init__(
        self,
        channels: int,
        *,
        step: int = 1,
        kernel_size: int = 3,
        boundary: str = "zero",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        channels = checks.size(name, "channels", channels)
        step = checks.size(name, "step", step)
        kernel_size = checks.odd_kernel(name, "kernel_size", kernel_size)
        checks.one_of(name, "boundary", boundary, ("zero", "wrap", "roll"))
        self.channels = channels
        self.step = step
        self.kernel_size = kernel_size
        self.boundary = boundary
        factory = checks.factory(name, device, dtype)
        # Shape (1,), because sharded training cannot split a scalar.
        self.alpha_forward = nn.Parameter(torch.full((1,), 0.5, **factory))
        self.alpha_backward = nn.Parameter(torch.full((1,), 0.5, **factory))
        self.conv = TemporalKernel(channels, 1, kernel_size, bias=True, **factory)

    def reset_parameters(self) -> None:
        """Set both alphas to 0.5 and re-initialise the convolution like torch's."""
        nn.init.constant_(self.alpha_forward, 0.5)
        nn.init.constant_(self.alpha_backward, 0.5)
        self.conv.reset_parameters()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Enhance frame vectors.

        Args:
            x: (B, T, C).
            mask: bool (B, T), True where a frame is real. A difference that involves a padded frame is zero.

        Returns:
            (B, T, C), in x's dtype.
        """
        if isinstance(x, fx.Proxy):
            return one_fx_node(self, x, mask=mask)
        self._check(x, mask)
        with full_precision(x):
            difference, gate = self._gated(x, mask)
            return torch.addcmul(promoted(x), gate, difference).to(x.dtype)

    def gate(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Return the gate G = sigmoid(Conv1d(d)) that :meth:`forward` applies to the same input, (B, T, C)."""
        self._check(x, mask)
        with full_precision(x):
            return self._gated(x, mask)[1]

    def _check(self, x: Tensor, mask: Tensor | None) -> None:
        checks.sequence(type(self).__name__, x, self.channels)
        checks.module_device(type(self).__name__, x, self)
        checks.frame_mask(type(self).__name__, mask, x.shape[0], x.shape[1], x.device)
        checks.real_frames(type(self).__name__, mask)

    def _gated(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        x = promoted(x)
        if mask is not None:
            x = torch.where(mask[:, :, None], x, 0)
        forward, backward = self.alpha_forward.to(x.dtype), self.alpha_backward.to(x.dtype)
        difference = functional.temporal_difference(x, forward, backward, self.step, self.boundary, mask)
        around = functional.pad_time(difference, self.kernel_size // 2, self.boundary, mask)
        return difference, torch.sigmoid(self.conv(around))

    def extra_repr(self) -> str:
        return f"{self.channels}, step={self.step}, boundary={self.boundary!r}"


class EncoderLayer(nn.Module):
    r"""One pre-norm encoder layer (eqs. 23-25).

    .. math:: Z = Z + \mathrm{MHSA}(\mathrm{LN}(Z)), \quad Z = Z + \mathrm{MLP}(\mathrm{LN}(Z))

    MLP is Linear, GELU, Linear; scores are scaled by 1 / sqrt(C / heads).
    """

    def __init__(self, channels: int, heads: int, mlp_channels: int, dropout: float, **factory: Any) -> None:
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
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor, mask: Tensor | None = None, num_queries: int | None = None) -> Tensor:
        """Update the first ``num_queries`` tokens, by default all: (B, L, C) -> (B, num_queries, C).

        ``mask`` is bool (B, L), True where a token may be attended to.
        """
        projected = self.query_key_value(self.attention_norm(tokens))
        attended = functional.self_attention(projected, self.heads, mask, num_queries)
        updated = tokens[:, :num_queries] + self.dropout(self.projection(attended))
        return updated + self.dropout(self.mlp(self.mlp_norm(updated)))

    def attention_weights(
        self, tokens: Tensor, *, mask: Tensor | None = None, num_queries: int | None = None
    ) -> Tensor:
        """Return the softmax that :meth:`forward` applies to the same input, (B, heads, num_queries, L)."""
        projected = self.query_key_value(self.attention_norm(tokens))
        return functional.attention_probabilities(projected, self.heads, mask, num_queries)


class DTFormer(NotScriptable, nn.Module):
    r"""Differential temporal transformer (DTFormer): one vector per clip from its frame vectors.

    .. math::
        Z_0 = [\mathrm{cls}; \mathrm{DTE}(x)] + P, \quad Z_m = \mathrm{Encoder}_m(Z_{m-1}), \quad
        y = Z_M[\mathrm{cls}]

    Reference: Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and
    Differential Temporal Transformer", 2026, eqs. 14-25. The paper prints no sizes. The defaults are those of
    Former-DFER's T-Former, whose design the paper extends, as we infer.

    Args:
        channels: C, the number of channels.
        depth: M, the number of encoder layers.
        heads: number of attention heads; divides C.
        mlp_channels: hidden width of the MLP.
        max_frames: length of the longest clip in frames; shorter clips use the first positions.
        dropout: dropout probability after attention and after the MLP, in [0, 1).
        differential: False omits the enhancement (the paper's TFormer).
        step, boundary: see :class:`DifferentialTemporalEnhancer`.
        device, dtype: of the parameters.

    Raises:
        ValueError, TypeError: an invalid setting or input, such as more frames than max_frames; the message suggests a
            fix.

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

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Summarise frame vectors.

        Args:
            x: (B, T, C), T at most max_frames.
            mask: bool (B, T), True where a frame is real. Padding a clip at its end does not change the result.

        Returns:
            The class token's output, (B, C).
        """
        if isinstance(x, fx.Proxy):
            return one_fx_node(self, x, mask=mask)
        name = type(self).__name__
        checks.sequence(name, x, self.channels)
        checks.frame_mask(name, mask, x.shape[0], x.shape[1], x.device)
        checks.module_dtype(name, x, self)
        num_frames = x.shape[1]
        if num_frames > self.max_frames:
            raise ValueError(
                f"{name} expects at most max_frames={self.max_frames} frames, got {tuple(x.shape)}: T = {num_frames}. "
                f"Sample fewer frames or create it with max_frames={num_frames}."
            )
        may_attend = None
        if mask is not None:
            # Masking only the scores would keep NaN and inf of padded frames in the values.
            x = torch.where(mask[:, :, None], x, 0)
            may_attend = pad(mask, (1, 0), value=True)
        with checks.real_frames(name, mask):
            if self.enhancer is not None:
                x = self.enhancer(x) if mask is None else self.enhancer(x, mask=mask)
        tokens = torch.cat([self.class_token.expand(x.shape[0], -1, -1).to(x.dtype), x], dim=1)
        tokens = tokens + self.position.narrow(1, 0, num_frames + 1).to(x.dtype)
        for layer in self.layers[:-1]:
            tokens = layer(tokens, mask=may_attend)
        # Only the class token of the last layer is used, so only its row is computed.
        return self.layers[-1](tokens, mask=may_attend, num_queries=1)[:, 0]

    def extra_repr(self) -> str:
        return f"{self.channels}, max_frames={self.max_frames}"
