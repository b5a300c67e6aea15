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
# Several cameras can share a stream: ``push`` takes (B, 3, H, W), one frame of each, or (B, n, 3, H, W), a run of
# frames of each, which costs less than pushing them one by one.

# %%
# A camera without PyTorch
# ------------------------
# ``AGDTStream`` holds the state of a :class:`~agdt_layers.StreamStep`, a module whose state is a dictionary of tensors:
# (frames, state) to (scores, new state). The step exports with ``torch.export`` and to ONNX with a dynamic batch.
# ``export_stream.py`` does so for a trained run, and checks the file in ONNX Runtime:
#
# .. code-block:: console
#
#     $ pip install onnx onnxscript onnxruntime
#     $ python examples/export_stream.py runs/expressions
#
# It leaves ``stream.onnx`` and ``stream.json`` (class names, size and normalisation of a frame, and the names, shapes
# and types of the state, which starts as zeros). This script runs them on a camera or a video file. It needs
# ``pip install numpy opencv-python onnxruntime``:
#
# .. literalinclude:: /../examples/camera.py
#    :language: python
#
# .. code-block:: console
#
#     $ python examples/camera.py runs/expressions/stream.onnx video.mp4
#
# To find and follow every face of a video with the same file, use ``recognise.py --onnx``: see :doc:`/recognise`.
