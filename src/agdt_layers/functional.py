"""The mathematics of AGDTNet as pure functions of tensors, one function an equation group.

Axes: B clips, T frames, C channels, H height, W width, N = B*T frames of all clips. The equation numbers are
those of Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and
Differential Temporal Transformer", CAAI Transactions on Intelligence Technology, 2026.

Weights are computed in float32 where the input is half precision: products of two statistics overflow
float16, and a sigmoid rounded to bfloat16 has lost what the next product needs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import einsum, rearrange
from torch import Tensor
from torch.nn.functional import conv2d, linear, pad, scaled_dot_product_attention

from agdt_layers.toeplitz_convolution import convolve


def channel_weights(
    average: Tensor,
    peak: Tensor,
    local_weight: Tensor,
    fc_weight: Tensor,
    fc_bias: Tensor,
    gate_weight: Tensor | None = None,
    gate_bias: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    r"""Adaptive channel weights sigmoid(f_att) and the gate w (eqs. 1-7).

    .. math::
        l_1 = \mathrm{Conv1d}(f_{avg}), \quad l_2 = \mathrm{Linear}(f_{max}), \quad
        a = l_1 \, \overline{l_2}, \quad b = l_2 \, \overline{l_1}, \\
        w = \sigma(\mathrm{Conv1d}([a, b])), \quad f_{att} = w a + (1 - w) b

    The correlation matrices :math:`A = l_1 l_2^T` and :math:`B = A^T` have rank one: the mean of row i of A is
    :math:`l_{1,i}` times the mean of :math:`l_2`, so neither matrix is formed.

    Args:
        average: mean of every channel over H and W, (N, C).
        peak: maximum of every channel over H and W, (N, C).
        local_weight: (1, 1, k), the convolution along the channel axis.
        fc_weight, fc_bias: (C, C) and (C).
        gate_weight, gate_bias: (1, 2, k) and (1); without them f_att = (a + b) / 2.

    Returns:
        The weights in (0, 1), (N, C), and w, (N, C), or None without a gate.
    """
    local = _convolve_channels(average.unsqueeze(0), local_weight)
    statistics = torch.stack([local, linear(peak, fc_weight, fc_bias)])
    rows = statistics * statistics.mean(dim=2, keepdim=True).flip(0)
    a, b = rows.unbind()
    if gate_weight is None:
        return torch.sigmoid((a + b) / 2), None
    gate = torch.sigmoid(_convolve_channels(rows, gate_weight, gate_bias))
    return torch.sigmoid(torch.lerp(b, a, gate)), gate


def _convolve_channels(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve along the channel axis: x (inputs, N, C), weight (1, inputs, k), result (N, C)."""
    images, kernel = x.unsqueeze(0), weight.unsqueeze(2)
    # A graph that inductor compiles would be tied to N by the choice of the convolution's algorithm.
    if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
        out = convolve(images, kernel)[0, 0]
        return out if bias is None else out + bias
    return conv2d(images, kernel, bias, padding=(0, kernel.shape[3] // 2)).view(x.shape[1:])


def spatial_weights(pooled: Tensor, weight: Tensor) -> Tensor:
    r"""Spatial weights :math:`\sigma(\mathrm{Conv2d}([z_{avg}, z_{max}]))` (eq. 10, CBAM's spatial attention).

    Args:
        pooled: mean and maximum of Xc over the channels, (N, 2, H, W).
        weight: (1, 2, k, k).

    Returns:
        Weights in (0, 1), (N, 1, H, W).
    """
    return torch.sigmoid(convolve(pooled, weight))


def context_weights(windows: Tensor, horizontal: Tensor, vertical: Tensor, bias: Tensor) -> Tensor:
    r"""Global context of the whole map (eq. 12).

    .. math:: z_{gc} = \sigma(\mathrm{GAP}(\mathrm{Conv}_{1 \times k}(X) + \mathrm{Conv}_{k \times 1}(X)))

    Pooling is linear, so the convolutions are applied to k windows a direction and never run over the map.

    Args:
        windows: of :func:`agdt_layers.feature_maps.pool_windows`, (N, 2k, C).
        horizontal, vertical: (C, C / groups, 1, k) and (C, C / groups, k, 1).
        bias: (C), shared by both directions.

    Returns:
        Weights in (0, 1), (N, C).
    """
    kernel_size = horizontal.shape[3]
    if horizontal.shape[1] == 1:
        kernel = torch.cat([horizontal.flatten(1).T, vertical.flatten(1).T])
        pooled = (windows * kernel).sum(dim=1)
    else:
        pooled = _by_groups(windows[:, :kernel_size], horizontal) + _by_groups(windows[:, kernel_size:], vertical)
    return torch.sigmoid(pooled + bias)


def _by_groups(windows: Tensor, weight: Tensor) -> Tensor:
    """Apply a grouped kernel (C, C / groups, ...) to its windows, (N, k, C): (N, C)."""
    # The windows are brought into the kernel's order and not the reverse: a dense kernel is the larger of the two.
    per_group = weight.shape[1]
    rows = rearrange(windows, "n k (g i) -> g n (i k)", i=per_group)
    return rearrange(rows @ rearrange(weight, "(g o) ... -> g o (...)", o=per_group).mT, "g n o -> n (g o)")


def clip_context(context: Tensor, num_frames: int, mask: Tensor | None = None, window: int | None = None) -> Tensor:
    r"""Temporal modulation :math:`z_{gc} \cdot \mathrm{GAP}_t(z_{gc})`, GAP_t a clip's mean over time (eq. 13).

    Args:
        context: z_gc, (B*T, C).
        num_frames: T, the number of frames a clip.
        mask: (B, T), True where a frame is real.
        window: GAP_t of a frame is the mean over this many frames, itself the last (fewer at the clip's start), as
            a camera has them; by default the mean over the whole clip.

    Returns:
        (B*T, C), in (0, 1).
    """
    clips = context.reshape(-1, num_frames, context.shape[1])
    if window is not None:
        real = torch.ones_like(clips[:, :, :1]) if mask is None else mask[:, :, None].to(clips.dtype)
        count = _sum_of_last(real, window)
        return (clips * _sum_of_last(clips * real, window) / count.clamp(min=1)).flatten(0, 1)
    if mask is None:
        average = clips.mean(dim=1, keepdim=True)
    else:
        real = mask[:, :, None].to(clips.dtype)
        average = (clips * real).sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True)
    return (clips * average).flatten(0, 1)


def _sum_of_last(x: Tensor, window: int) -> Tensor:
    """Sum x (B, T, C) over the last ``window`` frames up to each frame."""
    total = x.cumsum(dim=1)
    return total - pad(total, (0, 0, window, 0))[:, : x.shape[1]]


def stream_context(context: Tensor, past: Sequence[Tensor]) -> Tensor:
    r"""The newest frame's row of :func:`clip_context` with a window: :math:`z_{gc}` times its mean over the window.

    Args:
        context: z_gc of the newest frame, (B, C).
        past: z_gc of the frames before it that are in the window, (B, C) each.

    Returns:
        (B, C), in (0, 1).
    """
    return context * torch.stack([*past, context]).mean(dim=0)


def reach(size: int, kernel_size: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """Say which of ``size`` positions every tap of a zero-padded kernel reaches: (kernel_size, size), 1 or 0.

    >>> reach(4, 3, torch.float32)
    tensor([[1., 1., 1., 0.],
            [1., 1., 1., 1.],
            [0., 1., 1., 1.]])
    """
    margin = kernel_size // 2
    ones = torch.ones(kernel_size, size, dtype=dtype, device=device)
    return ones.triu_(-margin).tril_(size - 1 - margin)


def frame_vectors(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    r"""Frame vectors :math:`\mathrm{GAP}(\mathrm{Conv}_{3 \times 3}(X))`, depthwise, without running the convolution.

    Args:
        x: (N, C, H, W).
        weight: (C, 1, k, k).
        bias: (C).

    Returns:
        (N, C).
    """
    # A tap touches all positions but those that zero padding cuts off, so pooling the convolution equals
    # weighing every position with the sum of the taps that reach it.
    height, width = x.shape[2:]
    rows = reach(height, weight.shape[2], weight.dtype, weight.device)
    columns = reach(width, weight.shape[3], weight.dtype, weight.device)
    weighing = rows.T @ weight[:, 0] @ columns
    return (x * weighing).sum(dim=(2, 3)) / (height * width) + bias


def temporal_difference(
    x: Tensor,
    alpha_forward: Tensor,
    alpha_backward: Tensor,
    step: int = 1,
    boundary: str = "zero",
    mask: Tensor | None = None,
) -> Tensor:
    r"""Weighted temporal difference :math:`d = \alpha_f \Delta_f + \alpha_b \Delta_b` (eqs. 14-18).

    .. math:: \Delta_f[t] = x[t + s] - x[t], \quad \Delta_b[t] = x[t] - x[t - s]

    Args:
        x: frame vectors, (B, T, C).
        alpha_forward, alpha_backward: scalars.
        step: s, in frames.
        boundary: "zero" leaves the differences beyond the ends zero, "wrap" takes the clip as a cycle.
        mask: (B, T), True where a frame is real; a difference that touches a padded frame is zero, and a
            cycle closes after the last real frame.

    Returns:
        d, (B, T, C).
    """
    num_frames = x.shape[1]
    if boundary == "wrap":
        time = _cycle(torch.arange(num_frames, device=x.device) + step, num_frames, mask)
        back = _cycle(torch.arange(num_frames, device=x.device) - step, num_frames, mask)
        forward, backward = _at(x, time) - x, x - _at(x, back)
        if mask is not None:
            forward = forward * (mask & mask.gather(1, time))[:, :, None]
            backward = backward * (mask & mask.gather(1, back))[:, :, None]
        return alpha_forward * forward + alpha_backward * backward
    step = min(step, num_frames)
    change = x[:, step:] - x[:, : num_frames - step]
    if mask is not None:
        change = change * (mask[:, step:] & mask[:, : num_frames - step])[:, :, None]
    return alpha_forward * pad(change, (0, 0, 0, step)) + alpha_backward * pad(change, (0, 0, step, 0))


def temporal_gate(
    difference: Tensor, weight: Tensor, bias: Tensor, boundary: str = "zero", mask: Tensor | None = None
) -> Tensor:
    r"""Gate :math:`G = \sigma(\mathrm{Conv1d}(d))`, depthwise over time (eqs. 19-20).

    Args:
        difference: d, (B, T, C).
        weight: (C, 1, k).
        bias: (C).
        boundary: "zero" pads with zeros, "wrap" takes the clip as a cycle, as in :func:`temporal_difference`.
        mask: (B, T), True where a frame is real; says how long a cycle is.

    Returns:
        (B, T, C), in (0, 1).
    """
    num_frames, margin = difference.shape[1], weight.shape[2] // 2
    if boundary == "wrap":
        time = torch.arange(-margin, num_frames + margin, device=difference.device)
        around = _at(difference, _cycle(time, num_frames, mask))
    else:
        around = pad(difference, (0, 0, margin, margin))
    # For few clips, calling torch's depthwise convolution takes longer than these products.
    smoothed = bias
    for tap, factor in enumerate(weight[:, 0].unbind(1)):
        smoothed = torch.addcmul(smoothed, around[:, tap : tap + num_frames], factor)
    return torch.sigmoid(smoothed)


def _cycle(time: Tensor, num_frames: int, mask: Tensor | None) -> Tensor:
    """Wrap frame indices (L) into a cycle of every clip's real length: (1, L) without a mask, else (B, L)."""
    if mask is None:
        # A remainder by a tensor, because ONNX has none by a number that is known only when the graph runs.
        return time[None] % torch.full_like(time[:1], num_frames)
    ends = torch.arange(1, num_frames + 1, device=mask.device)
    return time[None] % (mask * ends).amax(dim=1, keepdim=True)


def _at(x: Tensor, time: Tensor) -> Tensor:
    """Take the frames of x (B, T, C) at the indices time (B, L) or (1, L): (B, L, C)."""
    return x.gather(1, time[:, :, None].expand(x.shape[0], -1, x.shape[2]))


def self_attention(query_key_value: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    r"""Multi-head self-attention :math:`\mathrm{softmax}(Q K^T / \sqrt{C / heads}) \, V` (eqs. 23-24).

    Args:
        query_key_value: the three projections of every token side by side, (B, L, 3C).
        heads: divides C.
        mask: (B, L), True where a token may be attended to.

    Returns:
        (B, L, C).
    """
    query, key, value = rearrange(query_key_value, "b l (part heads d) -> part b heads l d", part=3, heads=heads)
    may_attend = None if mask is None else mask[:, None, None, :]
    attended = scaled_dot_product_attention(query, key, value, attn_mask=may_attend)
    return rearrange(attended, "b heads l d -> b l (heads d)")


def attention_of_few(
    tokens: Tensor, weight: Tensor, bias: Tensor, heads: int, num_queries: int, mask: Tensor | None = None
) -> Tensor:
    """The first rows of :func:`self_attention`, without projecting every token: exact, and cheaper for few queries.

    Values are a linear map of the tokens, so that map is applied to the weighted means and not to the tokens.

    Args:
        tokens: (B, L, C).
        weight, bias: of the projection to queries, keys and values, (3C, C) and (3C).
        heads, num_queries, mask: as in :func:`attention_probabilities`.

    Returns:
        (B, num_queries, C).
    """
    mixed = einsum(
        attention_probabilities(tokens, weight, bias, heads, num_queries, mask), tokens, "b h q l, b l c -> b h q c"
    )
    to_values = rearrange(weight, "(part h d) c -> part h d c", part=3, h=heads)[2]
    return rearrange(einsum(mixed, to_values, "b h q c, h d c -> b q h d"), "b q h d -> b q (h d)") + bias.chunk(3)[2]


def attention_probabilities(
    tokens: Tensor, weight: Tensor, bias: Tensor, heads: int, num_queries: int, mask: Tensor | None = None
) -> Tensor:
    r"""The softmax of eq. 23 for the first tokens, :math:`\mathrm{softmax}(Q K^T / \sqrt{C / heads})`.

    No token is projected to a key: :math:`q (W z + b)^T = (q W) z^T + q b^T`, so W is applied to the queries, and what
    all keys share leaves a softmax unchanged.

    Args:
        tokens: (B, L, C).
        weight, bias: of the projection to queries, keys and values, (3C, C) and (3C).
        heads: divides C.
        num_queries: how many tokens, from the first on, attend.
        mask: (B, L), True where a token may be attended to.

    Returns:
        (B, heads, num_queries, L).
    """
    to_queries, to_keys, _ = rearrange(weight, "(part h d) c -> part h d c", part=3, h=heads)
    query = einsum(tokens[:, :num_queries], to_queries, "b q c, h d c -> b h q d")
    query = query + rearrange(bias.chunk(3)[0], "(h d) -> h 1 d", h=heads)
    query = einsum(query / to_keys.shape[1] ** 0.5, to_keys, "b h q d, h d c -> b h q c")
    scores = einsum(query, tokens, "b h q c, b l c -> b h q l")
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None, :], -torch.inf)
    return scores.softmax(dim=-1)
