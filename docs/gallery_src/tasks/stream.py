"""
Stream from a camera
====================

``AGDTStream`` takes one frame at a time and answers each time, at the cost of one frame through the backbone and one
pass of the temporal encoder instead of the whole window. Needs ``pip install matplotlib`` beside this package.
"""

import matplotlib.pyplot as plt
import torch
from torch.utils.flop_counter import FlopCounterMode

from agdt_layers import AGDTStream, build_agdtnet

torch.manual_seed(0)

# %%
# With ``causal=True`` the attention averages over the frames up to each frame, which is all that a camera has. Such a
# network streams exactly: the stream's answer is that of the network on the frames so far.
net = build_agdtnet(7, num_frames=8, causal=True).eval()
stream = AGDTStream(net, num_frames=8)
clip = torch.rand(1, 8, 3, 64, 64)
with torch.no_grad():
    for t in range(8):
        scores = stream.push(clip[:, t])
        offline = net(clip[:, : t + 1])
        print(f"frame {t}: largest difference to the net on {t + 1} frames {(scores - offline).abs().max():.1e}")

# %%
# ``reset()`` forgets everything, for a new face. A network that was not made causal can be streamed too, approximately;
# the page of :class:`~agdt_layers.AGDTStream` says what differs.
stream.reset()

# %%
# What an answer costs
# --------------------
# Multiply-adds of one answer, of the stream and of the network on the whole window, at 112 x 112, for windows of 4 to
# 16 frames, as torch's ``FlopCounterMode`` counts them. The times are on the :doc:`performance page </performance>`.


def multiply_adds(function, x):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        function(x)
    return counter.get_total_flops() / 2e9


windows = (4, 8, 16)
counts = {"stream": [], "whole window": []}
for window in windows:
    net = build_agdtnet(7, num_frames=window, causal=True).eval()
    stream = AGDTStream(net, num_frames=window)
    clip = torch.rand(1, window, 3, 112, 112)
    stream.push(clip[:, :-1])  # the window is full with the next frame
    counts["stream"].append(multiply_adds(stream.push, clip[:, -1]))
    counts["whole window"].append(multiply_adds(net, clip))

figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
for name, each in counts.items():
    (line,) = axes.plot(windows, each, marker="o", label=name)
    axes.text(windows[-1] + 0.3, each[-1], f"{each[-1]:.1f} G", va="center", color=line.get_color())
axes.set(title="One answer", xlabel="frames in the window", ylabel="billion multiply-adds")
axes.set(xticks=windows, ylim=(0, None), xlim=(3.5, 18))
axes.grid(axis="y")
axes.legend(frameon=False)
plt.show()

# %%
# A camera loop
# -------------
# The frames must be faces, cropped as in training, in RGB and normalised; any camera library will do.
#
# .. code-block:: python
#
#     for picture in camera:                                   # H x W x 3, uint8, RGB, the face cropped
#         face = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
#         scores = stream.push((face - mean) / std)
#         print(names[scores.argmax()])
#
# Several cameras can share a stream: ``push`` takes (B, 3, H, W), one frame of each, or (B, n, 3, H, W), a run of
# frames of each, which costs less than pushing them one by one.
