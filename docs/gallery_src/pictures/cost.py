"""
What the layer costs beside SE, ECA and CBAM
============================================

Parameters and multiply-adds, counted. The times come from the benchmark:

.. include:: /benchmark/layer_times.md
   :parser: myst_parser.sphinx_

Milliseconds on the CPU that the :doc:`performance page </performance>` names; the command for your own machine is there
too. Needs ``pip install matplotlib`` beside this package.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from agdt_layers import CBAM, AdaptiveGlobalAttention, SqueezeExcitation


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
    "AGA": AdaptiveGlobalAttention,
    "CBAM": CBAM,
    "SE": SqueezeExcitation,
    "ECA": EfficientChannelAttention,
}

# %%
# Four feature maps of a ResNet18 at 112 x 112. Multiply-adds are those of convolutions and matrix products on one
# frame, as torch's ``FlopCounterMode`` counts them: two of its operations are one.
shapes = ((64, 28, 28), (128, 14, 14), (256, 7, 7), (512, 4, 4))


def parameters(make, shape):
    return sum(p.numel() for p in make(shape[0]).parameters())


def multiply_adds(make, shape):
    layer, frame = make(shape[0]), torch.rand(1, *shape)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        layer(frame)
    return counter.get_total_flops() // 2


figure, panels = plt.subplots(2, 1, figsize=(5.2, 6.4), layout="constrained")
for axes, (count, title) in zip(
    panels, ((parameters, "Parameters"), (multiply_adds, "Multiply-adds a frame")), strict=True
):
    print(f"{title:24}" + "".join(f"{' x '.join(map(str, shape)):>14}" for shape in shapes))
    for number, (name, make) in enumerate(layers.items()):
        counts = [count(make, shape) for shape in shapes]
        print(f"  {name:22}" + "".join(f"{each:14,}" for each in counts))
        places = [i + 0.2 * (number - 1.5) for i in range(len(shapes))]
        axes.bar(places, counts, width=0.18, label=name)
    axes.set_xticks(range(len(shapes)), [" x ".join(map(str, shape)) for shape in shapes])
    axes.set(title=title, xlabel="C x H x W", yscale="log")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
panels[0].legend(frameon=False, ncols=2)
plt.show()

# %%
# AGA's parameters are almost all in one linear map from C to C (the global statistic :math:`l_2`), where SE and CBAM go
# through a bottleneck of C / 16.
