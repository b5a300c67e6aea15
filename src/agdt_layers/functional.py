"""The equations of AGDTNet as pure functions of tensors, one for each group of equations.

Axes: B clips, T frames, C channels, H height, W width, N = B*T frames of all clips. The equation numbers are those of
Liu et al., "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and Differential Temporal
Transformer", CAAI Transactions on Intelligence Technology, 2026. The functions that read the whole map (eqs. 8-11 and
13) are in :mod:`agdt_layers.feature_maps`.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, conv1d, conv2d, pad, scaled_dot_product_attention

from agdt_layers.torch_compat import is_forward_mode

# einops registers each tensor type at its first call, which would trigger a recompilation of graphs compiled before.
for _tensor in (torch.empty(0), nn.Parameter(torch.empty(0))):
    rearrange(_tensor, "n -> n")


def convolve_channels(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve along the channel axis with zero padding (l1 and the logit of eq. 5).

    Args:
        x: I vectors per frame, (N, I, C).
        weight: (1, I, k), k odd.
        bias: (1).

    Returns:
        (N, C).
    """
    # With N as an image axis, the compiler would specialise on it, and an empty batch would be an empty image.
    if torch.compiler.is_compiling() or x.shape[0] == 0:
        return conv1d(x, weight, bias, padding=weight.shape[2] // 2)[:, 0]
    # One image of N rows is several times faster than N signals of one channel.
    image = x.transpose(0, 1)[None]
    return conv2d(image, weight[:, :, None], bias, padding=(0, weight.shape[2] // 2))[0, 0]


def correlation_means(local: Tensor, broad: Tensor) -> Tensor:
    r"""Row means a and b of the correlation matrices A = l1 l2^T and B = l2 l1^T (eqs. 3-4).

    Both have rank one: the mean of row i of A is :math:`l_{1,i} \overline{l_2}`, so neither matrix is formed.

    Args:
        local, broad: l1 and l2, (N, C) each.

    Returns:
        a and b side by side, (N, 2, C).
    """
    vectors = torch.stack([local, broad], dim=1)
    return vectors * vectors.mean(dim=2, keepdim=True).flip(1)


def gated_sum(means: Tensor, logit: Tensor | None) -> tuple[Tensor, Tensor | None]:
    r"""Channel weights :math:`\sigma(f_{att})`, the factor of eq. 7, and the gate w (eqs. 5-6).

    .. math:: w = \sigma(\mathrm{logit}), \quad f_{att} = w a + (1 - w) b

    Args:
        means: a and b, (N, 2, C).
        logit: the convolution of [a, b], (N, C); None means no gate and f_att = (a + b) / 2.

    Returns:
        The weights in (0, 1), (N, C), and w, (N, C) or None.
    """
    a, b = means.unbind(1)
    if logit is None:
        return torch.sigmoid((a + b) / 2), None
    gate = torch.sigmoid(logit)
    return torch.sigmoid(torch.lerp(b, a, gate)), gate


def convolve_windows(windows: Tensor, weight: Tensor) -> Tensor:
    """Pool a 1 x k or k x 1 convolution over the whole map (one of the two terms of eq. 12).

    Pooling is linear, so the kernel is applied to k windowed means instead of the map.

    Args:
        windows: sum over the positions that each tap reaches, divided by H * W, (N, k, C).
        weight: (C, C / groups, 1, k) or (C, C / groups, k, 1).

    Returns:
        (N, C).
    """
    per_group = weight.shape[1]
    if per_group == 1:
        return (windows * weight.flatten(1).T).sum(dim=1)
    # The windows are rearranged instead of the kernel, because a dense kernel is larger.
    grouped = rearrange(windows, "n k (g i) -> g n (i k)", i=per_group)
    kernels = rearrange(weight, "(g o) i h w -> g (i h w) o", o=per_group)
    return rearrange(grouped @ kernels, "g n o -> n (g o)")


def clip_context(
    context: Tensor, num_frames: int, mask: Tensor | None = None, window: int | None = None, past: Tensor | None = None
) -> Tensor:
    r"""Temporal modulation :math:`z_{gc} \cdot \mathrm{GAP}_t(z_{gc})`, GAP_t a clip's mean over time (eq. 13).

    Args:
        context: the global context :math:`z_{gc}`, (B*T, C).
        num_frames: frames per clip, T.
        mask: (B, T), True where a frame is real; with ``past`` (B, K + T).
        window: number of frames in GAP_t, ending with the current frame (fewer at the clip's start), as needed for a
            live camera; by default the whole clip.
        past: with a window, the global context of the frames before these, (B, K, C), K < window.

    Returns:
        (B*T, C), in (0, 1).
    """
    clips = context.reshape(-1, num_frames, context.shape[1])
    if window is not None:
        frames = clips if past is None else torch.cat([past, clips], dim=1)
        real = torch.ones_like(frames[:, :, :1]) if mask is None else mask[:, :, None].to(clips.dtype)
        # Both are means over whole windows, in which padding and missing frames count as zeros.
        missing = window - 1 - (frames.shape[1] - num_frames)
        share = _mean_of_windows(real, window, missing).clamp(min=1 / window)
        average = _mean_of_windows(frames * real, window, missing) / share
    elif mask is None:
        average = clips.mean(dim=1, keepdim=True)
    else:
        real = mask[:, :, None].to(clips.dtype)
        average = (clips * real).sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True)
    return (clips * average).flatten(0, 1)


def _mean_of_windows(x: Tensor, window: int, missing: int) -> Tensor:
    """Average x (B, T, C) over every window of frames, with ``missing`` zeros before the first frame."""
    # Not a difference of cumulative sums, in which NaN or inf would persist after leaving the window.
    return avg_pool1d(pad(x.transpose(1, 2), (missing, 0)), window, stride=1).transpose(1, 2)


def reach(height: int, width: int, kernel_size: int, value: float, like: Tensor) -> Tensor:
    """Mark the positions of a map that each tap of a zero-padded 1 x k and of a k x 1 kernel reaches.

    Returns:
        (2k, H, W) in the dtype and on the device of ``like``: the value where a tap reaches, 0 elsewhere, horizontal
        taps first.

    >>> reach(1, 4, 3, 1.0, torch.ones(()))[:3, 0]
    tensor([[1., 1., 1., 0.],
            [1., 1., 1., 1.],
            [0., 1., 1., 1.]])
    """
    # Tap o reaches position q if its output position, q - o, is on the map.
    margin = kernel_size // 2
    offsets = torch.arange(-margin, margin + 1, device=like.device)[:, None]
    across = torch.arange(width, device=like.device) - offsets
    down = torch.arange(height, device=like.device) - offsets
    across, down = across == across.clamp(0, width - 1), down == down.clamp(0, height - 1)
    reached = torch.cat([across[:, None, :].expand(-1, height, -1), down[:, :, None].expand(-1, -1, width)])
    return reached * like.new_full((), value)


def frame_vectors(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Frame vectors :math:`\mathrm{GAP}(\mathrm{Conv}_{3 \times 3}(X))`, depthwise (section 3.3).

    Pooling is linear, so the convolution does not run over the map: each position is weighted by the sum of the taps
    that reach it.

    Args:
        x: (N, C, H, W).
        weight: (C, 1, k, k), k odd.
        bias: (C).

    Returns:
        (N, C).
    """
    height, width = x.shape[2:]
    share = weight.new_full((1, 1, height, width), 1 / (height * width))
    padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    taps = conv2d(share, weight.flip(2, 3), padding=padding)
    pooled = (x * taps).sum(dim=(2, 3))
    return pooled if bias is None else pooled + bias


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
        boundary: "zero" sets differences that reach beyond the clip to zero; "wrap" and "roll" treat the clip as a
            cycle.
        mask: (B, T), True where a frame is real. A difference that involves a padded frame is zero, and a cycle closes
            after the last real frame.

    Returns:
        d, (B, T, C).
    """
    num_frames = x.shape[1]
    if boundary != "zero":
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
    # Here the change from t to t + s is s positions after the change from t - s to t.
    changes = pad(change, (0, 0, step, step))
    return torch.addcmul(alpha_backward * changes[:, :-step], changes[:, step:], alpha_forward)


def pad_time(x: Tensor, margin: int, boundary: str = "zero", mask: Tensor | None = None) -> Tensor:
    """Pad d for the convolution of eq. 19 by margin frames on both sides: (B, T, C) -> (B, T + 2 margin, C).

    Args:
        x: (B, T, C).
        margin: in frames.
        boundary: "zero" and "roll" pad with zeros; "wrap" continues the clip as a cycle, which closes after the last
            real frame.
        mask: (B, T), True where a frame is real.
    """
    if boundary != "wrap":
        return pad(x, (0, 0, margin, margin))
    time = torch.arange(-margin, x.shape[1] + margin, device=x.device)
    return _at(x, _cycle(time, x.shape[1], mask))


def _cycle(time: Tensor, num_frames: int, mask: Tensor | None) -> Tensor:
    """Wrap frame indices (L) into a cycle of every clip's real length: (1, L) without a mask, else (B, L)."""
    if mask is None:
        # The divisor is a tensor, because ONNX has no remainder by a number that is known only at run time.
        return time[None] % torch.full_like(time[:1], num_frames)
    ends = torch.arange(1, num_frames + 1, device=mask.device)
    return time[None] % (mask * ends).amax(dim=1, keepdim=True)


def _at(x: Tensor, time: Tensor) -> Tensor:
    """Take the frames of x (B, T, C) at the indices time (B, L) or (1, L): (B, L, C)."""
    return x.gather(1, time[:, :, None].expand(x.shape[0], -1, x.shape[2]))


def self_attention(
    query_key_value: Tensor, heads: int, mask: Tensor | None = None, num_queries: int | None = None
) -> Tensor:
    r"""Multi-head self-attention :math:`\mathrm{softmax}(Q K^T / \sqrt{C / heads}) \, V` (eqs. 23-24).

    Args:
        query_key_value: the concatenated projections of every token, (B, L, 3C).
        heads: number of heads; divides C.
        mask: (B, L), True where a token may be attended to.
        num_queries: number of leading tokens used as queries, Q; by default all.

    Returns:
        (B, Q, C).
    """
    query, key, value = _heads(query_key_value, heads)
    query = query[:, :, :num_queries]
    if is_forward_mode():
        # torch's fused kernels have no forward-mode derivative.
        attended = _probabilities(query, key, mask) @ value
    else:
        may_attend = None if mask is None else mask[:, None, None, :]
        attended = scaled_dot_product_attention(query, key, value, attn_mask=may_attend)
    return rearrange(attended, "b heads q d -> b q (heads d)")


def attention_probabilities(
    query_key_value: Tensor, heads: int, mask: Tensor | None = None, num_queries: int | None = None
) -> Tensor:
    r"""The softmax of :func:`self_attention` (eq. 23): (B, L, 3C) -> (B, heads, Q, L)."""
    query, key, _ = _heads(query_key_value, heads)
    return _probabilities(query[:, :, :num_queries], key, mask)


def _heads(query_key_value: Tensor, heads: int) -> Tensor:
    return rearrange(query_key_value, "b l (part heads d) -> part b heads l d", part=3, heads=heads)


def _probabilities(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None, :], -torch.inf)
    return scores.softmax(dim=-1)
