"""
Look inside
===========

``capture_attention`` collects the weights of every attention layer of a model, for as long as the ``with`` lasts. The
model runs as it always does; the weights are computed separately.
"""

import matplotlib.pyplot as plt
import torch
from small_net import faces, trained_net
from torch.nn.functional import interpolate

from agdt_layers import build_agdtnet, capture_attention
from dfer.data.augmentation import normalise, to_unit
from dfer.evaluation.pictures import STYLE

plt.rcParams.update(STYLE)

# %%
# What there is to see in the default network: two AGA blocks, the enhancer, and three encoder layers.
net = build_agdtnet(num_classes=7, num_frames=8).eval()
with torch.no_grad(), capture_attention(net) as maps:
    net(torch.rand(1, 8, 3, 112, 112))
for name, weights in maps.items():
    if isinstance(weights, tuple):
        fields = {field: tuple(value.shape) for field, value in weights._asdict().items()}
        print(name, *(f"\n    {field}: {shape}" for field, shape in fields.items()))
    else:
        print(name, tuple(weights.shape))

# %%
# As a picture: the spatial weights over the frames, of a small network that this gallery trained for a few seconds on
# rendered faces.
small, _, _ = trained_net(gate=True)
clip = to_unit(faces("test")[0][11:12])
with torch.no_grad(), capture_attention(small) as maps:
    small(normalise(clip))
spatial = maps["backbone.1.agdt_attention"].spatial
heat = interpolate(spatial, size=clip.shape[-2:], mode="bicubic")[0]

gaps = {"wspace": 0.03, "hspace": 0.03, "left": 0, "right": 1, "bottom": 0, "top": 0.94}
figure, grid = plt.subplots(2, len(heat), figsize=(2 * len(heat), 4.25), gridspec_kw=gaps)
for t, (frame, weights) in enumerate(zip(clip[0], heat, strict=True)):
    grid[0, t].imshow(frame.permute(1, 2, 0), interpolation="bicubic")
    grid[1, t].imshow(frame.mean(dim=0), cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
    grid[1, t].imshow(weights, cmap="inferno", alpha=0.6, vmin=heat.min(), vmax=heat.max())
    grid[0, t].set_title(f"frame {t}", fontsize=9)
for axes in grid.flat:
    axes.set_axis_off()
plt.show()

# %%
# Which channels count: channel weights and gate of the first AGA block, over all channels and frames of the clip.
weights = maps["backbone.1.agdt_attention"]
figure, (channels, gates) = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained")
for axes, values, title in ((channels, weights.channel, "Channel weights $s_c$"), (gates, weights.gate, "Gate w")):
    shown = axes.imshow(values[0], aspect="auto", cmap="viridis")
    axes.set(title=title, xlabel="channel", ylabel="frame", yticks=range(len(values[0])))
    figure.colorbar(shown, ax=axes, pad=0.02)
plt.show()

# %%
# The maps are detached and the hooks are gone when the ``with`` ends. It works in the same way on any model with
# :doc:`inserted attention <drop_in>`; the names are those of the submodules.
