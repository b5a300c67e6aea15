"""
Look inside
===========

``capture_attention`` collects the weights of every attention layer of a model, for as long as the ``with`` lasts. The
model runs as it always does; the weights are computed separately. Needs ``pip install matplotlib`` beside this package.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn.functional import cross_entropy, interpolate

from agdt_layers import build_agdtnet, capture_attention, insert_attention

torch.manual_seed(0)

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
# As a picture
# ------------
# A small network, trained here for a few seconds. Four dots move over noise; three are grey, and the net is to name the
# colour of the fourth.


def dots(clips):
    """Clips (B, 4, 3, 48, 48) from 0 to 1, and the colour of the fourth dot (B,): red, green or blue."""
    colours = torch.randint(3, (clips,))
    start, move = 8 + 32 * torch.rand(clips, 1, 4, 2), 8 * torch.rand(clips, 1, 4, 2) - 4
    places = start + move * torch.arange(4.0)[:, None, None]
    rows, columns = ((-((torch.arange(48.0) - each[..., None]) ** 2) / 8).exp() for each in places.unbind(-1))
    light = torch.full((clips, 1, 4, 3, 1, 1), 0.5)
    light[:, 0, 3, :, 0, 0] = nn.functional.one_hot(colours, 3).float()
    painted = (light * (rows[..., :, None] * columns[..., None, :])[:, :, :, None]).sum(dim=2)
    return (0.2 * torch.rand(painted.shape) + painted).clamp(max=1), colours


def stage(channels_in, channels):
    return nn.Sequential(nn.Conv2d(channels_in, channels, 3, stride=2, padding=1), nn.BatchNorm2d(channels), nn.ReLU())


backbone = nn.Sequential(stage(3, 16), stage(16, 32), stage(32, 64))
insert_attention(backbone, ["1"], example_input=torch.rand(1, 3, 48, 48))
small = build_agdtnet(3, num_frames=4, backbone=backbone)
optimiser = torch.optim.AdamW(small.parameters(), lr=2e-3)
for _ in range(60):
    clips, colours = dots(16)
    optimiser.zero_grad()
    cross_entropy(small(clips), colours).backward()
    optimiser.step()

small.eval()
clips, colours = dots(100)
with torch.no_grad(), capture_attention(small) as maps:
    right = (small(clips).argmax(dim=1) == colours).float().mean()
print(f"{100 * right:.0f} % of new clips right; chance is 33 %")
print(*maps)

# %%
# The spatial weights over the frames of the first new clip; bright is a greater weight.
attention = maps["backbone.1.agdt_attention"]
clip = clips[:1]
heat = interpolate(attention.spatial[:1], size=clip.shape[-2:], mode="bicubic")[0]

gaps = {"wspace": 0.03, "hspace": 0.03, "left": 0, "right": 1, "bottom": 0, "top": 0.92}
figure, grid = plt.subplots(2, len(heat), figsize=(1.3 * len(heat), 2.8), gridspec_kw=gaps)
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
figure, (channels, gates) = plt.subplots(2, 1, figsize=(5.2, 4), layout="constrained")
for axes, values, title in ((channels, attention.channel, "Channel weights $s_c$"), (gates, attention.gate, "Gate w")):
    shown = axes.imshow(values[0], aspect="auto", cmap="viridis")
    axes.set(title=title, xlabel="channel", ylabel="frame", yticks=range(len(values[0])))
    figure.colorbar(shown, ax=axes, pad=0.02)
plt.show()

# %%
# The maps are detached and the hooks are gone when the ``with`` ends. It works in the same way on any model with
# :doc:`inserted attention <drop_in>`; the names are those of the submodules.
