"""Start here: a literal, slow transcription of the paper's equations in float64. Tests compare every layer with it.

Nothing in this file is optimised or imported from the package. It forms the C x C correlation matrices, runs the global
convolution over the whole map, writes out the softmax, and removes padded frames from each clip before it computes
anything. Every function takes plain tensors and a mapping from state-dict keys to tensors, so that gradients reach the
parameters of the layer under test. `layers/test_attention.py` shows how tests compare a layer with this file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]


def part(state: State, prefix: str) -> dict[str, Tensor]:
    """Return the entries of a state dict below one submodule, without its prefix."""
    return {key.removeprefix(prefix + "."): value for key, value in state.items() if key.startswith(prefix + ".")}


def along_channels(signals: Tensor, weight: Tensor) -> Tensor:
    """Conv1d along the channel axis with zero padding: (N, I, C) and (O, I, k) -> (N, O, C)."""
    reach = weight.shape[-1] // 2
    windows = F.pad(signals, (reach, reach)).unfold(2, weight.shape[-1], 1)
    return torch.einsum("nick,oik->noc", windows, weight)


def channel_attention(frames: Tensor, state: State, *, gate: bool = True) -> Tensor:
    """Eqs. 1-7: (N, C, H, W) -> Xc of the same shape, with the correlation matrices formed."""
    weighted = []
    for frame in frames:
        pixels = frame.flatten(1)
        f_avg = pixels.mean(dim=1)
        f_max = pixels.max(dim=1).values
        l1 = along_channels(f_avg[None, None], state["local.weight"])[0, 0]
        l2 = state["fc.weight"] @ f_max + state["fc.bias"]
        matrix_a = torch.outer(l1, l2)
        matrix_b = torch.outer(l2, l1)
        a = matrix_a.mean(dim=1)
        b = matrix_b.mean(dim=1)
        if gate:
            mixed = along_channels(torch.stack([a, b])[None], state["gate.weight"])[0, 0] + state["gate.bias"]
            w = torch.sigmoid(mixed)
            f_att = w * a + (1 - w) * b
        else:
            f_att = (a + b) / 2
        weighted.append(frame * torch.sigmoid(f_att)[:, None, None])
    return torch.stack(weighted)


def spatial_weights(x_c: Tensor, weight: Tensor) -> Tensor:
    """Eqs. 8-10 and the sigmoid of eq. 11: Xc (N, C, H, W) -> sigmoid(z_att) (N, 1, H, W)."""
    z_avg = x_c.mean(dim=1, keepdim=True)
    z_max = x_c.max(dim=1, keepdim=True).values
    z_att = F.conv2d(torch.cat([z_avg, z_max], dim=1), weight, padding=weight.shape[-1] // 2)
    return torch.sigmoid(z_att)


def context_weights(frames: Tensor, state: State) -> Tensor:
    """Eq. 12: X (N, C, H, W) -> z_gc (N, C), with both convolutions over the whole map, then pooling."""
    horizontal, vertical = state["horizontal.weight"], state["vertical.weight"]
    groups = frames.shape[1] // horizontal.shape[1]
    across = F.conv2d(frames, horizontal, groups=groups, padding=(0, horizontal.shape[-1] // 2))
    down = F.conv2d(frames, vertical, groups=groups, padding=(vertical.shape[-2] // 2, 0))
    return torch.sigmoid((across + down + state["bias"][:, None, None]).mean(dim=(2, 3)))


def global_convolutional_attention(frames: Tensor, x_c: Tensor, state: State) -> Tensor:
    """Eqs. 8-13 for one clip: X and Xc, both (T, C, H, W) -> Xt of the same shape."""
    x_s = x_c * spatial_weights(x_c, state["spatial.conv.weight"])
    z_gc = context_weights(frames, part(state, "context"))
    over_time = z_gc.sum(dim=0) / len(z_gc)
    return x_s * (z_gc * over_time)[:, :, None, None]


def adaptive_global_attention(clips: Tensor, state: State, *, gate: bool = True, mask: Tensor | None = None) -> Tensor:
    """Eqs. 1-13 and the residual: (B, T, C, H, W) -> M. Padded frames are removed and put back unchanged."""
    results = []
    for index, clip in enumerate(clips):
        real = torch.arange(len(clip)) if mask is None else mask[index].nonzero()[:, 0]
        frames = clip[real]
        x_c = channel_attention(frames, part(state, "channel"), gate=gate)
        x_t = global_convolutional_attention(frames, x_c, state)
        results.append(clip.index_copy(0, real, frames + x_t))
    return torch.stack(results)


def enhanced_clip(clip: Tensor, real: list[bool], state: State, *, step: int, boundary: str) -> Tensor:
    """Eqs. 14-21 for one clip (T, C), frame by frame."""
    frames = len(clip)
    nothing = torch.zeros_like(clip[0])

    def change(earlier: int, later: int) -> Tensor:
        rolled_over = earlier < 0 or later >= frames
        if rolled_over and boundary == "zero":
            return nothing
        earlier, later = earlier % frames, later % frames
        return clip[later] - clip[earlier] if real[earlier] and real[later] else nothing

    d = [
        state["alpha_forward"] * change(t, t + step) + state["alpha_backward"] * change(t - step, t)
        for t in range(frames)
    ]

    def tap(t: int) -> Tensor:
        rolled_over = t < 0 or t >= frames
        return d[t % frames] if boundary == "wrap" or not rolled_over else nothing

    kernel = state["conv.weight"][:, 0]
    reach = kernel.shape[1] // 2
    enhanced = []
    for t in range(frames):
        smoothed = sum(kernel[:, reach + o] * tap(t + o) for o in range(-reach, reach + 1))
        enhanced.append(clip[t] + torch.sigmoid(smoothed + state["conv.bias"]) * d[t])
    return torch.stack(enhanced)


def differential_enhancement(
    sequences: Tensor, state: State, *, step: int = 1, boundary: str = "zero", mask: Tensor | None = None
) -> Tensor:
    """Eqs. 14-21: (B, T, C) -> x + G * d. A difference that involves a padded frame is zero.

    Padding at the end is removed and put back unchanged, so a cycle closes after the last real frame. With
    boundary="wrap" the convolution over time is cyclic too, so that the layer commutes with cyclic shifts.
    """
    results = []
    for index, clip in enumerate(sequences):
        real = [True] * len(clip) if mask is None else mask[index].tolist()
        length = max(t + 1 for t, is_real in enumerate(real) if is_real)
        enhanced = enhanced_clip(clip[:length], real, state, step=step, boundary=boundary)
        results.append(torch.cat([enhanced, clip[length:]]))
    return torch.stack(results)


def layer_norm(z: Tensor, state: State, *, eps: float = 1e-5) -> Tensor:
    centred = z - z.mean(dim=-1, keepdim=True)
    variance = (centred * centred).mean(dim=-1, keepdim=True)
    return centred / torch.sqrt(variance + eps) * state["weight"] + state["bias"]


def linear(z: Tensor, state: State) -> Tensor:
    return z @ state["weight"].T + state["bias"]


def gelu(z: Tensor) -> Tensor:
    return z * 0.5 * (1 + torch.erf(z / math.sqrt(2)))


def self_attention(z: Tensor, state: State, *, heads: int) -> Tensor:
    """Eqs. 23-24 over one clip's tokens, (L, C) -> (L, C): softmax(q k^T / sqrt(C / heads)) v, head by head."""
    query, key, value = linear(z, part(state, "query_key_value")).chunk(3, dim=1)
    size = z.shape[1] // heads
    outputs = []
    for head in range(heads):
        columns = slice(head * size, (head + 1) * size)
        scores = query[:, columns] @ key[:, columns].T / math.sqrt(size)
        powers = torch.exp(scores - scores.max(dim=1, keepdim=True).values)
        outputs.append(powers / powers.sum(dim=1, keepdim=True) @ value[:, columns])
    return linear(torch.cat(outputs, dim=1), part(state, "projection"))


def dtformer(
    sequences: Tensor,
    state: State,
    *,
    heads: int,
    differential: bool = True,
    step: int = 1,
    boundary: str = "zero",
    mask: Tensor | None = None,
) -> Tensor:
    """Eqs. 14-25: (B, T, C) -> (B, C), the class token's output. Padded frames are removed from the token sequence."""
    if differential:
        sequences = differential_enhancement(
            sequences, part(state, "enhancer"), step=step, boundary=boundary, mask=mask
        )
    depth = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("layers."))
    vectors = []
    for index, clip in enumerate(sequences):
        real = torch.arange(len(clip)) if mask is None else mask[index].nonzero()[:, 0]
        positions = state["position"][0]
        z = torch.cat([state["class_token"][0] + positions[:1], clip[real] + positions[1 + real]])
        for number in range(depth):
            block = part(state, f"layers.{number}")
            z = z + self_attention(layer_norm(z, part(block, "attention_norm")), block, heads=heads)
            mlp = part(block, "mlp")
            hidden = gelu(linear(layer_norm(z, part(block, "mlp_norm")), part(mlp, "0")))
            z = z + linear(hidden, part(mlp, "2"))
        vectors.append(z[0])
    return torch.stack(vectors)


def batch_norm(images: Tensor, state: State, *, eps: float = 1e-5) -> Tensor:
    """Batch normalisation with the running statistics, as in eval mode."""
    scale = state["weight"] / torch.sqrt(state["running_var"] + eps)
    return (images - state["running_mean"][:, None, None]) * scale[:, None, None] + state["bias"][:, None, None]


def bottleneck(z: Tensor, state: State) -> Tensor:
    return linear(torch.relu(linear(z, part(state, "0"))), part(state, "2"))


def squeeze_excitation(frames: Tensor, state: State) -> Tensor:
    """Hu, Shen, Sun, "Squeeze-and-Excitation Networks", 2018, eqs. 2-4: X * sigmoid(W2 relu(W1 GAP(X)))."""
    scale = torch.sigmoid(bottleneck(frames.mean(dim=(2, 3)), part(state, "mlp")))
    return frames * scale[:, :, None, None]


def cbam(frames: Tensor, state: State) -> Tensor:
    """Woo, Park, Lee, Kweon, "CBAM", 2018, eqs. 1-3, with the batch normalisation of its released code."""
    mlp = part(state, "mlp")
    f_avg, f_max = frames.mean(dim=(2, 3)), frames.flatten(2).max(dim=2).values
    channel = torch.sigmoid(bottleneck(f_avg, mlp) + bottleneck(f_max, mlp))
    refined = frames * channel[:, :, None, None]
    pooled = torch.stack([refined.mean(dim=1), refined.max(dim=1).values], dim=1)
    convolution = part(state, "spatial.0")["weight"]
    z_att = F.conv2d(pooled, convolution, padding=convolution.shape[-1] // 2)
    return refined * torch.sigmoid(batch_norm(z_att, part(state, "spatial.1")))


def resnet18(images: Tensor, state: State, after_stage: Callable[[str, Tensor], Tensor] | None = None) -> Tensor:
    """He, Zhang, Ren, Sun, "Deep Residual Learning", 2016, table 1, in eval mode: (N, 3, H, W) -> (N, 512, h, w)."""
    x = F.conv2d(images, state["conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(torch.relu(batch_norm(x, part(state, "bn1"))), 3, stride=2, padding=1)
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        for number in ("0", "1"):
            block = part(state, f"{stage}.{number}")
            stride = 2 if stage != "layer1" and number == "0" else 1
            y = torch.relu(batch_norm(F.conv2d(x, block["conv1.weight"], stride=stride, padding=1), part(block, "bn1")))
            y = batch_norm(F.conv2d(y, block["conv2.weight"], padding=1), part(block, "bn2"))
            if "downsample.0.weight" in block:
                x = batch_norm(F.conv2d(x, block["downsample.0.weight"], stride=stride), part(block, "downsample.1"))
            x = torch.relu(x + y)
        if after_stage is not None:
            x = after_stage(stage, x)
    return x


def frame_vectors(feature_maps: Tensor, state: State) -> Tensor:
    """Section 3.3: a depthwise 3 x 3 convolution over the map, then global average pooling: -> (N, C)."""
    weight = state["weight"]
    return F.conv2d(feature_maps, weight, state["bias"], padding=1, groups=len(weight)).mean(dim=(2, 3))


def agdtnet(clip: Tensor, state: State, *, attention: str, temporal: str) -> Tensor:
    """The whole network in eval mode, for one clip without padding: (T, 3, H, W) -> (num_classes,)."""

    def attend(stage: str, maps: Tensor) -> Tensor:
        if attention == "none" or stage not in ("layer2", "layer3"):
            return maps
        block = part(state, f"backbone.attention.{stage}")
        if attention == "se":
            return squeeze_excitation(maps, block)
        if attention == "cbam":
            return cbam(maps, block)
        return adaptive_global_attention(maps[None], block, gate=attention == "aga")[0]

    maps = resnet18(clip, part(state, "backbone"), attend)
    vectors = frame_vectors(maps, part(state, "frame_vectors.conv"))
    if temporal == "mean":
        summary = vectors.mean(dim=0)
    else:
        encoder = part(state, "temporal")
        summary = dtformer(vectors[None], encoder, heads=8, differential=temporal == "dtformer")[0]
    return linear(summary, part(state, "classifier"))
