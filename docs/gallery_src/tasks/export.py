"""
Export and deploy
=================

The layers are plain tensor operations: ``torch.compile``, ``torch.export`` and ONNX handle the whole network, with
batch, frames, height and width left free. Needs nothing beside this package.
"""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.export import Dim

from agdt_layers import build_agdtnet, load_weights

net = build_agdtnet(num_classes=7, num_frames=16).eval()
clips = torch.rand(2, 8, 3, 64, 64)

# %%
# torch.export
# ------------
# One program for every batch and every length from 3 to 16 frames. It needs torch alone to run, not this package.
# (torch.export treats an axis of length 1 as a special case, and two frames have one difference; for clips of two
# frames export another program.)
free = {"clips": {0: Dim("batch"), 1: Dim("frames", min=3, max=16)}}
program = torch.export.export(net, (clips,), dynamic_shapes=free)
file = io.BytesIO()
torch.export.save(program, file)
file.seek(0)
loaded = torch.export.load(file).module()
with torch.no_grad():
    for other in (clips, torch.rand(3, 5, 3, 64, 64)):
        difference = (loaded(other) - net(other)).abs().max().item()
        print(f"{tuple(other.shape)}: largest difference {difference:.1e}")

# %%
# ONNX
# ----
# Needs ``pip install onnx onnxscript onnxruntime``.
#
# .. code-block:: python
#
#     sizes = {"clips": {0: "batch", 1: "frames", 3: "height", 4: "width"}}
#     torch.onnx.export(net, (clips,), "net.onnx", dynamic_shapes=sizes, dynamo=True)
#
# Compiled, and in half precision
# -------------------------------
# ``torch.compile(net, fullgraph=True, dynamic=True)`` traces one graph; other batch sizes and lengths do not
# recompile it. On CPUs with bfloat16 units this is the fast path (figures: :doc:`/performance`):
#
# .. code-block:: python
#
#     half = build_agdtnet(7, weights="weights.safetensors", dtype=torch.bfloat16).eval()
#     half.to(memory_format=torch.channels_last)
#     half(clips.bfloat16())
#
# Attention weights are computed in float32 whatever the dtype, because products of two statistics overflow float16.
half = build_agdtnet(7, dtype=torch.bfloat16).eval()
load_weights(half, net.state_dict())
with torch.no_grad():
    exact, rounded = net(clips).softmax(dim=1), half(clips.bfloat16()).float().softmax(dim=1)
print(f"bfloat16 against float32, largest difference of a probability: {(exact - rounded).abs().max():.4f}")

# %%
# Weights
# -------
# ``load_weights`` reads .safetensors, .pt and .pth, refuses anything other than tensors, and reports what matched. It
# takes a file of the whole network or of a bare ResNet18, with or without a wrapper.
with TemporaryDirectory() as folder:
    torch.save({"state_dict": net.backbone.state_dict()}, Path(folder) / "resnet18.pth")
    print(load_weights(build_agdtnet(num_classes=4), Path(folder) / "resnet18.pth"))
