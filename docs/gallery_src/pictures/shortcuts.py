r"""
Three exact shortcuts, counted
==============================

The equations, taken literally, form C x C matrices, run a convolution over a map only to average it, and write
the map out several times. None of it is needed (the derivations are in :doc:`/paper_to_code`). Here each literal form
is compared with what the package does: the results, and how much memory its operators take for theirs, which does not
depend on the machine. What this saves in time is on the :doc:`performance page </performance>`.

Needs ``pip install matplotlib`` beside this package.
"""

import matplotlib.pyplot as plt
import torch
from torch.nn.functional import conv2d
from torch.profiler import ProfilerActivity, profile

from agdt_layers import functional
from agdt_layers.feature_maps import pool_windows, rescale

torch.manual_seed(0)
N, C, H, W = 16, 256, 14, 14
x = torch.randn(N, C, H, W).relu()
results = {}


def memory_taken(function):
    """Bytes that the operators of one call take for their results, as torch's profiler counts them."""
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        function()
    return sum(max(0, event.self_cpu_memory_usage) for event in profiled.events())


def compare(name, literal, shortcut):
    with torch.no_grad():
        difference = (literal() - shortcut()).abs().max().item()
    much, little = memory_taken(literal), memory_taken(shortcut)
    results[name] = much / little
    print(f"{name}: largest difference {difference:.1e}, {much / 2**20:.2f} MiB -> {little / 2**20:.2f} MiB")


# %%
# 1. The correlation matrices have rank one
# -----------------------------------------
local, spread = torch.randn(N, C), torch.randn(N, C)


def matrices():
    a = local[:, :, None] @ spread[:, None, :]
    b = spread[:, :, None] @ local[:, None, :]
    return torch.stack([a.mean(dim=2), b.mean(dim=2)])


def rank_one():
    return torch.stack([local * spread.mean(dim=1, keepdim=True), spread * local.mean(dim=1, keepdim=True)])


compare("rank one", matrices, rank_one)

# %%
# 2. Pooling is linear
# --------------------
# Dense context convolution, as printed, against windowed sums.
horizontal, vertical = torch.randn(C, C, 1, 7) / C, torch.randn(C, C, 7, 1) / C
bias = torch.zeros(C)


def convolution():
    over_map = conv2d(x, horizontal, padding=(0, 3)) + conv2d(x, vertical, padding=(3, 0))
    return over_map.mean(dim=(2, 3)).sigmoid()


def windows():
    across, down = pool_windows(x, 7)[0].chunk(2, dim=1)
    pooled = functional.convolve_windows(across, horizontal) + functional.convolve_windows(down, vertical)
    return (pooled + bias).sigmoid()


compare("pooled convolution", convolution, windows)

# %%
# 3. One map written
# ------------------
# Spatial weights and all products: every step of the equations as a map of its own, against one map that is written
# once and rescaled in place.
channel, context = torch.rand(N, C), torch.rand(N, C)
kernel = torch.randn(1, 2, 7, 7) / 7


def a_map_for_every_step():
    x_c = x * channel[:, :, None, None]
    z_att = conv2d(torch.cat([x_c.mean(1, keepdim=True), x_c.max(1, keepdim=True).values], dim=1), kernel, padding=3)
    x_s = x_c * z_att.sigmoid()
    x_t = x_s * context[:, :, None, None]
    return x + x_t


compare("one map written", a_map_for_every_step, lambda: rescale(x, channel, context, kernel)[0])

# %%
figure, axes = plt.subplots(figsize=(5.2, 2.4), layout="constrained")
bars = axes.barh(list(results)[::-1], list(results.values())[::-1], height=0.55)
axes.bar_label(bars, fmt="%.1f x", padding=4)
axes.axvline(1, color="grey", linewidth=1, linestyle=":")
axes.set(
    title=f"Memory of the literal form, ours is 1\n({N}, {C}, {H}, {W})",
    xscale="log",
    xlim=(0.8, 3 * max(results.values())),
)
axes.set_xticks([1, 10, 100], ["1", "10", "100"])
axes.tick_params(which="both", length=0)
plt.show()
