"""
What the layer costs beside SE, ECA and CBAM
============================================

Medians of interleaved runs (A B C A B C ...), taken on the machine that built this page. So the figures are rough,
from a shared machine; the :doc:`performance page </performance>` has the careful ones, and the command for
yours.
"""

import functools

import matplotlib.pyplot as plt
import torch
from torch import nn

from agdt_layers import CBAM, AdaptiveGlobalAttention, SqueezeExcitation
from dfer.benchmarking.timing import interleaved_medians
from dfer.evaluation.pictures import BLUE, GREEN, MUTED, ORANGE, STYLE

plt.rcParams.update(STYLE)
torch.manual_seed(0)


# %%
# SE and CBAM come with the package, as the paper compares with them. ECA is three lines: the channel means, a
# convolution along the channels, a sigmoid.
class EfficientChannelAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 5, padding=2, bias=False)

    def forward(self, x):
        return x * self.conv(x.mean(dim=(2, 3))[:, None]).sigmoid().transpose(1, 2)[..., None]


layers = {
    "SE": SqueezeExcitation,
    "ECA": EfficientChannelAttention,
    "CBAM": CBAM,
    "AGA": functools.partial(AdaptiveGlobalAttention, num_frames=16),
}
colours = dict(zip(layers, (MUTED, GREEN, ORANGE, BLUE), strict=True))

# %%
# Four feature maps of a ResNet18 at 112 x 112, one clip of 16 frames: forward, and forward with backward.
shapes = ((16, 64, 28, 28), (16, 128, 14, 14), (16, 256, 7, 7), (16, 512, 4, 4))


def forward(layer, x):
    with torch.no_grad():
        layer(x)


def training(layer, x):
    layer(x).square().sum().backward()


measured = {}
for shape in shapes:
    made = {name: make(shape[1]) for name, make in layers.items()}
    for way, x in ((forward, torch.randn(shape)), (training, torch.randn(shape, requires_grad=True))):
        runs = {name: functools.partial(way, layer, x) for name, layer in made.items()}
        measured[way, shape] = interleaved_medians(runs, seconds=1.0, device="cpu")

# %%
figure, panels = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
for axes, (way, title) in zip(panels, ((forward, "Forward"), (training, "Forward + backward")), strict=True):
    for number, name in enumerate(layers):
        heights = [measured[way, shape][name] for shape in shapes]
        places = [i + 0.2 * (number - 1.5) for i in range(len(shapes))]
        axes.bar(places, heights, width=0.18, color=colours[name], label=name)
    axes.set_xticks(range(len(shapes)), ["x".join(map(str, shape[1:])) for shape in shapes])
    axes.set(title=title, xlabel="C x H x W, 16 frames", ylabel="milliseconds")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
panels[0].legend(frameon=False, ncols=2)
plt.show()

# %%
# AGA's time divided by that of CBAM, the nearest relative: both weigh channels and positions.
for way, title in ((forward, "forward"), (training, "forward + backward")):
    ratios = [f"{measured[way, shape]['AGA'] / measured[way, shape]['CBAM']:.2f}" for shape in shapes]
    print(f"{title:20}", *ratios)

# %%
# Time is one side; what the layer stores is the other.
print(f"threads: {torch.get_num_threads()}, torch {torch.__version__}\n")
print("parameters      " + "".join(f"{'C = ' + str(shape[1]):>12}" for shape in shapes))
for name, make in layers.items():
    counts = [sum(p.numel() for p in make(shape[1]).parameters()) for shape in shapes]
    print(f"{name:16}" + "".join(f"{count:12,}" for count in counts))

# %%
# AGA's parameters are almost all in one linear map from C to C (the global statistic :math:`l_2`), where SE and CBAM go
# through a bottleneck of C / 16.
