"""The mathematics of AGDTNet as pure functions of tensors, one function per group of equations.

Axes: B clips, T frames, C channels, H height, W width, N = B*T frames of all clips. The equation numbers are
those of Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and
Differential Temporal Transformer", CAAI Transactions on Intelligence Technology, 2026.

Weights are computed in float32 even where the input is half precision: products of two statistics overflow
float16, and a sigmoid rounded to bfloat16 is too coarse for the next product.
"""

from __future__ import annotations

import torch
from einops import einsum, rearrange
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, conv1d, conv2d, linear, pad, scaled_dot_product_attention

from agdt_layers import device_forms
from agdt_layers.custom_backward import apply_with_backward
from agdt_layers.toeplitz_convolution import convolve
from agdt_layers.torch_compat import is_exporting, is_forward_mode, sigmoid_gradient

# einops registers each type of tensor at its first call; a graph compiled before that would be compiled again after it.
for _tensor in (torch.empty(0), nn.Parameter(torch.empty(0))):
    rearrange(_tensor, "n -> n")


def channel_weights(
    average: Tensor,
    peak: Tensor,
    local_weight: Tensor,
    fc_weight: Tensor,
    fc_bias: Tensor,
    gate_weight: Tensor | None = None,
    gate_bias: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    r"""Adaptive channel weights sigmoid(f_att), the factor of eq. 7, and the gate w (eqs. 3-6).

    .. math::
        l_1 = \mathrm{Conv1d}(f_{avg}), \quad l_2 = \mathrm{Linear}(f_{max}), \quad
        a = l_1 \, \overline{l_2}, \quad b = l_2 \, \overline{l_1}, \\
        w = \sigma(\mathrm{Conv1d}([a, b])), \quad f_{att} = w a + (1 - w) b

    The correlation matrices :math:`A = l_1 l_2^T` and :math:`B = A^T` have rank one: the mean of row i of A is
    :math:`l_{1,i}` times the mean of :math:`l_2`, so neither matrix is formed.

    Args:
        average: f_avg, the mean of every channel over H and W, (N, C).
        peak: f_max, the maximum of every channel over H and W, (N, C).
        local_weight: (1, 1, k), the convolution along the channel axis.
        fc_weight, fc_bias: (C, C) and (C).
        gate_weight, gate_bias: (1, 2, k) and (1); without them f_att = (a + b) / 2.

    Returns:
        The weights in (0, 1), (N, C), and w, (N, C), or None without a gate.
    """
    rows = row_means(convolve_channels(average.unsqueeze(0), local_weight), linear(peak, fc_weight, fc_bias))
    return mixed(rows, None if gate_weight is None else convolve_channels(rows, gate_weight, gate_bias))


def row_means(local: Tensor, broad: Tensor) -> Tensor:
    """Means a and b of the rows of A = l1 l2^T and of B = A^T (eqs. 3-4), from l1 and l2, (N, C) each: (2, N, C)."""
    statistics = torch.stack([local, broad])
    return statistics * statistics.mean(dim=2, keepdim=True).flip(0)


def mixed(rows: Tensor, logit: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Channel weights sigmoid(w a + (1 - w) b) and the gate w = sigmoid(logit) (eqs. 5-7), or sigmoid((a+b) / 2)."""
    a, b = rows.unbind()
    if logit is None:
        return torch.sigmoid((a + b) / 2), None
    weights, gate = apply_with_backward(_mixed, _mixed_gradients, 2, (a, b, logit))
    return weights, gate


def _mixed(a: Tensor, b: Tensor, logit: Tensor) -> tuple[Tensor, Tensor]:
    gate = torch.sigmoid(logit)
    return torch.sigmoid(torch.lerp(b, a, gate)), gate


def _mixed_gradients(
    a: Tensor, b: Tensor, _: Tensor, weights: Tensor, gate: Tensor, d_weights: Tensor | None, d_gate: Tensor | None
) -> tuple[Tensor, ...]:
    d_mixture = sigmoid_gradient(torch.zeros_like(weights) if d_weights is None else d_weights, weights)
    d_a, by_mixture = d_mixture * gate, d_mixture * (a - b)
    d_logit = sigmoid_gradient(by_mixture if d_gate is None else by_mixture + d_gate, gate)
    return d_a, d_mixture - d_a, d_logit


def convolve_channels(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve along the channel axis: x (inputs, N, C), weight (1, inputs, k), result (N, C)."""
    images, kernel = x.unsqueeze(0), weight.unsqueeze(2)
    # A graph that inductor compiles for a CPU would be tied to N by the choice of the convolution's algorithm.
    if torch.compiler.is_compiling() and not (is_exporting() or device_forms.prefers_few_launches(x)):
        out = convolve(images, kernel)[0, 0]
        return out if bias is None else out + bias
    return conv2d(images, kernel, bias, padding=(0, kernel.shape[3] // 2)).view(x.shape[1:])


def spatial_weights(pooled: Tensor, weight: Tensor) -> Tensor:
    r"""Spatial weights :math:`\sigma(\mathrm{Conv2d}([z_{avg}, z_{max}]))`, as in CBAM (eq. 10, the factor of eq. 11).

    Args:
        pooled: mean and maximum of Xc over the channels, (N, 2, H, W).
        weight: (1, 2, k, k).

    Returns:
        Weights in (0, 1), (N, 1, H, W).
    """
    return torch.sigmoid(convolve_to_one(pooled, weight))


def convolve_to_one(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve x (N, I, H, W) with weight (1, I, k, k), k odd, zero padding: (N, 1, H, W)."""
    # An exported graph is read by other engines, which have convolutions of their own.
    if is_exporting() or device_forms.prefers_few_launches(x):
        # Twice, because an older torch.jit.trace loses a size that stands for both axes.
        return conv2d(x, weight, padding=(weight.shape[2] // 2, weight.shape[3] // 2))
    return convolve(x, weight)


def context_weights(windows: Tensor, horizontal: Tensor, vertical: Tensor, bias: Tensor) -> Tensor:
    r"""Global context of the whole map (eq. 12).

    .. math:: z_{gc} = \sigma(\mathrm{GAP}(\mathrm{Conv}_{1 \times k}(X) + \mathrm{Conv}_{k \times 1}(X)))

    Pooling is linear, so the convolutions are applied to k windows per direction and never run over the map.

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
        if device_forms.prefers_few_launches(windows):
            # Not bias[:, None, None]: an older autograd derives a slice of everything too, by one more launch.
            per_channel = torch.baddbmm(bias.view(-1, 1, 1), windows.permute(2, 0, 1), kernel.T.unsqueeze(2))
            return torch.sigmoid(per_channel.squeeze(2).T)
        pooled = (windows * kernel).sum(dim=1)
    else:
        pooled = _by_groups(windows[:, :kernel_size], horizontal) + _by_groups(windows[:, kernel_size:], vertical)
    return torch.sigmoid(pooled + bias)


def _by_groups(windows: Tensor, weight: Tensor) -> Tensor:
    """Apply a grouped kernel (C, C / groups, ...) to its windows, (N, k, C): (N, C)."""
    # The windows are rearranged to match the kernel, not the reverse: a dense kernel is the larger of the two.
    per_group = weight.shape[1]
    rows = rearrange(windows, "n k (g i) -> g n (i k)", i=per_group)
    return rearrange(rows @ rearrange(weight, "(g o) ... -> g o (...)", o=per_group).mT, "g n o -> n (g o)")


def clip_context(
    context: Tensor,
    num_frames: int,
    mask: Tensor | None = None,
    window: int | None = None,
    past: Tensor | None = None,
) -> Tensor:
    r"""Temporal modulation :math:`z_{gc} \cdot \mathrm{GAP}_t(z_{gc})`, GAP_t a clip's mean over time (eq. 13).

    Args:
        context: z_gc, (B*T, C).
        num_frames: frames per clip, T.
        mask: (B, T), True where a frame is real.
        window: for each frame, GAP_t averages over this many frames, the frame itself the last (fewer at the clip's
            start), as a live camera requires; by default over the whole clip.
        past: with a window, z_gc of the real frames before these, (B, K, C).

    Returns:
        (B*T, C), in (0, 1).
    """
    clips = context.reshape(-1, num_frames, context.shape[1])
    if window is not None:
        frames = clips if past is None else torch.cat([past, clips], dim=1)
        real = torch.ones_like(frames[:, :, :1]) if mask is None else mask[:, :, None].to(clips.dtype)
        # Both means are over the window; where a clip begins or is padded, they count zeros.
        share = _mean_of_last(real, window).clamp(min=1 / window)
        average = (_mean_of_last(frames * real, window) / share)[:, frames.shape[1] - num_frames :]
    elif mask is None:
        average = clips.mean(dim=1, keepdim=True)
    else:
        real = mask[:, :, None].to(clips.dtype)
        average = (clips * real).sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True)
    return (clips * average).flatten(0, 1)


def _mean_of_last(x: Tensor, window: int) -> Tensor:
    """Average x (B, T, C) over the last ``window`` frames up to each frame, with zeros before the first."""
    # No difference of two running sums: what is not finite would stay in them after it has left the window.
    return avg_pool1d(pad(x.transpose(1, 2), (window - 1, 0)), window, stride=1).transpose(1, 2)


def reach(height: int, width: int, kernel_size: int, value: float, like: Tensor) -> Tensor:
    """Mark the positions of a map that each tap of a zero-padded 1 x k and of a k x 1 kernel reaches.

    Returns:
        (2k, H, W) in the dtype and on the device of ``like``: the value where a tap reaches, else 0, the horizontal
        taps first.

    >>> reach(1, 4, 3, 1.0, torch.ones(()))[:3, 0]
    tensor([[1., 1., 1., 0.],
            [1., 1., 1., 1.],
            [0., 1., 1., 1.]])
    """
    margin = kernel_size // 2
    framed = like.new_zeros(height + 2 * margin, width + 2 * margin)
    framed[margin : margin + height, margin : margin + width].fill_(value)
    rows, columns = framed[margin : margin + height], framed[:, margin : margin + width]
    # The first tap looks furthest back, so it misses the last positions.
    starts = range(kernel_size - 1, -1, -1)
    horizontal = [rows.narrow(1, start, width) for start in starts]
    vertical = [columns.narrow(0, start, height) for start in starts]
    return torch.stack(horizontal + vertical)


def frame_vectors(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    r"""Frame vectors :math:`\mathrm{GAP}(\mathrm{Conv}_{3 \times 3}(X))`, depthwise (section 3.1).

    On a CPU the convolution does not run over the frames: a tap touches all positions but those that zero padding
    cuts off, so every position is weighted by the sum of the taps that reach it.

    Args:
        x: (N, C, H, W).
        weight: (C, 1, k, k).
        bias: (C).

    Returns:
        (N, C).
    """
    height, width = x.shape[2:]
    padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    if device_forms.prefers_few_launches(x):
        return conv2d(x, weight, bias, padding=padding, groups=x.shape[1]).mean(dim=(2, 3))
    share = weight.new_full((1, 1, height, width), 1 / (height * width))
    weighing = conv2d(share, weight.flip(2, 3), padding=padding)
    return (x * weighing).sum(dim=(2, 3)) + bias


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
        boundary: "zero" sets the differences that reach beyond the clip to zero, "wrap" treats the clip as a cycle.
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
    change = x[:, step:] - x[:, :-step]
    if mask is not None:
        change = change * (mask[:, step:] & mask[:, :-step])[:, :, None]
    # In this tensor the change from t to t + s stands s places after the change from t - s to t.
    changes = pad(change, (0, 0, step, step))
    return torch.addcmul(alpha_backward * changes[:, :-step], changes[:, step:], alpha_forward)


def temporal_gate(
    difference: Tensor, weight: Tensor, bias: Tensor, boundary: str = "zero", mask: Tensor | None = None
) -> Tensor:
    r"""Gate :math:`G = \sigma(\mathrm{Conv1d}(d))`, depthwise over time (eqs. 19-20).

    Args:
        difference: d, (B, T, C).
        weight: (C, 1, k).
        bias: (C).
        boundary: "zero" pads with zeros, "wrap" treats the clip as a cycle, as in :func:`temporal_difference`.
        mask: (B, T), True where a frame is real; it determines the length of a cycle.

    Returns:
        (B, T, C), in (0, 1).
    """
    num_frames, margin = difference.shape[1], weight.shape[2] // 2
    around = wrapped(difference, margin, mask) if boundary == "wrap" else pad(difference, (0, 0, margin, margin))
    if device_forms.prefers_few_launches(difference):
        return torch.sigmoid(conv1d(around.transpose(1, 2), weight, bias, groups=weight.shape[0]).transpose(1, 2))
    # For few clips, calling torch's depthwise convolution on a CPU takes longer than these products.
    smoothed = bias
    for tap, factor in enumerate(weight[:, 0].unbind(1)):
        smoothed = torch.addcmul(smoothed, around[:, tap : tap + num_frames], factor)
    return torch.sigmoid(smoothed)


def wrapped(x: Tensor, margin: int, mask: Tensor | None = None) -> Tensor:
    """Pad a clip (B, T, C) cyclically, by margin frames on both sides: (B, T + 2 margin, C)."""
    time = torch.arange(-margin, x.shape[1] + margin, device=x.device)
    return _at(x, _cycle(time, x.shape[1], mask))


def _cycle(time: Tensor, num_frames: int, mask: Tensor | None) -> Tensor:
    """Wrap frame indices (L) into a cycle of every clip's real length: (1, L) without a mask, else (B, L)."""
    if mask is None:
        # A remainder by a tensor, because in ONNX there is none by a number that is known only when the graph runs.
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
    if is_forward_mode():
        # torch's fused kernels have no forward-mode derivative.
        attended = attention_probabilities(query_key_value, heads, mask) @ value
        return rearrange(attended, "b heads l d -> b l (heads d)")
    may_attend = None if mask is None else mask[:, None, None, :]
    attended = scaled_dot_product_attention(query, key, value, attn_mask=may_attend)
    return rearrange(attended, "b heads l d -> b l (heads d)")


def attention_probabilities(query_key_value: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    r"""The softmax of :func:`self_attention` (eq. 23): (B, L, 3C) -> (B, heads, L, L)."""
    query, key, _ = rearrange(query_key_value, "b l (part heads d) -> part b heads l d", part=3, heads=heads)
    return _softmax(query @ key.transpose(2, 3) / query.shape[3] ** 0.5, mask)


def _softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None, :], -torch.inf)
    return scores.softmax(dim=-1)


def attention_of_few(
    tokens: Tensor, weight: Tensor, bias: Tensor, heads: int, num_queries: int, mask: Tensor | None = None
) -> Tensor:
    r"""The first rows of :func:`self_attention`, without projecting tokens to keys or values: exact, with less work.

    Keys: :math:`q (W z + b)^T = (q W) z^T + q b^T`, so W is applied to the queries, and the term that all keys
    share does not change the softmax. Values are a linear map of the tokens, which is applied to their weighted means.

    Args:
        tokens: (B, L, C).
        weight, bias: of the projection to queries, keys and values, (3C, C) and (3C).
        heads: divides C.
        num_queries: how many of the first tokens attend.
        mask: (B, L), True where a token may be attended to.

    Returns:
        (B, num_queries, C).
    """
    _, to_key, to_value = rearrange(weight, "(part h d) c -> part h d c", part=3, h=heads)
    query_bias, _, value_bias = bias.chunk(3)
    query = linear(tokens[:, :num_queries], weight[: weight.shape[1]], query_bias)
    query = rearrange(query, "b q (h d) -> b h q d", h=heads) / to_key.shape[1] ** 0.5
    scores = einsum(einsum(query, to_key, "b h q d, h d c -> b h q c"), tokens, "b h q c, b l c -> b h q l")
    means = einsum(_softmax(scores, mask), tokens, "b h q l, b l c -> b h q c")
    return rearrange(einsum(means, to_value, "b h q c, h d c -> b q h d"), "b q h d -> b q (h d)") + value_bias
