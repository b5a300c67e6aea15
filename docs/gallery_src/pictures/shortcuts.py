r"""
Three exact shortcuts, timed
============================

The equations, taken literally, form C x C matrices, run a convolution over a map only to average it, and write
the map out several times. None of it is needed (the derivations are in :doc:`/paper_to_code`). Here each literal form
is compared with what the package does: the results, and the medians of interleaved runs on the machine that built
this page.
"""

import matplotlib.pyplot as plt
import torch
from torch.nn.functional import conv2d

from agdt_layers import functional
from agdt_layers.feature_maps import attend, pool_windows
from dfer.benchmarking.timing import interleaved_medians
from dfer.evaluation.pictures import BLUE, MUTED, STYLE

plt.rcParams.update(STYLE)
torch.manual_seed(0)
N, C, H, W = 16, 256, 14, 14
x = torch.randn(N, C, H, W).relu()
results = {}


def compare(name, literal, shortcut):
    with torch.no_grad():
        difference = (literal() - shortcut()).abs().max().item()
        medians = interleaved_medians({"literal": literal, "shortcut": shortcut}, seconds=0.7, device="cpu")
    results[name] = medians["literal"] / medians["shortcut"]
    print(f"{name}: largest difference {difference:.1e}, {medians['literal']:.2f} ms -> {medians['shortcut']:.2f} ms, "
          f"{results[name]:.1f} times as fast")  # fmt: skip


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
    return functional.context_weights(pool_windows(x, 7)[0], horizontal, vertical, bias)


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


compare("one map written", a_map_for_every_step, lambda: attend(x, channel, context, kernel))

# %%
figure, axes = plt.subplots(figsize=(8, 2.4), layout="constrained")
bars = axes.barh(list(results)[::-1], list(results.values())[::-1], color=BLUE, height=0.55)
axes.bar_label(bars, fmt="%.1f x", padding=4)
axes.axvline(1, color=MUTED, linewidth=1, linestyle=":")
axes.set(
    title=f"Times as fast as the literal form, ({N}, {C}, {H}, {W})",
    xscale="log",
    xlim=(0.8, 2 * max(results.values())),
)
axes.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
axes.tick_params(which="both", length=0)
plt.show()
